//! What a TrinoCluster keeps outside itself: the data of fault-tolerant execution and of spooled results; and its JVMs' settings.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    cluster::{Properties, properties_schema},
    files::{SecretValue, secret_values_schema},
};

/// Fault-tolerant execution: what failed is run again, from data that is kept outside the workers. Changing it makes a new revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.retryPolicy != 'TASK' || has(self.exchange)").message("spec.faultTolerantExecution: retryPolicy TASK needs exchange.locations"))]
pub struct FaultTolerantExecution {
    /// What is tried again. (The CRD has the type's text.)
    pub retry_policy: RetryPolicy,
    /// Where the data between stages is kept. With `QUERY` it is needed for results over 32 MB alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<Exchange>,
}

/// What is tried again when it fails: single tasks (`TASK`, for long queries) or a query as a whole (`QUERY`, for many short ones).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum RetryPolicy {
    /// Single tasks.
    Task,
    /// Whole queries.
    Query,
}

/// `exchange-manager.properties` of all nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.properties) || !('exchange.base-directories' in self.properties)").message("spec.faultTolerantExecution.exchange.properties: Warren itself sets exchange.base-directories from locations; remove it here"))]
pub struct Exchange {
    /// Where: `s3://bucket/path`, `abfs://…`, `gs://…`, `hdfs://…`, or a path that all nodes share. Warren appends the cluster's
    /// name, so that two clusters of a group never share one.
    #[schemars(length(min = 1, max = 8), inner(length(min = 1, max = 512)))]
    #[x_kube(validation = Rule::new(LOCATIONS_RULE).message("spec.faultTolerantExecution.exchange.locations must be such as s3://bucket/path or /path, without blanks and ','"))]
    pub locations: Vec<String>,
    /// Lines of `exchange-manager.properties`. Default: `exchange-manager.name: filesystem`, `hdfs` with locations of HDFS. Example:
    /// `exchange.s3.region: eu-central-1`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "properties_schema")]
    pub properties: Properties,
    /// Lines whose values stand in Secrets. Example: `exchange.s3.aws-secret-key`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "secret_values_schema")]
    pub secret_properties: BTreeMap<String, SecretValue>,
}

/// Spooled results: clients fetch large results from object storage. Changing it makes a new revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.properties) || !('fs.location' in self.properties)").message("spec.spooling.properties: Warren itself sets fs.location from location; remove it here"))]
pub struct Spooling {
    /// Where: `s3://bucket/path`, `abfs://…`, or `gs://…`. Warren appends the cluster's name, so that two clusters of a group never
    /// share one. What a removed cluster left there is removed by nobody: give the bucket a rule that expires it.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("self.matches('^(s3|abfs|abfss|wasb|wasbs|gs)://[^\\\\s,]+$')").message("spec.spooling.location must be such as s3://bucket/path, abfs://… or gs://…"))]
    pub location: String,
    /// Who gives segments to clients: `protocol.spooling.retrieval-mode`. (The CRD has the type's text.)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retrieval_mode: Option<RetrievalMode>,
    /// Lines of `spooling-manager.properties` of all nodes. Default: `spooling-manager.name: filesystem` and the file system of
    /// `location`. Example: `s3.region: eu-central-1`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "properties_schema")]
    pub properties: Properties,
    /// Lines whose values stand in Secrets. Example: `s3.aws-secret-key`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "secret_values_schema")]
    pub secret_properties: BTreeMap<String, SecretValue>,
}

/// Who gives segments of results to clients: the storage by signed URLs (`STORAGE`, or `COORDINATOR_STORAGE_REDIRECT`, where the
/// coordinator hands those out only when a client asks), the coordinator (`COORDINATOR_PROXY`), or the workers (`WORKER_PROXY`, which
/// clients have to reach). Default: Trino's own, `STORAGE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RetrievalMode {
    /// The storage, by signed URLs.
    Storage,
    /// The storage, to which the coordinator sends clients.
    CoordinatorStorageRedirect,
    /// The coordinator.
    CoordinatorProxy,
    /// The workers.
    WorkerProxy,
}

/// `jvm.config` of a component. Changing it makes a new revision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Jvm {
    /// The heap's share of the container's memory in percent, 10 to 90. What is left is for the JVM itself, its threads, buffers
    /// and compiled code. Default: 70, but 450 MiB are left at least, which pods of less than 1.5 GiB need, and at least 50.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 90))]
    pub heap_percent: Option<i32>,
    /// Further flags, one each. One that Warren sets itself, too, takes its place: a garbage collector instead of Warren's, another
    /// `-XX:ReservedCodeCacheSize`. The heap's size is Warren's own. Example: `-XX:+HeapDumpOnOutOfMemoryError`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 2, max = 1024)))]
    #[x_kube(validation = Rule::new("self.all(f, f.matches('^-[!-~]([ -~]*[!-~])?$'))").message("jvm.flags: a flag begins with '-', and holds printable ASCII characters alone, for example -XX:+HeapDumpOnOutOfMemoryError"))]
    #[x_kube(validation = Rule::new("!self.exists(f, f.matches('^(-Xmx|-mx|-XX:(MaxHeapSize|MaxRAM|MaxRAMPercentage|MinRAMPercentage|MaxRAMFraction|MinRAMFraction)=)'))").message("jvm.flags: Warren itself sets the heap, so -Xmx, -XX:MaxHeapSize, -XX:MaxRAM, -XX:MaxRAMPercentage and the like are refused; set heapPercent and resources.memory"))]
    pub flags: Vec<String>,
}

const LOCATIONS_RULE: &str = r"self.all(l, l.matches('^([a-z][a-z0-9+.-]*://|/)[^\\s,]+$'))";
