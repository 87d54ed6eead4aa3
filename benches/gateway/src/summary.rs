//! Medians and percentiles.

use std::time::Duration;

/// The middle of `values`, or the mean of the two in the middle; none of nothing.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

/// The sample that `thousandths` of all do not exceed (nearest rank); none of nothing. Sorts them.
pub fn percentile(samples: &mut [Duration], thousandths: usize) -> Option<Duration> {
    samples.sort_unstable();
    let rank = (samples.len() * thousandths).div_ceil(1000);
    samples.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median([]), None);
    }

    #[test]
    fn a_percentile_is_a_sample_by_the_nearest_rank() {
        let mut samples: Vec<_> = (1..=200).rev().map(Duration::from_millis).collect();
        assert_eq!(percentile(&mut samples, 500), Some(Duration::from_millis(100)));
        assert_eq!(percentile(&mut samples, 990), Some(Duration::from_millis(198)));
        assert_eq!(percentile(&mut samples, 1000), Some(Duration::from_millis(200)));
        assert_eq!(percentile(&mut samples[..1], 1), Some(Duration::from_millis(1)));
        assert_eq!(percentile(&mut [], 990), None);
    }
}
