//! `TrinoGateway`: one address, the groups behind it, and where queries go.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    pod::{LABEL_VALUES_RULE, QUALIFIED_KEYS_RULE, labels_schema},
    routing::{GatewayRouting, ProxyMode},
};

/// One address for many Trino clusters: which groups stand behind it, and which of them a query goes to.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "trinowarren.io",
    version = "v1alpha1",
    kind = "TrinoGateway",
    namespaced,
    derive = "PartialEq",
    status = "TrinoGatewayStatus",
    shortname = "tgw",
    category = "trino",
    doc = "One address for many Trino clusters: which groups stand behind it, and which of them a query goes to.",
    printcolumn(name = "Default", type_ = "string", json_path = ".spec.routing.default.group"),
    printcolumn(name = "Clusters", type_ = "integer", json_path = ".status.routingTable.clusters"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$')").message("metadata.name must be at most 40 characters of a-z, 0-9 and '-', beginning with a letter and not ending with '-'")
)]
#[x_kube(validation = Rule::new("!has(self.routing) || !has(self.routing.default) || !has(self.groups) || !has(self.groups.names) || size(self.groups.names) == 0 || !has(self.routing.default.group) || self.routing.default.group in self.groups.names").message("spec.routing.default.group must be one of spec.groups.names; add it there or choose one of them"))]
pub struct TrinoGatewaySpec {
    /// `true` stops Warren from changing anything of this object; what runs goes on. Default: `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// The address that clients use, for example `https://trino.example.com`; Trino's answers then carry it, whatever the
    /// client's `Host` says. `https` where clients speak that, be it to the proxies or to something before them. It may have a path, such as `https://example.com/trino`, if a proxy before the gateway serves
    /// it below one. Default: the `Host` of each request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 300))]
    #[x_kube(validation = Rule::new(EXTERNAL_URL_RULE).message("spec.externalUrl must be http://host[:port] or https://host[:port], with a port from 1 to 65535, then maybe a path such as /trino of letters, digits, '-', '.', '_' and '~', without a slash at its end"))]
    pub external_url: Option<String>,
    /// Which calls of a query go through the gateway. (The CRD has the type's text.)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_mode: Option<ProxyMode>,
    /// Addresses and networks of the proxies before the gateway, such as `10.0.0.0/8`: their `X-Forwarded-*` headers are
    /// believed. Default: nobody's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 2, max = 43)), extend("x-kubernetes-list-type" = "set"))]
    #[x_kube(validation = Rule::new("self.all(proxy, proxy.matches('^[0-9A-Fa-f.:]+(/[0-9]{1,3})?$'))").message("spec.trustedProxies: each is an address such as 10.0.0.1 or a network such as 10.0.0.0/8"))]
    pub trusted_proxies: Vec<String>,
    /// Names that clients may use in `Host`, such as `trino.example.com` or `*.example.com`. Default: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 253)), extend("x-kubernetes-list-type" = "set"))]
    #[x_kube(validation = Rule::new(HOSTS_RULE).message("spec.allowedHosts: each is a host such as trino.example.com or *.example.com, without a port"))]
    pub allowed_hosts: Vec<String>,
    /// More ports of the gateway, under names that rules may ask for (`request.listener == "bi"`). All of its ProxyGroups
    /// listen there, and their Services have these ports. To add, remove or rename one, or to change its port, replaces the
    /// proxies one by one; running queries go on through the others. But a port that goes is gone for the queries that
    /// came through it, too, unless `externalUrl` leads them elsewhere: add the new one first. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    #[x_kube(validation = Rule::new("self.all(one, self.exists_one(other, other.port == one.port))").message("spec.listeners: two have the same port; each needs one of its own"))]
    pub listeners: Vec<Listener>,
    /// Whether clusters tell the gateway of each query that begins and ends, so that its proxies know how many each has
    /// without asking. `enabled: false` lets them tell, and looks at nothing. Restarts nothing. Default: enabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_listener: Option<EventListener>,
    /// The TrinoClusterGroups of this namespace that stand behind the gateway. Default: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<GroupSelection>,
    /// Where queries go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routing: Option<GatewayRouting>,
}

