//! Deployments of coordinator and workers, and what stands beside them.

use k8s_openapi::{
    api::{
        apps::v1::{ControllerRevision, Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::{ConfigMap, ServiceAccount},
        policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    },
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, ObjectMeta},
        runtime::RawExtension,
        util::intstr::IntOrString,
    },
};

use super::{ClusterIdentity, pods::key_of};
use crate::desired::{
    Component, Rendered, Revision,
    labels::{REVISION, component},
    metadata::object_meta,
};

/// What was rendered, kept for as long as the revision is in use.
pub(super) fn revision(cluster: &ClusterIdentity, revision: &Revision, rendered: &Rendered) -> ControllerRevision {
    let mut labels = cluster.labels(None);
    labels.insert(REVISION.into(), revision.to_string());
    ControllerRevision {
        metadata: object_meta(super::revision_name(cluster, revision), &cluster.namespace, &labels),
        revision: 1,
        data: Some(RawExtension(serde_json::to_value(rendered).expect("what was rendered is JSON by its type"))),
    }
}

/// The account of coordinator and workers. It has no rights, and no token is mounted.
pub(super) fn service_account(cluster: &ClusterIdentity) -> ServiceAccount {
    ServiceAccount {
        metadata: object_meta(cluster.name.clone(), &cluster.namespace, &cluster.labels(None)),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}

/// The files of a component. Its name changes with its content, so it may be immutable.
pub(super) fn config_map(cluster: &ClusterIdentity, component: &str, part: &Component) -> ConfigMap {
    let name = super::config_map_name(cluster, component, part);
    ConfigMap {
        metadata: object_meta(name, &cluster.namespace, &cluster.labels(Some(component))),
        immutable: Some(true),
        data: Some(part.files.iter().map(|(path, text)| (key_of(path), text.clone())).collect()),
        binary_data: None,
    }
}

/// The coordinator: a Deployment that never runs two at once of its own will. A StatefulSet would never replace its pod on
/// a dead node, and would stick on a broken revision.
pub(super) fn coordinator(
    cluster: &ClusterIdentity,
    revision: &Revision,
    part: &Component,
    replicas: i32,
) -> Deployment {
    let strategy = DeploymentStrategy { type_: Some("Recreate".into()), rolling_update: None };
    deployment(
        cluster,
        component::COORDINATOR,
        cluster.coordinator_name(),
        revision,
        DeploymentSpec {
            replicas: Some(replicas),
            strategy: Some(strategy),
            template: part.template.clone(),
            ..DeploymentSpec::default()
        },
    )
}

/// How long a worker is ready before it counts as available. A coordinator of Trino (470 and 476) uses a worker that just
/// announced itself, takes it for failed until its failure detector has warmed up (5 s), and only then uses it for good;
/// queries in between fail with `No nodes available to run query`. Its polls and caches (of 5 to 10 s) add to that.
const SETTLE_SECONDS: i32 = 25;

/// The workers.
pub(super) fn workers(cluster: &ClusterIdentity, revision: &Revision, part: &Component, replicas: i32) -> Deployment {
    let rolling = RollingUpdateDeployment {
        max_surge: Some(IntOrString::String("25%".into())),
        max_unavailable: Some(IntOrString::Int(0)),
    };
    deployment(
        cluster,
        component::WORKER,
        cluster.worker_name(),
        revision,
        DeploymentSpec {
            replicas: Some(replicas),
            min_ready_seconds: Some(SETTLE_SECONDS),
            strategy: Some(DeploymentStrategy { type_: Some("RollingUpdate".into()), rolling_update: Some(rolling) }),
            template: part.template.clone(),
            ..DeploymentSpec::default()
        },
    )
}

fn deployment(
    cluster: &ClusterIdentity,
    component: &str,
    name: String,
    revision: &Revision,
    spec: DeploymentSpec,
) -> Deployment {
    let mut labels = cluster.labels(Some(component));
    labels.insert(REVISION.into(), revision.to_string());
    Deployment {
        metadata: ObjectMeta { ..object_meta(name, &cluster.namespace, &labels) },
        spec: Some(DeploymentSpec {
            selector: LabelSelector { match_labels: Some(cluster.selector(component)), match_expressions: None },
            revision_history_limit: Some(1),
            ..spec
        }),
        status: None,
    }
}

/// Evictions wait for a coordinator that has queries, or may get some; one that is drained may go. Of the workers one may
/// go at a time. Pods that are not ready may always go.
pub(super) fn disruption_budgets(cluster: &ClusterIdentity, drained: bool) -> Vec<PodDisruptionBudget> {
    let budget = |component: &str, name: String, max_unavailable: i32| PodDisruptionBudget {
        metadata: object_meta(name, &cluster.namespace, &cluster.labels(Some(component))),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(max_unavailable)),
            selector: Some(LabelSelector { match_labels: Some(cluster.selector(component)), match_expressions: None }),
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".into()),
            min_available: None,
        }),
        status: None,
    };
    vec![
        budget(component::COORDINATOR, cluster.coordinator_name(), i32::from(drained)),
        budget(component::WORKER, cluster.worker_name(), 1),
    ]
}
