//! Arguments and wiring: the only reader of the environment. Nobody names it but `main.rs`.

use clap::{Parser, Subcommand};

mod crds;

/// Runs fleets of Trino clusters on Kubernetes and puts one gateway in front of them.
#[derive(Debug, Parser)]
#[command(name = "warren", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the CRDs as YAML
    Crds(crds::Args),
}

/// Runs the subcommand that the arguments name; the exit code tells whether it succeeded.
pub fn main() -> std::process::ExitCode {
    let outcome = match Cli::parse().command {
        Command::Crds(args) => crds::run(&args),
    };
    match outcome {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("warren: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
