//! What a proxy tells of the queries that go on, on its admin port: the contract with whoever decides about drains. Fields
//! are only ever added. Times are ages, since clocks differ.

use serde::{Deserialize, Serialize};

use super::table::Serving;

/// What one proxy saw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LiveReport {
    /// Each cluster of its table.
    pub clusters: Vec<LiveCluster>,
}

/// What one proxy saw of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LiveCluster {
    /// The cluster's name.
    pub cluster: String,
    /// Whether it takes new queries, by the table that this proxy has in force.
    pub serving: Serving,
    /// Requests of clients that are under way there.
    pub in_flight: usize,
    /// Queries whose clients hold a `nextUri`.
    pub count: usize,
    /// Queries that it has, running and queued: as its coordinator last said, with what this proxy saw begin and end since;
    /// where it does not say, what this proxy knows. Older proxies do not tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<u32>,
    /// The oldest of them. Where clients poll the cluster by themselves, those that began within the last minute, and are
    /// not known to have ended.
    pub queries: Vec<LiveQuery>,
    /// Queries that this proxy saw end, the last ones: others may not know it.
    pub ended: Vec<EndedQuery>,
}

/// A query whose client holds a `nextUri`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LiveQuery {
    /// Its id.
    pub id: String,
    /// Milliseconds since this proxy first saw it.
    pub age_millis: u64,
    /// Milliseconds since this proxy last saw it.
    pub idle_millis: u64,
}

/// A query that ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndedQuery {
    /// Its id.
    pub id: String,
    /// Milliseconds since then.
    pub age_millis: u64,
}
