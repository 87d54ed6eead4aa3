//! `TrinoCluster`: one coordinator and its workers, made by a group or by hand.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    authentication::{Authentication, CredentialStatus},
    catalog::Catalogs,
    draining::DrainStatus,
    files::Files,
    gateway::EventListener,
    plugin::Plugin,
    pod::{FOREIGN_KEYS_RULE, Image, QUALIFIED_KEYS_RULE, Resources, annotations_schema},
    proxy_group::ServiceType,
    storage::{FaultTolerantExecution, Jvm, Spooling},
    tls::{ClusterTls, TlsStatus},
    verification::{VerificationStatus, Verify},
    workers::{GracefulShutdown, WorkerAutoscaling},
};

/// Properties of one of Trino's files, by key.
pub type Properties = BTreeMap<String, String>;

/// One Trino cluster: a coordinator, its workers and all that they need.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "trinowarren.io",
    version = "v1alpha1",
    kind = "TrinoCluster",
    namespaced,
    derive = "PartialEq",
    status = "TrinoClusterStatus",
    shortname = "tcl",
    category = "trino",
    doc = "One Trino cluster: a coordinator, its workers and all that they need. Made by a TrinoClusterGroup, or by hand.",
    scale(
        spec_replicas_path = ".spec.workers.replicas",
        status_replicas_path = ".status.workers.desired",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Version", type_ = "string", json_path = ".spec.version"),
    printcolumn(name = "Workers", type_ = "integer", json_path = ".status.workers.ready"),
    printcolumn(name = "Draining", type_ = "integer", json_path = ".status.draining.queries"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]{0,46}[a-z0-9])?$')").message("metadata.name must be at most 48 characters of a-z, 0-9 and '-', beginning with a letter and not ending with '-': Service names and URLs are made from it")
)]
#[x_kube(validation = Rule::new("!has(self.authentication) || (has(self.tls) && has(self.tls.server) && has(self.tls.server.enabled) && self.tls.server.enabled)").message("spec.authentication needs HTTPS at the coordinator, or passwords would travel unencrypted: set spec.tls.server.enabled to true"))]
#[x_kube(validation = Rule::new(TLS_OWNED_RULE).message("spec.tls: Warren itself then sets http-server.https.enabled, .port and .keystore.*, internal-communication.https.* and node.internal-address*; remove them from config, coordinator.config and workers.config"))]
pub struct TrinoClusterSpec {
    /// `true` stops Warren from changing anything of this object; what runs goes on. Default: `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// Whether new queries come here. (The CRD has the type's text.)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serving: Option<ServingIntent>,
    /// How running queries end before the cluster is removed, or rests with `serving: Drained`. Restarts nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<ClusterDrain>,
    /// What the cluster shows before it takes queries, besides that all its workers have joined and its catalogs are there.
    /// Restarts nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<Verify>,
    /// Where clients reach the coordinator themselves, for a gateway whose `proxyMode` is `ProxyFirstCall`:
    /// `http://host:port` or `https://host:port`. `{name}` in it stands for the cluster's name, so that each cluster of a
    /// group has its own: `https://{name}.trino.example.com`. Restarts nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 300))]
    #[x_kube(validation = Rule::new(CLIENT_URL_RULE).message("spec.clientUrl must be http://host[:port] or https://host[:port], with a port from 1 to 65535 and nothing after it, not even a slash; {name} may stand in the host"))]
    pub client_url: Option<String>,
    /// The coordinator's Service, named `<name>-coordinator`. Changing it restarts nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<CoordinatorService>,
    /// Trino's version, for example `"476"`. In a group, changing it makes a new cluster; in a cluster made by hand it
    /// restarts coordinator and workers.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9]{3,4}([.-][0-9A-Za-z.-]*[0-9A-Za-z])?$')").message("spec.version must be a release of Trino such as \"476\""))]
    pub version: String,
    /// Where the image comes from. Default: `docker.io/trinodb/trino` with the version as its tag. Changing it has the
    /// effect of a new version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// The coordinator. Default: 500m CPU, 2Gi of memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coordinator: Option<Coordinator>,
    /// The workers. Default: one of 500m CPU and 2Gi of memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<Workers>,
    /// The catalogs, that is the data sources. Changing them has the effect of a new version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalogs: Option<Catalogs>,
    /// Whether the coordinator of a cluster that a group made tells the gateway of its queries; needs the plugin
    /// `http-event-listener`, which the official image has. A listener of your own that `event-listener.config-files` in
    /// `config` names goes on beside it. Changing it has the effect of a new version; clusters of before that do not tell yet
    /// begin to with their next one. Default: enabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_listener: Option<EventListener>,
    /// Plugins that the image does not have, at most 16: connectors, functions, event listeners, password authenticators. Changing them
    /// has the effect of a new version.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub plugins: Vec<Plugin>,
    /// Keys of `config.properties` for coordinator and workers, over Warren's defaults. Keys that Warren owns are refused.
    /// Changing them has the effect of a new version. Example: `query.max-memory: 1GB`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "properties_schema")]
    #[x_kube(validation = Rule::new("self.all(k, k.matches('^[A-Za-z0-9][A-Za-z0-9._-]*$'))").message("spec.config: a property's name holds only letters, digits, '.', '_' and '-'"))]
    #[x_kube(validation = Rule::new(OWNED_RULE).message(OWNED_MESSAGE))]
    pub config: Properties,
    /// What else stands below `/etc/trino`: log levels, resource groups, access control, and any file of yours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Files>,
    /// Spooled results: clients fetch large results from object storage. Default: none. Changing it makes a new revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spooling: Option<Spooling>,
    /// Fault-tolerant execution: what failed is run again. Default: none. Changing it makes a new revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault_tolerant_execution: Option<FaultTolerantExecution>,
    /// TLS to the coordinator, and between the nodes of the cluster. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ClusterTls>,
    /// Who may ask the cluster, and how he shows who he is. Default: nobody has to show anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication: Option<Authentication>,
}

