//! What goes wrong between an operator and the API server: a write after which the operator is no more, a write whose
//! request or answer is lost, watches that lag, break and expire, a server that is away.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{sync::Notify, time::Instant};

/// What happens at one of the operator's writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// It is done, and the operator is killed before it hears of it.
    Killed,
    /// It is done, and the connection breaks before the answer arrives. The operator goes on.
    AnswerLost,
    /// The connection breaks before it is done. The operator goes on.
    RequestLost,
}

/// The faults of one API server. Clones share them.
#[derive(Clone, Default)]
pub struct Faults {
    state: Arc<Mutex<State>>,
    killed: Arc<Notify>,
}

#[derive(Default)]
struct State {
    cut: Option<(Cut, At)>,
    writes: usize,
    cuts: usize,
    away_until: Option<Instant>,
    refused: Option<String>,
    refusals: usize,
    lag: Option<Lag>,
}

/// Which of the writes are cut.
pub enum At {
    /// This one alone, counted from 1.
    Write(usize),
    /// Each of them.
    Each,
    /// One in three, by these dice.
    OneInThree(Box<StdRng>),
}

impl At {
    /// By the dice with this seed.
    pub fn dice(seed: u64) -> Self {
        Self::OneInThree(Box::new(StdRng::seed_from_u64(seed)))
    }
}

struct Lag {
    dice: StdRng,
    delays: BTreeMap<String, Duration>,
}

/// What one watch suffers from.
#[derive(Default)]
pub struct WatchFaults {
    /// Each event comes this much later.
    pub delay: Duration,
    /// Then the connection ends, with what was still to come through it.
    pub end: Option<Instant>,
    /// The version that the client saw last is too old: it must list anew.
    pub expired: bool,
}

impl Faults {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics while it holds the lock")
    }

    /// From now on writes are counted, and those cut that `at` tells.
    pub fn cut(&self, cut: Cut, at: At) {
        let mut state = self.lock();
        (state.cut, state.writes, state.cuts) = (Some((cut, at)), 0, 0);
    }

    /// How many writes were cut.
    pub fn cuts(&self) -> usize {
        self.lock().cuts
    }

    /// Waits until the operator is killed.
    pub async fn killed(&self) {
        self.killed.notified().await;
    }

    /// Counts a write, and tells what happens at it.
    pub fn next_write(&self) -> Option<Cut> {
        let mut state = self.lock();
        state.writes += 1;
        let writes = state.writes;
        let (cut, at) = state.cut.as_mut()?;
        let (cut, due) = match at {
            At::Write(number) => (*cut, writes == *number),
            At::Each => (*cut, true),
            At::OneInThree(dice) => (*cut, dice.random_ratio(1, 3)),
        };
        if !due {
            return None;
        }
        state.cuts += 1;
        if cut == Cut::Killed {
            self.killed.notify_one();
        }
        Some(cut)
    }

    /// From now on objects of this kind are not let in, as by a quota; none: all are.
    pub fn refuse(&self, plural: Option<&str>) {
        self.lock().refused = plural.map(str::to_owned);
    }

    /// Whether an object of this kind is not let in; if so, it counts as refused.
    pub fn refuses(&self, plural: &str) -> bool {
        let mut state = self.lock();
        let refuses = state.refused.as_deref() == Some(plural);
        state.refusals += usize::from(refuses);
        refuses
    }

    /// How many objects were not let in.
    pub fn refusals(&self) -> usize {
        self.lock().refusals
    }

    /// The server answers nobody for this long.
    pub fn go_away(&self, duration: Duration) {
        self.lock().away_until = Some(Instant::now() + duration);
    }

    /// Whether the server is away.
    pub fn away(&self) -> bool {
        self.lock().away_until.is_some_and(|until| Instant::now() < until)
    }

    /// From now on watches lag, each kind for itself, break after some seconds, and may have to begin anew.
    pub fn lag(&self, seed: u64) {
        self.lock().lag = Some(Lag { dice: StdRng::seed_from_u64(seed), delays: BTreeMap::new() });
    }

    /// What a watch of this kind suffers from that begins now.
    pub fn watch(&self, plural: &str) -> WatchFaults {
        let mut state = self.lock();
        let Some(Lag { dice, delays }) = &mut state.lag else { return WatchFaults::default() };
        let delay = *delays.entry(plural.to_owned()).or_insert_with(|| {
            let seconds = [0, 0, 1, 3, 8, 20];
            Duration::from_secs(seconds[dice.random_range(0..seconds.len())])
        });
        let lives = Duration::from_secs(dice.random_range(5..60)) + delay;
        WatchFaults { delay, end: Some(Instant::now() + lives), expired: dice.random_bool(0.3) }
    }
}
