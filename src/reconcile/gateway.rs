//! Reconciles a TrinoGateway: compiles its routing table and publishes it in one ConfigMap.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Resource, ResourceExt, runtime::controller::Action};

use super::{
    context::Context,
    error::Error,
    external,
    index::{Index, Watched, label},
    narrow, references,
};
use crate::{
    api::{
        ClusterPhase, Conditions, ExternalCluster, GroupSummary, RoutingTableStatus, TrinoCluster, TrinoClusterGroup,
        TrinoGateway, TrinoGatewayStatus,
    },
    desired::{
        CA_KEY, external_clusters,
        gateway::{self, GroupInput, config_map_name},
        group::GroupIdentity,
        labels::{GROUP, OWNER_UID},
        removed,
    },
    routing::{
        Router, RoutingTable, Serving, Target,
        codec::{TABLE_GZIP_KEY, TABLE_KEY},
    },
};

const RESYNC: Duration = Duration::from_mins(10);
const SECRET_RETRY: Duration = Duration::from_secs(15);

/// Brings the published routing table up to date. A gateway that is deleted needs no help: its ConfigMap goes with it, and
/// the proxies keep the table that they have.
pub(super) async fn reconcile(gateway: Arc<TrinoGateway>, context: &Context) -> Result<Action, Error> {
    if gateway.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let namespace = gateway.namespace().unwrap_or_default();
    let groups = groups_behind(&gateway, &context.index, &namespace);
    let clusters: Vec<_> = groups.iter().map(|group| clusters_of(group, &context.index)).collect();
    let previous = published(&context.index, &namespace, &gateway.name_any());
    let mut inputs = Vec::new();
    let mut secrets_missing = false;
    for (group, clusters) in groups.iter().zip(&clusters) {
        let external = external_of(group, &context.index);
        let certificates = certificates(context, &external, &namespace, previous.as_ref()).await?;
        let asked = external.iter().filter(|external| external.ca_secret_ref.is_some()).count();
        secrets_missing |= certificates.len() < asked;
        let event_tokens = event_tokens(context, group, &external).await?;
        let clusters = clusters.iter().map(|cluster| &**cluster).collect();
        inputs.push(GroupInput { group, clusters, external, certificates, event_tokens });
    }
    let table = gateway::routing_table(&gateway.spec, &namespace, &inputs);
    // Compiled as the proxies will compile it: what they would refuse is never published.
    let router = Router::compile(table)?;
    let owner = gateway.controller_owner_ref(&()).expect("an object from the API server has a name and a UID");
    context.apply(gateway::config_map(&owner, &namespace, router.table())?).await?;
    let again = narrow::publish(context, &gateway, &groups, router.table()).await?;
    let status = status_of(&gateway, router.table());
    let conditions = conditions(&gateway, &context.index, &namespace, router.table());
    context.write_status(&*gateway, status, &conditions).await?;
    let again = again.unwrap_or(RESYNC).min(RESYNC);
    Ok(Action::requeue(if secrets_missing { SECRET_RETRY } else { again }))
}

fn groups_behind(gateway: &TrinoGateway, index: &Index, namespace: &str) -> Vec<Arc<TrinoClusterGroup>> {
    let mut groups = index.groups.state_filter(|group| {
        group.namespace().as_deref() == Some(namespace)
            && gateway::selects(gateway.spec.groups.as_ref(), &group.name_any(), group.metadata.labels.as_ref())
    });
    groups.sort_by_key(|group| group.name_any());
    groups
}

/// The external clusters of a group. One that was removed and stands in another group now is the other's.
fn external_of(group: &TrinoClusterGroup, index: &Index) -> Vec<ExternalCluster> {
    let elsewhere = external::elsewhere(index, group);
    let mine = |name: &str| removed(group).all(|known| known.name != name) || !elsewhere.contains(name);
    external_clusters(group).into_iter().filter(|external| mine(&external.name)).collect()
}

/// The clusters of a group, oldest first; what is deleted serves its queries until these have ended.
pub(super) fn clusters_of(group: &TrinoClusterGroup, index: &Index) -> Vec<Arc<TrinoCluster>> {
    let (name, namespace) = (group.name_any(), group.namespace().unwrap_or_default());
    let mut clusters = TrinoCluster::labelled(index, &namespace, GROUP, &name);
    clusters.retain(|cluster| {
        let phase = cluster.status.as_ref().and_then(|status| status.phase);
        phase != Some(ClusterPhase::Terminating) && label(&**cluster, OWNER_UID) == group.metadata.uid.as_deref()
    });
    clusters.sort_by_key(|cluster| GroupIdentity::ordinal(&cluster.name_any()));
    clusters
}

/// The table that the proxies follow now.
fn published(index: &Index, namespace: &str, gateway: &str) -> Option<RoutingTable> {
    decoded(&*ConfigMap::named(index, namespace, &config_map_name(gateway))?)
}

