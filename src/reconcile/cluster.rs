//! Reconciles a TrinoCluster: its pods and all that stands beside them, its status, and their removal in order.

use std::{sync::Arc, time::Duration};

use k8s_openapi::{
    api::{
        apps::v1::{ControllerRevision, Deployment},
        autoscaling::v2::HorizontalPodAutoscaler,
        core::v1::{ConfigMap, Pod, Service, ServiceAccount},
        networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
    },
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::{
    ResourceExt,
    runtime::{
        controller::Action,
        events::EventType,
        finalizer::{Event, finalizer},
    },
};

use super::{
    apply::Applied,
    assess::{self, Assessment, Trouble},
    catalog, certificates,
    context::Context,
    credential, drain,
    error::Error,
    events,
    index::{Index, Watched, label},
    needed, rendered, secrets,
    status::HasStatus,
    verify, workers,
};
use crate::{
    api::{ClusterPhase, Conditions, READY, ServingIntent, TrinoCluster, TrinoClusterStatus, WorkersStatus},
    desired::{
        Revision, catalogs,
        cluster::{self, Circumstances, ClusterIdentity, ClusterObjects},
        cluster_revision,
        labels::{self, CLUSTER, GROUP, component, selector_text},
    },
    lifecycle::{drain::State, verify::State as Verified},
};

/// Holds a TrinoCluster until its pods and all else of it are gone.
pub const FINALIZER: &str = "trinowarren.io/cluster";

/// How often a cluster is looked at although nothing happened.
const RESYNC: Duration = Duration::from_mins(10);

/// Brings a cluster to what its spec asks for, or removes it.
pub(super) async fn reconcile(cluster: Arc<TrinoCluster>, context: &Context) -> Result<Action, Error> {
    let api = context.api::<TrinoCluster>(&cluster.namespace().unwrap_or_default());
    let outcome = finalizer(&api, FINALIZER, cluster, async |event| match event {
        Event::Apply(cluster) => bring_up(cluster, context).await,
        Event::Cleanup(cluster) => take_down(&cluster, context).await,
    });
    Ok(outcome.await?)
}

/// The five steps: fetch, check, build, apply, status. Only the first and the last two need the client.
async fn bring_up(cluster: Arc<TrinoCluster>, context: &Context) -> Result<Action, Error> {
    let cluster = workers::seeded(context, cluster).await?;
    let cluster = with_catalogs(cluster, &context.index)?;
    let identity = identity(&cluster);
    let revision = cluster_revision(&cluster.spec);
    let name = cluster::revision_name(&identity, &revision);
    let rendered = match rendered::kept(&context.index, &identity.namespace, &name)? {
        Some(rendered) => rendered,
        None => cluster::render(&identity, &cluster.spec)?,
    };
    let hibernates = hibernates(&cluster, &revision);
    let workers = workers::settle(context, &cluster, &identity, &revision, &rendered).await?;
    let gateway = events::gateway_of(&context.index, &cluster);
    let circumstances = Circumstances {
        workers: Some(workers.replicas),
        drained: is_drained(&cluster),
        hibernates,
        operator_namespace: context.namespace.as_deref(),
        events_gateway: gateway.as_deref(),
    };
    let objects = cluster::objects(&identity, &cluster.spec, circumstances, &revision, &rendered);
    let objects = objects.ok_or(Error::Incomplete(name))?;
    // All Secrets before the pods that read them.
    secrets::create(context, &identity, &cluster.spec).await?;
    let event_token = events::settle(context, &identity, &objects).await?;
    let certificates = certificates::settle(context, &cluster, &identity).await?;
    let credential = credential::settle(context, &cluster, &identity).await?;
    let applied = apply(context, objects).await?;
    workers::autoscale(context, &identity, &cluster.spec).await?;
    if hibernates {
        return hibernate(context, &cluster, &identity, &revision).await;
    }
    let mut assessment = assess(&cluster, &applied, &context.index, was_verified(&cluster, &revision));
    let mut verification = cluster.status.as_ref().and_then(|status| status.verification.clone());
    let missing = needed::missing_of_cluster(context, &identity, &cluster.spec).await?;
    let sooner = [certificates.again, credential.again, missing.is_some().then_some(needed::RETRY)];
    let mut again = sooner.into_iter().flatten().fold(RESYNC, Duration::min);
    if assessment.phase == ClusterPhase::Verifying {
        let (state, found) = verify::look(context, &cluster, assessment.settled).await?;
        verification = Some(found);
        (assessment, again) = match state {
            Verified::Passed => (assess(&cluster, &applied, &context.index, true), again),
            Verified::GoesOn(why) => (assessment.verifying(&why), verify::INTERVAL.min(again)),
            Verified::Overdue(why) => (assessment.unverified(&why), verify::PATIENCE.min(again)),
        };
    } else if !assessment.was_ready {
        verification = None;
    }
    let assessment = assessment.with_workers(&workers);
    let fault = certificates.fault.map(|message| Trouble { reason: "CertificateInvalid", message });
    let assessment = assessment.stalled(fault).stalled(missing);
    let status = status_of(&cluster, &identity, &revision, &assessment, context.now());
    let status = TrinoClusterStatus {
        verification,
        event_token,
        tls: certificates.status,
        credential: credential.status,
        ..status
    };
    if assessment.phase == ClusterPhase::Draining {
        // What is drained stays so until an edit.
        let over = is_drained(&cluster) || look(context, &cluster, &identity, status).await? != State::GoesOn;
        return Ok(Action::requeue(if over && !workers.busy { again } else { drain::INTERVAL.min(again) }));
    }
    context.write_status(&*cluster, TrinoClusterStatus { draining: None, ..status }, &assessment.conditions).await?;
    if assessment.phase == ClusterPhase::Active {
        prune(context, &identity, &revision, &applied).await?;
    }
    Ok(Action::requeue(if workers.busy { workers::INTERVAL.min(again) } else { again }))
}

/// The cluster with the TrinoCatalogs that its selector picks as they stand now: a group resolves them, whoever makes a cluster by
/// hand does not. They are part of its spec in memory alone.
fn with_catalogs(cluster: Arc<TrinoCluster>, index: &Index) -> Result<Arc<TrinoCluster>, Error> {
    if catalogs::selector(&cluster.spec).is_none() {
        return Ok(cluster);
    }
    let spec = catalog::resolved(index, &cluster.namespace().unwrap_or_default(), &cluster.spec);
    Ok(Arc::new(TrinoCluster { spec: spec.map_err(Error::Catalogs)?, ..TrinoCluster::clone(&cluster) }))
}

/// Whether the cluster is to have no pods: it has no queries any more, or never had one.
fn hibernates(cluster: &TrinoCluster, revision: &Revision) -> bool {
    let asked = cluster.spec.serving == Some(ServingIntent::Hibernated);
    asked && (is_drained(cluster) || !was_verified(cluster, revision))
}

/// Says how far a cluster without pods is. It is verified anew when it comes back.
async fn hibernate(
    context: &Context,
    cluster: &TrinoCluster,
    identity: &ClusterIdentity,
    revision: &Revision,
) -> Result<Action, Error> {
    let pods = Pod::labelled(&context.index, &identity.namespace, CLUSTER, &identity.name).len();
    let (phase, conditions) = if pods == 0 {
        let message = "its pods are gone, all else is kept; spec.serving: Active brings it back".to_owned();
        (ClusterPhase::Hibernated, Conditions::Ready { reason: "Hibernated", message })
    } else {
        let message = format!("no query is left; {pods} pods are to go");
        (ClusterPhase::Drained, Conditions::Reconciling { serving: false, reason: "Hibernating", message })
    };
    let status = TrinoClusterStatus {
        phase: Some(phase),
        was_ready: Some(false),
        revision: Some(revision.to_string()),
        serving_since: None,
        verification: None,
        draining: None,
        workers: Some(WorkersStatus::default()),
        ..cluster.status.clone().unwrap_or_default()
    };
    context.write_status(cluster, status, &conditions).await?;
    Ok(Action::requeue(RESYNC))
}

/// Whether the drain that the spec asks for is over.
pub(super) fn is_drained(cluster: &TrinoCluster) -> bool {
    let told = cluster.status.as_ref().filter(|status| status.observed_generation == cluster.metadata.generation);
    told.is_some_and(|status| matches!(status.phase, Some(ClusterPhase::Drained | ClusterPhase::Hibernated)))
}

/// Whether new queries come to the cluster.
pub(super) fn takes_queries(cluster: &TrinoCluster) -> bool {
    let active = cluster.spec.serving.unwrap_or_default() == ServingIntent::Active;
    let ready = cluster.status.as_ref().is_some_and(|status| READY.holds(&status.conditions));
    active && ready && cluster.metadata.deletion_timestamp.is_none()
}

/// Looks once at a draining cluster, writes down what is found, and names what is cut when the time is over.
async fn look(
    context: &Context,
    cluster: &TrinoCluster,
    identity: &ClusterIdentity,
    status: TrinoClusterStatus,
) -> Result<State, Error> {
    let (verdict, found) = drain::look(context, cluster, identity).await?;
    let conditions = match verdict.state {
        State::GoesOn => Conditions::Reconciling { serving: true, reason: "Draining", message: drain::message(&found) },
        State::Proven => {
            Conditions::Ready { reason: "Drained", message: "takes no new queries, and none is left".to_owned() }
        }
        State::Overdue => {
            Conditions::Ready { reason: "DrainDeadlinePassed", message: drain::overdue_message(&verdict, &found) }
        }
    };
    if verdict.state == State::Overdue {
        context.publish(cluster, EventType::Warning, conditions.reason(), conditions.message()).await;
    }
    let phase = if verdict.state == State::GoesOn { ClusterPhase::Draining } else { ClusterPhase::Drained };
    let status = TrinoClusterStatus { phase: Some(phase), draining: Some(found), ..status };
    context.write_status(cluster, status, &conditions).await?;
    Ok(verdict.state)
}

/// Who `cluster` is.
pub(super) fn identity(cluster: &TrinoCluster) -> ClusterIdentity {
    ClusterIdentity {
        name: cluster.name_any(),
        namespace: cluster.namespace().unwrap_or_default(),
        uid: cluster.uid().unwrap_or_default(),
        in_group: label(cluster, GROUP).is_some(),
    }
}

/// The objects whose state tells how the cluster is, and the names of those that are replaced with each revision.
struct AppliedCluster {
    coordinator: Applied<Deployment>,
    workers: Applied<Deployment>,
    config_maps: Vec<String>,
}

/// Applies all objects; what pods need comes before them.
async fn apply(context: &Context, objects: ClusterObjects) -> Result<AppliedCluster, Error> {
    let ClusterObjects {
        revision,
        service_account,
        config_maps,
        services,
        events,
        network_policies,
        disruption_budgets,
        coordinator,
        workers,
    } = objects;
    context.apply(revision).await?;
    context.apply(service_account).await?;
    let names = config_maps.iter().map(ResourceExt::name_any).collect();
    for config_map in config_maps {
        context.apply(config_map).await?;
    }
    for service in services.into_iter().chain(events) {
        context.apply(service).await?;
    }
    for policy in network_policies {
        context.apply(policy).await?;
    }
    for budget in disruption_budgets {
        context.apply(budget).await?;
    }
    Ok(AppliedCluster {
        coordinator: context.apply(coordinator).await?,
        workers: context.apply(workers).await?,
        config_maps: names,
    })
}

fn assess(cluster: &TrinoCluster, applied: &AppliedCluster, index: &Index, was_ready: bool) -> Assessment {
    let namespace = cluster.namespace().unwrap_or_default();
    let pods = Pod::labelled(index, &namespace, CLUSTER, &cluster.name_any());
    assess::cluster(&cluster.spec, was_ready, &applied.coordinator, &applied.workers, &pods)
}

/// Whether `revision` of the cluster passed its verification.
fn was_verified(cluster: &TrinoCluster, revision: &Revision) -> bool {
    let known = cluster.status.as_ref().filter(|status| status.revision.as_deref() == Some(revision.as_str()));
    known.and_then(|status| status.was_ready).unwrap_or(false)
}

fn status_of(
    cluster: &TrinoCluster,
    identity: &ClusterIdentity,
    revision: &Revision,
    assessment: &Assessment,
    now: jiff::Timestamp,
) -> TrinoClusterStatus {
    let known = cluster.status.as_ref().and_then(|status| status.serving_since.clone());
    TrinoClusterStatus {
        serving_since: known.or_else(|| assessment.was_ready.then_some(Time(now))),
        phase: Some(assessment.phase),
        was_ready: Some(assessment.was_ready),
        revision: Some(revision.to_string()),
        selector: Some(selector_text(&identity.selector(component::WORKER))),
        workers: Some(assessment.workers.clone()),
        ..cluster.status.clone().unwrap_or_default()
    }
}

/// Removes the files and revisions that no pod uses any more.
async fn prune(
    context: &Context,
    identity: &ClusterIdentity,
    revision: &Revision,
    applied: &AppliedCluster,
) -> Result<(), Error> {
    let current = cluster::revision_name(identity, revision);
    for kept in ControllerRevision::labelled(&context.index, &identity.namespace, CLUSTER, &identity.name) {
        if kept.name_any() != current {
            context.delete(&*kept).await?;
        }
    }
    for config_map in ConfigMap::labelled(&context.index, &identity.namespace, CLUSTER, &identity.name) {
        if !applied.config_maps.contains(&config_map.name_any()) {
            context.delete(&*config_map).await?;
        }
    }
    Ok(())
}

/// Removes a cluster: its queries end first, then it leaves the routing, then its pods go, then the rest.
async fn take_down(cluster: &TrinoCluster, context: &Context) -> Result<Action, Error> {
    let identity = identity(cluster);
    if has_queries(cluster) {
        let state = look(context, cluster, &identity, cluster.status().cloned().unwrap_or_default()).await?;
        if state == State::GoesOn {
            return Err(Error::StillDraining);
        }
    }
    let status =
        TrinoClusterStatus { phase: Some(ClusterPhase::Terminating), ..cluster.status().cloned().unwrap_or_default() };
    let message = "the cluster is being removed: first its pods, then the rest".to_owned();
    let conditions = Conditions::Reconciling { serving: false, reason: "Terminating", message };
    context.write_status(cluster, status, &conditions).await?;
    if remove(context, &identity.namespace, &identity.name).await? {
        Ok(Action::await_change())
    } else {
        Err(Error::StillThere)
    }
}

/// Whether a cluster that is being removed may have queries, which end first.
fn has_queries(cluster: &TrinoCluster) -> bool {
    let phase = cluster.status.as_ref().and_then(|status| status.phase);
    let served = cluster.status.as_ref().is_some_and(|status| status.serving_since.is_some());
    served
        && !labels::is_forced(&cluster.metadata)
        && !matches!(phase, Some(ClusterPhase::Drained | ClusterPhase::Terminating))
}

/// Deletes what belongs to the cluster of that name, workloads before the rest; whether all is gone.
pub(super) async fn remove(context: &Context, namespace: &str, name: &str) -> Result<bool, Error> {
    let pods = Pod::labelled(&context.index, namespace, CLUSTER, name);
    delete_all::<HorizontalPodAutoscaler>(context, namespace, name).await?;
    let deployments = delete_all::<Deployment>(context, namespace, name).await?;
    if deployments > 0 || !pods.is_empty() {
        return Ok(false);
    }
    let mut left = 0;
    left += delete_all::<PodDisruptionBudget>(context, namespace, name).await?;
    left += delete_all::<Service>(context, namespace, name).await?;
    left += delete_all::<NetworkPolicy>(context, namespace, name).await?;
    left += delete_all::<ConfigMap>(context, namespace, name).await?;
    left += delete_all::<ControllerRevision>(context, namespace, name).await?;
    left += delete_all::<ServiceAccount>(context, namespace, name).await?;
    let identity = ClusterIdentity::named(name, namespace);
    secrets::remove(context, &identity).await?;
    certificates::remove(context, &identity).await?;
    Ok(left == 0)
}

/// Deletes the cluster's objects of a kind; how many there were.
async fn delete_all<K: Watched>(context: &Context, namespace: &str, name: &str) -> Result<usize, Error> {
    let objects = K::labelled(&context.index, namespace, CLUSTER, name);
    for object in &objects {
        context.delete(&**object).await?;
    }
    Ok(objects.len())
}
