//! `TrinoClusterGroup`: clusters that answer the same queries, made from one template.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    cluster::{ClusterPhase, TrinoClusterSpec},
    external::{ExternalCluster, ExternalClusterStatus},
    pod::{SECRET_NAME_RULE, TemplateMetadata},
    rollout::{CanaryStatus, Rollout},
};

/// Clusters that answer the same queries, made from one template. An edit of the template makes new clusters beside the
/// old ones; these serve until the new ones are ready.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "trinowarren.io",
    version = "v1alpha1",
    kind = "TrinoClusterGroup",
    namespaced,
    derive = "PartialEq",
    status = "TrinoClusterGroupStatus",
    shortname = "tcg",
    category = "trino",
    doc = "Clusters that answer the same queries, made from one template. An edit of the template makes new clusters beside the old ones; these serve until the new ones are ready.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Desired", type_ = "integer", json_path = ".spec.replicas"),
    printcolumn(name = "Clusters", type_ = "integer", json_path = ".status.replicas"),
    printcolumn(name = "Serving", type_ = "integer", json_path = ".status.readyReplicas"),
    printcolumn(name = "Version", type_ = "string", json_path = ".spec.template.spec.version"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]{0,34}[a-z0-9])?$')").message("metadata.name must be at most 36 characters of a-z, 0-9 and '-', beginning with a letter and not ending with '-': the names of its clusters are made from it")
)]
#[x_kube(validation = Rule::new("has(self.template) || (has(self.external) && size(self.external) > 0)").message("spec: give template (clusters that Warren makes), external (clusters that it only routes to), or both"))]
#[x_kube(validation = Rule::new("has(self.template) || !has(self.replicas) || self.replicas == 0").message("spec.replicas needs spec.template, since clusters are made from it; add spec.template or remove spec.replicas"))]
pub struct TrinoClusterGroupSpec {
    /// `true` stops Warren from changing anything of this object; what runs goes on. Default: `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// Number of clusters made from the template, 0 to 100. On scale-in the newest go first, each after its drain.
    /// Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub replicas: Option<i32>,
    /// How a new query picks one of the clusters. (The CRD has the type's text.)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// A query by which the proxies check each cluster that takes new queries, besides asking for its `/v1/info`: while it
    /// fails, the cluster takes no new queries, and the running ones go on. Adding, changing or removing it restarts
    /// nothing. Default: no query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// How clusters are replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// Clusters that Warren did not make, and only routes to: it checks them, and never changes them. An entry that is
    /// removed takes no new queries, and stays in `status.external` until those that it has ended, or until
    /// `rollout.drainTimeout` is over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub external: Vec<ExternalCluster>,
    /// What each cluster is made from. A change of anything but `replicas` of workers, `paused`, labels and annotations
    /// makes new clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<ClusterTemplate>,
}

/// How a new query picks one of the clusters: `RoundRobin`, one after the other; `Random`; `Weighted`, by their weights; or
/// `LeastQueries`, the one with the fewest queries for its weight. Restarts nothing. Default: `RoundRobin`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Strategy {
    /// One after the other.
    #[default]
    RoundRobin,
    /// Any, each as likely as the other.
    Random,
    /// Any, as likely as its weight says.
    Weighted,
    /// The one with the fewest queries for its weight.
    LeastQueries,
}

