//! A ProxyGroup's objects. First [`render`], once for each revision, as for clusters; then [`objects`].

use k8s_openapi::{
    api::{
        apps::v1::{ControllerRevision, Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::{ConfigMap, PodTemplateSpec, Secret, Service, ServiceAccount, ServicePort, ServiceSpec},
        policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
        rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject},
    },
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, OwnerReference},
        runtime::RawExtension,
        util::intstr::IntOrString,
    },
};

use super::{
    gateway,
    labels::{COMPONENT, GATEWAY, Labels, MANAGED_BY, OWNER_UID, PROXY_GROUP, REVISION, WARREN, component, labels},
    metadata::owned_meta,
    revision::{Component, Rendered, Revision},
};
use crate::api::{ProxyGroupSpec, ServiceType};

mod admin;
mod config;
mod error;
mod events;
mod listeners;
mod placement;
mod pods;
mod relabel;
mod tls;

pub use admin::{admin_leaf, is_admin_secure};
pub(super) use config::revised;
pub use config::{check_config, config_hash, is_reloaded};
pub use error::RenderError;
pub use events::events_leaf;
pub use listeners::{ListenerPort, admin_port, check_ports, listener_ports, ports_of};
pub use pods::{ADMIN_PORT, ADMIN_TOKEN_KEY, CLIENT_PORT, EVENTS, EVENTS_PORT, render};
pub use relabel::metadata_patch;
pub use tls::needed_by_proxies;

/// Who a ProxyGroup is, as its objects carry it.
#[derive(Clone, Debug, PartialEq)]
pub struct ProxyIdentity {
    /// Its namespace.
    pub namespace: String,
    /// Name of its gateway.
    pub gateway: String,
    /// The reference that its objects carry: they go with it.
    pub owner: OwnerReference,
}

/// Everything that belongs to a ProxyGroup, but for the Secret (which is created once and never applied).
#[derive(Clone, Debug, PartialEq)]
pub struct ProxyObjects {
    /// What was rendered for the revision; immutable.
    pub revision: ControllerRevision,
    /// The account of the proxies.
    pub service_account: ServiceAccount,
    /// Its only right: to list and watch the gateway's routing table.
    pub role: Role,
    /// Gives it.
    pub role_binding: RoleBinding,
    /// The proxies' settings, where the spec gives some.
    pub config: Option<ConfigMap>,
    /// What clients connect to.
    pub service: Service,
    /// What evictions may take.
    pub disruption_budget: PodDisruptionBudget,
    /// The proxies.
    pub deployment: Deployment,
}

impl ProxyIdentity {
    /// Name of everything that belongs to the ProxyGroup.
    pub fn object_name(&self) -> String {
        format!("{}-proxy", self.owner.name)
    }

    /// Name of the ConfigMap with the routing table that the proxies follow: the gateway's, or one of their own where they
    /// serve some of its groups only.
    pub fn routing_config_map(&self, spec: &ProxyGroupSpec) -> String {
        match &spec.groups {
            None => gateway::config_map_name(&self.gateway),
            Some(_) => format!("{}-routing", self.object_name()),
        }
    }

    /// Name of the ControllerRevision of `revision`.
    pub fn revision_name(&self, revision: &Revision) -> String {
        format!("{}-{revision}", self.object_name())
    }

    /// The labels that select the proxies.
    pub fn selector(&self) -> Labels {
        labels([(PROXY_GROUP, self.owner.name.as_str()), (COMPONENT, component::PROXY)])
    }

    /// The labels of everything that belongs to the ProxyGroup.
    pub fn labels(&self) -> Labels {
        let mut labels = labels([
            ("app.kubernetes.io/name", "warren-proxy"),
            ("app.kubernetes.io/instance", self.owner.name.as_str()),
            ("app.kubernetes.io/part-of", "trino"),
            (MANAGED_BY, WARREN),
            (GATEWAY, self.gateway.as_str()),
            (OWNER_UID, self.owner.uid.as_str()),
        ]);
        labels.extend(self.selector());
        labels
    }

    /// The proxies' credentials around a fresh random token for their admin port.
    pub fn secret(&self, admin_token: String) -> Secret {
        Secret {
            metadata: owned_meta(self.object_name(), &self.namespace, &self.labels(), &self.owner),
            string_data: Some([(ADMIN_TOKEN_KEY.to_owned(), admin_token)].into()),
            ..Secret::default()
        }
    }

    /// Where clients inside the Kubernetes cluster connect.
    pub fn address(&self, spec: &ProxyGroupSpec) -> String {
        self.address_at(spec, service_port(spec))
    }

    /// Where clients inside the Kubernetes cluster connect to a listener.
    pub fn listener_address(&self, spec: &ProxyGroupSpec, listener: &ListenerPort) -> String {
        self.address_at(spec, listener.port)
    }

    fn address_at(&self, spec: &ProxyGroupSpec, port: i32) -> String {
        format!("{}://{}.{}.svc:{port}", scheme(spec), self.object_name(), self.namespace)
    }
}

/// Number of proxies that a spec asks for.
pub fn replicas(spec: &ProxyGroupSpec) -> i32 {
    spec.replicas.unwrap_or(2)
}

/// The image that what was rendered runs; none when `rendered` holds no proxy.
pub fn image(rendered: &Rendered) -> Option<&str> {
    let pod = rendered.components.get(component::PROXY)?.template.spec.as_ref()?;
    pod.containers.first()?.image.as_deref()
}

