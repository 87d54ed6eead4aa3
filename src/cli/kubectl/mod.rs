//! `kubectl warren`: what people who run a fleet look at and do. It talks to the API server alone, by their own rights.

mod events;
mod report;
mod rollout;
mod serving;
mod status;
mod text;

use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use kube::{Client, Config, config::KubeConfigOptions};

pub use self::{
    events::event_listener,
    report::{Kind, Report},
    rollout::{promote, rollback},
    serving::{Progress, drain, progress, undrain},
    status::status,
};
use super::Failure;

/// The field manager under which it writes.
pub const FIELD_MANAGER: &str = "kubectl-warren";

/// How often a drain is looked at.
const INTERVAL: Duration = Duration::from_secs(2);

const EXAMPLES: &str = "\
Examples:
  kubectl warren status                          everything in the namespace, on one screen
  kubectl warren status cluster adhoc-7f3a-1     one cluster
  kubectl warren drain adhoc-7f3a-1 --wait       no new queries go there; returns when none is left
  kubectl warren undrain adhoc-7f3a-1            they do again
  kubectl warren rollback adhoc --dry-run        what would change
  kubectl warren rollback adhoc                  back to the revision before
  kubectl warren event-listener onprem           what an external cluster needs to tell of its queries
  kubectl warren promote adhoc                   the canary is good: go on without its remaining steps";

/// Shows how a fleet is, and drains, rolls back and promotes.
///
/// As a plugin of kubectl: put this binary, or a link to it, into your PATH under the name kubectl-warren.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Namespace [default: that of the kubeconfig's context].
    #[arg(long, short, global = true, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Context of the kubeconfig [default: the current one].
    #[arg(long, global = true, value_name = "CONTEXT")]
    context: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows gateways, groups and clusters, and why what is not ready is not.
    Status {
        /// Only these.
        #[arg(value_enum)]
        kind: Option<Kind>,
        /// Only the one of this name.
        name: Option<String>,
        /// How it is written.
        #[arg(long, short, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Takes a cluster out of routing: no new queries go there, the running ones go on.
    Drain {
        /// Name of the TrinoCluster.
        cluster: String,
        /// Wait until no query is left, or the time for them is over.
        #[arg(long)]
        wait: bool,
    },
    /// Takes back what drain asked for. What a group drains by itself, it goes on draining.
    Undrain {
        /// Name of the TrinoCluster.
        cluster: String,
    },
    /// Puts a group's template back to that of the revision before, while a cluster of it exists.
    Rollback {
        /// Name of the TrinoClusterGroup.
        group: String,
        /// Only show what would change.
        #[arg(long)]
        dry_run: bool,
    },
    /// Prints what the coordinator of an external cluster needs to tell the gateway of its queries.
    EventListener {
        /// Name of the external cluster.
        cluster: String,
    },
    /// Ends a group's canary well: the new revision takes over without the remaining steps.
    Promote {
        /// Name of the TrinoClusterGroup.
        group: String,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Does what the arguments say.
pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot start the runtime").map_err(Failure::Runtime)?;
    runtime.block_on(act(arguments)).map_err(Failure::Runtime)
}

async fn act(Arguments { command, namespace, context }: Arguments) -> anyhow::Result<()> {
    let config = config(context).await?;
    let namespace = &namespace.unwrap_or_else(|| config.default_namespace.clone());
    let client = &Client::try_from(config).context("cannot use the kubeconfig")?;
    match command {
        Command::Status { kind, name, output } => {
            let report = status(client, namespace, kind, name.as_deref()).await?;
            match output {
                Output::Text => print!("{}", text::screen(&report, jiff::Timestamp::now())),
                Output::Json => println!("{}", serde_json::to_string_pretty(&report).context("the report as JSON")?),
            }
        }
        Command::Drain { cluster, wait } => {
            println!("{}", drain(client, namespace, &cluster).await?);
            if wait {
                wait_until_drained(client, namespace, &cluster).await?;
            }
        }
        Command::Undrain { cluster } => println!("{}", undrain(client, namespace, &cluster).await?),
        Command::Rollback { group, dry_run } => print!("{}", rollback(client, namespace, &group, dry_run).await?),
        Command::EventListener { cluster } => print!("{}", event_listener(client, namespace, &cluster).await?),
        Command::Promote { group } => println!("{}", promote(client, namespace, &group).await?),
    }
    Ok(())
}

async fn config(context: Option<String>) -> anyhow::Result<Config> {
    let named = context.is_some();
    let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
    match Config::from_kubeconfig(&options).await {
        Ok(config) => Ok(config),
        Err(error) if named => Err(error).context("cannot use that context of the kubeconfig"),
        Err(_) => Config::infer().await.context("cannot find the API server: let KUBECONFIG name a file"),
    }
}

async fn wait_until_drained(client: &Client, namespace: &str, cluster: &str) -> anyhow::Result<()> {
    let mut said = String::new();
    loop {
        let (line, done) = match progress(client, namespace, cluster).await? {
            Progress::GoesOn(line) => (line, false),
            Progress::Done(line) => (line, true),
        };
        if line != said {
            println!("{line}");
        }
        if done {
            return Ok(());
        }
        said = line;
        tokio::time::sleep(INTERVAL).await;
    }
}
