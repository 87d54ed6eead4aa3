//! The live chains of a cluster: queries whose client still holds a `nextUri`, as far as this proxy saw.
//!
//! A chain's polls may reach several proxies, and none of them is told of the others: whoever adds up what several of
//! them see merges by the query's id, and believes the newest. What is not seen any more ages out.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use foldhash::quality::RandomState;
use tokio::time::Instant;

use crate::trino::QueryId;

/// How long a chain that nobody polls counts: a bit longer than Trino keeps such a query (`query.client.timeout`, 5 min
/// by default, Trino 476).
const ABANDONED: Duration = Duration::from_secs(330);

/// How many ended queries are remembered, for the others whose polls came through here too. Some 100 bytes each.
const MOST_ENDED: usize = 5000;

/// The live chains of one cluster.
#[derive(Debug, Default)]
pub(super) struct Chains {
    live: Mutex<Live>,
}

#[derive(Debug, Default)]
struct Live {
    chains: HashMap<QueryId, Chain, RandomState>,
    /// Queries that were seen to end, and when, oldest first.
    ended: VecDeque<(QueryId, Instant)>,
    /// The last query that was seen: its id tells those of the same life of the coordinator.
    last: Option<QueryId>,
}

#[derive(Clone, Copy, Debug)]
struct Chain {
    began: Instant,
    seen: Instant,
}

/// A chain as others are told of it: in ages, since clocks differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub query: QueryId,
    /// How long ago this proxy first saw it.
    pub age: Duration,
    /// How long ago it last saw it.
    pub idle: Duration,
}

impl Chains {
    /// A new query was given a `nextUri`, a query was polled and goes on, or its client says that it is still there.
    pub(super) fn see(&self, query: QueryId) {
        self.lock().see(query);
    }

    /// A query's last page was given out, it was cancelled, or its cluster does not know it.
    pub(super) fn end(&self, query: QueryId) {
        let mut live = self.lock();
        live.chains.remove(&query);
        // Whoever is told 404 again and again must not push out what really ended.
        if live.ended.back().is_none_or(|(last, _)| *last != query) {
            if live.ended.len() == MOST_ENDED {
                live.ended.pop_front();
            }
            live.ended.push_back((query, Instant::now()));
        }
    }

    /// Whether `query` is one of the coordinator's, as far as its id tells: all of one life of a coordinator end alike.
    pub(super) fn tells(&self, query: QueryId) -> bool {
        let last = self.lock().last;
        last.is_some_and(|last| !last.coordinator().is_empty() && last.coordinator() == query.coordinator())
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.lock().chains.len()
    }

    /// How many there would be with `others`, each counted once.
    pub(super) fn len_with(&self, others: impl IntoIterator<Item = QueryId>) -> usize {
        let live = self.lock();
        live.chains.len() + others.into_iter().filter(|query| !live.chains.contains_key(query)).count()
    }

    /// Each of them, in no particular order.
    pub(super) fn known(&self) -> Vec<Known> {
        let now = Instant::now();
        let live = self.lock();
        let known = |(query, chain): (&QueryId, &Chain)| Known {
            query: *query,
            age: now.saturating_duration_since(chain.began),
            idle: now.saturating_duration_since(chain.seen),
        };
        live.chains.iter().map(known).collect()
    }

    /// The queries that ended last, as far as this proxy saw, and how long ago.
    pub(super) fn ended(&self) -> Vec<(QueryId, Duration)> {
        let now = Instant::now();
        self.lock().ended.iter().map(|(query, at)| (*query, now.saturating_duration_since(*at))).collect()
    }

    /// Forgets those that nobody polled for so long that Trino has given them up.
    pub(super) fn age_out(&self) {
        let now = Instant::now();
        let mut live = self.lock();
        live.chains.retain(|_, chain| now.saturating_duration_since(chain.seen) < ABANDONED);
        let old = live.ended.partition_point(|(_, at)| now.saturating_duration_since(*at) >= ABANDONED);
        live.ended.drain(..old);
    }

    fn lock(&self) -> MutexGuard<'_, Live> {
        // Nothing panics while it holds the lock; if something did, the map would still be whole.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Live {
    fn see(&mut self, query: QueryId) {
        let now = Instant::now();
        self.last = Some(query);
        self.chains.entry(query).and_modify(|chain| chain.seen = now).or_insert(Chain { began: now, seen: now });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(id: &str) -> QueryId {
        id.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_chain_lives_from_its_first_page_to_its_last_or_until_nobody_asks_for_it() {
        let chains = Chains::default();
        chains.see(query("a"));
        chains.see(query("b"));
        assert_eq!((chains.len(), chains.len_with([query("a"), query("c")])), (2, 3));
        chains.end(query("a"));
        chains.end(query("a"));
        assert_eq!(chains.len(), 1);
        assert_eq!(chains.ended(), [(query("a"), Duration::ZERO)]);
        assert!(!chains.tells(query("x_abcde")));
        chains.see(query("20250805_101112_00003_abcde"));
        assert!(
            chains.tells(query("20250805_101113_00009_abcde")) && !chains.tells(query("20250805_101112_00003_bcdef"))
        );
        chains.end(query("20250805_101112_00003_abcde"));
        tokio::time::advance(Duration::from_secs(300)).await;
        chains.see(query("b"));
        chains.see(query("c"));
        tokio::time::advance(Duration::from_secs(300)).await;
        chains.see(query("b"));
        chains.age_out();
        assert_eq!(chains.len(), 2);
        let known = chains.known().into_iter().find(|known| known.query == query("b"));
        let seconds = known.map(|known| (known.age.as_secs(), known.idle.as_secs()));
        assert_eq!(seconds, Some((600, 0)));
        tokio::time::advance(Duration::from_secs(31)).await;
        chains.age_out();
        assert_eq!((chains.len(), chains.ended()), (1, vec![]));
    }

    #[tokio::test(start_paused = true)]
    async fn the_queries_that_ended_last_are_remembered() {
        let chains = Chains::default();
        for number in 0..MOST_ENDED + 2 {
            chains.end(query(&format!("q{number}")));
        }
        let ended = chains.ended();
        assert_eq!((ended.len(), ended[0].0), (MOST_ENDED, query("q2")));
    }
}
