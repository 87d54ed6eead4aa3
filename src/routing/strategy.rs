//! The order in which a new query tries the clusters of a group. Pure: the caller brings turns, random numbers and loads.

use std::cmp::Ordering;

use super::{
    decision::{Load, Pick},
    table::{Cluster, Group, Strategy},
};

/// From this many clusters on, the least busy of two random ones is taken instead of the least busy of all: many
/// proxies that all see the same one idle would otherwise all send to it (Mitzenmacher, "The Power of Two Choices in
/// Randomized Load Balancing", 2001).
pub(super) const TWO_CHOICES_OVER: usize = 8;

/// The least that a cluster counts for while it warms up: a factor of 0 must not starve it.
const LEAST_FACTOR: f64 = 0.01;

/// Puts `clusters`, the healthy ones of `group` that take new queries, into the order in which a query tries them.
pub(super) fn order<'a>(group: &Group, clusters: Vec<(&'a Cluster, Load)>, pick: Pick) -> Vec<(&'a Cluster, Load)> {
    let Some(canary) = &group.canary else { return arrange(group.strategy, clusters, pick) };
    let (new, others): (Vec<_>, Vec<_>) =
        clusters.into_iter().partition(|(cluster, _)| canary.clusters.contains(&cluster.name));
    // Not the numbers that the strategy draws: what it picks among a few must not depend on who was drawn first.
    let drawn = Random(!pick.random).next() * 100.0 < f64::from(canary.percent);
    let (first, then) = if drawn { (new, others) } else { (others, new) };
    let mut order = arrange(group.strategy, first, pick);
    order.extend(arrange(group.strategy, then, pick));
    order
}

fn arrange(strategy: Strategy, mut clusters: Vec<(&Cluster, Load)>, pick: Pick) -> Vec<(&Cluster, Load)> {
    if clusters.len() < 2 {
        return clusters;
    }
    let first = pick.turn % clusters.len();
    clusters.rotate_left(first);
    let mut random = Random(pick.random);
    match strategy {
        Strategy::RoundRobin => {
            // One that warms up lets some of its turns pass.
            let passes = clusters.iter().take_while(|(_, load)| random.next() >= factor(*load)).count();
            let passes = if passes == clusters.len() { 0 } else { passes };
            clusters.rotate_left(passes);
        }
        Strategy::Random => shuffle(&mut clusters, &mut random, |(_, load)| factor(*load)),
        Strategy::Weighted => shuffle(&mut clusters, &mut random, |(cluster, load)| weight(cluster, *load)),
        Strategy::LeastQueries => {
            // Stable, and rotated before: of equally busy ones, the one whose turn it is.
            clusters.sort_by(|a, b| busy(*a).partial_cmp(&busy(*b)).unwrap_or(Ordering::Equal));
            if clusters.len() > TWO_CHOICES_OVER {
                two_choices(&mut clusters, &mut random);
            }
        }
    }
    clusters
}

/// Moves the less busy of two random ones to the front. The rest stays in the order of how busy it is.
fn two_choices(clusters: &mut Vec<(&Cluster, Load)>, random: &mut Random) {
    let one = random.below(clusters.len());
    let other = (one + 1 + random.below(clusters.len() - 1)) % clusters.len();
    // They are sorted: the earlier one is the less busy.
    let chosen = clusters.remove(one.min(other));
    clusters.insert(0, chosen);
}

/// A random order in which each one is first as often as its share says: keys from exponential distributions, whose
/// smallest falls to each in proportion to its rate.
fn shuffle<T>(items: &mut Vec<T>, random: &mut Random, share: impl Fn(&T) -> f64) {
    let mut keyed: Vec<_> = items.drain(..).map(|item| (-(1.0 - random.next()).ln() / share(&item), item)).collect();
    keyed.sort_by(|(a, _), (b, _)| a.partial_cmp(b).unwrap_or(Ordering::Equal));
    items.extend(keyed.into_iter().map(|(_, item)| item));
}