/// The table that a ConfigMap carries.
pub(super) fn decoded(config_map: &ConfigMap) -> Option<RoutingTable> {
    let json = config_map.data.as_ref().and_then(|data| data.get(TABLE_KEY)).map(String::as_bytes);
    let gzip = config_map.binary_data.as_ref().and_then(|data| data.get(TABLE_GZIP_KEY)).map(|bytes| &*bytes.0);
    RoutingTable::decode(json, gzip).ok()
}

/// The CA certificates of a group's external clusters. One whose Secret is gone keeps the certificate that it had: what
/// served goes on serving.
async fn certificates(
    context: &Context,
    external: &[ExternalCluster],
    namespace: &str,
    previous: Option<&RoutingTable>,
) -> Result<BTreeMap<String, String>, Error> {
    let mut certificates = BTreeMap::new();
    for external in external {
        let Some(reference) = &external.ca_secret_ref else { continue };
        let secret = context.secret(namespace, &reference.name).await?;
        let key = reference.key.as_deref().unwrap_or(CA_KEY);
        let bytes = secret.and_then(|secret| secret.data.unwrap_or_default().remove(key));
        let pem = bytes.and_then(|bytes| String::from_utf8(bytes.0).ok());
        if let Some(pem) = pem.or_else(|| previous_certificate(previous?, &external.name)) {
            certificates.insert(external.name.clone(), pem);
        }
    }
    Ok(certificates)
}

/// The hashes of the tokens by which a group's external clusters may tell of their queries.
async fn event_tokens(
    context: &Context,
    group: &TrinoClusterGroup,
    external: &[ExternalCluster],
) -> Result<BTreeMap<String, String>, Error> {
    let mut tokens = BTreeMap::new();
    let identity = super::group::identity(group);
    // Of one that goes, the Secrets go as well.
    let Some(owner) = group.owner_ref(&()).filter(|_| group.metadata.deletion_timestamp.is_none()) else {
        return Ok(tokens);
    };
    for external in external {
        let secret = |token| gateway::external_events_secret(&identity, &owner, &external.name, token);
        if let Some(hash) = context.event_token(secret).await? {
            tokens.insert(external.name.clone(), hash);
        }
    }
    Ok(tokens)
}

fn previous_certificate(previous: &RoutingTable, cluster: &str) -> Option<String> {
    let clusters = previous.groups.iter().flat_map(|group| &group.clusters);
    let digest = clusters.into_iter().find(|known| known.name.as_str() == cluster)?.ca.as_ref()?;
    previous.certificates.get(digest).cloned()
}

fn status_of(gateway: &TrinoGateway, table: &RoutingTable) -> TrinoGatewayStatus {
    let count = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
    TrinoGatewayStatus {
        routing_table: Some(RoutingTableStatus {
            config_map: config_map_name(&gateway.name_any()),
            hash: table.hash(),
            clusters: count(table.groups.iter().map(|group| group.clusters.len()).sum()),
        }),
        groups: table
            .groups
            .iter()
            .map(|group| GroupSummary {
                name: group.name.clone(),
                clusters: count(group.clusters.len()),
                active: count(active(group)),
            })
            .collect(),
        ..gateway.status.clone().unwrap_or_default()
    }
}

fn active(group: &crate::routing::Group) -> usize {
    group.clusters.iter().filter(|cluster| cluster.serving == Serving::Active).count()
}

fn conditions(gateway: &TrinoGateway, index: &Index, namespace: &str, table: &RoutingTable) -> Conditions {
    let serving = table.groups.iter().any(|group| active(group) > 0);
    if let Some(message) = references::missing_group(gateway, index, namespace) {
        return Conditions::Stalled { serving, reason: "GroupNotFound", message };
    }
    if let Some(message) = references::missing_cluster(gateway, table) {
        return Conditions::Stalled { serving, reason: "ClusterNotFound", message };
    }
    if let Some(message) = references::missing_client_url(table) {
        return Conditions::Stalled { serving, reason: "ClientUrlMissing", message };
    }
    // Of several groups one is enough: what the others get is the fallback's.
    let default = table.routing.default.iter().flat_map(Target::group_names);
    let default: Vec<_> = default.filter_map(|name| table.groups.iter().find(|group| group.name == name)).collect();
    match default.first() {
        Some(group) if default.iter().all(|group| active(group) == 0) => {
            let message = format!("group {:?} has no cluster yet that takes queries", group.name);
            Conditions::Reconciling { serving: false, reason: "NoClusterReady", message }
        }
        None if !serving => {
            let message = "no group behind this gateway has a cluster that takes queries".to_owned();
            Conditions::Reconciling { serving: false, reason: "NoClusterReady", message }
        }
        _ => Conditions::Ready { reason: "RoutingTablePublished", message: published_message(table) },
    }
}

fn published_message(table: &RoutingTable) -> String {
    let clusters: usize = table.groups.iter().map(active).sum();
    format!("{clusters} clusters in {} groups take queries", table.groups.len())
}
