//! A gateway's routing table, and the ConfigMap that carries it to the proxies.

use std::collections::BTreeMap;

use k8s_openapi::{
    ByteString,
    api::core::v1::{ConfigMap, Secret},
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use sha2::{Digest, Sha256};

use super::{
    cluster::{self, ClusterIdentity, EVENT_TOKEN_KEY},
    group::{GroupIdentity, canary_share},
    labels::{COMPONENT, GATEWAY, LEAVING_GROUPS, MANAGED_BY, WARREN, component, labels},
    metadata::owned_meta,
    proxy_group::ProxyIdentity,
    rules,
};
use crate::{
    api::{
        self, ExternalCluster, ExternalServing, GroupSelection, Properties, ProxyGroupSpec, ServingIntent,
        TrinoCluster, TrinoClusterGroup, TrinoGatewaySpec,
    },
    routing::{
        Canary, Cluster, Group, HealthCheck, Listener, ProxyMode, ROUTING_TABLE_FORMAT, RoutingTable, Serving,
        Strategy, TableError,
        codec::{EncodedTable, TABLE_GZIP_KEY, TABLE_KEY},
    },
};

/// A group behind the gateway, with all that its part of the table is made from.
pub struct GroupInput<'a> {
    /// The group.
    pub group: &'a TrinoClusterGroup,
    /// Its clusters that are not being deleted, oldest first.
    pub clusters: Vec<&'a TrinoCluster>,
    /// Those that Warren only routes to, also those that were removed and still have queries.
    pub external: Vec<ExternalCluster>,
    /// CA certificates in PEM by the name of the external cluster.
    pub certificates: BTreeMap<String, String>,
    /// SHA-256 of the tokens by which external clusters tell of their queries, by the name of the cluster.
    pub event_tokens: BTreeMap<String, String>,
}

/// Name of the ConfigMap that holds the routing table of the gateway `gateway`.
pub fn config_map_name(gateway: &str) -> String {
    format!("{gateway}-routing")
}

/// Whether `group` stands behind a gateway whose spec says `selection`.
pub fn selects(selection: Option<&GroupSelection>, group: &str, group_labels: Option<&Properties>) -> bool {
    let Some(selection) = selection else { return true };
    if !selection.names.is_empty() {
        return selection.names.iter().any(|name| name == group);
    }
    let Some(selector) = &selection.selector else { return true };
    selector.match_labels.iter().all(|(key, value)| group_labels.and_then(|labels| labels.get(key)) == Some(value))
}

