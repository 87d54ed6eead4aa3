//! `ProxyGroup`: the proxies of a gateway.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    gateway::GroupSelection,
    group::SecretKeyReference,
    pod::{
        FOREIGN_KEYS_RULE, Image, QUALIFIED_KEYS_RULE, Resources, SECRET_NAME_RULE, TemplateMetadata,
        annotations_schema,
    },
    proxy_template::{
        AdminTls, BackendTls, ProxyOverlay, ProxyProbes, ProxyRollout, ProxyServer, ProxyUpdateStrategy, ProxyVolume,
        SchedulePolicy,
    },
    tls::CertificateStatus,
};

/// The proxies of a gateway: clients connect to them, and any of them serves any request of any query.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "trinowarren.io",
    version = "v1alpha1",
    kind = "ProxyGroup",
    namespaced,
    derive = "PartialEq",
    status = "ProxyGroupStatus",
    shortname = "pxg",
    category = "trino",
    doc = "The proxies of a gateway: clients connect to them, and any of them serves any request of any query.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Gateway", type_ = "string", json_path = ".spec.gateway.name"),
    printcolumn(name = "Desired", type_ = "integer", json_path = ".spec.replicas"),
    printcolumn(name = "Available", type_ = "integer", json_path = ".status.readyReplicas"),
    printcolumn(name = "Address", type_ = "string", json_path = ".status.address"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$')").message("metadata.name must be at most 40 characters of a-z, 0-9 and '-', beginning with a letter and not ending with '-': a Service's name is made from it")
)]
pub struct ProxyGroupSpec {
    /// `true` stops Warren from changing anything of this object; what runs goes on. Default: `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// The TrinoGateway of this namespace whose routing table the proxies follow. It cannot be changed.
    pub gateway: GatewayReference,
    /// Number of proxies, 0 to 500. Default: 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 500))]
    pub replicas: Option<i32>,
    /// Seconds for which a new proxy must be ready before the next one is replaced. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3600))]
    pub min_ready_seconds: Option<i32>,
    /// How many proxies are replaced at one time. A change replaces none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<ProxyRollout>,
    /// Where proxies are placed, at most 4. A change replaces the proxies one by one. Default: on as many nodes as there
    /// are, if that can be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub schedule_policies: Vec<SchedulePolicy>,
    /// The groups of the gateway that these proxies serve; of the others their clients see nothing, and a query that
    /// belongs there fails with an error that says so. A change from some to others restarts nothing; to give this field
    /// for the first time, or to remove it, replaces the proxies one by one. Default: all groups of the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<GroupSelection>,
    /// The Service that clients connect to, named `<name>-proxy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ProxyService>,
    /// What each proxy is made from. Changing it replaces the proxies one by one; running queries go on through the
    /// others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<ProxyTemplate>,
}

/// A reference to a gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewayReference {
    /// Name of the TrinoGateway. It cannot be changed.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$')").message("spec.gateway.name must be the name of a TrinoGateway: at most 40 characters of a-z, 0-9 and '-', beginning with a letter and not ending with '-'"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("spec.gateway.name cannot be changed; make a new ProxyGroup for the other gateway"))]
    pub name: String,
}

/// The Service that clients connect to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.nodePort) || (has(self.type) && self.type != 'ClusterIP')").message("spec.service.nodePort needs spec.service.type NodePort or LoadBalancer; set the type or remove nodePort"))]
pub struct ProxyService {
    /// Type of the Service. (The CRD has the type's text.)
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_: Option<ServiceType>,
    /// Port of the Service for clients; no listener of the gateway may have the same. Default: 8080.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// Port on each node, for types `NodePort` and `LoadBalancer`. Default: Kubernetes chooses one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub node_port: Option<i32>,
    /// Annotations, for example those that a cloud's load balancer reads.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "annotations_schema")]
    #[x_kube(validation = Rule::new(FOREIGN_KEYS_RULE).message("spec.service.annotations: annotations under trinowarren.io/ belong to Warren; use a prefix of your own"))]
    #[x_kube(validation = Rule::new(QUALIFIED_KEYS_RULE).message("spec.service.annotations: an annotation's name is 1 to 63 characters of letters, digits, '-', '_' and '.', with a letter or digit at both ends, and maybe a DNS name and '/' before it"))]
    pub annotations: BTreeMap<String, String>,
}

