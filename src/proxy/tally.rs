//! How many queries a cluster has: what its coordinator last said, and what this proxy learned since of queries that began
//! and ended, by first calls, pages and events. No I/O.
//!
//! Events are hints. One reaches one proxy alone, and may be lost, repeated, or come in another order: so each query
//! counts once, the coordinator's next word takes the place of all before it, and nothing is believed for longer than
//! [`BELIEVED`].

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use foldhash::quality::RandomState;
use tokio::time::Instant;

use crate::trino::QueryId;

/// How long what was seen of a query counts without the coordinator's word.
const BELIEVED: Duration = Duration::from_secs(60);

/// The most queries that are remembered; some 100 bytes each. Beyond them the coordinator's word alone counts.
const MOST: usize = 20_000;

/// The queries of one cluster.
#[derive(Debug, Default)]
pub(super) struct Tally {
    books: Mutex<Books>,
}

#[derive(Debug, Default)]
struct Books {
    /// What the coordinator said; none if it does not say.
    said: Option<u32>,
    /// What all that was seen adds to it.
    change: i64,
    seen: HashMap<QueryId, Seen, RandomState>,
    /// Those of them that go on: the others are many more.
    going_on: HashMap<QueryId, Instant, RandomState>,
}

/// What was seen of a query.
#[derive(Clone, Copy, Debug)]
struct Seen {
    at: Instant,
    goes_on: bool,
    /// What it adds to the coordinator's word.
    change: i8,
}

/// What became of something seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Noted {
    /// It was news.
    New,
    /// It was known already.
    Known,
    /// There is no room for more.
    Full,
}

/// A query that goes on, as far as was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GoingOn {
    pub query: QueryId,
    /// How long ago it was seen to begin.
    pub age: Duration,
}

impl Tally {
    /// A query began, and the coordinator's last word cannot have counted it.
    pub(super) fn begin(&self, query: QueryId) -> Noted {
        self.lock().note(query, |seen| match seen {
            None => Some((true, 1)),
            // What ended does not begin again: this is late, or said twice.
            Some(_) => None,
        })
    }

    /// A query ended.
    pub(super) fn end(&self, query: QueryId) -> Noted {
        self.lock().note(query, |seen| match seen {
            // It began before the coordinator's last word, which counted it.
            None => Some((false, -1)),
            Some(Seen { goes_on: true, change, .. }) => Some((false, change - 1)),
            Some(Seen { goes_on: false, .. }) => None,
        })
    }

    /// A query is not at the coordinator: if it was seen to begin, it ended.
    pub(super) fn lose(&self, query: QueryId) {
        let mut books = self.lock();
        if books.seen.contains_key(&query) {
            books.note(query, |seen| seen.filter(|seen| seen.goes_on).map(|seen| (false, seen.change - 1)));
        }
    }

    /// The coordinator has just said how many queries it has, or that it does not say.
    pub(super) fn report(&self, queries: Option<u32>) {
        let mut books = self.lock();
        books.said = queries;
        books.change = 0;
        books.seen.values_mut().for_each(|seen| seen.change = 0);
    }

    /// What the coordinator last said.
    pub(super) fn said(&self) -> Option<u32> {
        self.lock().said
    }

    /// How many queries there are now; none while the coordinator does not say.
    pub(super) fn count(&self) -> Option<u32> {
        let books = self.lock();
        let count = i64::from(books.said?) + books.change;
        Some(u32::try_from(count.max(0)).unwrap_or(u32::MAX))
    }

    /// The queries that were seen to begin within the last minute, and not to end.
    pub(super) fn going_on(&self) -> Vec<GoingOn> {
        let now = Instant::now();
        let books = self.lock();
        let young = books.going_on.iter().map(|(query, at)| GoingOn { query: *query, age: now - *at });
        young.filter(|young| young.age < BELIEVED).collect()
    }

