//! A TrinoCluster's objects. First [`render`]: the files and pods of a revision, done once and kept. Then [`objects`]: all
//! that belongs to the cluster, from what was rendered.

mod authentication;
mod autoscaler;
mod etc;
mod events;
mod files;
mod graceful;
mod jvm;
mod live;
mod network;
mod plugins;
mod pods;
mod tls;
mod typed;
mod workloads;

use k8s_openapi::api::{
    apps::v1::{ControllerRevision, Deployment},
    core::v1::{ConfigMap, Secret, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};

use base64::Engine;

pub use authentication::{USERS_KEYS, asking_users};
pub use autoscaler::{autoscaler, autoscaling, first_workers};
pub use events::{
    EVENT_TOKEN_ENV, EVENT_TOKEN_KEY, event_listener, event_token_hash, events_host, events_lead_to, tells_events,
    trusts_for_events,
};
pub use graceful::{WORKER_USER_KEY, drains, shutdown_timeout};
pub(super) use live::forget;
pub(super) use tls::certificate_data;
pub use tls::{CERTIFICATE_KEY, COMBINED_KEY, Leaf, PRIVATE_KEY, Source, internal, leaves, server};

use super::{
    InvalidDuration, InvalidField,
    labels::{self, CLUSTER, COMPONENT, Labels, MANAGED_BY, OWNER_UID, WARREN},
    metadata::object_meta,
    overlay::{OverlayError, merge_pod},
    quantity::InvalidQuantity,
    revision::{Component, Rendered, Revision},
};
use crate::{
    api::TrinoClusterSpec,
    trino::{HTTP_PORT, HTTPS_PORT},
};

/// Key of the internal shared secret in the Secret [`ClusterIdentity::secret_name`].
pub const SHARED_SECRET_KEY: &str = "shared-secret";

/// Key of the secret of spooled results in the Secret [`ClusterIdentity::spooling_secret_name`].
pub const SPOOLING_KEY: &str = "shared-secret-key";

/// Why the files that a spec asks for cannot stand beside each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilesError {
    /// A key of `config.properties` follows from a typed field.
    #[error("{field}: {key} is set by {by}; remove it here, or give up {by}")]
    Owned {
        /// Where it stands.
        field: String,
        /// The key.
        key: String,
        /// The typed field.
        by: &'static str,
    },
    /// Two fields write the same file.
    #[error("spec.files.extra: {0} is written by another field; rename it, or use that field")]
    Taken(String),
    /// A line is given with a value, and from a Secret.
    #[error("{key} of {path} stands in properties and in secretProperties; remove one of both")]
    Twice {
        /// The file.
        path: String,
        /// The key.
        key: String,
    },
    /// The files do not fit into an object.
    #[error(
        "spec.files: all texts have {bytes} bytes, and {most} fit; move large ones to ConfigMaps, and name them by configMapKeyRef"
    )]
    TooLarge {
        /// What they have.
        bytes: usize,
        /// What they may have.
        most: usize,
    },
}

