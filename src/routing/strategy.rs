//! The order in which a new query tries the clusters of a group. Pure: the caller brings turns, random numbers and loads.

use std::cmp::Ordering;

use super::{
    decision::{Load, Pick},
    table::{Cluster, Strategy},
};

/// From this many clusters on, the least busy of two random ones is taken instead of the least busy of all: many
/// proxies that all see the same one idle would otherwise all send to it (Mitzenmacher, "The Power of Two Choices in
/// Randomized Load Balancing", 2001).
const TWO_CHOICES_OVER: usize = 8;

/// The least that a cluster counts for while it warms up: a factor of 0 must not starve it.
const LEAST_FACTOR: f64 = 0.01;

/// Puts `clusters`, the healthy ones that take new queries, into the order in which a query tries them.
pub(super) fn order<'a>(
    strategy: Strategy,
    mut clusters: Vec<(&'a Cluster, Load)>,
    pick: Pick,
) -> Vec<(&'a Cluster, Load)> {
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
pub(super) fn busy((cluster, load): (&Cluster, Load)) -> f64 {
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
