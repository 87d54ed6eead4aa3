//! What a `TrinoGateway` says of routing: rules, targets, refusals. What they mean is for `routing` to say.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where queries go: the first rule that matches one decides, else the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewayRouting {
    /// Rules, in order: the first one that matches a query decides. They are no access control. Restarts nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub rules: Vec<RoutingRule>,
    /// Where a query goes that no rule matched. Without it, such a query is refused with a Trino error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<RouteTarget>,
    /// A service that is asked about queries that no rule matched; where it gives no answer, `default` decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalRouter>,
    /// Where a query goes when what it was routed to has no healthy cluster. Without it, such a query fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<RouteTarget>,
}

/// A service that is asked by HTTP for the group of a query; question and answer are those of trino-gateway's external
/// routing. Credentials of clients (`Authorization`, `Cookie`, extra credentials) are not sent to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalRouter {
    /// Where it is asked, for example `http://router.trino.svc:8080/route`. For `https`, its certificate must chain up to
    /// the public roots.
    #[schemars(length(min = 1, max = 500))]
    #[x_kube(validation = Rule::new("self.matches('^https?://[^/?#@ ]+(/[^#@ ]*)?$')").message("spec.routing.external.url must be http://host or https://host, with a port and a path or without"))]
    pub url: String,
    /// The longest that it may take, in milliseconds. Default: 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 60000))]
    pub timeout_millis: Option<i32>,
    /// Headers of clients that it is not sent, besides their credentials.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 100)), extend("x-kubernetes-list-type" = "set"))]
    pub exclude_headers: Vec<String>,
}

/// A rule: which queries it is for, and what becomes of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.to) != has(self.reject)").message("spec.routing.rules: a rule has exactly one of to (where its queries go) and reject (they are refused)"))]
pub struct RoutingRule {
    /// Name of the rule in logs, messages and explanations, for example `etl`.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?$')").message("spec.routing.rules: name must be letters, digits, '-', '_' and '.', with a letter or digit at both ends"))]
    pub name: String,
    /// An expression in CEL that is true for the rule's queries, for example
    /// `query.source == "airflow" || "etl" in query.tags`. One that does not compile is named in the gateway's condition,
    /// with line and column, and the last table stays in force.
    #[schemars(length(min = 1, max = 4096))]
    pub when: String,
    /// Where the rule's queries go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<RouteTarget>,
    /// That the rule's queries are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reject: Option<Rejection>,
}

/// How queries are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rejection {
    /// What the user is told, as an error of Trino.
    #[schemars(length(min = 1, max = 1000))]
    #[x_kube(validation = Rule::new("self.matches('[^ ]')").message("spec.routing.rules: reject.message must say something: the user reads it"))]
    pub message: String,
    /// What becomes of a query of which the rule cannot be told. (The CRD has the type's text.)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_unknown: Option<OnUnknown>,
}

/// What becomes of a query of which a rule that rejects cannot be told, since its statement is not understood or the
/// expression failed: `Reject`, it is refused too, or `Pass`, the next rule is tried. Default: `Reject`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnUnknown {
    /// It is refused.
    #[default]
    Reject,
    /// The next rule is tried.
    Pass,
}

/// A destination of queries: one group, several groups with their shares, or one cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.group) ? 1 : 0) + (has(self.groups) && size(self.groups) > 0 ? 1 : 0) + (has(self.cluster) ? 1 : 0) == 1").message("a target names exactly one of group, groups and cluster; keep one of them"))]
#[x_kube(validation = Rule::new("!has(self.groups) || size(self.groups) == 0 || self.groups.exists(share, !has(share.weight) || share.weight > 0)").message("groups: at least one of them needs a weight over 0"))]
pub struct RouteTarget {
    /// Name of a TrinoClusterGroup behind this gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new(GROUP_RULE).message("group must be the name of a TrinoClusterGroup: at most 36 characters of a-z, 0-9 and '-', beginning with a letter and not ending with '-'"))]
    pub group: Option<String>,
    /// Several groups, each with its share of the queries, for example nine of ten for one and one of ten for another.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub groups: Vec<GroupShare>,
    /// Name of a cluster behind this gateway, of any group: the query goes there, or by the fallback. Names of clusters
    /// that a group made change with each new revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')").message("cluster must be the name of a cluster: 1 to 63 characters of a-z, 0-9 and '-', and neither begin nor end with '-'"))]
    pub cluster: Option<String>,
}

/// A group with its share of the queries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupShare {
    /// Name of a TrinoClusterGroup behind this gateway.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new(GROUP_RULE).message("groups: name must be the name of a TrinoClusterGroup: at most 36 characters of a-z, 0-9 and '-', beginning with a letter and not ending with '-'"))]
    pub name: String,
    /// Its share beside those of the others, 0 to 1000; 0 is none. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub weight: Option<i32>,
}

const GROUP_RULE: &str = "self.matches('^[a-z]([-a-z0-9]{0,34}[a-z0-9])?$')";

/// Which calls of a query go through the gateway: `ProxyAllCalls`, or `ProxyFirstCall`, after which clients talk to the
/// cluster itself at its `clientUrl`. Restarts nothing. Default: `ProxyAllCalls`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ProxyMode {
    /// All of them.
    #[default]
    ProxyAllCalls,
    /// The first one; clients then talk to the cluster itself.
    ProxyFirstCall,
}