/// What Warren sets itself where `spec.tls` is given.
macro_rules! tls_owned {
    () => {
        "['http-server.https.enabled', 'http-server.https.port', 'http-server.https.keystore.path', 'http-server.https.keystore.key', 'internal-communication.https.required', 'internal-communication.https.keystore.path', 'internal-communication.https.truststore.path', 'node.internal-address', 'node.internal-address-source']"
    };
}
const TLS_OWNED_RULE: &str = concat!(
    "!has(self.tls) || !((has(self.config) && self.config.exists(k, k in ",
    tls_owned!(),
    ")) || (has(self.coordinator) && has(self.coordinator.config) && self.coordinator.config.exists(k, k in ",
    tls_owned!(),
    ")) || (has(self.workers) && has(self.workers.config) && self.workers.config.exists(k, k in ",
    tls_owned!(),
    ")))"
);

/// An address as in a group's `external[].url`, with `{name}` for the cluster's name.
const CLIENT_URL_RULE: &str = r"self.replace('{name}', 'name').matches('^https?://([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?|\\[[0-9A-Fa-f:.]+\\])(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?$')";

const OWNED_RULE: &str = "!self.exists(k, k in ['coordinator', 'discovery.uri', 'discovery-server.enabled', 'http-server.http.enabled', 'http-server.http.port', 'http-server.process-forwarded', 'internal-communication.shared-secret', 'node.data-dir', 'node.environment', 'node.id', 'catalog.config-dir', 'catalog.management'])";
const OWNED_MESSAGE: &str = "config: Warren itself sets coordinator, discovery.uri, discovery-server.enabled, http-server.http.enabled, http-server.http.port, http-server.process-forwarded, internal-communication.shared-secret, node.data-dir, node.environment, node.id, catalog.config-dir and catalog.management; remove them here";

// The derive bounds neither the number of a map's entries nor the length of its values; CEL's cost budget asks for both.
pub(super) fn properties_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 128,
        "additionalProperties": {"type": "string", "maxLength": 4096},
    })
}

// A pod template's own schema would add 400 KB; the operator checks it.
fn overlay_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

/// Whether new queries come to a cluster: `Active`; `Drained`, which takes it out of routing while its running queries go on;
/// or `Hibernated`, which also removes its pods once no query is left, and keeps everything else: set to `Active`, it comes
/// back. A group sets `Drained` on clusters that it replaces, `kubectl warren drain` by hand. Default: `Active`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServingIntent {
    /// New queries come here once the cluster is ready.
    #[default]
    Active,
    /// No new queries; the running ones are served to their end.
    Drained,
    /// The same, and then no pods.
    Hibernated,
}

