//! Whether a new revision has proven itself on a share of the queries: one pure function, with no I/O and no clock of its own.
//!
//! It goes from step to step while what it answers is no worse than what the old revision answers, and is turned away for
//! good when it is. Until it is promoted, the old revision keeps all its clusters.

use std::time::Duration;

use jiff::Timestamp;

use super::passed;

/// What a canary keeps to.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    /// The shares, one after the other.
    pub steps: Vec<Step>,
    /// By how many percentage points more of the new revision's queries may fail.
    pub error_margin: f64,
    /// By how many percent the new revision may be slower; none: as much as it likes.
    pub latency_margin: Option<f64>,
    /// Of fewer queries nothing is concluded.
    pub least_queries: u64,
}

/// One share of new queries, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Percent of new queries that the new revision gets.
    pub weight: u32,
    /// For how long; none: until somebody promotes it.
    pub time: Option<Duration>,
}

/// What the clusters of one revision answered since the canary began.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// Queries that ended.
    pub ended: u64,
    /// Those of them that failed by no fault of their user.
    pub failed: u64,
    /// How long nine in ten of the last minutes' queries took at most, if there were enough.
    pub latency: Option<Duration>,
}

/// Both revisions side by side.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Comparison {
    /// The old one.
    pub old: Sample,
    /// The new one.
    pub new: Sample,
}

/// How a canary stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// At this step.
    Step(usize),
    /// The new revision takes over.
    Promoted,
    /// The new revision gets no queries any more.
    Aborted,
}

/// How a canary stands, and since when.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// The stage.
    pub stage: Stage,
    /// Since when it is this one.
    pub since: Timestamp,
    /// Why it was aborted.
    pub reason: Option<String>,
}

/// Where a canary goes from `before`, which is none when its first cluster has just been verified. `promoted`: somebody
/// promotes it by hand, which also takes back that it was turned away.
pub fn judge(
    terms: &Terms,
    before: Option<&Progress>,
    promoted: bool,
    comparison: Option<&Comparison>,
    now: Timestamp,
) -> Progress {
    let moved = |stage| Progress { stage, since: now, reason: None };
    if promoted && before.is_none_or(|before| before.stage != Stage::Promoted) {
        return moved(Stage::Promoted);
    }
    let Some(before) = before else {
        return moved(if terms.steps.is_empty() { Stage::Promoted } else { Stage::Step(0) });
    };
    let Stage::Step(at) = before.stage else { return before.clone() };
    if let Some(reason) = comparison.and_then(|comparison| worse(terms, comparison)) {
        return Progress { reason: Some(reason), ..moved(Stage::Aborted) };
    }
    match terms.steps.get(at) {
        // Steps were taken away since.
        None => moved(Stage::Promoted),
        Some(Step { time: Some(time), .. }) if passed(before.since, now) >= *time => {
            moved(if at + 1 < terms.steps.len() { Stage::Step(at + 1) } else { Stage::Promoted })
        }
        Some(_) => before.clone(),
    }
}

/// In what the new revision is worse than the margins allow.
fn worse(terms: &Terms, Comparison { old, new }: &Comparison) -> Option<String> {
    if new.ended < terms.least_queries {
        return None;
    }
    let (old_rate, new_rate) = (old.failure_percent(), new.failure_percent());
    if new_rate > old_rate + terms.error_margin {
        return Some(format!(
            "{new_rate:.1} % of the new clusters' queries fail ({} of {}), of the old ones' {old_rate:.1} % ({} of {}); {} points more are allowed",
            new.failed, new.ended, old.failed, old.ended, terms.error_margin
        ));
    }
    let margin = terms.latency_margin?;
    let (before, now) = (old.latency?, new.latency?);
    (now > before.mul_f64(1.0 + margin / 100.0)).then(|| {
        format!(
            "nine in ten queries take the new clusters up to {:.1} s, the old ones {:.1} s; {margin} % more is allowed",
            now.as_secs_f64(),
            before.as_secs_f64()
        )
    })
}

