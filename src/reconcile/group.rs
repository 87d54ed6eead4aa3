//! Reconciles a TrinoClusterGroup: makes, updates, drains and removes its clusters as `lifecycle` decides.

use std::{sync::Arc, time::Duration};

use kube::{
    ResourceExt,
    api::{ListParams, Patch, PatchParams},
    runtime::{
        controller::Action,
        finalizer::{Event, finalizer},
    },
};

use serde_json::json;

use super::{
    canary::{self, Canary},
    cluster::{is_drained, takes_queries},
    context::Context,
    drain,
    error::Error,
    external,
    index::{Watched, label},
    needed,
    template::Target,
    workers,
};
use crate::{
    api::{
        CanaryStage, CanaryStatus, ClusterSummary, ClusterTemplate, Conditions, READY, STALLED, ServingIntent,
        TrinoCluster, TrinoClusterGroup, TrinoClusterGroupStatus,
    },
    desired::{
        group::{self, GroupIdentity},
        labels::{self, DRAINING_SINCE, FORCE_REMOVAL, GROUP, MOVING_SINCE, OWNER_UID, selector_text},
    },
    lifecycle::{self, Asked, Intake, Member, Plan},
};

/// Holds a TrinoClusterGroup until its clusters are gone.
pub const FINALIZER: &str = "trinowarren.io/group";

const RESYNC: Duration = Duration::from_mins(10);

/// Brings a group to what its spec asks for, or removes it.
pub(super) async fn reconcile(group: Arc<TrinoClusterGroup>, context: &Context) -> Result<Action, Error> {
    let api = context.api::<TrinoClusterGroup>(&group.namespace().unwrap_or_default());
    let outcome = finalizer(&api, FINALIZER, group, async |event| match event {
        Event::Apply(group) => bring_up(group, context).await,
        Event::Cleanup(group) => take_down(&group, context).await,
    });
    Ok(outcome.await?)
}

/// Who `group` is.
pub(super) fn identity(group: &TrinoClusterGroup) -> GroupIdentity {
    GroupIdentity {
        name: group.name_any(),
        namespace: group.namespace().unwrap_or_default(),
        uid: group.uid().unwrap_or_default(),
    }
}

async fn bring_up(group: Arc<TrinoClusterGroup>, context: &Context) -> Result<Action, Error> {
    let identity = identity(&group);
    let mut clusters = TrinoCluster::labelled(&context.index, &identity.namespace, GROUP, &identity.name);
    let members: Vec<_> = clusters.iter().filter(|cluster| is_member(&identity, cluster)).cloned().collect();
    let target = Target::of(&group, &members, &context.index)?;
    let canary = canary::look(context, &group, target.revision.as_deref(), &members).await?;
    let mut plan = decide(&group, &identity, &clusters, &canary, &target);
    if plan.create > 0 {
        // The index may lag behind what was just made: ask the API server itself before making more.
        clusters = list_live(context, &identity).await?;
        plan = decide(&group, &identity, &clusters, &canary, &target);
    }
    let group = execute(context, group, &target, &identity, &clusters, &plan).await?;
    let clusters = TrinoCluster::labelled(&context.index, &identity.namespace, GROUP, &identity.name);
    let missing_secret = external::missing_secret(context, &group).await?;
    let external = external::look(context, &group).await?;
    let resync = match &canary.status {
        _ if external::drains(&external) => drain::INTERVAL,
        Some(canary) if canary.stage == CanaryStage::Running => canary::INTERVAL,
        _ if missing_secret.is_some() => needed::RETRY,
        _ => RESYNC,
    };
    let conditions =
        missing_secret.or_else(|| target.conditions(clusters.iter().any(|cluster| takes_queries(cluster))));
    let conditions = conditions.unwrap_or_else(|| {
        let own = conditions_of(&group, &plan, canary.status.as_ref(), &clusters);
        let leaving = external::conditions(&group, &external).filter(|_| matches!(own, Conditions::Ready { .. }));
        leaving.unwrap_or(own)
    });
    let status = status_of(&group, &identity, &clusters, &plan, target.revision);
    let status = TrinoClusterGroupStatus { canary: canary.status, external, ..status };
    context.write_status(&*group, status, &conditions).await?;
    Ok(Action::requeue(resync))
}