/// The coordinator of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.resources) || !has(self.resources.memory) || !isQuantity(self.resources.memory) || quantity(self.resources.memory).compareTo(quantity('768Mi')) >= 0").message("spec.coordinator.resources.memory must be at least 768Mi: Trino does not start with less"))]
pub struct Coordinator {
    /// CPU and memory, of which `jvm.heapPercent` is the heap. Default: 500m, 2Gi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// The heap's share of the memory, and flags of the JVM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jvm: Option<Jvm>,
    /// Keys of `config.properties` for the coordinator alone, over `spec.config`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "properties_schema")]
    #[x_kube(validation = Rule::new("self.all(k, k.matches('^[A-Za-z0-9][A-Za-z0-9._-]*$'))").message("spec.coordinator.config: a property's name holds only letters, digits, '.', '_' and '-'"))]
    #[x_kube(validation = Rule::new(OWNED_RULE).message(OWNED_MESSAGE))]
    pub config: Properties,
    /// A pod template of which everything may be left out, laid over the one that Warren makes, as Kubernetes' strategic merge does
    /// it: containers, volumes, environment and the like by `name`, mounts by `mountPath`, ports by `containerPort`; other lists are
    /// replaced, and null takes a field away. Trino's container is called `trino`. What Warren needs as it is (its image, command,
    /// ports, mounts, variables, memory and CPU, labels) is refused in the condition, by name. Changing it has the effect of a new
    /// version. Example: `{spec: {nodeSelector: {pool: trino}, containers: [{name: trino, env: [{name: REGION, value: eu}]}]}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "overlay_schema")]
    pub template: Option<Map<String, Value>>,
}

/// The workers of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.resources) || !has(self.resources.memory) || !isQuantity(self.resources.memory) || quantity(self.resources.memory).compareTo(quantity('768Mi')) >= 0").message("spec.workers.resources.memory must be at least 768Mi: Trino does not start with less"))]
#[x_kube(validation = Rule::new("!has(self.autoscaling) || !has(self.replicas) || self.replicas > 0").message("spec.workers.replicas must not be 0 with spec.workers.autoscaling: without workers the coordinator runs the queries, and there is nothing to scale"))]
pub struct Workers {
    /// Number of workers, 0 to 1000. With 0 the coordinator runs the queries itself. Changing it adds or removes workers
    /// and restarts nothing, but for a change from or to 0; those that go end their tasks first. With `autoscaling` a group
    /// does not set it; leave it out of what you apply to a TrinoCluster, too. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: Option<i32>,
    /// Lets a HorizontalPodAutoscaler set `replicas` of each TrinoCluster. A new revision starts with as many workers as the
    /// old one has. Changing it restarts nothing. Take it away together with a `replicas` that you want: else the number
    /// stays that was last set. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<WorkerAutoscaling>,
    /// How workers end, on a scale-in, a rollout or an eviction. Restarts nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graceful_shutdown: Option<GracefulShutdown>,
    /// CPU and memory of each, of which `jvm.heapPercent` is the heap. Default: 500m, 2Gi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// The heap's share of the memory, and flags of the JVM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jvm: Option<Jvm>,
    /// Keys of `config.properties` for the workers alone, over `spec.config`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "properties_schema")]
    #[x_kube(validation = Rule::new("self.all(k, k.matches('^[A-Za-z0-9][A-Za-z0-9._-]*$'))").message("spec.workers.config: a property's name holds only letters, digits, '.', '_' and '-'"))]
    #[x_kube(validation = Rule::new(OWNED_RULE).message(OWNED_MESSAGE))]
    pub config: Properties,
    /// A pod template of which everything may be left out, laid over the one that Warren makes, as `coordinator.template` is: containers, volumes, environment and the like by `name`, mounts by `mountPath`, ports by `containerPort`; other lists are
    /// replaced, and null takes a field away. Trino's container is called `trino`. What Warren needs as it is (its image, command,
    /// ports, mounts, variables, memory and CPU, labels) is refused in the condition, by name. Changing it has the effect of a new
    /// version. Example: `{spec: {nodeSelector: {pool: trino}, containers: [{name: trino, env: [{name: REGION, value: eu}]}]}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "overlay_schema")]
    pub template: Option<Map<String, Value>>,
}

