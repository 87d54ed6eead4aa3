//! Looks at a group's canary: asks the coordinators of both revisions what became of their queries. What follows from it is
//! decided in `lifecycle::canary`.

use std::{sync::Arc, time::Duration};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::{
    cluster,
    context::{Context, whole_second},
    error::Error,
    statement::{self, Coordinator},
};
use crate::{
    api::{CanaryBaseline, CanarySample, CanaryStage, CanaryStatus, Conditions, TrinoCluster, TrinoClusterGroup},
    desired::{CanaryTerms, canary_terms, group, labels::PROMOTE},
    lifecycle::canary::{Comparison, Progress, Sample, Stage, Step, Terms, judge},
    trino::work::{self, Outcomes},
};

/// How often both revisions are compared.
pub(super) const INTERVAL: Duration = Duration::from_secs(10);

/// What is known of a group's canary.
#[derive(Clone, Debug, Default)]
pub(super) struct Canary {
    /// Its status; none when there is none, or not yet.
    pub(super) status: Option<CanaryStatus>,
    /// Whether the new revision must not take over yet.
    pub(super) holds: bool,
}

/// Looks once, and judges. `members` are the group's clusters that are not being deleted.
pub(super) async fn look(
    context: &Context,
    group: &TrinoClusterGroup,
    revision: Option<&str>,
    members: &[Arc<TrinoCluster>],
) -> Result<Canary, Error> {
    let asked = group.spec.rollout.as_ref().and_then(|rollout| rollout.canary.as_ref());
    let known = group.status.as_ref().and_then(|status| status.canary.clone());
    let known = known.filter(|canary| Some(canary.revision.as_str()) == revision);
    let (Some(asked), Some(revision)) = (asked, revision) else { return Ok(Canary::default()) };
    let (new, old): (Vec<_>, Vec<_>) =
        members.iter().partition(|cluster| group::revision_of(cluster).as_str() == revision);
    // A revision that has served already needs to show nothing, and one that replaces none has nothing to be compared with.
    if new.iter().any(|cluster| has_served(cluster)) || !old.iter().any(|cluster| has_served(cluster)) {
        return Ok(Canary { status: known, holds: false });
    }
    let terms = terms(canary_terms(asked)?);
    let (new, old) = (serving(new), serving(old));
    if known.is_none() && new.is_empty() {
        return Ok(Canary { status: None, holds: true });
    }
    let mut baseline = known.as_ref().map(|canary| canary.baseline.clone()).unwrap_or_default();
    let running = known.as_ref().is_none_or(|canary| canary.stage == CanaryStage::Running);
    let comparison = if running {
        let old = sample(context, &old, &terms, &mut baseline).await;
        Some(Comparison { old, new: sample(context, &new, &terms, &mut baseline).await })
    } else {
        known
            .as_ref()
            .and_then(|canary| Some(Comparison { old: read(canary.old.as_ref()?), new: read(canary.new.as_ref()?) }))
    };
    let promoted = group.annotations().get(PROMOTE).is_some_and(|promoted| promoted == revision);
    let now = whole_second(context.now());
    let progress = judge(&terms, known.as_ref().map(progress).as_ref(), promoted, comparison.as_ref(), now);
    let status = status_of(revision, &terms, progress, comparison.as_ref(), baseline);
    let holds = status.stage != CanaryStage::Promoted;
    Ok(Canary { status: Some(status), holds })
}

/// Whether the cluster took its full part once.
fn has_served(cluster: &TrinoCluster) -> bool {
    let verified = cluster.status.as_ref().and_then(|status| status.was_ready).unwrap_or(false);
    verified && !group::is_on_probation(cluster)
}

fn serving(mut clusters: Vec<&Arc<TrinoCluster>>) -> Vec<&Arc<TrinoCluster>> {
    clusters.retain(|cluster| cluster::takes_queries(cluster));
    clusters
}

fn terms(CanaryTerms { steps, failure_increase, latency_increase, least_queries }: CanaryTerms) -> Terms {
    Terms {
        steps: steps.into_iter().map(|(weight, time)| Step { weight, time }).collect(),
        error_margin: f64::from(failure_increase),
        latency_margin: latency_increase.map(f64::from),
        least_queries,
    }
}