/// Fetches what the decision is made from and makes it.
fn decide(
    group: &TrinoClusterGroup,
    identity: &GroupIdentity,
    clusters: &[Arc<TrinoCluster>],
    canary: &Canary,
    target: &Target,
) -> Plan {
    let asked = Asked {
        replicas: group::replicas(&group.spec),
        revision: target.revision.as_deref().unwrap_or_default(),
        surge: group::max_surge(&group.spec),
        promoted: !canary.holds,
    };
    let members: Vec<_> =
        clusters.iter().filter(|cluster| is_member(identity, cluster)).map(|cluster| member(cluster)).collect();
    lifecycle::plan(&asked, &members)
}

fn is_own(identity: &GroupIdentity, cluster: &TrinoCluster) -> bool {
    label(cluster, OWNER_UID) == Some(identity.uid.as_str())
}

/// Whether the group decides about the cluster: it is the group's own, and not being deleted.
fn is_member(identity: &GroupIdentity, cluster: &TrinoCluster) -> bool {
    is_own(identity, cluster) && cluster.metadata.deletion_timestamp.is_none()
}

fn member(cluster: &TrinoCluster) -> Member {
    let name = cluster.name_any();
    let conditions = cluster.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let was_ready = cluster.status.as_ref().and_then(|status| status.was_ready).unwrap_or(false);
    let intake = match cluster.spec.serving.unwrap_or_default() {
        ServingIntent::Active => Intake::Open,
        _ if is_drained(cluster) => Intake::Drained,
        ServingIntent::Drained | ServingIntent::Hibernated => Intake::Draining,
    };
    Member {
        ordinal: GroupIdentity::ordinal(&name).unwrap_or(0),
        revision: group::revision_of(cluster).to_string(),
        was_ready,
        is_ready: was_ready && READY.holds(conditions),
        intake,
        proven: !group::is_on_probation(cluster),
        leaving: cluster.annotations().contains_key(MOVING_SINCE),
        name,
    }
}

async fn list_live(context: &Context, identity: &GroupIdentity) -> Result<Vec<Arc<TrinoCluster>>, Error> {
    let parameters = ListParams::default().labels(&selector_text(&identity.selector()));
    let listed = context.api::<TrinoCluster>(&identity.namespace).list(&parameters).await;
    let listed = listed.map_err(Error::api("list the group's TrinoClusters"))?;
    Ok(listed.items.into_iter().map(Arc::new).collect())
}

/// Does what the plan says; returns the group as it stands then.
async fn execute(
    context: &Context,
    group: Arc<TrinoClusterGroup>,
    target: &Target,
    identity: &GroupIdentity,
    clusters: &[Arc<TrinoCluster>],
    plan: &Plan,
) -> Result<Arc<TrinoClusterGroup>, Error> {
    let named = |name: &String| clusters.iter().find(|cluster| cluster.name_any() == *name);
    // Who is to take queries does so before others stop, should this be cut off in between.
    if let Some(template) = &target.template {
        for name in &plan.keep {
            let cluster = identity.cluster(name, template, group.spec.rollout.as_ref(), plan.on_probation);
            context.apply(workers::begin(cluster, &template.spec, clusters)).await?;
        }
    }
    // Of those that drain already, the group's own: what a user alone drains, a user may take back.
    let of_group = |cluster: &&Arc<TrinoCluster>| cluster.annotations().contains_key(DRAINING_SINCE);
    let draining = plan.draining.iter().filter_map(named).filter(of_group);
    for cluster in plan.drain.iter().filter_map(named).chain(draining) {
        let since = cluster.annotations().get(DRAINING_SINCE).cloned().unwrap_or_else(|| context.now().to_string());
        let (template, rollout) = (group.spec.template.as_ref(), group.spec.rollout.as_ref());
        context.apply(identity.drained(cluster, template, rollout, since)).await?;
    }
    for cluster in plan.remove.iter().filter_map(named) {
        // It may have become ready since.
        context.delete_as_seen(&**cluster).await?;
    }
    let Some(template) = &target.template else { return Ok(group) };
    if plan.create == 0 {
        return Ok(group);
    }
    create(context, &group, identity, template, clusters, plan).await
}

