//! Load: so many clients, each with one connection, send the next request when the last one was answered. What counts
//! is what ends between two readings of the clocks.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use crate::{
    client::{self, Client, check},
    process::{self, Process},
    script::Script,
};

/// What to do.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub clients: usize,
    pub script: Script,
    /// What each client reads with.
    pub buffer: usize,
    pub warm_up: Duration,
    pub measured: Duration,
    /// The time over which the clients begin, so that polls that are held do not all end at one instant.
    pub spread: Duration,
}

/// What was measured.
#[derive(Clone, Debug, Default)]
pub struct Round {
    pub elapsed: Duration,
    /// What the proxy used; zero without one.
    pub cpu: Duration,
    pub requests: u64,
    pub queries: u64,
    /// Bytes of bodies.
    pub bytes: u64,
    /// For each request, from its first byte to the end of its answer, less what the coordinator held it.
    pub latencies: Vec<Duration>,
}

/// Why a round is worth nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("a client failed")]
    Client(#[from] client::Error),
    #[error(transparent)]
    Process(#[from] process::Error),
    #[error("a client's task ended early")]
    Task(#[from] tokio::task::JoinError),
    #[error("no request ended in the measured time")]
    Nothing,
}

const MEASURING: u8 = 1;
const OVER: u8 = 2;

/// What the clients of a round share.
#[derive(Debug, Default)]
struct Shared {
    phase: AtomicU8,
    round: Mutex<Round>,
}

impl Shared {
    fn phase(&self) -> u8 {
        self.phase.load(Ordering::Relaxed)
    }

    fn with_round<T>(&self, then: impl FnOnce(&mut Round) -> T) -> T {
        then(&mut self.round.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Load {
    /// Puts the load on `address` once, and measures `process` meanwhile.
    ///
    /// # Errors
    /// When an answer is not what the script says: such a round must not count.
    pub async fn run(&self, address: SocketAddr, process: Option<&Process>) -> Result<Round, Error> {
        let shared = Arc::new(Shared::default());
        let mut clients = JoinSet::new();
        let pause = self.spread / u32::try_from(self.clients.max(1)).unwrap_or(u32::MAX);
        for _ in 0..self.clients {
            // One after the other: a thousand at once would overrun the queue of who listens.
            let client = Client::connect(address, self.buffer).await?;
            clients.spawn(ask_on(client, self.script, shared.clone()));
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
        }
        let measured = self.measure(&shared, process);
        let (elapsed, cpu) = tokio::select! {
            measured = measured => measured?,
            Some(ended) = clients.join_next() => {
                ended??;
                return Err(Error::Nothing);
            }
        };
        while let Some(ended) = clients.join_next().await {
            ended??;
        }
        let round = shared.with_round(std::mem::take);
        if round.requests == 0 {
            return Err(Error::Nothing);
        }
        Ok(Round { elapsed, cpu, ..round })
    }

    async fn measure(
        &self,
        shared: &Shared,
        process: Option<&Process>,
    ) -> Result<(Duration, Duration), process::Error> {
        let cpu = || process.map_or(Ok(Duration::ZERO), Process::cpu);
        tokio::time::sleep(self.warm_up).await;
        let before = (Instant::now(), cpu()?);
        shared.phase.store(MEASURING, Ordering::Relaxed);
        tokio::time::sleep(self.measured).await;
        shared.phase.store(OVER, Ordering::Relaxed);
        let elapsed = before.0.elapsed();
        Ok((elapsed, cpu()?.saturating_sub(before.1)))
    }
}

/// Runs one query after the other until the round is over.
async fn ask_on(mut client: Client, script: Script, shared: Arc<Shared>) -> Result<(), client::Error> {
    let statement = script.statement();
    let mut next: Option<String> = None;
    let mut poll = 0;
    loop {
        let begun = Instant::now();
        let answer = match &next {
            None => client.submit(&statement).await?,
            Some(path) => client.poll(path).await?,
        };
        let latency = begun.elapsed().saturating_sub(answer.held);
        check(&script, poll, &answer)?;
        match shared.phase() {
            MEASURING => shared.with_round(|round| {
                round.requests += 1;
                round.queries += u64::from(answer.next.is_none());
                round.bytes += answer.body;
                round.latencies.push(latency);
            }),
            OVER => return Ok(()),
            _ => {}
        }
        poll = if answer.next.is_some() { poll + 1 } else { 0 };
        next = answer.next;
    }
}
