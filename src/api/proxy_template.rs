//! What the pods of a ProxyGroup may be told beyond their image: settings, ports, probes, places, volumes.

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::group::SecretKeyReference;

/// What the proxies trust of coordinators that speak https.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackendTls {
    /// CA certificates in PEM that all coordinators' certificates may chain up to, besides the CA of each cluster (Warren's own, or
    /// `caSecretRef` of an external one) and, for one without, the operating system's roots. Names are always checked. Renewed
    /// ones restart nothing; another Secret replaces the proxies one by one.
    pub ca_secret_ref: SecretKeyReference,
}

/// TLS of the admin port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdminTls {
    /// Whether the admin port speaks HTTPS alone, by a certificate of Warren's own CA in the Secret `<name>-proxy-admin-tls`, which is
    /// renewed without a restart. A change replaces the proxies one by one. Default: `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// How many proxies are replaced at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.maxSurge) && self.maxSurge == 0 && (!has(self.maxUnavailable) || self.maxUnavailable == 0))").message("spec.rollout: maxSurge and maxUnavailable cannot both be 0; nothing could be replaced"))]
pub struct ProxyRollout {
    /// Proxies that may run beyond `spec.replicas` while they are replaced, 0 to 500. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 500))]
    pub max_surge: Option<i32>,
    /// Proxies that may be missing while they are replaced, 0 to 500. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 500))]
    pub max_unavailable: Option<i32>,
}

/// Where proxies are placed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SchedulePolicy {
    /// What kind of policy it is. (The CRD has the type's text.)
    #[serde(rename = "type")]
    pub type_: SchedulePolicyType,
    /// Over what the proxies are spread.
    pub evenly_spread: EvenlySpread,
}

/// `EvenlySpread`: as many proxies in each zone, or on each node, as in the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SchedulePolicyType {
    /// As many in each part as in the others.
    EvenlySpread,
}

/// Over what the proxies are spread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct EvenlySpread {
    /// Each of these is kept even, at most 8.
    #[schemars(length(min = 1, max = 8))]
    pub topologies: Vec<SpreadTopology>,
}

/// Something over which proxies are spread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SpreadTopology {
    /// What tells the parts from each other.
    pub topology: Topology,
    /// How many more proxies one part may have than another, 1 to 100. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub max_skew: Option<i32>,
    /// What becomes of a proxy for which there is no even place. (The CRD has the type's text.)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when_unsatisfiable: Option<WhenUnsatisfiable>,
}

/// The label of nodes whose values tell the parts from each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Topology {
    /// Name of the label, for example `topology.kubernetes.io/zone`.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$')").message("spec.schedulePolicies: topology.key must be the name of a label of nodes, such as topology.kubernetes.io/zone"))]
    pub key: String,
}

/// A proxy for which there is no even place runs where there is one (`ScheduleAnyway`), or waits (`DoNotSchedule`).
/// Default: `ScheduleAnyway`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WhenUnsatisfiable {
    /// It runs where there is a place.
    #[default]
    ScheduleAnyway,
    /// It waits.
    DoNotSchedule,
}

/// The proxies' own sockets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProxyServer {
    /// Their ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<ProxyPorts>,
}

/// The ports of the pods. The Service's port is `spec.service.port`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.client) ? self.client : 8080) != (has(self.admin) ? self.admin : 9090)").message("spec.template.spec.server.ports: client and admin must be two ports"))]
#[x_kube(validation = Rule::new("!(has(self.client) && self.client == 9091) && !(has(self.admin) && self.admin == 9091)").message("spec.template.spec.server.ports: port 9091 is the proxies' own for events of coordinators; choose another"))]
pub struct ProxyPorts {
    /// For clients, 1024 to 65535, but not 9091 (events of coordinators). Default: 8080.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1024, max = 65535))]
    pub client: Option<i32>,
    /// For probes, metrics and administration, 1024 to 65535, but not 9091; no Service leads to it. Default: 9090.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1024, max = 65535))]
    pub admin: Option<i32>,
}

/// When a proxy counts as ready, and when it is started anew. What is asked is Warren's: `/readyz` and `/livez` of the
/// admin port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProxyProbes {
    /// Whether clients are sent there. Default: every second, out after 2 failures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness: Option<ProbeTiming>,
    /// Whether it is started anew. Default: every 10 s, after 6 failures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub liveness: Option<ProbeTiming>,
}

/// How often something is asked, and how often it must fail.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProbeTiming {
    /// Seconds before the first time, 0 to 3600. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3600))]
    pub initial_delay_seconds: Option<i32>,
    /// Seconds between two times, 1 to 3600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3600))]
    pub period_seconds: Option<i32>,
    /// Seconds that an answer may take, 1 to 3600. Default: 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3600))]
    pub timeout_seconds: Option<i32>,
    /// Failures in a row that count, 1 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub failure_threshold: Option<i32>,
}

/// How a change comes to the proxies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProxyUpdateStrategy {
    /// How a change of `config` does. (The CRD has the type's text.)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<ConfigUpdate>,
}

/// `HotReload`: running proxies take what can be taken while they run, and a change of any other key replaces them one by
/// one. `Restart`: every change of `config` replaces them one by one. Default: `HotReload`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConfigUpdate {
    /// Running proxies take what can be taken.
    #[default]
    HotReload,
    /// Every change replaces the proxies one by one.
    Restart,
}

/// A volume of the proxies' pods, and where it is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProxyVolume {
    /// Name of the volume.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')").message("spec.template.spec.volumes: name must be at most 63 characters of a-z, 0-9 and '-', and neither begin nor end with '-'"))]
    #[x_kube(validation = Rule::new("!(self in ['routing', 'credentials', 'config', 'client-tls', 'client-ca', 'admin-tls', 'admin-ca', 'backend-ca'])").message("spec.template.spec.volumes: a volume of that name is Warren's own; choose another"))]
    pub name: String,
    /// Where the proxy finds it, for example `/etc/tracing`.
    #[schemars(length(min = 2, max = 512))]
    #[x_kube(validation = Rule::new("self.matches('^(/[A-Za-z0-9._-]+)+$') && self != '/etc/warren' && !self.startsWith('/etc/warren/')").message("spec.template.spec.volumes: mountPath must be an absolute path, and not below /etc/warren, which is Warren's own"))]
    pub mount_path: String,
    /// Whether the proxy may not write there. Default: `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,
    /// What it is: the fields of a Kubernetes volume but for its name, as they are, for example
    /// `{secret: {secretName: tracing}}`, `{configMap: {name: …}}`, `{emptyDir: {}}` or `{persistentVolumeClaim: {claimName: …}}`.
    #[schemars(schema_with = "source_schema")]
    pub source: Map<String, Value>,
}

/// What is laid over the objects that Warren makes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProxyOverlay {
    /// A pod template of which everything may be left out, laid over the one that Warren makes, as Kubernetes' strategic merge
    /// does it: containers, volumes, environment and the like by `name`, mounts by `mountPath`, ports by `containerPort`; other
    /// lists are replaced, and null takes a field away. The proxy's container is called `proxy`. What Warren needs as it is
    /// is refused in the condition, by name. A change replaces the proxies one by one. Example:
    /// `{spec: {nodeSelector: {pool: edge}, priorityClassName: high}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "overlay_schema")]
    pub pod: Option<Map<String, Value>>,
}

// A pod template's own schema would add 400 KB; the operator checks it.
fn overlay_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

// Kubernetes' own type would add 60 KB to the CRD; the API server checks it when the pods are made.
fn source_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "x-kubernetes-preserve-unknown-fields": true,
    })
}
