//! How a group's clusters are replaced.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::verification::Verify;

/// How clusters are replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// How many clusters there may be beyond `spec.replicas` while they are replaced, those included that drain: old clusters
    /// drain one after the other, as new ones take their place. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub max_surge: Option<i32>,
    /// A share of the queries for the new clusters at first, and more while they do no worse than the old ones. Default: they
    /// take over as soon as they are verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
    /// How long the running queries of a cluster that was replaced or scaled in may go on. It is removed as soon as it is
    /// proven that no query is left; what still runs after this time is listed in an Event, and cut. A number and a unit:
    /// `90s`, `10m`, `1h`. Default: `1h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 8))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9]{1,6}(s|m|h)$')").message("spec.rollout.drainTimeout must be a number and a unit, such as 90s, 10m or 1h"))]
    pub drain_timeout: Option<String>,
    /// What a new cluster shows before it takes queries, besides that all its workers have joined and its catalogs are there.
    /// One that does not pass gets no query, and the clusters that served go on. Restarts nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<Verify>,
}

/// A share of the queries for the new clusters at first. When they do worse than the old ones, they get none any more, and the
/// old ones go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Canary {
    /// The shares, one after the other; after the last one the new clusters take over.
    #[schemars(length(min = 1, max = 20))]
    pub steps: Vec<CanaryStep>,
    /// By how many percentage points more of the new clusters' queries may fail than of the old ones'. Errors of users, such as
    /// wrong SQL, do not count. Default: 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub max_failure_increase: Option<i32>,
    /// By how many percent the new clusters may be slower: what nine in ten queries of the last five minutes took at most. Give
    /// the JVM a step to warm up before it matters. Default: as much as they like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10000))]
    pub max_latency_increase: Option<i32>,
    /// Of fewer queries nothing is concluded. Default: 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub min_queries: Option<i32>,
}

/// One share of new queries, and for how long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CanaryStep {
    /// Percent of the group's new queries that go to the new clusters, 1 to 100.
    #[schemars(range(min = 1, max = 100))]
    pub weight: i32,
    /// For how long: a number and a unit, `90s`, `10m`, `1h`. Left out: until somebody promotes the new clusters
    /// (`kubectl warren promote`).
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 8))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9]{1,6}(s|m|h)$')").message("spec.rollout.canary.steps: for must be a number and a unit, such as 90s, 10m or 1h"))]
    pub time: Option<String>,
}

/// How a canary stands, or ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CanaryStatus {
    /// The new revision.
    pub revision: String,
    /// Where it is.
    pub stage: CanaryStage,
    /// Which step it is at, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<i32>,
    /// Percent of new queries that the new clusters get.
    #[serde(default)]
    pub weight: i32,
    /// Since when.
    pub since: Time,
    /// Why it was aborted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the old clusters answered since the canary began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<CanarySample>,
    /// What the new clusters answered since the canary began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<CanarySample>,
    /// What each coordinator had counted when the canary began.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["cluster"]))]
    pub baseline: Vec<CanaryBaseline>,
}

/// Where a canary is: `Running` (the new clusters get a share of new queries), `Promoted` (they take over) or `Aborted` (they
/// get no queries any more).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CanaryStage {
    /// The new clusters get a share of new queries.
    Running,
    /// They take over.
    Promoted,
    /// They get no queries any more.
    Aborted,
}

/// What clusters of one revision answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CanarySample {
    /// Queries that ended.
    pub queries: i64,
    /// Those of them that failed by no fault of their user.
    pub failed: i64,
    /// Milliseconds that nine in ten of the last five minutes' queries took at most, if there were enough of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_millis: Option<i64>,
}

/// What a coordinator had counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CanaryBaseline {
    /// The cluster.
    pub cluster: String,
    /// Queries that had ended.
    pub queries: i64,
    /// Those of them that had failed by no fault of their user.
    pub failed: i64,
}