/// What the clusters answered since their baselines, which those get that have none. One that does not answer counts for
/// nothing this time.
async fn sample(
    context: &Context,
    clusters: &[&Arc<TrinoCluster>],
    terms: &Terms,
    baseline: &mut Vec<CanaryBaseline>,
) -> Sample {
    let mut sample = Sample::default();
    for cluster in clusters {
        let name = cluster.name_any();
        let Some(outcomes) = outcomes(context, cluster).await else { continue };
        let counted =
            CanaryBaseline { queries: signed(outcomes.ended), failed: signed(outcomes.failed), cluster: name };
        let known = baseline.iter_mut().find(|known| known.cluster == counted.cluster);
        let began = match known {
            // A coordinator that started anew counts from nothing.
            Some(known) if known.queries > counted.queries => {
                (known.queries, known.failed) = (0, 0);
                (0, 0)
            }
            Some(known) => (known.queries, known.failed),
            None => {
                baseline.push(counted.clone());
                (counted.queries, counted.failed)
            }
        };
        sample.ended += unsigned(counted.queries - began.0);
        sample.failed += unsigned(counted.failed - began.1);
        let enough = outcomes.recent >= f64::from(u32::try_from(terms.least_queries).unwrap_or(u32::MAX));
        sample.latency = sample.latency.max(outcomes.latency.filter(|_| enough));
    }
    sample
}

async fn outcomes(context: &Context, cluster: &TrinoCluster) -> Option<Outcomes> {
    let at = Coordinator::of(context, cluster).await.ok()?;
    work::outcomes(&String::from_utf8_lossy(&statement::read(context, &at, work::OUTCOMES).await.ok()?))
}

fn progress(status: &CanaryStatus) -> Progress {
    let at = status.step.and_then(|step| usize::try_from(step - 1).ok()).unwrap_or(0);
    let stage = match status.stage {
        CanaryStage::Running => Stage::Step(at),
        CanaryStage::Promoted => Stage::Promoted,
        CanaryStage::Aborted => Stage::Aborted,
    };
    Progress { stage, since: status.since.0, reason: status.reason.clone() }
}

fn status_of(
    revision: &str,
    terms: &Terms,
    Progress { stage, since, reason }: Progress,
    comparison: Option<&Comparison>,
    baseline: Vec<CanaryBaseline>,
) -> CanaryStatus {
    let (stage, step, weight) = match stage {
        Stage::Step(at) => (CanaryStage::Running, Some(at), terms.steps.get(at).map_or(0, |step| step.weight)),
        Stage::Promoted => (CanaryStage::Promoted, None, 100),
        Stage::Aborted => (CanaryStage::Aborted, None, 0),
    };
    CanaryStatus {
        revision: revision.to_owned(),
        stage,
        step: step.and_then(|at| i32::try_from(at + 1).ok()),
        weight: i32::try_from(weight).unwrap_or(100),
        since: Time(since),
        reason,
        old: comparison.map(|comparison| written(&comparison.old)),
        new: comparison.map(|comparison| written(&comparison.new)),
        baseline,
    }
}

fn written(sample: &Sample) -> CanarySample {
    let latency_millis = sample.latency.and_then(|latency| i64::try_from(latency.as_millis()).ok());
    CanarySample { queries: signed(sample.ended), failed: signed(sample.failed), latency_millis }
}

fn read(sample: &CanarySample) -> Sample {
    let latency = sample.latency_millis.map(unsigned).map(Duration::from_millis);
    Sample { ended: unsigned(sample.queries), failed: unsigned(sample.failed), latency }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

/// What a group says while its canary is under way, or was aborted.
pub(super) fn conditions(canary: &CanaryStatus) -> Option<Conditions> {
    let compared = canary.old.as_ref().zip(canary.new.as_ref()).map(|(old, new)| {
        let CanarySample { queries, failed, .. } = new;
        format!("; {failed} of {queries} queries failed there, {} of {} elsewhere", old.failed, old.queries)
    });
    let compared = compared.unwrap_or_default();
    match canary.stage {
        CanaryStage::Promoted => None,
        CanaryStage::Running => {
            let (step, weight) = (canary.step.unwrap_or(1), canary.weight);
            let message = format!("step {step}: the new clusters get {weight} % of new queries{compared}");
            Some(Conditions::Reconciling { serving: true, reason: "Canary", message })
        }
        CanaryStage::Aborted => {
            let reason = canary.reason.as_deref().unwrap_or("it was worse");
            let message = format!(
                "the new clusters get no queries any more: {reason}. The clusters that served go on; correct spec.template, \
                 go back (kubectl warren rollback), or let them take over all the same (kubectl warren promote)"
            );
            Some(Conditions::Stalled { serving: true, reason: "CanaryAborted", message })
        }
    }
}