/// All objects of a ProxyGroup; none when `rendered` lacks the proxy.
pub fn objects(
    proxies: &ProxyIdentity,
    spec: &ProxyGroupSpec,
    revision: &Revision,
    rendered: &Rendered,
) -> Option<ProxyObjects> {
    let part = rendered.components.get(component::PROXY)?;
    let name = proxies.object_name();
    let meta = || owned_meta(name.clone(), &proxies.namespace, &proxies.labels(), &proxies.owner);
    Some(ProxyObjects {
        revision: controller_revision(proxies, revision, rendered),
        service_account: ServiceAccount {
            metadata: meta(),
            automount_service_account_token: Some(true),
            ..ServiceAccount::default()
        },
        role: Role {
            metadata: meta(),
            rules: Some(vec![PolicyRule {
                api_groups: Some(vec![String::new()]),
                resources: Some(vec!["configmaps".into()]),
                resource_names: Some(vec![proxies.routing_config_map(spec)]),
                verbs: vec!["list".into(), "watch".into()],
                ..PolicyRule::default()
            }]),
        },
        role_binding: RoleBinding {
            metadata: meta(),
            role_ref: RoleRef {
                api_group: "rbac.authorization.k8s.io".into(),
                kind: "Role".into(),
                name: name.clone(),
            },
            subjects: Some(vec![Subject {
                kind: "ServiceAccount".into(),
                name: name.clone(),
                namespace: Some(proxies.namespace.clone()),
                api_group: None,
            }]),
        },
        config: config::config_map(proxies, spec),
        service: service(proxies, spec, &part.template),
        disruption_budget: PodDisruptionBudget {
            metadata: meta(),
            spec: Some(PodDisruptionBudgetSpec {
                max_unavailable: Some(IntOrString::Int(1)),
                selector: Some(selector(proxies)),
                unhealthy_pod_eviction_policy: Some("AlwaysAllow".into()),
                min_available: None,
            }),
            status: None,
        },
        deployment: deployment(proxies, spec, revision, part),
    })
}

fn controller_revision(proxies: &ProxyIdentity, revision: &Revision, rendered: &Rendered) -> ControllerRevision {
    let mut labels = proxies.labels();
    labels.insert(REVISION.into(), revision.to_string());
    ControllerRevision {
        metadata: owned_meta(proxies.revision_name(revision), &proxies.namespace, &labels, &proxies.owner),
        revision: 1,
        data: Some(RawExtension(serde_json::to_value(rendered).expect("what was rendered is JSON by its type"))),
    }
}

fn selector(proxies: &ProxyIdentity) -> LabelSelector {
    LabelSelector { match_labels: Some(proxies.selector()), match_expressions: None }
}

/// What the proxies speak to clients.
fn scheme(spec: &ProxyGroupSpec) -> &'static str {
    if tls::client(spec).is_some() { "https" } else { "http" }
}

fn service_port(spec: &ProxyGroupSpec) -> i32 {
    spec.service.as_ref().and_then(|service| service.port).unwrap_or(CLIENT_PORT)
}

fn service(proxies: &ProxyIdentity, spec: &ProxyGroupSpec, template: &PodTemplateSpec) -> Service {
    let asked = spec.service.clone().unwrap_or_default();
    let mut metadata = owned_meta(proxies.object_name(), &proxies.namespace, &proxies.labels(), &proxies.owner);
    metadata.annotations = (!asked.annotations.is_empty()).then_some(asked.annotations);
    let type_ = match asked.type_.unwrap_or_default() {
        ServiceType::ClusterIP => "ClusterIP",
        ServiceType::NodePort => "NodePort",
        ServiceType::LoadBalancer => "LoadBalancer",
    };
    let client = ServicePort {
        name: Some(scheme(spec).into()),
        port: service_port(spec),
        node_port: asked.node_port,
        target_port: Some(IntOrString::String(pods::CLIENT.into())),
        ..ServicePort::default()
    };
    // By name: while proxies are replaced, a listener's port leads to those that have it.
    let further = ports_of(template).into_iter().map(|listener| ServicePort {
        name: Some(listener.name.clone()),
        port: listener.port,
        target_port: Some(IntOrString::String(listener.name)),
        ..ServicePort::default()
    });
    Service {
        metadata,
        spec: Some(ServiceSpec {
            type_: Some(type_.into()),
            selector: Some(proxies.selector()),
            ports: Some(std::iter::once(client).chain(further).collect()),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

fn deployment(proxies: &ProxyIdentity, spec: &ProxyGroupSpec, revision: &Revision, part: &Component) -> Deployment {
    let mut labels = proxies.labels();
    labels.insert(REVISION.into(), revision.to_string());
    let rollout = spec.rollout.clone().unwrap_or_default();
    Deployment {
        metadata: owned_meta(proxies.object_name(), &proxies.namespace, &labels, &proxies.owner),
        spec: Some(DeploymentSpec {
            replicas: Some(replicas(spec)),
            min_ready_seconds: spec.min_ready_seconds,
            revision_history_limit: Some(1),
            selector: selector(proxies),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".into()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::Int(rollout.max_surge.unwrap_or(1))),
                    max_unavailable: Some(IntOrString::Int(rollout.max_unavailable.unwrap_or(0))),
                }),
            }),
            template: part.template.clone(),
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}