    /// Forgets what is no longer believed.
    pub(super) fn age_out(&self) {
        let now = Instant::now();
        let mut books = self.lock();
        books.seen.retain(|_, seen| now - seen.at < BELIEVED);
        books.going_on.retain(|_, at| now - *at < BELIEVED);
        books.change = books.seen.values().map(|seen| i64::from(seen.change)).sum();
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        // Nothing panics while it holds the lock; if something did, the map would still be whole.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    /// Writes down what `becomes` makes of what was seen of `query`; none leaves it.
    fn note(&mut self, query: QueryId, becomes: impl FnOnce(Option<Seen>) -> Option<(bool, i8)>) -> Noted {
        let known = self.seen.get(&query).copied();
        let Some((goes_on, change)) = becomes(known) else { return Noted::Known };
        if known.is_none() && self.seen.len() >= MOST {
            return Noted::Full;
        }
        self.change += i64::from(change) - known.map_or(0, |known| i64::from(known.change));
        let at = Instant::now();
        self.seen.insert(query, Seen { at, goes_on, change });
        if goes_on {
            self.going_on.insert(query, at);
        } else {
            self.going_on.remove(&query);
        }
        Noted::New
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(number: u32) -> QueryId {
        format!("20250805_101112_{number:05}_abcde").parse().unwrap()
    }

    async fn pass(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn each_query_counts_once_whatever_is_said_twice_or_in_another_order() {
        let tally = Tally::default();
        tally.report(Some(5));
        assert_eq!((tally.begin(query(1)), tally.begin(query(1))), (Noted::New, Noted::Known));
        assert_eq!(tally.count(), Some(6));
        // The end overtakes the beginning: the query is not one of the five, and is not counted afterwards either.
        assert_eq!((tally.end(query(2)), tally.begin(query(2))), (Noted::New, Noted::Known));
        assert_eq!(tally.count(), Some(5));
        assert_eq!((tally.end(query(1)), tally.end(query(1))), (Noted::New, Noted::Known));
        assert_eq!(tally.count(), Some(4));
        tally.lose(query(3));
        assert_eq!(tally.count(), Some(4));
    }

    #[tokio::test(start_paused = true)]
    async fn the_coordinators_next_word_mends_whatever_was_lost() {
        let tally = Tally::default();
        tally.report(Some(0));
        tally.begin(query(1));
        tally.end(query(9));
        tally.report(Some(1));
        assert_eq!(tally.count(), Some(1));
        // It is in that word: said again, it counts no more, and its end takes it out.
        tally.begin(query(1));
        assert_eq!(tally.count(), Some(1));
        tally.end(query(1));
        assert_eq!(tally.count(), Some(0));
        tally.end(query(2));
        assert_eq!(tally.count(), Some(0), "never below none");
    }

    #[tokio::test(start_paused = true)]
    async fn without_the_coordinators_word_a_query_is_believed_for_a_minute() {
        let tally = Tally::default();
        tally.begin(query(1));
        pass(30).await;
        tally.begin(query(2));
        assert_eq!((tally.count(), tally.going_on().len()), (None, 2));
        pass(30).await;
        assert_eq!(tally.going_on(), [GoingOn { query: query(2), age: Duration::from_secs(30) }]);
        tally.end(query(2));
        assert!(tally.going_on().is_empty());
        pass(60).await;
        tally.age_out();
        assert!(tally.lock().seen.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded_and_the_coordinators_word_goes_on_counting() {
        let tally = Tally::default();
        for number in 0..u32::try_from(MOST).unwrap() {
            assert_eq!(tally.begin(query(number)), Noted::New);
        }
        assert_eq!((tally.begin(query(99_999)), tally.end(query(1))), (Noted::Full, Noted::New));
        tally.report(Some(7));
        assert_eq!((tally.count(), tally.lock().seen.len()), (Some(7), MOST));
    }

    /// SplitMix64, so that each seed is a sequence of its own and the same each time.
    struct Random(u64);

    impl Random {
        fn below(&mut self, end: u64) -> u64 {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let bits = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            (bits ^ (bits >> 31)) % end
        }
    }

    /// Whatever becomes of the events of a cluster whose queries come and go (lost, repeated, late, at another proxy), and
    /// however often the coordinator does not answer or the proxy begins anew: as soon as it has answered again, which
    /// it is asked every few seconds, the count is its own; and where it never answers, nothing is left after a minute.
    #[tokio::test(start_paused = true)]
    async fn after_any_events_the_count_is_the_coordinators_again_within_a_minute() {
        for seed in 0..300 {
            let mut random = Random(seed);
            let mut tally = Tally::default();
            let (mut running, mut late, mut next) = (Vec::new(), Vec::new(), 0);
            for _ in 0..random.below(400) {
                let event = match random.below(8) {
                    0..=2 => {
                        next += 1;
                        running.push(next);
                        Some((next, true))
                    }
                    3 | 4 if !running.is_empty() => {
                        let index = usize::try_from(random.below(running.len() as u64)).unwrap();
                        Some((running.swap_remove(index), false))
                    }
                    5 => {
                        tally.report((random.below(3) > 0).then(|| u32::try_from(running.len()).unwrap()));
                        None
                    }
                    6 => late.pop(),
                    _ => {
                        if random.below(20) == 0 {
                            tally = Tally::default();
                        }
                        pass(random.below(20)).await;
                        tally.age_out();
                        None
                    }
                };
                let Some((number, begins)) = event else { continue };
                // Lost, late, twice, or once.
                let times = match random.below(6) {
                    0 => 0,
                    1 => {
                        late.insert(0, (number, begins));
                        0
                    }
                    2 => 2,
                    _ => 1,
                };
                for _ in 0..times {
                    if begins {
                        tally.begin(query(number))
                    } else {
                        tally.end(query(number))
                    };
                }
            }
            for (number, begins) in late {
                if begins {
                    tally.begin(query(number))
                } else {
                    tally.end(query(number))
                };
            }
            let running = u32::try_from(running.len()).unwrap();
            pass(2).await;
            tally.report(Some(running));
            assert_eq!(tally.count(), Some(running), "seed {seed}");
            tally.report(None);
            pass(60).await;
            assert!(tally.going_on().is_empty(), "seed {seed}");
            tally.age_out();
            tally.report(Some(running));
            assert_eq!(tally.count(), Some(running), "seed {seed}");
        }
    }
}
