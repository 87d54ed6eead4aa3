//! Scenarios of traffic: short answers, large results, compressed ones, polls that are held.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    contestant::{Kind, Stable},
    load::Load,
    memory::mebibytes,
    race::{
        self, Metric, Track, busy, cpu_per_gigabyte, cpu_per_request, megabytes_per_second, p50, p99,
        queries_per_second, race,
    },
    report::{Aim, Bound, Row, Section},
    script::Script,
};

/// The size of the chunks that Trino 476 sends.
const CHUNK: usize = 32 * 1024;

const WARM_UP: Duration = Duration::from_secs(1);

/// What a proxy uses of its core when nothing else wants it, in percent: less says that the machine was not quiet.
const QUIET: f64 = 90.0;

/// How often, and how long, each contestant is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    pub rounds: usize,
    pub measured: Duration,
}

/// Four polls of 200 bytes a query, 64 clients.
///
/// # Errors
/// When a contestant fails.
pub async fn small(stable: &Stable, effort: Effort) -> Result<Section, race::Error> {
    let script = Script { pages: 4, ..Script::default() };
    let load = load(script, 64, 16 * 1024, effort.measured);
    let tracks = race(stable, &Kind::ALL, &load, effort.rounds).await?;
    let (nginx, warren) = both(&tracks)?;
    Ok(Section {
        name: "small",
        what: format!(
            "64 clients; a query is one statement and 4 polls with 200 bytes of rows each (1 KB with Trino's own fields). \
             Latency is that of a request.{}",
            reserve(&tracks)
        ),
        rows: vec![
            row("queries/s", &tracks, queries_per_second, 0),
            row("CPU per request, µs", &tracks, cpu_per_request, 1),
            row("p50, µs", &tracks, p50, 0),
            row("p99, µs", &tracks, p99, 0),
            of_all("p99 of all rounds together, µs", &tracks, 990),
            row("its core busy, %", &tracks, busy, 0),
            memory("resident after it, MiB", &tracks),
        ],
        aims: vec![
            Aim::new("queries/s, to nginx's", warren.ratio(nginx, queries_per_second), Bound::AtLeast(1.0)),
            Aim::new("CPU per request, to nginx's", warren.ratio(nginx, cpu_per_request), Bound::AtMost(1.25)),
            Aim::new("p99, to nginx's", warren.ratio(nginx, p99), Bound::AtMost(1.1)),
        ],
    })
}

/// Eight pages of 1 MiB a query, 8 clients; `gzip` as they are, compressed by the coordinator.
///
/// # Errors
/// When a contestant fails.
pub async fn large(stable: &Stable, effort: Effort, gzip: bool) -> Result<Section, race::Error> {
    let script = Script { pages: 8, bytes: 1 << 20, chunk: CHUNK, gzip, ..Script::default() };
    let load = load(script, 8, 256 * 1024, effort.measured);
    let tracks = race(stable, &Kind::ALL, &load, effort.rounds).await?;
    let (nginx, warren) = both(&tracks)?;
    let to_better = Kind::PROXIES
        .into_iter()
        .filter(|kind| *kind != Kind::Warren)
        .filter_map(|kind| race::of(&tracks, kind))
        .map(|other| warren.ratio(other, megabytes_per_second))
        .fold(f64::INFINITY, f64::min);
    let most = if gzip { 1.2 } else { 0.8 };
    Ok(Section {
        name: if gzip { "gzip" } else { "large" },
        what: format!(
            "8 clients; a query is 8 pages of 1 MiB{}, in chunks of 32 KiB.{}",
            if gzip { ", compressed by the coordinator and passed on as they are" } else { "" },
            reserve(&tracks)
        ),
        rows: vec![
            row("MB/s", &tracks, megabytes_per_second, 0),
            row("CPU per GB, ms", &tracks, cpu_per_gigabyte, 0),
            row("p50 of a page, µs", &tracks, p50, 0),
            row("p99 of a page, µs", &tracks, p99, 0),
            row("its core busy, %", &tracks, busy, 0),
            memory("resident after it, MiB", &tracks),
        ],
        aims: vec![
            Aim::new("MB/s, to the better of both", to_better, Bound::AtLeast(1.0)),
            Aim::new("CPU per GB, to nginx's", warren.ratio(nginx, cpu_per_gigabyte), Bound::AtMost(most)),
        ],
    })
}

