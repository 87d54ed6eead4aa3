//! The settings by which a user tunes proxies: a small YAML document with limits, timeouts and health checks. The
//! operator checks it with the same table of keys by which a proxy reads it. No I/O, and no default of any setting.

mod keys;
mod value;

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

pub use keys::{KEYS, Key, Reload};
pub use value::{Kind, Setting};

/// Bytes that a document may have.
const LONGEST: usize = 64 * 1024;

/// What a document says, by the names of its keys.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tuning {
    settings: BTreeMap<&'static str, Setting>,
}

/// Why a document is refused. The message names the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is too long.
    #[error("it has more than {LONGEST} bytes")]
    TooLong,
    /// It is not YAML, or something else than keys with values.
    #[error("it is no YAML with keys and values: {0}")]
    Syntax(String),
    /// The key is set by Warren, or by another field.
    #[error("{key}: Warren sets this itself, from {from}; remove it here")]
    Owned {
        /// The key.
        key: String,
        /// What it comes from.
        from: &'static str,
    },
    /// There is no such key.
    #[error("{key}: there is no such setting{}", known(key))]
    Unknown {
        /// The key.
        key: String,
    },
    /// The value does not fit the key.
    #[error("{key}: {fault}")]
    Value {
        /// The key.
        key: &'static str,
        /// What is wrong with it, and what fits.
        fault: String,
    },
}

/// The keys beside or below the unknown one.
fn known(key: &str) -> String {
    let part = key.split('.').next().unwrap_or_default();
    let beside: Vec<_> = KEYS.iter().map(|key| key.name).filter(|name| name.split('.').next() == Some(part)).collect();
    let (what, names) = if beside.is_empty() {
        let mut parts: Vec<_> = KEYS.iter().filter_map(|key| key.name.split('.').next()).collect();
        parts.dedup();
        ("there are", parts)
    } else {
        ("beside it are", beside)
    };
    format!("; {what} {}", names.join(", "))
}

/// The first 10 hexadecimal digits of the SHA-256 of a document, by which operator and proxies speak of it.
pub fn digest(document: &str) -> String {
    let mut text = hex::encode(Sha256::digest(document.as_bytes()));
    text.truncate(10);
    text
}

impl Tuning {
    /// Reads a document.
    ///
    /// # Errors
    /// When a key is not known or belongs to Warren, or a value does not fit; the first one is named.
    pub fn read(document: &str) -> Result<Self, Error> {
        if document.len() > LONGEST {
            return Err(Error::TooLong);
        }
        let read: Option<Map<String, Value>> =
            serde_saphyr::from_str(document).map_err(|error| Error::Syntax(first_line(&error.to_string())))?;
        let mut settings = BTreeMap::new();
        take(&read.unwrap_or_default(), "", &mut settings)?;
        Ok(Self { settings })
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.settings.is_empty()
    }