/// A query by which the proxies check clusters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.timeoutSeconds) ? self.timeoutSeconds : 5) <= (has(self.intervalSeconds) ? self.intervalSeconds : 30)").message("spec.healthCheck: timeoutSeconds must not be over intervalSeconds"))]
pub struct HealthCheck {
    /// The statement: one that only reads (`SELECT`, `SHOW`, `DESCRIBE` or `EXPLAIN`), has a small result, and ends without
    /// a semicolon, for example `SELECT 1`. Each proxy runs it at each cluster. One that is no such statement is named in
    /// the gateway's condition, and the last table stays in force.
    #[schemars(length(min = 1, max = 4096))]
    #[x_kube(validation = Rule::new("!self.matches(';[[:space:]]*$') && self.matches('[^[:space:]]')").message("spec.healthCheck.sql must be one statement, such as SELECT 1, without a semicolon at its end"))]
    pub sql: String,
    /// The user that runs it, for example `warren-health`; at clusters with `authentication` it is Warren's own, and at an entry of
    /// `external` with `credentialsSecretRef` the one of that. No password is sent to others: one that asks for it is unhealthy.
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = Rule::new("self.matches('^[!-~]+$')").message("spec.healthCheck.user must be the name of a user: visible ASCII characters"))]
    pub user: String,
    /// Seconds between two runs of one proxy at one cluster, a tenth more or less. After a failure the next ones come
    /// sooner: after 5 s, then twice as long each time. Default: 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 5, max = 3600))]
    pub interval_seconds: Option<i32>,
    /// Seconds that a run may take; then it is cancelled and counts as failed. Default: 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 60))]
    pub timeout_seconds: Option<i32>,
}

/// A key of a Secret in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyReference {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(SECRET_NAME_RULE).message("caSecretRef.name must be the name of a Secret: 1 to 253 characters of a-z, 0-9, '-' and '.', with a letter or digit at both ends"))]
    pub name: String,
    /// Key in the Secret. Default: `ca.crt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[-._A-Za-z0-9]+$')").message("caSecretRef.key must be a key of the Secret, such as ca.crt: letters, digits, '-', '_' and '.'"))]
    pub key: Option<String>,
}

/// What each cluster of a group is made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.spec.drain) || !has(self.spec.drain.timeout)").message("spec.template.spec.drain.timeout: a group's clusters have spec.rollout.drainTimeout; give that instead"))]
#[x_kube(validation = Rule::new("!has(self.spec.verify)").message("spec.template.spec.verify: a group's clusters have spec.rollout.verify; give that instead"))]
#[x_kube(validation = Rule::new("!has(self.spec.serving)").message("spec.template.spec.serving belongs to each TrinoCluster, not to the template; remove it"))]
#[x_kube(validation = Rule::new("!has(self.spec.catalogs) || !has(self.spec.catalogs.resolved)").message("spec.template.spec.catalogs.resolved is what the group writes into its TrinoClusters; give spec.template.spec.catalogs.selector instead"))]
pub struct ClusterTemplate {
    /// Labels and annotations of the TrinoClusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<TemplateMetadata>,
    /// The spec of the TrinoClusters.
    pub spec: TrinoClusterSpec,
}

/// What is known of a group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrinoClusterGroupStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Number of TrinoClusters, of all revisions.
    #[serde(default)]
    pub replicas: i32,
    /// Those that take new queries.
    #[serde(default)]
    pub ready_replicas: i32,
    /// The revision that takes new queries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_revision: Option<String>,
    /// The revision of the template as it stands now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_revision: Option<String>,
    /// The number in the name of the newest cluster. Written before the cluster is made, so that a name is never used
    /// again.
    #[serde(default)]
    pub last_ordinal: i64,
    /// Numbers that were written down for clusters that were not seen yet: the next clusters get them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claimed_ordinals: Vec<i64>,
    /// How the canary of the newest revision stands, or ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<CanaryStatus>,
    /// Label selector of the TrinoClusters, for the scale subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// The clusters, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub clusters: Vec<ClusterSummary>,
    /// The clusters of `spec.external`, and those that were removed from it and still have queries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub external: Vec<ExternalClusterStatus>,
    /// `Ready`, `Reconciling` and `Stalled`, as kstatus reads them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// One cluster of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterSummary {
    /// Name of the TrinoCluster.
    pub name: String,
    /// Where it is in its life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<ClusterPhase>,
    /// Its version of Trino.
    pub version: String,
    /// Its revision.
    pub revision: String,
}
