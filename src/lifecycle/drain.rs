//! Whether a cluster that takes no new queries is drained: proven by what its proxies and its coordinator see, twice, and
//! never guessed. One pure function, with no I/O and no clock of its own.
//!
//! A query that a client was promised is in no coordinator's list before its first poll, and a poll may reach any proxy:
//! so all proxies are asked, what they saw is merged by the query's id, and who could not be asked proves nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;

use super::passed;

/// Between two looks that find nothing lies this at least, before the cluster counts as drained.
pub const CONFIRMATION: Duration = Duration::from_secs(4);

/// What the drain of a cluster keeps to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Since when the cluster takes no new queries.
    pub since: Timestamp,
    /// How long its queries may go on.
    pub timeout: Duration,
    /// How long it stays after its last query, for results that clients still fetch.
    pub linger: Duration,
    /// How long Trino keeps a query that nobody polls (`query.client.timeout`).
    pub abandonment: Duration,
    /// Clients poll the cluster itself: proxies see the first call alone.
    pub direct: bool,
}

/// A query as one proxy last saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Its id.
    pub query: String,
    /// How long ago.
    pub ago: Duration,
    /// How long before now it was first seen; none if it was seen to end.
    pub age: Option<Duration>,
}

/// A query that goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// Its id.
    pub id: String,
    /// Who runs it, if the coordinator tells.
    pub user: Option<String>,
    /// Since when.
    pub since: Timestamp,
}

/// What one look at a draining cluster found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// What the proxies saw of its queries, each proxy for itself.
    pub sightings: Vec<Sighting>,
    /// Requests that proxies have under way there.
    pub in_flight: usize,
    /// What the coordinator lists that has not ended.
    pub listed: Vec<Running>,
    /// How many queries it counts. Its list may leave out those of other users.
    pub counted: usize,
    /// Transactions that are open there: their next statements come to it, too.
    pub transactions: usize,
    /// What could not be seen, and why.
    pub blind: Vec<String>,
    /// The coordinator's process is no more, and its queries with it.
    pub gone: bool,
    /// The proxies that are there.
    pub proxies: BTreeSet<String>,
    /// When the last proxy began that is younger than the cluster's service: it may stand in for one that is lost.
    pub youngest_proxy: Option<Timestamp>,
}

/// What is kept from one look to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Since when every look found nothing.
    pub quiet_since: Option<Timestamp>,
    /// The proxies that were there.
    pub proxies: BTreeSet<String>,
    /// When a proxy was last lost, and with it what it alone knew.
    pub proxy_lost_at: Option<Timestamp>,
}

/// How a drain stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Queries go on, or nobody can tell.
    GoesOn,
    /// No query is left.
    Proven,
    /// Its time is over: what still runs is cut.
    Overdue,
}

/// What follows from a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How the drain stands.
    pub state: State,
    /// The queries that go on and have a name, oldest first.
    pub running: Vec<Running>,
    /// How many go on, as far as anybody knows.
    pub count: usize,
    /// For the next look.
    pub progress: Progress,
}

/// Judges a drain by what was found `now`, and by what was kept of the looks before.
pub fn judge(terms: &Terms, before: &Progress, look: &Look, now: Timestamp) -> Verdict {
    let running = running(look, now);
    let count = running.len().max(look.counted);
    let quiet = count == 0 && look.in_flight == 0 && look.transactions == 0 && look.blind.is_empty();
    let progress = Progress {
        quiet_since: quiet.then(|| before.quiet_since.unwrap_or(now)),
        proxies: look.proxies.clone(),
        proxy_lost_at: lost(before, look, now),
    };
    let least = if terms.direct { terms.linger.max(terms.abandonment) } else { terms.linger };
    let confirmed = progress.quiet_since.is_some_and(|since| passed(since, now) >= least.max(CONFIRMATION));
    let known = progress.proxy_lost_at.is_none_or(|lost| passed(lost, now) >= terms.abandonment);
    let state = if look.gone || (confirmed && known) {
        State::Proven
    } else if passed(terms.since, now) >= terms.timeout {
        State::Overdue
    } else {
        State::GoesOn
    };
    Verdict { state, running, count, progress }
}

/// What the coordinator lists, and what clients still hold a `nextUri` of: of each query the newest sighting counts.
fn running(look: &Look, now: Timestamp) -> Vec<Running> {
    let mut newest: BTreeMap<&str, &Sighting> = BTreeMap::new();
    for sighting in &look.sightings {
        let known = newest.entry(&sighting.query).or_insert(sighting);
        if sighting.ago < known.ago {
            *known = sighting;
        }
    }
    let mut running = look.listed.clone();
    for sighting in newest.into_values() {
        let Some(age) = sighting.age else { continue };
        if !look.listed.iter().any(|listed| listed.id == sighting.query) {
            let since = now.checked_sub(age).unwrap_or(now);
            running.push(Running { id: sighting.query.clone(), user: None, since });
        }
    }
    running.sort_by(|a, b| (a.since, &a.id).cmp(&(b.since, &b.id)));
    running
}