/// Why a spec that admission let pass cannot be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// The memory of a component is no quantity.
    #[error("spec.{component}.resources.memory: {fault}")]
    Memory {
        /// `coordinator` or `workers`.
        component: &'static str,
        /// What is wrong.
        fault: InvalidQuantity,
    },
    /// A flag of the JVM is given twice.
    #[error("spec.{component}.jvm.flags: {flag} is given twice; keep one of both")]
    Flag {
        /// `coordinator` or `workers`.
        component: &'static str,
        /// The flag's name.
        flag: String,
    },
    /// The files cannot stand beside each other.
    #[error("{0}")]
    Files(#[from] FilesError),
    /// A field is no duration.
    #[error("{0}")]
    Field(#[from] InvalidField),
    /// The time for a worker to end is no duration.
    #[error("spec.workers.gracefulShutdown.timeout: {0}")]
    Timeout(InvalidDuration),
    /// The volume of a plugin is not what Kubernetes knows.
    #[error("{field}: {fault}")]
    Plugin {
        /// The field's path.
        field: String,
        /// What is wrong.
        fault: String,
    },
    /// The overlay of a pod template cannot be laid over it.
    #[error("{0}")]
    Overlay(#[from] OverlayError),
    /// What is passed on to the autoscaler is not what it knows.
    #[error("{field}: {fault}")]
    Autoscaling {
        /// The field's path.
        field: String,
        /// What is wrong.
        fault: String,
    },
}

/// Who a cluster is, as its objects carry it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterIdentity {
    /// Name of the TrinoCluster.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its UID.
    pub uid: String,
    /// Whether a group made it, so that gateways may serve it.
    pub in_group: bool,
}

/// Everything that belongs to one cluster, but for the Secret (which is created once and never applied).
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterObjects {
    /// What was rendered for the revision; immutable.
    pub revision: ControllerRevision,
    /// The account of all pods; it has no rights.
    pub service_account: ServiceAccount,
    /// Files of coordinator and workers: immutable and named by their content, and those that Trino reads again by itself.
    pub config_maps: Vec<ConfigMap>,
    /// The coordinator's address, and where nodes speak TLS, what leads to its pod.
    pub services: Vec<Service>,
    /// Where the coordinator tells of its queries, if it does.
    pub events: Option<Service>,
    /// Who may connect to coordinator and workers.
    pub network_policies: Vec<NetworkPolicy>,
    /// What evictions may take.
    pub disruption_budgets: Vec<PodDisruptionBudget>,
    /// The coordinator.
    pub coordinator: Deployment,
    /// The workers.
    pub workers: Deployment,
}

impl ClusterIdentity {
    /// A cluster of which no more than its name matters.
    pub fn named(name: &str, namespace: &str) -> Self {
        Self { name: name.to_owned(), namespace: namespace.to_owned(), uid: String::new(), in_group: false }
    }

    /// Name of the coordinator's Deployment and Service.
    pub fn coordinator_name(&self) -> String {
        format!("{}-coordinator", self.name)
    }

    /// Name of the workers' Deployment.
    pub fn worker_name(&self) -> String {
        format!("{}-worker", self.name)
    }

    /// Name of the Secret that coordinator and workers share.
    pub fn secret_name(&self) -> String {
        format!("{}-internal", self.name)
    }

    /// Name of the Secret that spooled results are signed with.
    pub fn spooling_secret_name(&self) -> String {
        format!("{}-spooling", self.name)
    }

    /// That Secret, around 32 fresh random bytes.
    pub fn spooling_secret(&self, bytes: [u8; 32]) -> Secret {
        let value = base64::engine::general_purpose::STANDARD.encode(bytes);
        Secret {
            metadata: object_meta(self.spooling_secret_name(), &self.namespace, &self.labels(None)),
            immutable: Some(true),
            string_data: Some([(SPOOLING_KEY.to_owned(), value)].into()),
            ..Secret::default()
        }
    }

    /// Base URL of the coordinator inside the Kubernetes cluster.
    pub fn coordinator_url(&self, spec: &TrinoClusterSpec) -> String {
        let secure = tls::server(spec).is_some();
        let (scheme, port) = if secure { ("https", HTTPS_PORT) } else { ("http", HTTP_PORT) };
        format!("{scheme}://{}.{}.svc:{port}", self.coordinator_name(), self.namespace)
    }

    /// The labels that select the pods of a component.
    pub fn selector(&self, component: &str) -> Labels {
        labels::labels([(CLUSTER, self.name.as_str()), (COMPONENT, component)])
    }

    /// The labels of everything that belongs to the cluster.
    pub fn labels(&self, component: Option<&str>) -> Labels {
        let mut labels = labels::labels([
            ("app.kubernetes.io/name", "trino"),
            ("app.kubernetes.io/instance", self.name.as_str()),
            ("app.kubernetes.io/part-of", "trino"),
            (MANAGED_BY, WARREN),
            (CLUSTER, self.name.as_str()),
            (OWNER_UID, self.uid.as_str()),
        ]);
        if let Some(component) = component {
            labels.insert(COMPONENT.to_owned(), component.to_owned());
        }
        labels
    }

    /// The Secret that lets coordinator and workers trust each other, around a fresh random `value`.
    pub fn secret(&self, value: String) -> Secret {
        Secret {
            metadata: object_meta(self.secret_name(), &self.namespace, &self.labels(None)),
            immutable: Some(true),
            string_data: Some([(SHARED_SECRET_KEY.to_owned(), value)].into()),
            ..Secret::default()
        }
    }
}

/// Number of workers that a spec asks for.
pub fn worker_replicas(spec: &TrinoClusterSpec) -> i32 {
    spec.workers.as_ref().and_then(|workers| workers.replicas).unwrap_or(1)
}

/// Files and pods of a spec. Done once for each revision: what this version of Warren would render differently reaches a
/// running cluster with its next revision only.
///
/// # Errors
/// When the spec cannot be rendered; the message names the field.
pub fn render(cluster: &ClusterIdentity, spec: &TrinoClusterSpec) -> Result<Rendered, RenderError> {
    let mut coordinator =
        etc::component(cluster, spec, labels::component::COORDINATOR, files::coordinator(cluster, spec)?)?;
    if tells_events(&coordinator) {
        events::fit(&mut coordinator.template, cluster, spec);
    }
    let mut worker = etc::component(cluster, spec, labels::component::WORKER, files::worker(cluster, spec)?)?;
    graceful::fit(&mut worker.template, cluster, spec)?;
    let leaves = tls::leaves(cluster, spec)?;
    tls::mount(&mut coordinator.template, labels::component::COORDINATOR, &leaves);
    tls::mount(&mut worker.template, labels::component::WORKER, &leaves);
    plugins::fit(&mut coordinator.template, spec)?;
    plugins::fit(&mut worker.template, spec)?;
    // Last, so that containers of users' own get none of it, and what is refused is all that Warren set.
    let of_coordinator = spec.coordinator.as_ref().and_then(|coordinator| coordinator.template.as_ref());
    overlay_with(&mut coordinator, of_coordinator, "spec.coordinator.template")?;
    let of_workers = spec.workers.as_ref().and_then(|workers| workers.template.as_ref());
    overlay_with(&mut worker, of_workers, "spec.workers.template")?;
    Ok(Rendered {
        rendered_by: env!("CARGO_PKG_VERSION").to_owned(),
        components: [
            (labels::component::COORDINATOR.to_owned(), coordinator),
            (labels::component::WORKER.to_owned(), worker),
        ]
        .into(),
    })
}

fn overlay_with(
    component: &mut Component,
    overlay: Option<&serde_json::Map<String, serde_json::Value>>,
    field: &str,
) -> Result<(), OverlayError> {
    if let Some(overlay) = overlay {
        component.template = merge_pod(std::mem::take(&mut component.template), overlay, field)?;
    }
    Ok(())
}

/// What an upgrade, a drain or another place of the operator changes about a cluster's objects, beside its spec.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Circumstances<'a> {
    /// Number of workers that the Deployment is to have while some of them end their tasks; none for what the spec says.
    pub workers: Option<i32>,
    /// No query is left: whoever wants to evict the coordinator may.
    pub drained: bool,
    /// It is to have no pods.
    pub hibernates: bool,
    /// The namespace of the operator's pods, which ask coordinators what they do; none where it runs outside.
    pub operator_namespace: Option<&'a str>,
    /// The gateway whose proxies the coordinator tells of its queries.
    pub events_gateway: Option<&'a str>,
}

