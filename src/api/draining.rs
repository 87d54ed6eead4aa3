//! How the drain of a TrinoCluster stands, as its status tells.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a drain stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrainStatus {
    /// Since when the cluster takes no new queries.
    pub since: Time,
    /// What still runs then is cut.
    pub deadline: Time,
    /// Queries that go on, as far as proxies and coordinator know.
    #[serde(default)]
    pub queries: i32,
    /// The oldest of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<OldestQuery>,
    /// Transactions that clients have open there, once no query goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transactions: Option<i32>,
    /// Since when nothing was found to go on; a second look confirms it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet_since: Option<Time>,
    /// What could not be seen, and why: it counts as if queries went on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
    /// The proxies that were asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proxies: Vec<String>,
    /// When a proxy was last lost or replaced. What it alone knew is waited for as long as Trino keeps a query that nobody
    /// polls (`query.client.timeout`, 5 min by default).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_lost_at: Option<Time>,
}

/// A query that a drain waits for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OldestQuery {
    /// Its id.
    pub id: String,
    /// Who runs it, if the coordinator tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Since when.
    pub since: Time,
}