/// Makes new clusters. Their numbers are written down before they are made, on top of the group as it was last seen, so
/// that a crash in between or a stale index never gives one twice. Numbers that were written down and not used are used first.
async fn create(
    context: &Context,
    group: &TrinoClusterGroup,
    identity: &GroupIdentity,
    template: &ClusterTemplate,
    clusters: &[Arc<TrinoCluster>],
    plan: &Plan,
) -> Result<Arc<TrinoClusterGroup>, Error> {
    let mut group = group.clone();
    if !claimed(&group, clusters).is_empty() {
        // One that was used since may be gone again.
        let live = context.api(&identity.namespace).get(&identity.name).await;
        group = live.map_err(Error::api("read the group"))?;
    }
    let mut ordinals = claimed(&group, clusters);
    ordinals.truncate(plan.create);
    if ordinals.len() < plan.create {
        let mut status = group.status.clone().unwrap_or_default();
        while ordinals.len() < plan.create {
            status.last_ordinal += 1;
            ordinals.push(status.last_ordinal);
        }
        status.claimed_ordinals.clone_from(&ordinals);
        group = context.replace_status(&group, status).await?;
    }
    for ordinal in ordinals {
        let name = identity.cluster_name(ordinal);
        let cluster = identity.cluster(&name, template, group.spec.rollout.as_ref(), plan.on_probation);
        context.apply(workers::begin(cluster, &template.spec, clusters)).await?;
    }
    Ok(Arc::new(group))
}

/// The numbers that were written down for clusters of which none was seen.
fn claimed(group: &TrinoClusterGroup, clusters: &[Arc<TrinoCluster>]) -> Vec<i64> {
    let used: Vec<_> = clusters.iter().filter_map(|cluster| GroupIdentity::ordinal(&cluster.name_any())).collect();
    let claimed = group.status.iter().flat_map(|status| &status.claimed_ordinals);
    claimed.filter(|ordinal| !used.contains(ordinal)).copied().collect()
}

fn conditions_of(
    group: &TrinoClusterGroup,
    plan: &Plan,
    canary: Option<&CanaryStatus>,
    clusters: &[Arc<TrinoCluster>],
) -> Conditions {
    let serving = clusters.iter().any(|cluster| takes_queries(cluster));
    let kept = |cluster: &&Arc<TrinoCluster>| plan.keep.contains(&cluster.name_any());
    let stalled = clusters.iter().filter(kept).find_map(|cluster| {
        let conditions = &cluster.status.as_ref()?.conditions;
        let stalled = conditions.iter().find(|condition| condition.type_ == STALLED.0 && condition.status == "True")?;
        Some(format!("TrinoCluster {:?}: {}", cluster.name_any(), stalled.message))
    });
    if let Some(message) = stalled {
        let message = if serving { format!("{message}. The clusters that served go on") } else { message };
        return Conditions::Stalled { serving, reason: "ClusterStalled", message };
    }
    if let Some(conditions) = canary.filter(|_| !plan.hold.is_empty()).and_then(canary::conditions) {
        return conditions;
    }
    let asked = group::replicas(&group.spec);
    let ready = clusters.iter().filter(kept).filter(|cluster| takes_queries(cluster)).count();
    if ready < asked {
        let first = clusters.iter().filter(kept).find(|cluster| !takes_queries(cluster));
        let what = first.and_then(|cluster| {
            let message = &cluster.status.as_ref()?.conditions.first()?.message;
            Some(format!("; TrinoCluster {:?}: {message}", cluster.name_any()))
        });
        let message = format!("waiting for clusters: {ready} of {asked} are ready{}", what.unwrap_or_default());
        return Conditions::Reconciling { serving, reason: "ClustersStarting", message };
    }
    if plan.is_settled() {
        let message = format!("{asked} clusters take queries");
        return Conditions::Ready { reason: "ClustersReady", message };
    }
    let old = plan.hold.len() + plan.drain.len() + plan.draining.len() + plan.remove.len();
    let message = format!("{asked} clusters take queries; {old} that were replaced serve their running queries and go");
    Conditions::Reconciling { serving: true, reason: "ClustersDraining", message }
}

