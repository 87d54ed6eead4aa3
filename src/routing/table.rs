//! The contract between the operator and the proxies: which clusters there are, and where a new query goes.
//!
//! The operator writes it, the proxy only reads it, and a standalone file holds the same type. It never holds a secret.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::trino::ClusterName;

/// The newest format that this version writes. A reader refuses newer ones, and reads every older one.
pub const ROUTING_TABLE_FORMAT: u32 = 1;

/// All that a proxy must know to route: clusters in their groups, and the rules.
///
/// Unknown fields are ignored on reading, so that a proxy understands the table of a newer operator of the same format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoutingTable {
    /// Format of the table, [`ROUTING_TABLE_FORMAT`] when left out.
    #[serde(default = "current_format")]
    pub format: u32,
    /// What clients see: scheme, host and port of every URI that Trino hands out. `http` or `https`, no path. Left out,
    /// a proxy takes them from the `Host` of each request and from its own listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_url: Option<String>,
    /// Groups of clusters that answer the same queries.
    #[serde(default)]
    pub groups: Vec<Group>,
    /// Where new queries go.
    #[serde(default)]
    pub routing: Rules,
    /// CA certificates in PEM, once each, by the name that [`Cluster::ca`] gives (the operator uses the SHA-256).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub certificates: BTreeMap<String, String>,
}

/// Clusters that answer the same queries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// Name by which rules send queries here; unique in the table.
    pub name: String,
    /// How one cluster of the group is picked for a new query.
    #[serde(default)]
    pub strategy: Strategy,
    /// The clusters, in the order in which a turn goes round.
    #[serde(default)]
    pub clusters: Vec<Cluster>,
}

/// How a cluster is picked among the healthy ones of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Strategy {
    /// One after the other.
    #[default]
    RoundRobin,
}

/// One Trino cluster, as a proxy sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cluster {
    /// Name of the cluster and its segment in URLs, `/c/<name>`; unique in the table over all groups.
    pub name: ClusterName,
    /// Base URL of the coordinator: `http` or `https`, host and port, no path.
    pub url: String,
    /// Whether new queries may go here.
    #[serde(default)]
    pub serving: Serving,
    /// Key into [`RoutingTable::certificates`]: what an `https` coordinator's certificate must chain up to. Left out,
    /// the operating system's roots are trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
}

/// Whether a cluster takes new queries. Polls of running ones are served in every state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Serving {
    /// Takes new queries while healthy.
    #[default]
    Active,
    /// Takes no new query, and serves the running ones to their end.
    Draining,
}

/// Where new queries go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rules {
    /// Where a query goes that no rule matched. Left out, such a query is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Target>,
}

/// A destination of new queries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Name of a [`Group`] of the same table.
    pub group: String,
}

fn current_format() -> u32 {
    ROUTING_TABLE_FORMAT
}