/// Whether coordinators tell of their queries, by Trino's HTTP event listener.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventListener {
    /// `false` turns it off. Default: `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// One more port of a gateway, and what rules see of the requests that come to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// Name of the listener, for example `bi`; rules see it as `request.listener`, and the Services' port has it.
    #[schemars(length(min = 1, max = 15))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$') && !self.contains('--')").message("spec.listeners: name must be at most 15 characters of a-z, 0-9 and '-', beginning with a letter, not ending with '-' and without '--': a port of the Service has it"))]
    #[x_kube(validation = Rule::new("!(self in ['client', 'admin', 'events', 'http', 'https'])").message("spec.listeners: client, admin, events, http and https are names of the proxies' own ports; choose another"))]
    pub name: String,
    /// Port of the proxies and of their Services, 1024 to 65535, but not 8080 (for clients), 9090 (administration) and
    /// 9091 (events of coordinators).
    #[schemars(range(min = 1024, max = 65535))]
    #[x_kube(validation = Rule::new("!(self in [8080, 9090, 9091])").message("spec.listeners: port 8080 is the proxies' own for clients, 9090 that for administration and 9091 that for events; choose another"))]
    pub port: i32,
    /// What rules see as `query.source` of requests that come here and name none, for example `superset`. It is for rules
    /// alone: Trino gets the request as it came. Most clients name one by themselves. Restarts nothing. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    #[x_kube(validation = Rule::new("!self.startsWith(' ') && !self.endsWith(' ')").message("spec.listeners: source must neither begin nor end with a blank"))]
    pub source: Option<String>,
    /// What rules see as `query.tags` of requests that come here and have none, for example `[bi]`. It is for rules alone:
    /// Trino gets the request as it came, and its resource groups see no tag. Restarts nothing. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 100)), extend("x-kubernetes-list-type" = "set"))]
    #[x_kube(validation = Rule::new("self.all(tag, tag.matches('^[^ ,]([^,]*[^ ,])?$'))").message("spec.listeners: clientTags: a tag has no comma, and neither begins nor ends with a blank"))]
    pub client_tags: Vec<String>,
}

/// An address without a path: a name, an IPv4 address, or an IPv6 address in brackets; then maybe a port.
pub(super) const ADDRESS_RULE: &str = r"self.matches('^https?://([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?|\\[[0-9A-Fa-f:.]+\\])(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?$')";

/// Hosts as clients name them, without a port: names, names below another one, and addresses.
const HOSTS_RULE: &str = r"self.all(host, host.matches('^([*][.])?[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?$') || host.matches('^\\[[0-9A-Fa-f:.]+\\]$'))";

/// An address, then maybe a path whose segments no server reads differently.
const EXTERNAL_URL_RULE: &str = r"self.matches('^https?://([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?|\\[[0-9A-Fa-f:.]+\\])(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?(/[-._~A-Za-z0-9]+)*$') && !self.matches('/[.]{1,2}(/|$)')";

/// Which groups a gateway serves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.names) && size(self.names) > 0 && has(self.selector))").message("spec.groups: give names or selector, not both"))]
pub struct GroupSelection {
    /// Names of TrinoClusterGroups. One that does not exist is named in the gateway's condition.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 63)), extend("x-kubernetes-list-type" = "set"))]
    #[x_kube(validation = Rule::new("self.all(name, name.matches('^[a-z]([-a-z0-9]{0,34}[a-z0-9])?$'))").message("spec.groups.names: the name of a TrinoClusterGroup is at most 36 characters of a-z, 0-9 and '-', beginning with a letter and not ending with '-'"))]
    pub names: Vec<String>,
    /// Labels that the groups carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelection>,
}

/// Labels that objects must carry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct LabelSelection {
    /// All of these labels, with these values.
    #[schemars(schema_with = "labels_schema")]
    #[x_kube(validation = Rule::new("size(self) > 0").message("spec.groups.selector.matchLabels must name at least one label; leave selector out to take all groups"))]
    #[x_kube(validation = Rule::new(QUALIFIED_KEYS_RULE).message("spec.groups.selector.matchLabels: a label's name is 1 to 63 characters of letters, digits, '-', '_' and '.', with a letter or digit at both ends, and maybe a DNS name and '/' before it"))]
    #[x_kube(validation = Rule::new(LABEL_VALUES_RULE).message("spec.groups.selector.matchLabels: a label's value is at most 63 characters of letters, digits, '-', '_' and '.', with a letter or digit at both ends"))]
    pub match_labels: BTreeMap<String, String>,
}

/// What is known of a gateway.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrinoGatewayStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The routing table that the proxies follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routing_table: Option<RoutingTableStatus>,
    /// The groups behind the gateway.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub groups: Vec<GroupSummary>,
    /// `Ready`, `Reconciling` and `Stalled`, as kstatus reads them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// A published routing table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoutingTableStatus {
    /// The ConfigMap that holds it.
    pub config_map: String,
    /// Hash of its contents.
    pub hash: String,
    /// Number of clusters in it, those that drain included.
    pub clusters: i32,
}

/// One group behind a gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupSummary {
    /// Name of the TrinoClusterGroup.
    pub name: String,
    /// Clusters in the routing table.
    pub clusters: i32,
    /// Those of them that take new queries.
    pub active: i32,
}
