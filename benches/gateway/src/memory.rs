//! Scenarios of one process at a time: what it holds when idle and while a large result passes, and how soon it serves.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    client::{Client, check},
    contestant::{self, Contestant, Kind, Stable},
    race,
    report::{Aim, Bound, Row, Section},
    script::Script,
    summary::median,
};

const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// How long a proxy idles before it is looked at: a few of Warren's health checks.
const IDLE: Duration = Duration::from_secs(10);

const COLD_STARTS: usize = 20;

#[expect(clippy::cast_precision_loss, reason = "memory in bytes is far below 2^52")]
pub fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / MEBIBYTE
}

/// A result of 1 GiB, in pages of 1 MiB and in one body.
///
/// # Errors
/// When a contestant fails.
pub async fn rss(stable: &Stable) -> Result<Section, race::Error> {
    let pages = Script { pages: 1024, bytes: 1 << 20, chunk: 32 * 1024, ..Script::default() };
    let single = Script { pages: 1, repeat: 1024, ..pages };
    let mut section = Section {
        name: "rss",
        what: "One client reads 1 GiB, as 1,024 pages of 1 MiB and as one body, both chunked: the most that was \
               resident meanwhile, less what was before."
            .to_owned(),
        rows: Vec::new(),
        aims: Vec::new(),
    };
    for (what, script) in [("growth over pages, MiB", pages), ("growth over one body, MiB", single)] {
        let mut values = BTreeMap::new();
        for kind in Kind::PROXIES {
            values.insert(kind, growth(&stable.start(kind).await?, &script).await?);
        }
        let warren = values.get(&Kind::Warren).copied().unwrap_or(f64::NAN);
        section.aims.push(Aim::new(what, warren, Bound::AtMost(16.0)));
        section.rows.push(Row { what, values, rounds: BTreeMap::new(), digits: 1 });
    }
    Ok(section)
}

async fn growth(contestant: &Contestant, script: &Script) -> Result<f64, race::Error> {
    contestant.forget_peak()?;
    let before = contestant.memory()?;
    let failed = |error| race::Error::Query(contestant.kind, error);
    let mut client = Client::connect(contestant.address, 256 * 1024).await.map_err(failed)?;
    let mut answer = client.submit(&script.statement()).await.map_err(failed)?;
    let mut poll = 0;
    check(script, poll, &answer).map_err(failed)?;
    while let Some(next) = answer.next {
        answer = client.poll(&next).await.map_err(failed)?;
        poll += 1;
        check(script, poll, &answer).map_err(failed)?;
    }
    Ok(mebibytes(contestant.memory()?.peak) - mebibytes(before.now))
}

/// A proxy that has served one query and then nothing.
///
/// # Errors
/// When a contestant fails.
pub async fn idle(stable: &Stable) -> Result<Section, race::Error> {
    let mut running = Vec::new();
    for kind in Kind::PROXIES {
        running.push(stable.start(kind).await?);
    }
    tokio::time::sleep(IDLE).await;
    let mut values = BTreeMap::new();
    for contestant in &running {
        values.insert(contestant.kind, mebibytes(contestant.memory()?.now));
    }
    let warren = values.get(&Kind::Warren).copied().unwrap_or(f64::NAN);
    Ok(Section {
        name: "idle",
        what: "Ten seconds after one query; nginx with its master.".to_owned(),
        rows: vec![Row { what: "resident, MiB", values, rounds: BTreeMap::new(), digits: 1 }],
        aims: vec![Aim::new("resident, MiB", warren, Bound::AtMost(24.0))],
    })
}

/// From the start of the program to the first answer to a statement.
///
/// # Errors
/// When a contestant fails.
pub async fn cold(stable: &Stable) -> Result<Section, race::Error> {
    let mut starts: BTreeMap<Kind, Vec<f64>> = BTreeMap::new();
    for _ in 0..COLD_STARTS {
        for kind in Kind::PROXIES {
            let begun = std::time::Instant::now();
            let mut contestant = stable.launch(kind)?;
            contestant.served(Duration::from_secs(10)).await?;
            starts.entry(kind).or_default().push(begun.elapsed().as_secs_f64() * 1e3);
        }
    }
    let medians: BTreeMap<Kind, f64> =
        starts.iter().map(|(kind, all)| (*kind, median(all.iter().copied()).unwrap_or(f64::NAN))).collect();
    let warren = medians.get(&Kind::Warren).copied().unwrap_or(f64::NAN);
    Ok(Section {
        name: "cold",
        what: format!(
            "{COLD_STARTS} starts, from the start of the program to the first answer to a statement, asked for every \
             millisecond; Warren's has its first health check in it."
        ),
        rows: vec![Row { what: "median, ms", values: medians, rounds: starts, digits: 1 }],
        aims: vec![Aim::new("median, ms", warren, Bound::AtMost(50.0))],
    })
}

impl Contestant {
    /// The memory of its processes.
    ///
    /// # Errors
    /// When it cannot be read; the coordinator has none of its own.
    pub fn memory(&self) -> Result<crate::process::Memory, contestant::Error> {
        let process = self.process.as_ref().ok_or(contestant::Error::NoProcess(self.kind))?;
        Ok(process.memory()?)
    }

    fn forget_peak(&self) -> Result<(), contestant::Error> {
        self.process.as_ref().map_or(Ok(()), |process| Ok(process.forget_peak()?))
    }
}
