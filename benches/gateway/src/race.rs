//! Rounds of the same load on each contestant in turn, so that what disturbs the machine disturbs all of them.

use std::time::Duration;

use crate::{
    client::{self, Client},
    contestant::{self, Contestant, Kind, Stable},
    load::{self, Load, Round},
    script::Script,
    summary::{median, percentile},
};

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Contestant(#[from] contestant::Error),
    #[error("{0} did not bear the load")]
    Load(Kind, #[source] load::Error),
    #[error("{0} did not answer a query")]
    Query(Kind, #[source] client::Error),
    #[error("page {1} through {0} is not the one that the coordinator sent")]
    Changed(Kind, u32),
    #[error("{0} did not take part")]
    Missing(Kind),
}

/// The rounds of one contestant, and what ran in the last of them.
#[derive(Debug)]
pub struct Track {
    pub contestant: Contestant,
    pub rounds: Vec<Round>,
}

/// Puts `load` on each of `kinds`, `rounds` times in turn. Each round has processes of its own: where one happens to lie in
/// memory makes up to a tenth of what it takes, for as long as it lives.
///
/// # Errors
/// When one does not start, does not bear the load, or changes a page.
pub async fn race(stable: &Stable, kinds: &[Kind], load: &Load, rounds: usize) -> Result<Vec<Track>, Error> {
    let mut tracks: Vec<Track> = Vec::new();
    for round in 0..rounds {
        for at in 0..kinds.len() {
            // Each is first once: whoever comes first may find the machine otherwise.
            let place = (at + round) % kinds.len();
            if let Some(track) = tracks.get_mut(place) {
                track.contestant.process = None;
            }
            let contestant = stable.start(kinds[place]).await?;
            unchanged(&contestant, stable, &load.script).await?;
            let done = load.run(contestant.address, contestant.process.as_ref()).await;
            let done = done.map_err(|error| Error::Load(contestant.kind, error))?;
            match tracks.get_mut(place) {
                Some(track) => {
                    track.contestant = contestant;
                    track.rounds.push(done);
                }
                None => tracks.push(Track { contestant, rounds: vec![done] }),
            }
        }
    }
    Ok(tracks)
}

/// Checks that a query's pages pass byte for byte: only their URIs may differ from what the coordinator sends itself.
async fn unchanged(contestant: &Contestant, stable: &Stable, script: &Script) -> Result<(), Error> {
    // Holding polls and repeating rows would only take time here.
    let script = Script { pages: script.pages.min(8), hold: Duration::ZERO, ..*script };
    let failed = |error| Error::Query(contestant.kind, error);
    let mut through = Client::connect(contestant.address, 1 << 16).await.map_err(failed)?;
    let mut direct = Client::connect(stable.coordinator, 1 << 16).await.map_err(failed)?;
    (through.kept, direct.kept) = (Some(Vec::new()), Some(Vec::new()));
    let mut next = through.submit(&script.statement()).await.map_err(failed)?.next;
    let mut expected = direct.submit(&script.statement()).await.map_err(failed)?.next;
    let mut page = 0;
    while let (Some(here), Some(there)) = (&next, &expected) {
        page += 1;
        next = through.poll(here).await.map_err(failed)?.next;
        expected = direct.poll(there).await.map_err(failed)?.next;
        if content(&through, script.gzip) != content(&direct, script.gzip) {
            return Err(Error::Changed(contestant.kind, page));
        }
    }
    if next.is_some() || expected.is_some() || page != script.pages {
        return Err(Error::Changed(contestant.kind, page));
    }
    Ok(())
}

/// The last body from its rows on; of a compressed one, from behind the checksum of what stands before them.
fn content(client: &Client, gzip: bool) -> Option<&[u8]> {
    const ROWS: &[u8] = b"\"data\":[";
    let body = client.kept.as_deref()?;
    let from = body.windows(ROWS.len()).position(|bytes| bytes == ROWS)? + ROWS.len();
    body.get(from + if gzip { 8 } else { 0 }..)
}

/// Something that each round has a value of.
pub type Metric = fn(&Round) -> f64;

pub fn queries_per_second(round: &Round) -> f64 {
    number(round.queries) / round.elapsed.as_secs_f64()
}

pub fn megabytes_per_second(round: &Round) -> f64 {
    number(round.bytes) / 1e6 / round.elapsed.as_secs_f64()
}

/// Microseconds of a core.
pub fn cpu_per_request(round: &Round) -> f64 {
    round.cpu.as_secs_f64() * 1e6 / number(round.requests)
}

/// Milliseconds of a core.
pub fn cpu_per_gigabyte(round: &Round) -> f64 {
    round.cpu.as_secs_f64() * 1e12 / number(round.bytes)
}

/// How much of its core the proxy used, in percent.
pub fn busy(round: &Round) -> f64 {
    round.cpu.as_secs_f64() / round.elapsed.as_secs_f64() * 100.0
}

/// What half of the round's requests took at most, in microseconds.
pub fn p50(round: &Round) -> f64 {
    latency(round.latencies.clone(), 500)
}

/// What 99 % of the round's requests took at most, in microseconds.
pub fn p99(round: &Round) -> f64 {
    latency(round.latencies.clone(), 990)
}

fn latency(mut samples: Vec<Duration>, thousandths: usize) -> f64 {
    percentile(&mut samples, thousandths).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e6)
}

#[expect(clippy::cast_precision_loss, reason = "counts of one round are far below 2^52")]
fn number(count: u64) -> f64 {
    count as f64
}

impl Track {
    /// The median of its rounds.
    pub fn median(&self, metric: Metric) -> f64 {
        median(self.rounds.iter().map(metric)).unwrap_or(f64::NAN)
    }

    /// A percentile of all samples of all rounds, in microseconds. One round in which something else had the core makes all of
    /// it, so contestants are compared by their rounds (`ratio`).
    pub fn latency(&self, thousandths: usize) -> f64 {
        latency(self.rounds.iter().flat_map(|round| round.latencies.iter().copied()).collect(), thousandths)
    }

    /// How it compares to `other`: the median of the ratios of the rounds that ran one after the other.
    pub fn ratio(&self, other: &Self, metric: Metric) -> f64 {
        median(self.rounds.iter().zip(&other.rounds).map(|(mine, its)| metric(mine) / metric(its))).unwrap_or(f64::NAN)
    }
}

/// The track of `kind`, which took part.
pub fn of(tracks: &[Track], kind: Kind) -> Option<&Track> {
    tracks.iter().find(|track| track.contestant.kind == kind)
}