/// The coordinator's Service, through which proxies and workers reach it, at port 8080.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CoordinatorService {
    /// Type of the Service. Clients need no other than `ClusterIP` but for a gateway whose `proxyMode` is `ProxyFirstCall`; and
    /// they need a NetworkPolicy of yours then, since Warren's lets in proxies alone. (The CRD has the type's text.)
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_: Option<ServiceType>,
    /// Annotations, for example those that a cloud's load balancer reads.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "annotations_schema")]
    #[x_kube(validation = Rule::new(FOREIGN_KEYS_RULE).message("spec.service.annotations: annotations under trinowarren.io/ belong to Warren; use a prefix of your own"))]
    #[x_kube(validation = Rule::new(QUALIFIED_KEYS_RULE).message("spec.service.annotations: an annotation's name is 1 to 63 characters of letters, digits, '-', '_' and '.', with a letter or digit at both ends, and maybe a DNS name and '/' before it"))]
    pub annotations: BTreeMap<String, String>,
}

/// How running queries end before the cluster is removed, or rests with `serving: Drained`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterDrain {
    /// How long they may go on. A drain ends as soon as it is proven that no query is left; what still runs after this time
    /// is listed in an Event, and cut. A number and a unit: `90s`, `10m`, `1h`. Default: `1h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 8))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9]{1,6}(s|m|h)$')").message("spec.drain.timeout must be a number and a unit, such as 90s, 10m or 1h"))]
    pub timeout: Option<String>,
    /// How long the cluster stays after its last query, for spooled results that clients still fetch. A number and a unit.
    /// Default: `1m` with `spec.spooling`, or `protocol.spooling.enabled=true` in `config`; else `0s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 8))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9]{1,6}(s|m|h)$')").message("spec.drain.linger must be a number and a unit, such as 90s, 10m or 1h"))]
    pub linger: Option<String>,
}

/// What is known of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrinoClusterStatus {
    /// Where the cluster is in its life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<ClusterPhase>,
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Whether this revision was ready and verified once: from then on a restart of its coordinator does not take its workers' or its
    /// clients' addresses away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was_ready: Option<bool>,
    /// Since when clients may have queries here: when a revision of it was first verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serving_since: Option<Time>,
    /// How its drain stands, while it takes no new queries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draining: Option<DrainStatus>,
    /// How its verification stands, before it takes queries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<VerificationStatus>,
    /// SHA-256 of the token by which the coordinator tells the gateway of its queries, which Secret `<name>-events` holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_token: Option<String>,
    /// The certificates, where TLS is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsStatus>,
    /// The credential by which operator and proxies ask the coordinator, where `spec.authentication` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<CredentialStatus>,
    /// Hash of what the user wrote; pods of one revision are alike.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Label selector of the workers, for the scale subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// The workers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<WorkersStatus>,
    /// `Ready`, `Reconciling` and `Stalled`, as kstatus reads them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// Where a cluster is in its life: `Provisioning` (its pods start), `Verifying` (its pods are ready; it shows that it can take
/// queries), `Active` (it takes new queries), `Draining` (it takes no
/// new queries; running ones go on), `Drained` (no query is left, or the time for them is over), `Hibernated` (its pods are gone, all else is kept), `Failed` (it cannot start, or does not pass its verification; the condition says why) or `Terminating` (it is being
/// removed).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ClusterPhase {
    /// Its pods start.
    Provisioning,
    /// Its pods are ready; it shows that it can take queries.
    Verifying,
    /// It takes new queries.
    Active,
    /// It takes no new queries; running ones go on.
    Draining,
    /// No query is left, or the time for them is over.
    Drained,
    /// Its pods are gone, all else is kept.
    Hibernated,
    /// It cannot start, or does not pass its verification; the condition says why.
    Failed,
    /// It is being removed.
    Terminating,
}

/// Workers by state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkersStatus {
    /// Asked for.
    #[serde(default)]
    pub desired: i32,
    /// Ready.
    #[serde(default)]
    pub ready: i32,
    /// Ready, but about to go: they end their tasks and get no new ones.
    #[serde(default)]
    pub draining: i32,
}
