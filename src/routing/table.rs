//! The contract between the operator and the proxies: which clusters there are, and where a new query goes.
//!
//! The operator writes it, the proxy only reads it, and a standalone file holds the same type. It never holds a secret.

use std::{collections::BTreeMap, time::Duration};

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
    /// What clients see: scheme, host, port and maybe a path before every URI that Trino hands out. `http` or `https`,
    /// no slash at the end. Left out, a proxy takes them from the `Host` of each request and from its own listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_url: Option<String>,
    /// Which calls of a query go through the gateway.
    #[serde(default, skip_serializing_if = "is_default")]
    pub proxy_mode: ProxyMode,
    /// Addresses and networks (`10.0.0.0/8`) of the proxies before this one: what they say in `X-Forwarded-*` is believed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trusted_proxies: Vec<String>,
    /// Names that clients may use in `Host`. Empty: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_hosts: Vec<String>,
    /// What rules see of requests that come to further listeners of the proxies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listeners: Vec<Listener>,
    /// Groups of clusters that answer the same queries.
    #[serde(default)]
    pub groups: Vec<Group>,
    /// Where new queries go.
    #[serde(default)]
    pub routing: Rules,
    /// What coordinators tell of their queries is taken and not looked at.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ignores_events: bool,
    /// CA certificates in PEM, once each, by the name that [`Cluster::ca`] gives (the operator uses the SHA-256).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub certificates: BTreeMap<String, String>,
}

/// What rules see of requests that come to one listener, where their clients leave it out. Trino gets the requests as
/// they came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// Name of the listener; unique in the table.
    pub name: String,
    /// The source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The client's tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub client_tags: Vec<String>,
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
    /// A query by which proxies check each cluster that takes new queries, besides asking for its `/v1/info`. Left out:
    /// none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// Clusters that get a share of new queries alone, and the others the rest. Left out: none do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
    /// The clusters, in the order in which a turn goes round.
    #[serde(default)]
    pub clusters: Vec<Cluster>,
}

/// Clusters that show what they can do on a share of new queries. When no other is healthy they get all of them, and the
/// others when they are not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Canary {
    /// Their share, 0 to 100.
    pub percent: u32,
    /// Their names; each is one of the group's.
    pub clusters: Vec<ClusterName>,
}

/// A query that each proxy runs at each cluster of a group again and again: while it fails, the cluster takes no new
/// queries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    /// The statement: one that only reads, without a semicolon.
    pub sql: String,
    /// Who runs it, where a proxy has no credential for the cluster.
    pub user: String,
    /// The pause between two runs in seconds, 5 to 3600; 30 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_seconds: Option<u32>,
    /// The longest that a run may take in seconds, 1 to 60 and not over the pause; 5 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u32>,
}

/// How a cluster is picked among the healthy ones of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Strategy {
    /// One after the other.
    #[default]
    RoundRobin,
    /// Any of them, each as likely as the other.
    Random,
    /// Any of them, each as likely as its [`Cluster::weight`] says.
    Weighted,
    /// The one with the fewest queries for its [`Cluster::weight`].
    LeastQueries,
}

/// Which calls of a query go through the gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProxyMode {
    /// All of them.
    #[default]
    ProxyAllCalls,
    /// The first one only: clients then talk to the cluster's [`Cluster::client_url`]. A cluster without one is served as
    /// in [`ProxyMode::ProxyAllCalls`].
    ProxyFirstCall,
}

