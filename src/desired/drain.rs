//! What the drain of a cluster keeps to, read from its spec.

use std::time::Duration;

use super::duration::{InvalidField, duration_field};
use crate::{api::TrinoClusterSpec, trino};

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(3600);
/// Clients fetch the segments of a result after the query has ended.
const SPOOLING_LINGER: Duration = Duration::from_secs(60);
/// Trino's own default of `query.client.timeout` (476).
const DEFAULT_ABANDONMENT: Duration = Duration::from_secs(300);

/// What a drain keeps to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainTerms {
    /// How long running queries may go on.
    pub timeout: Duration,
    /// How long the cluster stays after its last one.
    pub linger: Duration,
    /// How long Trino keeps a query that nobody polls.
    pub abandonment: Duration,
}

/// The terms of a cluster's drain.
///
/// # Errors
/// When a duration is none; the message names the field.
pub fn drain_terms(spec: &TrinoClusterSpec) -> Result<DrainTerms, InvalidField> {
    let drain = spec.drain.clone().unwrap_or_default();
    let spools = spec.spooling.is_some() || property(spec, "protocol.spooling.enabled") == Some("true");
    let linger = if spools { SPOOLING_LINGER } else { Duration::ZERO };
    let abandonment = property(spec, "query.client.timeout").and_then(trino::parse_duration);
    Ok(DrainTerms {
        timeout: duration_field("drain.timeout", drain.timeout.as_deref(), DEFAULT_TIMEOUT)?,
        linger: duration_field("drain.linger", drain.linger.as_deref(), linger)?,
        abandonment: abandonment.unwrap_or(DEFAULT_ABANDONMENT),
    })
}

/// A property of the coordinator.
fn property<'a>(spec: &'a TrinoClusterSpec, key: &str) -> Option<&'a str> {
    let own = spec.coordinator.as_ref().and_then(|coordinator| coordinator.config.get(key));
    own.or_else(|| spec.config.get(key)).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(yaml: &str) -> [u64; 3] {
        let DrainTerms { timeout, linger, abandonment } =
            drain_terms(&serde_saphyr::from_str(yaml).expect("a spec")).expect("durations");
        [timeout, linger, abandonment].map(|duration| duration.as_secs())
    }

    #[test]
    fn the_terms_are_what_the_spec_says_or_what_fits_its_configuration() {
        assert_eq!(seconds("version: '476'"), [3600, 0, 300]);
        let config = "config: {protocol.spooling.enabled: 'true', query.client.timeout: 10.00m}";
        assert_eq!(seconds(&format!("{{version: '476', {config}}}")), [3600, 60, 600]);
        assert_eq!(seconds("{version: '476', spooling: {location: 's3://a/b'}}"), [3600, 60, 300]);
        let own = "coordinator: {config: {query.client.timeout: 20s}}, drain: {timeout: 90s, linger: 5s}";
        assert_eq!(seconds(&format!("{{version: '476', {own}, {config}}}")), [90, 5, 20]);
        let wrong = serde_saphyr::from_str("{version: '476', drain: {linger: 1d}}").expect("a spec");
        assert!(drain_terms(&wrong).unwrap_err().to_string().starts_with("spec.drain.linger: \"1d\""));
    }
}
