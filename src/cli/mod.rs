//! Arguments and wiring: the only reader of the environment. Nobody names it but `main.rs`.

mod certificates;
mod crds;
pub mod kubectl;
mod operator;
mod probe;
mod proxy;
mod route;
mod signals;
mod traces;
mod tuning;
mod units;

use std::{ffi::OsStr, path::Path, process::ExitCode};

use clap::{Parser, Subcommand, ValueEnum};

use crate::telemetry::logs;

/// The exit code of a wrong argument or a wrong file, as clap's own.
const USAGE: u8 = 2;

/// Runs fleets of Trino clusters on Kubernetes, and puts one gateway in front of them.
///
/// To try the gateway without Kubernetes: write a file as examples/standalone.yaml, then
/// `warren proxy --config FILE`, and point a Trino client at http://127.0.0.1:8080.
#[derive(Debug, Parser)]
#[command(name = "warren", version, max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// How log lines are written, to standard error.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Human)]
    log_format: LogFormat,
    /// What is logged: a level (error, warn, info, debug, trace) or a filter such as `info,warren::proxy=debug`.
    #[arg(long, global = true, env = "WARREN_LOG", value_name = "FILTER", default_value = "info")]
    log: String,
}

/// Shows how a fleet is, and drains, rolls back and promotes.
#[derive(Debug, Parser)]
#[command(name = "kubectl-warren", bin_name = "kubectl warren", version, max_term_width = 110)]
struct Plugin {
    #[command(flatten)]
    arguments: kubectl::Arguments,
}

/// One variant per subcommand, each in a file of its own.
#[derive(Debug, Subcommand)]
enum Command {
    Operator(operator::Arguments),
    Crds(crds::Arguments),
    Kubectl(kubectl::Arguments),
    Probe(probe::Arguments),
    // In a box, since it has many more options than the others.
    Proxy(Box<proxy::Arguments>),
    Route(route::Arguments),
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    /// One line of text per event.
    Human,
    /// One JSON object per event.
    Json,
}

impl From<LogFormat> for logs::Format {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Human => Self::Human,
            LogFormat::Json => Self::Json,
        }
    }
}

/// Why a subcommand failed: what it was told is wrong, or it could not do it.
#[derive(Debug)]
enum Failure {
    Usage(anyhow::Error),
    Runtime(anyhow::Error),
}

/// Runs the subcommand that the arguments name; the exit code tells whether it succeeded: 2 when an argument or a file
/// is wrong, 1 when something else failed.
pub fn main() -> ExitCode {
    if std::env::args_os().next().is_some_and(|program| is_plugin(&program)) {
        let begun = logs::init(logs::Format::Human, "warn").map_err(|error| Failure::Usage(error.into()));
        return code(begun.and_then(|()| kubectl::run(Plugin::parse().arguments)));
    }
    let Arguments { command, log_format, log } = Arguments::parse();
    let begun = logs::init(log_format.into(), &log).map_err(|error| Failure::Usage(error.into()));
    let done = begun.and_then(|()| match command {
        Command::Operator(arguments) => operator::run(arguments),
        Command::Crds(arguments) => crds::run(&arguments),
        Command::Kubectl(arguments) => kubectl::run(arguments),
        Command::Probe(arguments) => probe::run(arguments),
        Command::Proxy(arguments) => proxy::run(*arguments),
        Command::Route(arguments) => route::run(arguments),
    });
    code(done)
}

/// Whether this binary was started as a plugin of kubectl.
fn is_plugin(program: &OsStr) -> bool {
    Path::new(program).file_name().is_some_and(|name| name == "kubectl-warren")
}

fn code(done: Result<(), Failure>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(error)) => tell(&error, ExitCode::from(USAGE)),
        Err(Failure::Runtime(error)) => tell(&error, ExitCode::FAILURE),
    }
}

fn tell(error: &anyhow::Error, code: ExitCode) -> ExitCode {
    // For whoever typed the command; the log may be off, or read by a machine.
    eprintln!("warren: {error:#}");
    code
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_do_not_contradict_each_other() {
        Arguments::command().debug_assert();
        Plugin::command().debug_assert();
    }

    #[test]
    fn its_name_makes_it_a_plugin_of_kubectl() {
        assert!(is_plugin(OsStr::new("/usr/local/bin/kubectl-warren")));
        assert!(!is_plugin(OsStr::new("/warren")));
    }
}