/// One Trino cluster, as a proxy sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cluster {
    /// Name of the cluster and its segment in URLs, `/c/<name>`; unique in the table over all groups.
    pub name: ClusterName,
    /// Base URL of the coordinator: `http` or `https`, host and port, no path.
    pub url: String,
    /// Where clients reach the coordinator themselves: as `url`, and used in [`ProxyMode::ProxyFirstCall`] only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_url: Option<String>,
    /// Its share of new queries beside the others of its group, where the strategy looks at it. 0: takes no new query,
    /// whatever the strategy.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub weight: u32,
    /// Whether new queries may go here.
    #[serde(default)]
    pub serving: Serving,
    /// Key into [`RoutingTable::certificates`]: what an `https` coordinator's certificate must chain up to. Left out,
    /// the operating system's roots are trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// The SHA-256, in hexadecimal, of the token by which its coordinator tells of its queries; unique in the table. The
    /// token itself, 256 random bits, cannot be found from it. Left out: nobody may tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_token: Option<String>,
    /// Whether it has a credential for the proxies, which comes to them beside the table ([`super::Credential`]): what they ask
    /// by themselves, but for `/v1/info`, waits for it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub own_credential: bool,
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
    /// In order: the first one that matches a query decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
    /// Who is asked about a query that no rule matched; where it gives no answer, the default decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalRouter>,
    /// Where a query goes that no rule matched. Left out, such a query is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Target>,
    /// Where a query goes when what it was routed to has no healthy cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Target>,
}

/// A service that is asked by HTTP for the group of a query, in the manner of trino-gateway's external routing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalRouter {
    /// Where it is asked, by `POST`: `http` or `https`, host, and maybe port and path.
    pub url: String,
    /// The longest that it may take, in milliseconds; 1000 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_millis: Option<u32>,
    /// Headers of clients that it is not sent, besides their credentials.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude_headers: Vec<String>,
}

/// A rule: which queries it is for, and what becomes of them. Exactly one of `to` and `reject` is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// Name for logs and messages; unique in the table.
    pub name: String,
    /// An expression in CEL that is true for the queries it is for; see [`crate::routing::Facts`].
    pub when: String,
    /// Where they go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Target>,
    /// That they are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reject: Option<Reject>,
}

/// How queries are refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reject {
    /// What the user is told.
    pub message: String,
    /// What becomes of a query of which the rule cannot be told.
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_unknown: OnUnknown,
}

/// What becomes of a query of which a rule that rejects cannot be told: its statement is not understood, or the
/// expression failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnUnknown {
    /// It is refused.
    #[default]
    Reject,
    /// The rule does not match it.
    Pass,
}

/// A destination of new queries. Exactly one of its fields is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Name of a [`Group`] of the same table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Several groups, each with its share of the queries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<WeightedGroup>,
    /// Name of a [`Cluster`] of the same table, of any group: the query goes there or nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
}

/// A group with its share of the queries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WeightedGroup {
    /// Name of a [`Group`] of the same table.
    pub name: String,
    /// Its share beside those of the others; 0 for none.
    #[serde(default = "one")]
    pub weight: u32,
}

impl Target {
    /// The target that is one group.
    pub fn group(name: impl Into<String>) -> Self {
        Self { group: Some(name.into()), ..Self::default() }
    }

    /// The names of groups that it names.
    pub fn group_names(&self) -> impl Iterator<Item = &str> {
        self.group.as_deref().into_iter().chain(self.groups.iter().map(|group| group.name.as_str()))
    }
}

impl HealthCheck {
    /// The pause between two runs.
    pub fn interval(&self) -> Duration {
        Duration::from_secs(self.interval_seconds.unwrap_or(30).into())
    }

    /// The longest that a run may take.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds.unwrap_or(5).into())
    }
}

impl Rules {
    /// Each target with the path of its field, in the order of the fields.
    pub fn targets(&self) -> impl Iterator<Item = (String, &Target)> {
        let of_rules = self.rules.iter().filter_map(|rule| Some((rule.field("to"), rule.to.as_ref()?)));
        let default = self.default.as_ref().map(|target| ("routing.default".to_owned(), target));
        let fallback = self.fallback.as_ref().map(|target| ("routing.fallback".to_owned(), target));
        of_rules.chain(default).chain(fallback)
    }
}

impl Rule {
    /// The path of its field `field`, as messages name it.
    pub(super) fn field(&self, field: &str) -> String {
        format!("routing.rules[{}].{field}", self.name)
    }
}

fn current_format() -> u32 {
    ROUTING_TABLE_FORMAT
}

fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_one(number: &u32) -> bool {
    *number == 1
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
