//! The end of a process that serves: asked for by a signal, hastened by a second one.

use anyhow::Context as _;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};
use tokio_util::sync::CancellationToken;

/// The signals that ask for an end.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("signals cannot be listened to");
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// Waits until all of `shards` have ended; the first signal tells them to, by `stop`, and a second one does not wait.
    pub(super) async fn run_to_the_end(&mut self, shards: Vec<oneshot::Receiver<()>>, stop: &CancellationToken) {
        let mut serving = std::pin::pin!(async {
            for shard in shards {
                let _: Result<(), oneshot::error::RecvError> = shard.await;
            }
        });
        tokio::select! {
            () = &mut serving => return,
            signal = self.next() => tracing::info!(signal, "shutting down"),
        }
        stop.cancel();
        tokio::select! {
            () = &mut serving => {}
            signal = self.next() => tracing::warn!(signal, "a second signal: running requests are cut"),
        }
    }
}