/// The routing table of a gateway. A group or a cluster that the rules name is in it even when it does not exist, as a
/// group without clusters: its queries then get a clear answer or the fallback, and the table is valid.
pub fn routing_table(spec: &TrinoGatewaySpec, namespace: &str, groups: &[GroupInput<'_>]) -> RoutingTable {
    let mut certificates = BTreeMap::new();
    let mut table_groups: Vec<_> =
        groups.iter().map(|input| group_entry(namespace, input, &mut certificates)).collect();
    let mut routing = spec.routing.as_ref().map(rules::rules).unwrap_or_default();
    rules::complete(&mut routing, &mut table_groups);
    RoutingTable {
        format: ROUTING_TABLE_FORMAT,
        external_url: spec.external_url.clone(),
        proxy_mode: match spec.proxy_mode.unwrap_or_default() {
            api::ProxyMode::ProxyAllCalls => ProxyMode::ProxyAllCalls,
            api::ProxyMode::ProxyFirstCall => ProxyMode::ProxyFirstCall,
        },
        trusted_proxies: spec.trusted_proxies.clone(),
        allowed_hosts: spec.allowed_hosts.clone(),
        listeners: spec.listeners.iter().map(listener).collect(),
        groups: table_groups,
        routing,
        ignores_events: !takes_events(spec),
        certificates,
    }
}

/// Whether the gateway counts queries by what coordinators tell of them.
pub fn takes_events(spec: &TrinoGatewaySpec) -> bool {
    spec.event_listener.as_ref().and_then(|listener| listener.enabled).unwrap_or(true)
}

/// The Secret with the `token` by which the external cluster `cluster` tells of its queries. Its name has dots, which those of
/// made clusters have not.
pub fn external_events_secret(group: &GroupIdentity, owner: &OwnerReference, cluster: &str, token: String) -> Secret {
    let name = external_events_name(&group.name, cluster);
    Secret {
        metadata: owned_meta(name, &group.namespace, &group.labels(), owner),
        string_data: Some([(EVENT_TOKEN_KEY.to_owned(), token)].into()),
        ..Secret::default()
    }
}

/// Name of that Secret.
pub fn external_events_name(group: &str, cluster: &str) -> String {
    format!("{group}.{cluster}.events")
}

fn listener(api::Listener { name, port: _, source, client_tags }: &api::Listener) -> Listener {
    Listener { name: name.clone(), source: source.clone(), client_tags: client_tags.clone() }
}

fn group_entry(namespace: &str, input: &GroupInput<'_>, certificates: &mut BTreeMap<String, String>) -> Group {
    let share = |cluster: &TrinoCluster| canary_share(input.group, cluster);
    let made = input.clusters.iter();
    let made = made.filter_map(|cluster| made_cluster(namespace, cluster, share(cluster) != Some(0), certificates));
    let made: Vec<_> = made.collect();
    let external = input.external.iter().filter_map(|external| external_cluster(external, input, certificates));
    let external: Vec<_> = external.collect();
    Group {
        name: input.group.metadata.name.clone().unwrap_or_default(),
        strategy: match input.group.spec.strategy.unwrap_or_default() {
            api::Strategy::RoundRobin => Strategy::RoundRobin,
            api::Strategy::Random => Strategy::Random,
            api::Strategy::Weighted => Strategy::Weighted,
            api::Strategy::LeastQueries => Strategy::LeastQueries,
        },
        health_check: input.group.spec.health_check.as_ref().map(health_check),
        canary: canary(&input.clusters, share),
        clusters: made.into_iter().chain(external).collect(),
    }
}

/// The clusters that are to show what they can do on a share of the queries.
fn canary(clusters: &[&TrinoCluster], share: impl Fn(&TrinoCluster) -> Option<u32>) -> Option<Canary> {
    let with_share = |cluster: &&TrinoCluster| {
        let percent = share(cluster).filter(|percent| *percent > 0 && takes_queries(cluster))?;
        Some((percent, cluster.metadata.name.as_ref()?.parse().ok()?))
    };
    let (percents, clusters): (Vec<_>, Vec<_>) = clusters.iter().filter_map(with_share).unzip();
    Some(Canary { percent: percents.into_iter().max()?, clusters })
}

fn health_check(spec: &api::HealthCheck) -> HealthCheck {
    let api::HealthCheck { sql, user, interval_seconds, timeout_seconds } = spec;
    let seconds = |given: Option<i32>| given.and_then(|seconds| u32::try_from(seconds).ok());
    HealthCheck {
        sql: sql.clone(),
        user: user.clone(),
        interval_seconds: seconds(*interval_seconds),
        timeout_seconds: seconds(*timeout_seconds),
    }
}

/// Whether new queries are to come to it, once it can take them.
fn is_to_serve(cluster: &TrinoCluster) -> bool {
    let asked = cluster.spec.serving.unwrap_or_default() == ServingIntent::Active;
    asked && cluster.metadata.deletion_timestamp.is_none()
}

fn was_verified(cluster: &TrinoCluster) -> bool {
    cluster.status.as_ref().and_then(|status| status.was_ready).unwrap_or(false)
}

fn takes_queries(cluster: &TrinoCluster) -> bool {
    was_verified(cluster) && is_to_serve(cluster)
}

/// A cluster that Warren made is in the table once it was verified, and stays there until its queries have ended and it goes.
/// `open`: new queries may go there.
fn made_cluster(
    namespace: &str,
    cluster: &TrinoCluster,
    open: bool,
    certificates: &mut BTreeMap<String, String>,
) -> Option<Cluster> {
    let identity = ClusterIdentity::named(cluster.metadata.name.as_ref()?, namespace);
    let serving = if open && is_to_serve(cluster) { Serving::Active } else { Serving::Draining };
    let name = identity.name.parse().ok()?;
    let client_url = cluster.spec.client_url.as_ref().map(|url| url.replace("{name}", &identity.name));
    let ca = if cluster::server(&cluster.spec).is_some() {
        // As long as nobody knows its CA it is left out: to trust anyone in its stead would be worse.
        let known = cluster.status.as_ref().and_then(|status| status.tls.as_ref()?.server.as_ref());
        Some(remember(&known?.ca, certificates))
    } else {
        None
    };
    let url = identity.coordinator_url(&cluster.spec);
    let event_token = cluster.status.as_ref().and_then(|status| status.event_token.clone());
    let own_credential = cluster.spec.authentication.is_some();
    let made = Cluster { name, url, client_url, weight: 1, serving, ca, event_token, own_credential };
    was_verified(cluster).then_some(made)
}

/// Puts a CA certificate among those of the table; returns the name that it has there.
fn remember(pem: &str, certificates: &mut BTreeMap<String, String>) -> String {
    let digest = hex::encode(Sha256::digest(pem.as_bytes()));
    certificates.insert(digest.clone(), pem.to_owned());
    digest
}

/// An external cluster whose certificate is missing is left out: to trust anyone in its stead would be worse.
fn external_cluster(
    external: &ExternalCluster,
    input: &GroupInput<'_>,
    certificates: &mut BTreeMap<String, String>,
) -> Option<Cluster> {
    let ca = match (&external.ca_secret_ref, input.certificates.get(&external.name)) {
        (None, _) => None,
        (Some(_), Some(pem)) => Some(remember(pem, certificates)),
        (Some(_), None) => return None,
    };
    let name = external.name.parse().ok()?;
    let weight = external.weight.map_or(1, |weight| u32::try_from(weight).unwrap_or(0));
    let (url, client_url) = (external.url.clone(), external.client_url.clone());
    let event_token = input.event_tokens.get(&external.name).cloned();
    let serving = match external.serving.unwrap_or_default() {
        ExternalServing::Active => Serving::Active,
        ExternalServing::Drained => Serving::Draining,
    };
    let own_credential = external.credentials_secret_ref.is_some();
    Some(Cluster { name, url, client_url, weight, serving, ca, event_token, own_credential })
}

/// Whether proxies whose spec says `selection` serve a group of the gateway.
///
/// A name that only rules know, and no TrinoClusterGroup has, is nobody's.
pub fn serves(selection: &GroupSelection, group: &TrinoClusterGroup) -> bool {
    let name = group.metadata.name.as_deref().unwrap_or_default();
    selects(Some(selection), name, group.metadata.labels.as_ref())
}

/// The ConfigMap that carries the table of proxies that serve some groups only. `leaving`: since when others are not
/// served any more.
///
/// # Errors
/// When the table is too large for a ConfigMap.
pub fn narrow_config_map(
    proxies: &ProxyIdentity,
    spec: &ProxyGroupSpec,
    table: &RoutingTable,
    leaving: &BTreeMap<String, String>,
) -> Result<ConfigMap, TableError> {
    let mut made = config_map(&proxies.owner, &proxies.namespace, table)?;
    let mut metadata =
        owned_meta(proxies.routing_config_map(spec), &proxies.namespace, &proxies.labels(), &proxies.owner);
    let leaving = (!leaving.is_empty()).then(|| serde_json::to_string(leaving).expect("texts are JSON"));
    metadata.annotations = leaving.map(|leaving| [(LEAVING_GROUPS.to_owned(), leaving)].into());
    made.metadata = metadata;
    Ok(made)
}

/// The ConfigMap that carries `table`.
///
/// # Errors
/// When the table is too large for a ConfigMap.
pub fn config_map(owner: &OwnerReference, namespace: &str, table: &RoutingTable) -> Result<ConfigMap, TableError> {
    let labels = labels([
        ("app.kubernetes.io/name", "warren"),
        ("app.kubernetes.io/instance", owner.name.as_str()),
        ("app.kubernetes.io/part-of", "trino"),
        (MANAGED_BY, WARREN),
        (COMPONENT, component::ROUTING),
        (GATEWAY, owner.name.as_str()),
    ]);
    let (data, binary_data) = match table.encode()? {
        EncodedTable::Json(text) => (Some(BTreeMap::from([(TABLE_KEY.to_owned(), text)])), None),
        EncodedTable::Gzip(bytes) => (None, Some(BTreeMap::from([(TABLE_GZIP_KEY.to_owned(), ByteString(bytes))]))),
    };
    Ok(ConfigMap {
        metadata: owned_meta(config_map_name(&owner.name), namespace, &labels, owner),
        data,
        binary_data,
        immutable: None,
    })
}