impl Sample {
    /// Percent of the queries that ended which failed; 0 of none.
    #[expect(clippy::cast_precision_loss, reason = "no coordinator ends 2^52 queries")]
    pub fn failure_percent(&self) -> f64 {
        if self.ended == 0 { 0.0 } else { self.failed as f64 * 100.0 / self.ended as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms() -> Terms {
        let step = |weight, minutes: u64| Step { weight, time: Some(Duration::from_secs(60 * minutes)) };
        Terms {
            steps: vec![step(10, 5), step(50, 10)],
            error_margin: 5.0,
            latency_margin: Some(50.0),
            least_queries: 20,
        }
    }

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(minute * 60).expect("in range")
    }

    fn step(number: usize, since: i64) -> Progress {
        Progress { stage: Stage::Step(number), since: at(since), reason: None }
    }

    fn sample(ended: u64, failed: u64, millis: u64) -> Sample {
        Sample { ended, failed, latency: Some(Duration::from_millis(millis)) }
    }

    fn stage(before: Option<&Progress>, comparison: Option<&Comparison>, minute: i64) -> Stage {
        judge(&terms(), before, false, comparison, at(minute)).stage
    }

    #[test]
    fn it_goes_from_step_to_step_and_is_promoted() {
        assert_eq!(judge(&terms(), None, false, None, at(7)), step(0, 7));
        assert_eq!(judge(&terms(), Some(&step(0, 7)), false, None, at(11)), step(0, 7));
        assert_eq!(judge(&terms(), Some(&step(0, 7)), false, None, at(12)), step(1, 12));
        assert_eq!(stage(Some(&step(1, 12)), None, 22), Stage::Promoted);
        assert_eq!(stage(Some(&step(2, 12)), None, 12), Stage::Promoted, "a step that was taken away");
        let none = Terms { steps: vec![], ..terms() };
        assert_eq!(judge(&none, None, false, None, at(0)).stage, Stage::Promoted);
        let waits = Terms { steps: vec![Step { weight: 10, time: None }], ..terms() };
        assert_eq!(judge(&waits, Some(&step(0, 0)), false, None, at(100_000)).stage, Stage::Step(0));
        assert_eq!(judge(&waits, Some(&step(0, 0)), true, None, at(1)).stage, Stage::Promoted);
    }

    #[test]
    fn it_is_turned_away_when_it_is_worse_by_more_than_the_margin() {
        for (old, new, stage_then) in [
            (sample(100, 1, 900), sample(100, 6, 900), Stage::Step(0)),
            (sample(100, 1, 900), sample(100, 7, 900), Stage::Aborted),
            (sample(0, 0, 900), sample(20, 2, 900), Stage::Aborted),
            (sample(100, 1, 900), sample(19, 19, 900), Stage::Step(0)),
            (sample(100, 0, 1000), sample(20, 0, 1500), Stage::Step(0)),
            (sample(100, 0, 1000), sample(20, 0, 1501), Stage::Aborted),
            (Sample { latency: None, ..sample(100, 0, 0) }, sample(20, 0, 9000), Stage::Step(0)),
        ] {
            assert_eq!(stage(Some(&step(0, 0)), Some(&Comparison { old, new }), 1), stage_then, "{old:?} {new:?}");
        }
        let aborted = judge(
            &terms(),
            Some(&step(0, 0)),
            false,
            Some(&Comparison { old: sample(100, 1, 900), new: sample(50, 25, 900) }),
            at(1),
        );
        let reason = aborted.reason.clone().expect("a reason");
        assert!(
            reason.starts_with("50.0 % of the new clusters' queries fail (25 of 50), of the old ones' 1.0 %"),
            "{reason}"
        );
        assert_eq!(judge(&terms(), Some(&aborted), false, None, at(100)), aborted, "it stays so");
        assert_eq!(judge(&terms(), Some(&aborted), true, None, at(100)).stage, Stage::Promoted);
    }
}