/// When a proxy was last lost: now, if one is missing that was there; else when the youngest came, that may stand in for
/// one that nobody saw go.
fn lost(before: &Progress, look: &Look, now: Timestamp) -> Option<Timestamp> {
    let missing = !before.proxies.is_subset(&look.proxies);
    if missing { Some(now) } else { before.proxy_lost_at.max(look.youngest_proxy) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms {
        since: Timestamp::UNIX_EPOCH,
        timeout: Duration::from_secs(3600),
        linger: Duration::ZERO,
        abandonment: Duration::from_secs(300),
        direct: false,
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    fn two_proxies() -> Look {
        Look { proxies: ["p-1", "p-2"].map(str::to_owned).into(), ..Look::default() }
    }

    fn seen(query: &str, ago: u64, age: Option<u64>) -> Sighting {
        Sighting { query: query.into(), ago: Duration::from_secs(ago), age: age.map(Duration::from_secs) }
    }

    /// The state after each look, each ten seconds after the one before.
    fn states(terms: &Terms, looks: &[Look]) -> Vec<State> {
        let mut progress = Progress::default();
        let judged = looks.iter().zip(0..).map(|(look, turn)| {
            let verdict = judge(terms, &progress, look, at(turn * 10));
            progress = verdict.progress;
            verdict.state
        });
        judged.collect()
    }

    #[test]
    fn two_looks_that_find_nothing_prove_it_and_one_does_not() {
        let busy = Look { in_flight: 1, ..two_proxies() };
        let looks = [two_proxies(), busy, two_proxies(), two_proxies()];
        assert_eq!(states(&TERMS, &looks), [State::GoesOn, State::GoesOn, State::GoesOn, State::Proven]);
    }

    #[test]
    fn whatever_is_seen_or_cannot_be_seen_keeps_the_cluster() {
        let listed = Running { id: "q".into(), user: Some("ann".into()), since: at(0) };
        for look in [
            Look { listed: vec![listed], ..two_proxies() },
            Look { counted: 1, ..two_proxies() },
            Look { sightings: vec![seen("q", 1, Some(9))], ..two_proxies() },
            Look { in_flight: 1, ..two_proxies() },
            Look { transactions: 1, ..two_proxies() },
            Look { blind: vec!["the coordinator does not answer".into()], ..two_proxies() },
        ] {
            assert_eq!(states(&TERMS, &[look.clone(), look.clone(), look.clone()]), [State::GoesOn; 3], "{look:?}");
        }
    }

    #[test]
    fn of_a_query_that_several_proxies_saw_the_newest_sighting_counts() {
        let ended_later = vec![seen("q", 30, Some(60)), seen("q", 20, None)];
        let look = Look { sightings: ended_later, ..two_proxies() };
        assert_eq!(judge(&TERMS, &Progress::default(), &look, at(100)).count, 0);
        let went_on = vec![seen("q", 20, None), seen("q", 10, Some(40)), seen("r", 5, Some(90))];
        let verdict = judge(&TERMS, &Progress::default(), &Look { sightings: went_on, ..two_proxies() }, at(100));
        let known: Vec<_> = verdict.running.iter().map(|query| (query.id.as_str(), query.since)).collect();
        assert_eq!(known, [("r", at(10)), ("q", at(60))]);
    }

    #[test]
    fn what_the_coordinator_counts_and_does_not_list_goes_on_without_a_name() {
        let listed = Running { id: "q".into(), user: Some("ann".into()), since: at(7) };
        let sightings = vec![seen("q", 1, Some(50))];
        let look = Look { listed: vec![listed.clone()], counted: 3, sightings, ..two_proxies() };
        let verdict = judge(&TERMS, &Progress::default(), &look, at(100));
        assert_eq!((verdict.count, verdict.running), (3, vec![listed]));
    }

    #[test]
    fn after_a_proxy_was_lost_abandoned_queries_must_have_had_their_time() {
        let one = Look { proxies: ["p-1".to_owned()].into(), ..Look::default() };
        let mut looks = vec![two_proxies(), one];
        looks.resize(40, looks[1].clone());
        let states = states(&TERMS, &looks);
        assert_eq!(states.iter().position(|state| *state == State::Proven), Some(31));
        let replaced = Look { youngest_proxy: Some(at(-100)), ..two_proxies() };
        let early = Progress { quiet_since: Some(at(0)), proxies: replaced.proxies.clone(), ..Progress::default() };
        assert_eq!(judge(&TERMS, &early, &replaced, at(199)).state, State::GoesOn);
        assert_eq!(judge(&TERMS, &early, &replaced, at(200)).state, State::Proven);
    }

    #[test]
    fn results_that_linger_and_clients_that_poll_the_cluster_itself_get_their_time() {
        for terms in [
            Terms { linger: Duration::from_secs(60), ..TERMS },
            Terms { direct: true, abandonment: Duration::from_secs(60), ..TERMS },
        ] {
            let states = states(&terms, &vec![two_proxies(); 8]);
            assert_eq!(states.iter().position(|state| *state == State::Proven), Some(6));
        }
    }

    #[test]
    fn a_coordinator_that_is_gone_has_no_queries() {
        let look = Look { gone: true, blind: vec!["p-1 does not answer".into()], ..two_proxies() };
        assert_eq!(states(&TERMS, &[look]), [State::Proven]);
    }

    #[test]
    fn what_still_runs_when_the_time_is_over_is_named() {
        let listed = Running { id: "q".into(), user: None, since: at(0) };
        let look = Look { listed: vec![listed], ..two_proxies() };
        assert_eq!(judge(&TERMS, &Progress::default(), &look, at(3599)).state, State::GoesOn);
        let verdict = judge(&TERMS, &Progress::default(), &look, at(3600));
        assert_eq!((verdict.state, verdict.running[0].id.as_str()), (State::Overdue, "q"));
    }
}
