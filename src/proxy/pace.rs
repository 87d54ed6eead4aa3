//! When the requests of one connection come and end: what its deadline for the next one goes by.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

use http::Version;
use tokio::time::Instant;

/// The pace of one connection.
#[derive(Debug)]
pub(super) struct Pace {
    born: Instant,
    under_way: AtomicUsize,
    /// Milliseconds from `born` to the end of the last request.
    rests_since: AtomicU64,
    /// It is HTTP/2, which asks by itself whether the other end is still there.
    pings: AtomicBool,
}

/// What a connection without a whole request deserves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// To be looked at again then.
    Fine(Instant),
    /// Its next request does not come in time.
    Late,
}

impl Pace {
    /// That of a connection that begins now.
    pub(super) fn new() -> Self {
        Self {
            born: Instant::now(),
            under_way: AtomicUsize::new(0),
            rests_since: AtomicU64::new(0),
            pings: AtomicBool::new(false),
        }
    }

    /// The head of a request is there.
    pub(super) fn begin(&self, version: Version) {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        if version == Version::HTTP_2 {
            self.pings.store(true, Ordering::Relaxed);
        }
    }

    /// Its answer ended at `now`.
    pub(super) fn end(&self, now: Instant) {
        let millis = now.saturating_duration_since(self.born).as_millis();
        self.rests_since.store(u64::try_from(millis).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.under_way.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether the head of its next request is late, if it may take `patience` from the end of the last one on.
    pub(super) fn verdict(&self, patience: Duration) -> Verdict {
        let now = Instant::now();
        if self.under_way.load(Ordering::Relaxed) > 0 || self.pings.load(Ordering::Relaxed) {
            return Verdict::Fine(now + patience);
        }
        let due = self.born + Duration::from_millis(self.rests_since.load(Ordering::Relaxed)) + patience;
        if due <= now { Verdict::Late } else { Verdict::Fine(due) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_is_late_when_none_is_under_way_for_too_long() {
        let patience = Duration::from_secs(30);
        let seconds = |seconds| Duration::from_secs(seconds);
        let pace = Pace::new();
        assert_eq!(pace.verdict(patience), Verdict::Fine(Instant::now() + patience));
        tokio::time::advance(seconds(20)).await;
        pace.begin(Version::HTTP_11);
        tokio::time::advance(seconds(100)).await;
        assert_eq!(pace.verdict(patience), Verdict::Fine(Instant::now() + patience));
        pace.end(Instant::now());
        tokio::time::advance(seconds(10)).await;
        assert_eq!(pace.verdict(patience), Verdict::Fine(Instant::now() + seconds(20)));
        tokio::time::advance(seconds(20)).await;
        assert_eq!(pace.verdict(patience), Verdict::Late);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_pings_may_rest_once_it_has_asked() {
        let patience = Duration::from_secs(30);
        let pace = Pace::new();
        pace.begin(Version::HTTP_2);
        pace.end(Instant::now());
        tokio::time::advance(Duration::from_secs(100)).await;
        assert_eq!(pace.verdict(patience), Verdict::Fine(Instant::now() + patience));
        let silent = Pace::new();
        tokio::time::advance(patience).await;
        assert_eq!(silent.verdict(patience), Verdict::Late);
    }
}
