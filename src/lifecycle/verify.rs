//! Whether a cluster whose pods are ready can take queries: one pure function, with no I/O and no clock of its own.
//!
//! Readiness of the pods says nothing of what the coordinator makes of its workers. Trino 470 and 476 use a worker that has
//! just announced itself, take it for failed until their failure detector has watched it for 5 s, and only then use it for
//! good. One that runs queries itself finds out by discovery, too, that it has catalogs. Until then queries fail with "No nodes
//! available to run query".

use std::time::Duration;

use jiff::Timestamp;

use super::passed;

/// The failure detector must have watched a worker for longer than its `failure-detector.warmup-interval`, 5 s.
const WATCHED: Duration = Duration::from_secs(6);

/// Where a coordinator does not tell what its failure detector watches, every look must find nothing wrong for this long:
/// workers are found within 10 s, the node list follows every 5 s, and the warm-up takes 5 s.
const STEADY: Duration = Duration::from_secs(20);

/// The same for a coordinator without workers: it looks itself up after 10 s, and its node list follows every 5 s.
const ALONE: Duration = Duration::from_secs(15);

/// What a cluster is to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Number of workers.
    pub workers: usize,
    /// Names of catalogs.
    pub catalogs: Vec<String>,
    /// After this time what is wrong needs somebody's help.
    pub timeout: Duration,
}

/// What one look found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// The coordinator answers queries.
    Answered {
        /// Workers that it counts as active.
        workers: usize,
        /// For how long its failure detector has watched each worker; none if it does not tell.
        watched: Option<Vec<Duration>>,
        /// Its catalogs.
        catalogs: Vec<String>,
    },
    /// It asks who is there, and Warren has no credentials for it.
    AsksForCredentials {
        /// Whether the workers' pods were ready for long enough to rely on.
        settled: bool,
    },
    /// A query failed, or was not answered; why.
    Failed(String),
}

/// How the verification stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The cluster can take queries.
    Passed,
    /// Not yet, and why.
    GoesOn(String),
    /// Not within the time for it, and why. It may still come.
    Overdue(String),
}

/// Judges what the coordinator shows. `good_since` is the end of the last look that found something wrong, `since` the
/// beginning of the verification.
pub fn judge(terms: &Terms, since: Timestamp, good_since: Timestamp, look: &Look, now: Timestamp) -> State {
    match fault(terms, passed(good_since, now), look) {
        None => State::Passed,
        Some(why) => unless_overdue(terms, since, why, now),
    }
}

/// `why` the cluster cannot take queries, as long as there is time for it to mend itself.
pub fn unless_overdue(terms: &Terms, since: Timestamp, why: String, now: Timestamp) -> State {
    if passed(since, now) < terms.timeout { State::GoesOn(why) } else { State::Overdue(why) }
}

fn fault(terms: &Terms, good_for: Duration, look: &Look) -> Option<String> {
    match look {
        Look::Failed(why) => Some(why.clone()),
        Look::AsksForCredentials { settled } => (!settled).then(|| "its workers have just become ready".to_owned()),
        Look::Answered { workers, watched, catalogs } => {
            if *workers < terms.workers {
                return Some(format!("{workers} of {} workers have joined", terms.workers));
            }
            if let Some(missing) = terms.catalogs.iter().find(|name| !catalogs.contains(name)) {
                return Some(format!(
                    "it has no catalog {missing:?}: see the coordinator's log for why it was not loaded"
                ));
            }
            let relied_on = match watched {
                _ if terms.workers == 0 => good_for >= ALONE,
                Some(ages) => ages.iter().filter(|age| **age >= WATCHED).count() >= terms.workers,
                None => good_for >= STEADY,
            };
            (!relied_on).then(|| "its coordinator does not yet rely on all its nodes".to_owned())
        }
    }
}

/// Whether a look found nothing wrong but that it is early.
pub fn is_good(terms: &Terms, look: &Look) -> bool {
    fault(terms, Duration::MAX, look).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms() -> Terms {
        Terms { workers: 2, catalogs: vec!["tpch".into()], timeout: Duration::from_secs(120) }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    fn answered(workers: usize, watched: Option<&[u64]>, catalogs: &[&str]) -> Look {
        Look::Answered {
            workers,
            watched: watched.map(|ages| ages.iter().map(|&age| Duration::from_secs(age)).collect()),
            catalogs: catalogs.iter().map(|&name| name.to_owned()).collect(),
        }
    }

    fn state(look: &Look, good_for: i64) -> State {
        judge(&terms(), at(100), at(130 - good_for), look, at(130))
    }

    #[test]
    fn a_cluster_passes_when_its_coordinator_relies_on_all_workers_and_has_all_catalogs() {
        assert_eq!(state(&answered(2, Some(&[6, 90]), &["system", "tpch"]), 0), State::Passed);
        for (look, words) in [
            (answered(1, Some(&[60]), &["tpch"]), "1 of 2 workers"),
            (answered(2, Some(&[60, 5]), &["tpch"]), "rely on"),
            (answered(2, Some(&[60]), &["tpch"]), "rely on"),
            (answered(2, Some(&[60, 60]), &["system"]), "no catalog \"tpch\""),
            (Look::Failed("no answer".into()), "no answer"),
            (Look::AsksForCredentials { settled: false }, "just become ready"),
        ] {
            let State::GoesOn(why) = state(&look, 60) else { panic!("{look:?} passed") };
            assert!(why.contains(words), "{why}");
            assert!(matches!(judge(&terms(), at(0), at(0), &look, at(120)), State::Overdue(late) if late == why));
        }
    }

    #[test]
    fn a_coordinator_that_does_not_tell_what_it_watches_is_given_time() {
        let look = answered(2, None, &["tpch"]);
        assert!(is_good(&terms(), &look));
        assert!(matches!(state(&look, 19), State::GoesOn(_)));
        assert_eq!(state(&look, 20), State::Passed);
        let alone = Terms { workers: 0, ..terms() };
        for watched in [None, Some(&[][..])] {
            let look = answered(0, watched, &["tpch"]);
            assert!(matches!(judge(&alone, at(0), at(0), &look, at(14)), State::GoesOn(_)));
            assert_eq!(judge(&alone, at(0), at(0), &look, at(15)), State::Passed);
        }
    }

    #[test]
    fn without_credentials_readiness_has_to_do() {
        assert_eq!(state(&Look::AsksForCredentials { settled: true }, 0), State::Passed);
    }
}