/// Type of the Service: reachable inside the Kubernetes cluster (`ClusterIP`), on a port of every node as well
/// (`NodePort`), or through a load balancer of the cloud as well (`LoadBalancer`). Default: `ClusterIP`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServiceType {
    /// Reachable inside the Kubernetes cluster.
    #[default]
    ClusterIP,
    /// Reachable on a port of every node as well.
    NodePort,
    /// Reachable through a load balancer of the cloud as well.
    LoadBalancer,
}

/// What each proxy is made from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProxyTemplate {
    /// Labels and annotations of the proxies' pods. A change restarts nothing: pods that run get them, and lose those that
    /// are gone from here. A pod that is made before the next replacement gets them a moment after it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<TemplateMetadata>,
    /// The proxies' pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<ProxyPodSpec>,
}

/// The pods of the proxies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProxyPodSpec {
    /// The image. Default: the operator's own when the ProxyGroup was made; it stays that one when the operator is
    /// upgraded, and `status.updateAvailable` says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// CPU and memory. Default: 100m, 256Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// The proxies' own settings in YAML: limits, timeouts, health checks. docs/proxygroup.md has all keys; one that Warren
    /// sets itself, or does not know, is refused by name in the condition `ConfigAccepted`, and the last good settings stay.
    /// For example `{timeouts: {statement: 45s}}`. Default: the proxies' defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16384))]
    pub config: Option<String>,
    /// How a change comes to the proxies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_strategy: Option<ProxyUpdateStrategy>,
    /// The proxies' own sockets. A change replaces the proxies one by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ProxyServer>,
    /// When a proxy counts as ready, and when it is started anew. A change replaces the proxies one by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probes: Option<ProxyProbes>,
    /// Further volumes, at most 16. A change replaces the proxies one by one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub volumes: Vec<ProxyVolume>,
    /// What is laid over the pods that Warren makes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlay: Option<ProxyOverlay>,
    /// What a proxy waits for before it stops.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre_stop: Option<PreStop>,
    /// How a proxy that stops finishes what it has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<Drain>,
    /// How the proxies' connections are secured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security: Option<ProxySecurity>,
    /// Environment variables of the proxy, for example `OTEL_EXPORTER_OTLP_ENDPOINT`, which turns traces on. A change
    /// replaces the proxies one by one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub env: Vec<Variable>,
}

/// An environment variable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.value) != has(self.secretKeyRef)").message("spec.template.spec.env: give each variable either value or secretKeyRef"))]
pub struct Variable {
    /// Its name.
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z_][A-Za-z0-9_]*$')").message("spec.template.spec.env: name must be letters, digits and '_', not beginning with a digit"))]
    #[x_kube(validation = Rule::new("self != 'POD_NAMESPACE'").message("spec.template.spec.env: POD_NAMESPACE belongs to Warren; remove it"))]
    pub name: String,
    /// Its value. Everybody who may read the ProxyGroup reads it: for what is secret there is `secretKeyRef`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub value: Option<String>,
    /// The key of a Secret in the same namespace whose value it has. It is read when a proxy starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<VariableSource>,
}

/// A key of a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct VariableSource {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(SECRET_NAME_RULE).message("secretKeyRef.name must be the name of a Secret: 1 to 253 characters of a-z, 0-9, '-' and '.', with a letter or digit at both ends"))]
    pub name: String,
    /// Key in the Secret.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[-._A-Za-z0-9]+$')").message("secretKeyRef.key must be a key of the Secret: letters, digits, '-', '_' and '.'"))]
    pub key: String,
}

/// What a proxy waits for before it stops.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreStop {
    /// Seconds for which a proxy that is told to stop goes on taking connections, until all of the cluster has noticed
    /// that it is gone from the Service. Default: 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 300))]
    pub sleep_seconds: Option<i32>,
}