/// A thousand polls, each held for a second.
///
/// # Errors
/// When a contestant fails.
pub async fn polls(stable: &Stable, effort: Effort) -> Result<Section, race::Error> {
    const HOLD: Duration = Duration::from_secs(1);
    let script = Script { pages: 1_000_000, hold: HOLD, ..Script::default() };
    let load = Load { spread: HOLD, ..load(script, 1000, 0, effort.measured) };
    // One round: a thousand samples a second, and none of them competes for the core.
    let tracks = race(stable, &Kind::ALL, &load, 1).await?;
    let (nginx, warren) = both(&tracks)?;
    let peak = warren.contestant.memory().map_or(f64::NAN, |memory| mebibytes(memory.peak));
    Ok(Section {
        name: "polls",
        what:
            "1,000 clients, each with one poll that the coordinator holds for 1 s and answers with 200 bytes of rows. \
               Latency is what is left without that second."
                .to_owned(),
        rows: vec![
            row("p50, µs", &tracks, p50, 0),
            row("p99, µs", &tracks, p99, 0),
            row("CPU per request, µs", &tracks, cpu_per_request, 1),
            peaks("resident at most, MiB", &tracks),
        ],
        aims: vec![
            Aim::new("resident at most, MiB", peak, Bound::AtMost(64.0)),
            Aim::new("p99, to nginx's", warren.ratio(nginx, p99), Bound::AtMost(2.0)),
        ],
    })
}

fn load(script: Script, clients: usize, buffer: usize, measured: Duration) -> Load {
    Load { clients, script, buffer, warm_up: WARM_UP, measured, spread: Duration::ZERO }
}

/// What is to be known of rates and latencies that were taken beside other work; nothing on a quiet machine.
fn reserve(tracks: &[Track]) -> String {
    let proxies = tracks.iter().filter(|track| track.contestant.process.is_some());
    let least = proxies.map(|track| track.median(busy)).fold(f64::INFINITY, f64::min);
    if least >= QUIET {
        return String::new();
    }
    format!(
        " **Not a quiet machine**: a proxy had {least:.0} % of its core. Rates and latencies tell little then, and \
         CPU comes out higher, for little is done at each waking."
    )
}

fn both(tracks: &[Track]) -> Result<(&Track, &Track), race::Error> {
    let track = |kind| race::of(tracks, kind).ok_or(race::Error::Missing(kind));
    Ok((track(Kind::Nginx)?, track(Kind::Warren)?))
}

fn row(what: &'static str, tracks: &[Track], metric: Metric, digits: usize) -> Row {
    let of_proxy = matches!(what, "its core busy, %") || what.starts_with("CPU");
    let measured = || {
        let tracks = tracks.iter().filter(|track| !of_proxy || track.contestant.process.is_some());
        tracks.map(|track| (track.contestant.kind, track))
    };
    Row {
        what,
        values: measured().map(|(kind, track)| (kind, track.median(metric))).collect(),
        rounds: measured().map(|(kind, track)| (kind, track.rounds.iter().map(metric).collect())).collect(),
        digits,
    }
}

fn of_all(what: &'static str, tracks: &[Track], thousandths: usize) -> Row {
    let values = tracks.iter().map(|track| (track.contestant.kind, track.latency(thousandths)));
    Row { what, values: values.collect(), rounds: BTreeMap::new(), digits: 0 }
}

fn memory(what: &'static str, tracks: &[Track]) -> Row {
    of_memory(what, tracks, |memory| memory.now)
}

fn peaks(what: &'static str, tracks: &[Track]) -> Row {
    of_memory(what, tracks, |memory| memory.peak)
}

fn of_memory(what: &'static str, tracks: &[Track], which: fn(crate::process::Memory) -> u64) -> Row {
    let values: BTreeMap<_, _> = tracks
        .iter()
        .filter_map(|track| Some((track.contestant.kind, mebibytes(which(track.contestant.memory().ok()?)))))
        .collect();
    Row { what, values, rounds: BTreeMap::new(), digits: 1 }
}
