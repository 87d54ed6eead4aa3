//! How the workers of a TrinoCluster come and go: graceful shutdown and autoscaling.

use kube::KubeSchema;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// How a worker ends: after the tasks that it runs, or after a time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GracefulShutdown {
    /// How long a worker that is to go may take to end its tasks; then it goes nevertheless, with an Event, and the queries
    /// that had tasks there fail. Without any task it takes twice Trino's `shutdown.grace-period`, which Warren sets to `30s`.
    /// A scale-in takes a new value at once. A pod that is evicted or replaced (its preStop hook, and
    /// `terminationGracePeriodSeconds`, 30 s more) has the value that stood here when its revision was made: a change makes no
    /// new revision and restarts nothing. A number and a unit: `90s`, `30m`, `2h`. Default: `10m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 8))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9]{1,6}(s|m|h)$')").message("spec.workers.gracefulShutdown.timeout must be a number and a unit, such as 90s, 30m or 2h"))]
    pub timeout: Option<String>,
}

/// A HorizontalPodAutoscaler that sets `workers.replicas` of the TrinoCluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.minReplicas) || self.minReplicas <= self.maxReplicas").message("spec.workers.autoscaling: minReplicas must not be above maxReplicas"))]
#[x_kube(validation = Rule::new("!has(self.metrics) || !has(self.targetCPUUtilizationPercentage)").message("spec.workers.autoscaling: give targetCPUUtilizationPercentage or metrics, not both; a target for CPU can be one of metrics"))]
pub struct WorkerAutoscaling {
    /// The fewest workers, 1 to 1000. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub min_replicas: Option<i32>,
    /// The most workers, 1 to 1000.
    #[schemars(range(min = 1, max = 1000))]
    pub max_replicas: i32,
    /// Workers are added or removed until they use this share of the CPU that they request (`workers.resources.cpu`) on
    /// average, in percent. Default: 80, unless `metrics` are given.
    #[serde(default, rename = "targetCPUUtilizationPercentage", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub target_cpu_utilization_percentage: Option<i32>,
    /// What is looked at instead: `spec.metrics` of a HorizontalPodAutoscaler (autoscaling/v2), at most 8, as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "metrics_schema")]
    pub metrics: Vec<Map<String, Value>>,
    /// How fast it goes up and down: `spec.behavior` of a HorizontalPodAutoscaler (autoscaling/v2), as it is. Default:
    /// Kubernetes' own, which removes a worker only when fewer were enough for 5 min.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "behavior_schema")]
    pub behavior: Option<Map<String, Value>>,
}

// Kubernetes' own types would add 30 KB to each CRD; the API server checks them when the autoscaler is made.
fn metrics_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 8,
        "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
    })
}

fn behavior_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}
