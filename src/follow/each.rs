//! Looking at files again and again: in a blocking thread, since a mount may be slow.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// How often is looked.
const INTERVAL: Duration = Duration::from_secs(1);

/// Looks at once and then each second, and gives `take` what was found, until `shutdown`.
pub(super) async fn second<T: Send + 'static>(
    look: impl FnMut() -> Option<T> + Send + 'static,
    mut take: impl FnMut(T),
    shutdown: CancellationToken,
) {
    let look = Arc::new(Mutex::new(look));
    let mut interval = interval(INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = interval.tick() => {}
        }
        let look = look.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let mut look = look.lock().unwrap_or_else(PoisonError::into_inner);
            look()
        });
        // Should the looking itself panic, the next turn looks again.
        if let Ok(Some(found)) = looked.await {
            take(found);
        }
    }
}
