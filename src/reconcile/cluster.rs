//! Reconciles a TrinoCluster: its pods and all that stands beside them, its status, and their removal in order.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::{
    apps::v1::{ControllerRevision, Deployment},
    core::v1::{ConfigMap, Pod, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use kube::{
    ResourceExt,
    runtime::{
        controller::Action,
        finalizer::{Event, finalizer},
    },
};

use super::{
    apply::Applied,
    assess::{self, Assessment, Reached},
    context::Context,
    error::Error,
    index::{Index, Watched},
    rendered, secret_value,
    status::HasStatus,
};
use crate::{
    api::{ClusterPhase, Conditions, TrinoCluster, TrinoClusterStatus},
    desired::{
        Revision,
        cluster::{self, ClusterIdentity, ClusterObjects},
        cluster_revision,
        labels::{CLUSTER, component, selector_text},
    },
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
    let identity = identity(&cluster);
    let revision = cluster_revision(&cluster.spec);
    let name = cluster::revision_name(&identity, &revision);
    let rendered = match rendered::kept(&context.index, &identity.namespace, &name)? {
        Some(rendered) => rendered,
        None => cluster::render(&identity, &cluster.spec)?,
    };
    let objects = cluster::objects(&identity, &cluster.spec, &revision, &rendered).ok_or(Error::Incomplete(name))?;
    context.create_secret_once(&identity.secret(secret_value())).await?;
    let applied = apply(context, objects).await?;
    let assessment = assess(&cluster, &revision, &applied, &context.index);
    let settled = assessment.phase == ClusterPhase::Active;
    let status = status_of(&cluster, &identity, &revision, &assessment);
    context.write_status(&*cluster, status, &assessment.conditions).await?;
    if settled {
        prune(context, &identity, &revision, &applied).await?;
    }
    Ok(Action::requeue(RESYNC))
}

/// Who `cluster` is.
pub(super) fn identity(cluster: &TrinoCluster) -> ClusterIdentity {
    ClusterIdentity {
        name: cluster.name_any(),
        namespace: cluster.namespace().unwrap_or_default(),
        uid: cluster.uid().unwrap_or_default(),
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
        service,
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
    context.apply(service).await?;
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

fn assess(cluster: &TrinoCluster, revision: &Revision, applied: &AppliedCluster, index: &Index) -> Assessment {
    let namespace = cluster.namespace().unwrap_or_default();
    let pods = Pod::labelled(index, &namespace, CLUSTER, &cluster.name_any());
    let same_revision = cluster.status.as_ref().filter(|status| status.revision.as_deref() == Some(revision.as_str()));
    let reached = same_revision.map_or_else(Reached::default, |status| Reached {
        ready: status.was_ready.unwrap_or(false),
        settled: status.settled.unwrap_or(false),
    });
    assess::cluster(&cluster.spec, reached, &applied.coordinator, &applied.workers, &pods)
}

fn status_of(
    cluster: &TrinoCluster,
    identity: &ClusterIdentity,
    revision: &Revision,
    assessment: &Assessment,
) -> TrinoClusterStatus {
    TrinoClusterStatus {
        phase: Some(assessment.phase),
        was_ready: Some(assessment.was_ready),
        settled: Some(assessment.settled),
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

/// Removes a cluster: out of routing first (a gateway leaves out what is being deleted), then its pods, then the rest.
async fn take_down(cluster: &TrinoCluster, context: &Context) -> Result<Action, Error> {
    let identity = identity(cluster);
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

/// Deletes what belongs to the cluster of that name, workloads before the rest; whether all is gone.
pub(super) async fn remove(context: &Context, namespace: &str, name: &str) -> Result<bool, Error> {
    let pods = Pod::labelled(&context.index, namespace, CLUSTER, name);
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
    let identity = ClusterIdentity { name: name.to_owned(), namespace: namespace.to_owned(), uid: String::new() };
    context.delete_secret(namespace, &identity.secret_name()).await?;
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