/// How a proxy that stops finishes what it has begun.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Drain {
    /// How long requests may take to finish; then they are cut. A number and a unit: `90s`, `2m`. Default: `2m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 8))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9]{1,6}(s|m|h)$')").message("spec.template.spec.drain.timeout must be a number and a unit, such as 90s or 2m"))]
    pub timeout: Option<String>,
}

/// How the proxies' connections are secured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProxySecurity {
    /// TLS of the proxies' connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ProxyTls>,
}

/// TLS of the proxies' connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProxyTls {
    /// TLS to clients, on the port for clients and on those of the gateway's listeners; plain HTTP is refused there then.
    /// To give or to remove it replaces the proxies one by one, and in between some speak the one and some the other: make
    /// a second ProxyGroup and move the clients, if they must not notice. Default: plain HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientTls>,
    /// What the proxies trust of coordinators that speak https, besides what the routing table says of each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<BackendTls>,
    /// TLS of the admin port: for the operator, probes, and whoever reads metrics. Default: plain HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<AdminTls>,
}

/// TLS to clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientTls {
    /// The proxies' certificate and its key: a Secret of type `kubernetes.io/tls`, with `tls.crt` (the certificate, and
    /// behind it those between it and its CA) and `tls.key`, in PEM. A renewed certificate restarts nothing: it is shown to
    /// new connections within some two minutes. Another name replaces the proxies one by one.
    pub secret_ref: SecretReference,
    /// That clients must show a certificate, too. Default: none is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_auth: Option<ClientAuthentication>,
}

/// A Secret in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretReference {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(SECRET_NAME_RULE).message("secretRef.name must be the name of a Secret: 1 to 253 characters of a-z, 0-9, '-' and '.', with a letter or digit at both ends"))]
    pub name: String,
}

/// Which certificates of clients let them in. Who a query's user is does not follow from them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientAuthentication {
    /// The CA certificates, in PEM, to one of which a client's certificate must chain up; clients without one are refused.
    /// Renewed ones restart nothing.
    pub ca_secret_ref: SecretKeyReference,
}

/// What is known of a ProxyGroup.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProxyGroupStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Proxies that exist.
    #[serde(default)]
    pub replicas: i32,
    /// Proxies that are ready.
    #[serde(default)]
    pub ready_replicas: i32,
    /// Proxies made from the template as it stands now.
    #[serde(default)]
    pub updated_replicas: i32,
    /// Label selector of the proxies' pods, for the scale subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Where clients inside the Kubernetes cluster connect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Where clients inside the Kubernetes cluster connect to the gateway's further listeners.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub listeners: Vec<ListenerStatus>,
    /// The proxies' image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The operator's own image, where the proxies run another one because `template.spec.image` is unset and the
    /// operator was upgraded since. Set `template.spec.image` to move to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_available: Option<String>,
    /// The certificate of the admin port, where that speaks HTTPS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_certificate: Option<CertificateStatus>,
    /// The certificate of the port for coordinators' events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events_certificate: Option<CertificateStatus>,
    /// Digest of `template.spec.config`; none where that is unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_hash: Option<String>,
    /// Which settings each proxy applied, as it says itself, while `template.spec.config` is set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["pod"]))]
    pub applied_by: Vec<AppliedConfig>,
    /// `Ready`, `Reconciling` and `Stalled`, as kstatus reads them; and `ConfigAccepted` while `template.spec.config` is
    /// set: `True` if every proxy applied it as it stands.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// The settings that one proxy applied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppliedConfig {
    /// Name of the pod.
    pub pod: String,
    /// Digest of the settings in force there; none: its defaults, or it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// Why it does not have those that stand in the spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// A further listener of the gateway, as these proxies serve it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListenerStatus {
    /// Name of the listener.
    pub name: String,
    /// Where clients inside the Kubernetes cluster connect to it.
    pub address: String,
}
