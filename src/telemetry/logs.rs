//! Logs to standard error, for people or for machines. The caller gives the filter: nothing here reads the environment.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;

/// How a line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One line of text per event.
    #[default]
    Human,
    /// One JSON object per event, its fields at the top level.
    Json,
}

/// Why logging could not begin.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter is no filter.
    #[error("log filter {filter:?} is not valid: write a level (info, debug, …) or target=level,…")]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// The process logs already.
    #[error("logging was begun twice")]
    Twice(#[source] tracing::subscriber::SetGlobalDefaultError),
}

/// Begins logging for the whole process: events that `filter` lets pass, in `tracing`'s syntax for filters.
///
/// # Errors
/// When `filter` is not valid, or logging was begun before.
pub fn init(format: Format, filter: &str) -> Result<(), Error> {
    let filter = EnvFilter::try_new(filter).map_err(|source| Error::Filter { filter: filter.to_owned(), source })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let subscriber: Box<dyn tracing::Subscriber + Send + Sync> = match format {
        // Colours are for a terminal: in a file they are noise.
        Format::Human => Box::new(builder.with_target(false).with_ansi(io::stderr().is_terminal()).finish()),
        Format::Json => Box::new(builder.json().flatten_event(true).with_current_span(false).finish()),
    };
    tracing::subscriber::set_global_default(subscriber).map_err(Error::Twice)
}
