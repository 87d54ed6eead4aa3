//! How long to wait before an object is tried again: longer with each failure in a row, and never in step with others.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rand::RngExt;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_mins(5);

/// Failures in a row of each object.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: Mutex<HashMap<String, u32>>,
}

impl Backoff {
    /// Notes a failure of `key` and tells how long to wait.
    pub(super) fn failed(&self, key: &str) -> Duration {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(key.to_owned()).or_insert(0);
        *count += 1;
        jittered(delay(*count), rand::rng().random_range(0.0..1.0))
    }

    /// Forgets the failures of `key`.
    pub(super) fn succeeded(&self, key: &str) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

fn delay(failures: u32) -> Duration {
    FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST)
}

/// Between half of `delay` and all of it, by `share` from 0 to 1.
fn jittered(delay: Duration, share: f64) -> Duration {
    delay.mul_f64(0.5 + share / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_five_minutes() {
        let seconds: Vec<_> = (1..=12).map(|count| delay(count).as_secs_f64()).collect();
        assert_eq!(seconds, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 300.0, 300.0]);
        assert_eq!(delay(u32::MAX), LONGEST);
    }

    #[test]
    fn jitter_stays_between_half_and_all() {
        assert_eq!(jittered(Duration::from_secs(10), 0.0), Duration::from_secs(5));
        assert_eq!(jittered(Duration::from_secs(10), 1.0), Duration::from_secs(10));
    }

    #[test]
    fn a_success_forgets_the_failures() {
        let backoff = Backoff::default();
        for _ in 0..9 {
            backoff.failed("a");
        }
        backoff.succeeded("a");
        assert!(backoff.failed("a") <= FIRST);
    }
}
