//! What a canary keeps to, read from a group's spec.

use std::time::Duration;

use super::duration::{InvalidField, parse_duration};
use crate::api::{Canary, CanaryStep};

const DEFAULT_FAILURE_INCREASE: i32 = 5;
const DEFAULT_LEAST_QUERIES: i32 = 20;

/// What a canary keeps to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanaryTerms {
    /// Percent of new queries, and for how long; without a time until it is promoted.
    pub steps: Vec<(u32, Option<Duration>)>,
    /// By how many percentage points more of the new clusters' queries may fail.
    pub failure_increase: u32,
    /// By how many percent they may be slower; none: as much as they like.
    pub latency_increase: Option<u32>,
    /// Of fewer queries nothing is concluded.
    pub least_queries: u64,
}

/// The terms of a canary.
///
/// # Errors
/// When a duration is none; the message names the field.
pub fn canary_terms(canary: &Canary) -> Result<CanaryTerms, InvalidField> {
    let Canary { steps, max_failure_increase, max_latency_increase, min_queries } = canary;
    let unsigned = |number: i32| u32::try_from(number).unwrap_or(0);
    let step = |CanaryStep { weight, time }: &CanaryStep| {
        let time = time.as_deref().map(parse_duration).transpose();
        let time = time.map_err(|fault| InvalidField { field: "rollout.canary.steps[].for", fault })?;
        Ok((unsigned(*weight).min(100), time))
    };
    Ok(CanaryTerms {
        steps: steps.iter().map(step).collect::<Result<_, _>>()?,
        failure_increase: unsigned(max_failure_increase.unwrap_or(DEFAULT_FAILURE_INCREASE)),
        latency_increase: max_latency_increase.map(unsigned),
        least_queries: unsigned(min_queries.unwrap_or(DEFAULT_LEAST_QUERIES)).into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_terms_are_what_the_spec_says_or_the_defaults() {
        let spec = "{steps: [{weight: 10, for: 5m}, {weight: 50}]}";
        let terms = canary_terms(&serde_saphyr::from_str(spec).expect("a canary")).expect("durations");
        assert_eq!(terms.steps, [(10, Some(Duration::from_secs(300))), (50, None)]);
        assert_eq!((terms.failure_increase, terms.latency_increase, terms.least_queries), (5, None, 20));
        let wrong: Canary = serde_saphyr::from_str("{steps: [{weight: 10, for: 1d}]}").expect("a canary");
        assert!(canary_terms(&wrong).unwrap_err().to_string().starts_with("spec.rollout.canary.steps[].for: \"1d\""));
    }
}
