//! How long to wait before an object is tried again: longer with each failure in a row, and never in step with others.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rand::RngExt;
use tokio::time::Instant;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_mins(5);

/// From the second failure in a row, an object waits its time even when something wakes it: what an attempt wrote before it
/// failed wakes it at once, and else it would be tried again and again without a pause.
const PATIENT_FROM: u32 = 2;

/// Failures in a row of each object.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: Mutex<HashMap<String, Failures>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Failures {
    count: u32,
    /// The spec that failed, and when it is tried again.
    tried: Option<(Option<i64>, Instant)>,
}

impl Backoff {
    /// Notes a failure of `key` at this generation of its spec, and tells how long to wait: `least`, and longer with each
    /// failure in a row.
    pub(super) fn failed(&self, key: &str, generation: Option<i64>, least: Duration) -> Duration {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let failures = failures.entry(key.to_owned()).or_default();
        failures.count += 1;
        let wait = jittered(delay(failures.count), rand::rng().random_range(0.0..1.0)).max(least);
        failures.tried = Some((generation, Instant::now() + wait));
        wait
    }

    /// How long `key` is to be left alone still. An edit of its spec ends that.
    pub(super) fn remaining(&self, key: &str, generation: Option<i64>) -> Option<Duration> {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let Failures { count, tried } = failures.get(key)?;
        let (failed, until) = (*tried)?;
        let remaining = until.saturating_duration_since(Instant::now());
        (*count >= PATIENT_FROM && failed == generation && !remaining.is_zero()).then_some(remaining)
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
            backoff.failed("a", None, Duration::ZERO);
        }
        backoff.succeeded("a");
        assert!(backoff.failed("a", None, Duration::ZERO) <= FIRST);
    }

    #[tokio::test(start_paused = true)]
    async fn who_fails_twice_in_a_row_waits_until_its_time_or_an_edit() {
        let backoff = Backoff::default();
        backoff.failed("a", Some(1), Duration::ZERO);
        assert_eq!(backoff.remaining("a", Some(1)), None, "what woke it may have mended it");
        let wait = backoff.failed("a", Some(1), Duration::from_secs(9));
        assert_eq!(backoff.remaining("a", Some(1)), Some(wait));
        assert_eq!((backoff.remaining("a", Some(2)), backoff.remaining("b", Some(1))), (None, None));
        tokio::time::advance(wait).await;
        assert_eq!(backoff.remaining("a", Some(1)), None);
    }
}