/// All objects of a cluster from what was rendered for its revision and from what changes without a restart; none when
/// `rendered` lacks a component.
pub fn objects(
    cluster: &ClusterIdentity,
    spec: &TrinoClusterSpec,
    circumstances: Circumstances<'_>,
    revision: &Revision,
    rendered: &Rendered,
) -> Option<ClusterObjects> {
    let coordinator = rendered.components.get(labels::component::COORDINATOR)?;
    let worker = rendered.components.get(labels::component::WORKER)?;
    let unless_hibernating = |replicas| if circumstances.hibernates { 0 } else { replicas };
    let workers = circumstances.workers.unwrap_or_else(|| worker_replicas(spec));
    let live = [labels::component::COORDINATOR, labels::component::WORKER];
    let live = live.into_iter().filter_map(|component| live::config_map(cluster, spec, component));
    let of_revision = [
        workloads::config_map(cluster, labels::component::COORDINATOR, coordinator),
        workloads::config_map(cluster, labels::component::WORKER, worker),
    ];
    Some(ClusterObjects {
        revision: workloads::revision(cluster, revision, rendered),
        service_account: workloads::service_account(cluster),
        config_maps: of_revision.into_iter().chain(live).collect(),
        services: network::services(cluster, spec),
        events: tells_events(coordinator).then(|| events::service(cluster, circumstances.events_gateway)),
        network_policies: network::policies(cluster, spec, circumstances.operator_namespace),
        disruption_budgets: workloads::disruption_budgets(cluster, circumstances.drained),
        coordinator: workloads::coordinator(cluster, revision, coordinator, unless_hibernating(1)),
        workers: workloads::workers(cluster, revision, worker, unless_hibernating(workers)),
    })
}

/// Name of the ControllerRevision that keeps what was rendered for `revision`.
pub fn revision_name(cluster: &ClusterIdentity, revision: &Revision) -> String {
    format!("{}-{revision}", cluster.name)
}

fn config_map_name(cluster: &ClusterIdentity, component: &str, part: &Component) -> String {
    let files = serde_json::to_value(&part.files).expect("a map of strings is JSON");
    format!("{}-{component}-{}", cluster.name, super::revision::digest(&files, 10))
}