fn status_of(
    group: &TrinoClusterGroup,
    identity: &GroupIdentity,
    clusters: &[Arc<TrinoCluster>],
    plan: &Plan,
    update: Option<String>,
) -> TrinoClusterGroupStatus {
    let claimed_ordinals = claimed(group, clusters);
    let mut clusters: Vec<_> = clusters.iter().filter(|cluster| is_own(identity, cluster)).collect();
    clusters.sort_by_key(|cluster| GroupIdentity::ordinal(&cluster.name_any()));
    let count = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
    let previous = group.status.clone().unwrap_or_default();
    let complete = plan.create == 0 && plan.hold.is_empty();
    TrinoClusterGroupStatus {
        replicas: count(clusters.len()),
        ready_replicas: count(clusters.iter().filter(|cluster| takes_queries(cluster)).count()),
        current_revision: if complete { update.clone() } else { previous.current_revision },
        update_revision: update,
        last_ordinal: previous.last_ordinal,
        claimed_ordinals,
        selector: Some(selector_text(&identity.selector())),
        canary: None,
        clusters: clusters
            .into_iter()
            .map(|cluster| ClusterSummary {
                name: cluster.name_any(),
                phase: cluster.status.as_ref().and_then(|status| status.phase),
                version: cluster.spec.version.clone(),
                revision: group::revision_of(cluster).to_string(),
            })
            .collect(),
        external: Vec::new(),
        observed_generation: previous.observed_generation,
        conditions: previous.conditions,
    }
}

/// Lets a cluster go with its running queries.
async fn force(context: &Context, cluster: &TrinoCluster) -> Result<(), Error> {
    let (name, namespace) = (cluster.name_any(), cluster.namespace().unwrap_or_default());
    let patch = Patch::Merge(json!({"metadata": {"annotations": {FORCE_REMOVAL: "true"}}}));
    let patched = context.api::<TrinoCluster>(&namespace).patch(&name, &PatchParams::default(), &patch).await;
    patched.map_err(Error::api(format!("annotate TrinoCluster {name:?}")))?;
    Ok(())
}

/// Removes the group's clusters, each of which removes what belongs to it, and waits until they are gone.
async fn take_down(group: &TrinoClusterGroup, context: &Context) -> Result<Action, Error> {
    let identity = identity(group);
    let clusters: Vec<_> =
        list_live(context, &identity).await?.into_iter().filter(|cluster| is_own(&identity, cluster)).collect();
    let external = external::look(context, group).await?;
    if clusters.is_empty() && external.is_empty() {
        return Ok(Action::await_change());
    }
    let message = format!("waiting for {} clusters to be removed", clusters.len() + external.len());
    let conditions = Conditions::Reconciling { serving: false, reason: "Terminating", message };
    let status = TrinoClusterGroupStatus { external, ..group.status.clone().unwrap_or_default() };
    context.write_status(group, status, &conditions).await?;
    for cluster in clusters {
        if labels::is_forced(&group.metadata) && !labels::is_forced(&cluster.metadata) {
            force(context, &cluster).await?;
        }
        context.delete(&*cluster).await?;
    }
    Err(Error::StillThere)
}