    /// The settings that only a new process takes, as text; the same for documents that differ in none of them.
    pub fn at_start(&self) -> BTreeMap<&'static str, String> {
        let of_start = KEYS.iter().filter(|key| key.reload == Reload::AtStart);
        of_start.filter_map(|key| Some((key.name, self.settings.get(key.name)?.to_string()))).collect()
    }

    /// Puts the duration of `key` in the place of `value`, if the document gives it.
    pub fn duration(&self, key: &str, value: &mut Duration) {
        if let Some(Setting::Duration(given)) = self.settings.get(key) {
            *value = *given;
        }
    }

    /// The number of `key`, if the document gives it: a count, or bytes.
    pub fn number(&self, key: &str) -> Option<u64> {
        match self.settings.get(key)? {
            Setting::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The word of `key`, if the document gives it.
    pub fn word(&self, key: &str) -> Option<&str> {
        match self.settings.get(key)? {
            Setting::Word(word) => Some(word),
            _ => None,
        }
    }
}

fn take(fields: &Map<String, Value>, above: &str, settings: &mut BTreeMap<&'static str, Setting>) -> Result<(), Error> {
    for (name, value) in fields {
        let path = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        if let Some((_, from)) = keys::OWNED.iter().find(|(owned, _)| *owned == path) {
            return Err(Error::Owned { key: path, from });
        }
        if let Some(key) = KEYS.iter().find(|key| key.name == path) {
            let setting = key.kind.read(value).map_err(|fault| Error::Value { key: key.name, fault })?;
            settings.insert(key.name, setting);
            continue;
        }
        let is_part = KEYS.iter().any(|key| key.name.strip_prefix(&*path).is_some_and(|rest| rest.starts_with('.')));
        match value {
            Value::Object(below) if is_part => take(below, &path, settings)?,
            Value::Null if is_part => {}
            _ => return Err(Error::Unknown { key: path }),
        }
    }
    Ok(())
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(document: &str) -> String {
        Tuning::read(document).expect_err(document).to_string()
    }

    #[test]
    fn a_document_says_what_it_says_and_nothing_is_a_document_too() {
        let tuning =
            Tuning::read("threads: 4\ntimeouts: {statement: 45s}\nlimits: {statementKept: 2MiB}\n").expect("good");
        let mut statement = Duration::ZERO;
        tuning.duration("timeouts.statement", &mut statement);
        assert_eq!((statement, tuning.number("threads")), (Duration::from_secs(45), Some(4)));
        assert_eq!(tuning.number("limits.statementKept"), Some(2 * 1024 * 1024));
        for nothing in ["", "# nothing\n", "{}", "timeouts:\n"] {
            assert!(Tuning::read(nothing).expect(nothing).is_empty(), "{nothing}");
        }
    }

    #[test]
    fn what_is_refused_is_named_with_its_mend() {
        assert_eq!(
            refused("listen: {client: 1.2.3.4:80}"),
            "listen: Warren sets this itself, from spec.template.spec.server.ports; remove it here"
        );
        assert_eq!(
            refused("polls: {trys: 3}"),
            "polls.trys: there is no such setting; beside it are polls.tries, polls.patience"
        );
        assert_eq!(
            refused("colour: blue"),
            "colour: there is no such setting; there are threads, accessLog, limits, timeouts, polls, health"
        );
        assert_eq!(
            refused("timeouts: {statement: 5}"),
            "timeouts.statement: 5 is no duration; write a number and a unit, such as 500ms, 30s or 2m, from 1s to 1h"
        );
        assert_eq!(
            refused("timeouts: {statement: 2h}"),
            "timeouts.statement: \"2h\" is out of bounds; write a number and a unit, such as 500ms, 30s or 2m, from 1s to 1h"
        );
        assert_eq!(refused("polls: {tries: 0}"), "polls.tries: write a whole number from 1 to 100");
        assert_eq!(refused("accessLog: /tmp/log"), "accessLog: write one of stderr, stdout, off");
        assert!(refused("- a").starts_with("it is no YAML with keys and values: "), "{}", refused("- a"));
        assert!(
            refused("threads: 2\nthreads: 3").starts_with("it is no YAML"),
            "{}",
            refused("threads: 2\nthreads: 3")
        );
    }

    #[test]
    fn only_what_a_new_process_takes_is_told_apart() {
        let at_start = |document| Tuning::read(document).expect("good").at_start();
        assert_eq!(at_start("polls: {tries: 3}"), at_start(""));
        assert_ne!(at_start("threads: 3"), at_start(""));
        assert_eq!(at_start("timeouts: {header: 60s}"), at_start("timeouts: {header: 1m}"));
    }

    #[test]
    fn no_key_is_known_and_owned() {
        for (owned, _) in keys::OWNED {
            assert!(
                !KEYS.iter().any(|key| key.name == *owned || key.name.starts_with(&format!("{owned}."))),
                "{owned}"
            );
        }
    }
}
