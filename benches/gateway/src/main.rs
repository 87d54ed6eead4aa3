//! `gateway-bench`: measures nginx, HAProxy and Warren before the same scripted coordinator, on two cores. Started by
//! benches/gateway.sh, which finds the programs.

mod client;
mod contestant;
mod coordinator;
mod load;
mod memory;
mod message;
mod page;
mod process;
mod race;
mod report;
mod script;
mod summary;
mod traffic;

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use tokio::net::TcpListener;

use contestant::{CORES, Stable, Tuning};
use report::{Report, Section};
use traffic::Effort;

#[derive(Debug, Parser)]
struct Arguments {
    #[arg(long)]
    nginx: PathBuf,
    #[arg(long)]
    haproxy: PathBuf,
    #[arg(long)]
    warren: PathBuf,
    /// Where configurations and logs go.
    #[arg(long)]
    folder: PathBuf,
    /// Where the results go as JSON.
    #[arg(long)]
    json: PathBuf,
    /// When and where, for the results.
    #[arg(long)]
    about: String,
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long each round of traffic is measured, in seconds.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    #[command(flatten)]
    tuning: Tuning,
    /// Let the generator's core sleep when nothing is to be done. Who sends something to a core that sleeps must wake it,
    /// which costs a proxy on this machine a sixth of a request, and the more the slower it is; clients of a real one are
    /// on other machines.
    #[arg(long)]
    sleep: bool,
    scenarios: Vec<Scenario>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scenario {
    Small,
    Large,
    Gzip,
    Rss,
    Polls,
    Idle,
    Cold,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    process::stay_on(CORES.1)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        if !arguments.sleep {
            tokio::spawn(stay_awake());
        }
        let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            done = measure(&arguments) => done,
            // What was started ends with the values that are dropped here.
            _ = terminated.recv() => anyhow::bail!("terminated"),
            _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
        }
    })
}

/// Looks for events again and again instead of waiting for them.
async fn stay_awake() {
    loop {
        tokio::task::yield_now().await;
    }
}

async fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let coordinator = listener.local_addr()?;
    let serving = tokio::spawn(coordinator::serve(listener, Arc::default()));
    let Arguments { nginx, haproxy, warren, folder, json, about, rounds, seconds, tuning, sleep: _, scenarios } =
        arguments;
    let stable = Stable {
        nginx: nginx.clone(),
        haproxy: haproxy.clone(),
        warren: warren.clone(),
        tuning: *tuning,
        coordinator,
        folder: std::path::absolute(folder)?,
    };
    let effort = Effort { rounds: *rounds, measured: Duration::from_secs(*seconds) };
    let all = Scenario::value_variants();
    let before = load_average()?;
    let mut done = Vec::new();
    for scenario in if scenarios.is_empty() { all } else { scenarios } {
        let section = section(&stable, effort, *scenario).await.with_context(|| format!("{scenario:?}"))?;
        println!("{section}");
        done.push(section);
    }
    serving.abort();
    let report = Report { about: about.clone(), load: [before, load_average()?], scenarios: done };
    let Report { about, load: [before, after], .. } = &report;
    println!("{about}. Load average {before} before, {after} after.");
    let text = serde_json::to_string_pretty(&report)?;
    std::fs::write(json, text + "\n").with_context(|| format!("{} cannot be written", json.display()))
}

/// Of the last minute.
fn load_average() -> anyhow::Result<String> {
    let text = std::fs::read_to_string("/proc/loadavg").context("/proc/loadavg cannot be read")?;
    Ok(text.split_whitespace().next().unwrap_or_default().to_owned())
}

async fn section(stable: &Stable, effort: Effort, scenario: Scenario) -> Result<Section, race::Error> {
    match scenario {
        Scenario::Small => traffic::small(stable, effort).await,
        Scenario::Large => traffic::large(stable, effort, false).await,
        Scenario::Gzip => traffic::large(stable, effort, true).await,
        Scenario::Rss => memory::rss(stable).await,
        Scenario::Polls => traffic::polls(stable, effort).await,
        Scenario::Idle => memory::idle(stable).await,
        Scenario::Cold => memory::cold(stable).await,
    }
}
