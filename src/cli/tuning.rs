//! `--settings`: the document that tunes a proxy, put over what its flags say, at the start and while it runs.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    follow::{Document, DocumentFile, Error},
    proxy::{Proxy, Settings},
    telemetry::chain,
    tuning::Tuning,
};

/// The document, and what became of it.
pub(super) struct Tuner {
    file: DocumentFile,
    /// What the flags say.
    flags: Settings,
    first: Tuning,
    standing: Standing,
}

/// What is told of the document.
#[derive(Clone, Debug, Default)]
pub(super) struct Standing(Arc<Mutex<Told>>);

#[derive(Clone, Debug, Default)]
struct Told {
    /// Digest of the document in force.
    hash: Option<String>,
    /// Why the document as it stands is not the one in force.
    fault: Option<String>,
}

impl Standing {
    /// Adds what is told to the status of a proxy.
    pub(super) fn add_to(&self, mut status: Value) -> Value {
        let Told { hash, fault } = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        status["settings"] = json!({"hash": hash, "fault": fault});
        status
    }

    fn tell(&self, read: &Result<Document, Error>) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match read {
            Ok(document) => *told = Told { hash: Some(document.digest.clone()), fault: None },
            Err(error) => told.fault = Some(chain(error)),
        }
    }
}

impl Tuner {
    /// Reads `file`. A document that cannot be used is an error if somebody `waits` for the proxy to start; else the proxy
    /// starts with what its flags say, and tells.
    pub(super) fn read(file: PathBuf, flags: &Settings, waits: bool) -> anyhow::Result<Self> {
        let mut file = DocumentFile::new(file);
        let read = file.read();
        let standing = Standing::default();
        standing.tell(&read);
        let first = match read {
            Ok(document) => document.tuning,
            Err(error) if waits => return Err(error.into()),
            Err(error) => {
                tracing::error!(error = chain(&error), "the settings are refused; the defaults are in force");
                Tuning::default()
            }
        };
        Ok(Self { file, flags: flags.clone(), first, standing })
    }

    /// What is told of the document from now on.
    pub(super) fn standing(&self) -> Standing {
        self.standing.clone()
    }

    /// The settings to start with.
    pub(super) fn settings(&self) -> Settings {
        over(&self.flags, &self.first)
    }

    /// Where access is logged, if the document says it.
    pub(super) fn access_log(&self) -> Option<&str> {
        self.first.word("accessLog")
    }

    /// Puts each later document into force at `proxy`, as far as a running one takes it, until `done`.
    pub(super) async fn follow(self, proxy: Proxy, done: CancellationToken) {
        let Self { file, flags, first: _, standing } = self;
        let take = move |read: Result<Document, Error>| {
            match &read {
                Ok(document) => {
                    proxy.tune(&over(&flags, &document.tuning));
                    tracing::info!(hash = document.digest, "settings are in force");
                }
                Err(error) => tracing::warn!(error = chain(error), "settings are refused; the last good ones stay"),
            }
            standing.tell(&read);
        };
        file.follow(take, done).await;
    }
}

/// The settings that `tuning` makes of `flags`.
fn over(flags: &Settings, tuning: &Tuning) -> Settings {
    let mut settings = flags.clone();
    let count = |key: &str, value: &mut usize| {
        if let Some(number) = tuning.number(key) {
            *value = usize::try_from(number).unwrap_or(usize::MAX);
        }
    };
    let small = |key: &str, value: &mut u32| {
        if let Some(number) = tuning.number(key) {
            *value = u32::try_from(number).unwrap_or(u32::MAX);
        }
    };
    count("threads", &mut settings.shards);
    count("limits.statementKept", &mut settings.max_statement_kept);
    small("limits.headerBytes", &mut settings.max_header_bytes);
    count("limits.headers", &mut settings.max_headers);
    count("limits.connections", &mut settings.max_connections);
    tuning.duration("timeouts.header", &mut settings.header_timeout);
    tuning.duration("timeouts.connect", &mut settings.connect_timeout);
    tuning.duration("timeouts.statement", &mut settings.statement_timeout);
    tuning.duration("timeouts.response", &mut settings.response_timeout);
    tuning.duration("timeouts.body", &mut settings.body_timeout);
    tuning.duration("timeouts.write", &mut settings.write_timeout);
    small("polls.tries", &mut settings.poll_tries);
    tuning.duration("polls.patience", &mut settings.poll_patience);
    let health = &mut settings.health;
    tuning.duration("health.interval", &mut health.interval);
    tuning.duration("health.retry", &mut health.retry);
    tuning.duration("health.maxRetry", &mut health.max_retry);
    tuning.duration("health.timeout", &mut health.timeout);
    small("health.failures", &mut health.failures);
    small("health.successes", &mut health.successes);
    tuning.duration("health.slowStart", &mut health.slow_start);
    settings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuning::{KEYS, Kind, Reload};

    #[test]
    fn each_key_changes_a_setting_and_running_proxies_take_those_that_are_said_to_reload() {
        let flags = Settings { shards: 2, ..Settings::default() };
        for key in KEYS.iter().filter(|key| key.name != "accessLog") {
            let value = match key.kind {
                Kind::Duration(least, most) => format!("{}ms", least.midpoint(most) + 7),
                Kind::Size(least, most) | Kind::Count(least, most) => (least.midpoint(most) + 1).to_string(),
                Kind::Word(words) => words[0].to_owned(),
            };
            let document = key.name.rsplit('.').fold(value, |inner, name| format!("{{{name}: {inner}}}"));
            let tuning = Tuning::read(&document).expect(&document);
            let changed = over(&flags, &tuning);
            assert_ne!(format!("{changed:?}"), format!("{flags:?}"), "{document}");
            let running = flags.tuned(&changed);
            let takes = format!("{running:?}") != format!("{flags:?}");
            assert_eq!(takes, key.reload == Reload::Running, "{document}");
        }
    }
}