/// Queries for each unit of weight, with the one that is to come.
fn busy((cluster, load): (&Cluster, Load)) -> f64 {
    (f64::from(load.queries) + 1.0) / weight(cluster, load)
}

fn weight(cluster: &Cluster, load: Load) -> f64 {
    f64::from(cluster.weight) * factor(load)
}

fn factor(load: Load) -> f64 {
    // Of a NaN, `clamp` makes a NaN.
    if load.factor.is_nan() { 1.0 } else { load.factor.clamp(LEAST_FACTOR, 1.0) }
}

/// SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", 2014): a few numbers from one.
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    /// From 0 to less than 1.
    fn next(&mut self) -> f64 {
        let bits = u32::try_from(self.bits() >> 32).unwrap_or(0);
        f64::from(bits) / (f64::from(u32::MAX) + 1.0)
    }

    /// From 0 to less than `end`, which is over 0.
    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX);
        usize::try_from(self.bits() % end).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::routing::Canary;
    use crate::routing::Serving;

    fn cluster(name: &str, weight: u32) -> Cluster {
        Cluster {
            name: name.parse().unwrap(),
            url: String::new(),
            client_url: None,
            weight,
            serving: Serving::Active,
            ca: None,
            event_token: None,
            own_credential: false,
        }
    }

    fn group(strategy: Strategy, canary: Option<Canary>) -> Group {
        Group { name: "g".into(), strategy, health_check: None, canary, clusters: Vec::new() }
    }

    fn load(queries: u32) -> Load {
        Load { queries, ..Load::default() }
    }

    fn names(strategy: Strategy, clusters: &[(&Cluster, Load)], pick: Pick) -> Vec<String> {
        order(&group(strategy, None), clusters.to_vec(), pick)
            .into_iter()
            .map(|(cluster, _)| cluster.name.to_string())
            .collect()
    }

    /// How often each cluster is first of 10,000 picks, in hundreds.
    fn firsts(strategy: Strategy, clusters: &[(&Cluster, Load)]) -> BTreeMap<String, u32> {
        let mut counts = BTreeMap::new();
        for turn in 0..10_000 {
            let pick = Pick { turn, random: turn as u64 };
            *counts.entry(names(strategy, clusters, pick).swap_remove(0)).or_insert(0) += 1;
        }
        counts.into_iter().map(|(name, count)| (name, (count + 50) / 100)).collect()
    }

    fn near(found: &BTreeMap<String, u32>, expected: &[(&str, u32)]) {
        for (name, share) in expected {
            let is = found.get(*name).copied().unwrap_or(0);
            assert!(is.abs_diff(*share) <= 2, "{name} is first in {is}% and should be in about {share}%: {found:?}");
        }
    }

    #[test]
    fn every_strategy_keeps_every_cluster_once() {
        let clusters: Vec<_> = (0..20).map(|n| cluster(&format!("c{n}"), n % 3 + 1)).collect();
        let healthy: Vec<_> = clusters.iter().map(|cluster| (cluster, load(cluster.weight))).collect();
        for strategy in [Strategy::RoundRobin, Strategy::Random, Strategy::Weighted, Strategy::LeastQueries] {
            let mut found = names(strategy, &healthy, Pick { turn: 3, random: 99 });
            assert_eq!(names(strategy, &healthy, Pick { turn: 3, random: 99 }), found, "{strategy:?} is repeatable");
            found.sort();
            found.dedup();
            assert_eq!(found.len(), 20, "{strategy:?}");
            assert!(names(strategy, &[], Pick::default()).is_empty());
        }
    }

    #[test]
    fn random_and_weighted_picks_have_their_shares() {
        let (a, b, c) = (cluster("a", 1), cluster("b", 3), cluster("c", 6));
        let clusters = [(&a, load(9)), (&b, load(0)), (&c, load(0))];
        near(&firsts(Strategy::Random, &clusters), &[("a", 33), ("b", 33), ("c", 33)]);
        near(&firsts(Strategy::Weighted, &clusters), &[("a", 10), ("b", 30), ("c", 60)]);
        near(&firsts(Strategy::RoundRobin, &clusters), &[("a", 33), ("b", 33), ("c", 33)]);
    }

    #[test]
    fn a_canary_gets_its_share_whatever_the_strategy_and_all_when_nothing_else_is_healthy() {
        let (a, b, c) = (cluster("a", 1), cluster("b", 1), cluster("c", 9));
        let all = [(&a, load(0)), (&b, load(0)), (&c, load(0))];
        for strategy in [Strategy::RoundRobin, Strategy::Random, Strategy::Weighted, Strategy::LeastQueries] {
            let canary = Canary { percent: 10, clusters: vec!["c".parse().unwrap()] };
            let group = group(strategy, Some(canary));
            let mut counts = BTreeMap::new();
            for turn in 0..10_000 {
                let picked = order(&group, all.to_vec(), Pick { turn, random: turn as u64 });
                assert_eq!(picked.len(), 3, "the others are tried when the first one does not answer");
                *counts.entry(picked[0].0.name.to_string()).or_insert(0) += 1;
            }
            let found = counts.into_iter().map(|(name, count): (_, u32)| (name, (count + 50) / 100)).collect();
            near(&found, &[("a", 45), ("b", 45), ("c", 10)]);
            let alone = order(&group, vec![(&c, load(0))], Pick::default());
            assert_eq!(alone[0].0.name.as_str(), "c");
        }
    }

    #[test]
    fn a_cluster_that_warms_up_is_picked_less_and_never_starved() {
        let (a, b) = (cluster("a", 1), cluster("b", 1));
        let cold = |factor| [(&a, Load { queries: 0, factor }), (&b, load(0))];
        near(&firsts(Strategy::Weighted, &cold(0.25)), &[("a", 20), ("b", 80)]);
        near(&firsts(Strategy::RoundRobin, &cold(0.5)), &[("a", 25), ("b", 75)]);
        near(&firsts(Strategy::LeastQueries, &cold(0.5)), &[("a", 0), ("b", 100)]);
        assert!(firsts(Strategy::Weighted, &cold(0.0))["a"] >= 1);
        near(&firsts(Strategy::Weighted, &cold(f64::NAN)), &[("a", 50), ("b", 50)]);
    }

    #[test]
    fn least_queries_counts_them_by_weight_and_takes_turns_among_equals() {
        let (a, b, c) = (cluster("a", 1), cluster("b", 4), cluster("c", 1));
        let at = |turn| Pick { turn, random: 1 };
        // With the next one: 3 for 1, 8 for 4, 2 for 1.
        let busy = [(&a, load(2)), (&b, load(7)), (&c, load(1))];
        assert_eq!(names(Strategy::LeastQueries, &busy, at(0)), ["b", "c", "a"]);
        let equal = [(&a, load(0)), (&c, load(0))];
        assert_eq!(names(Strategy::LeastQueries, &equal, at(0)), ["a", "c"]);
        assert_eq!(names(Strategy::LeastQueries, &equal, at(1)), ["c", "a"]);
    }

    #[test]
    fn among_many_clusters_the_idle_one_does_not_get_every_query() {
        let clusters: Vec<_> = (0..10).map(|n| cluster(&format!("c{n}"), 1)).collect();
        let loads: Vec<_> = clusters.iter().zip(0..).map(|(cluster, queries)| (cluster, load(queries))).collect();
        let found = firsts(Strategy::LeastQueries, &loads);
        // Of two different ones of ten, one is in 1/5; the busiest is never the less busy of two.
        near(&found, &[("c0", 20), ("c8", 2), ("c9", 0)]);
        assert_eq!(names(Strategy::LeastQueries, &loads[..8], Pick::default())[0], "c0");
    }
}
