//! What `status` tells: made from the objects, without a client; [`super::text`] turns it into a screen.

use std::collections::BTreeMap;

use clap::ValueEnum;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use serde::Serialize;

use crate::{
    api::{
        CanaryStatus, ClusterPhase, DrainStatus, ExternalPhase, ProxyGroup, READY, RECONCILING, STALLED, TrinoCluster,
        TrinoClusterGroup, TrinoGateway,
    },
    desired::{
        group::GroupIdentity,
        labels::{GROUP, REVISION},
        proxy_group,
    },
};

/// A kind to be shown alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// TrinoGateways with their proxies.
    Gateway,
    /// TrinoClusterGroups.
    Group,
    /// TrinoClusters, and the external clusters of groups.
    Cluster,
}

/// A fleet as its objects tell.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Where.
    pub namespace: String,
    /// Its gateways.
    pub gateways: Vec<Gateway>,
    /// Its groups.
    pub groups: Vec<Group>,
    /// Its clusters, each group's together, oldest first.
    pub clusters: Vec<Cluster>,
    /// Clusters that Warren did not make, as their groups know them.
    pub external_clusters: Vec<External>,
    /// Why what is not Ready is not, and what goes on.
    pub attention: Vec<Attention>,
}

/// A gateway and its proxies.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Gateway {
    pub name: String,
    pub ready: bool,
    pub reason: String,
    /// Hash of the routing table that the operator published.
    pub table: Option<String>,
    pub proxies: Vec<Proxies>,
}

/// A ProxyGroup.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Proxies {
    pub name: String,
    pub address: Option<String>,
    pub ready: i32,
    pub desired: i32,
    /// Hash of the table in force at each proxy, by its pod; none where it cannot be told.
    pub applied: BTreeMap<String, Option<String>>,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    pub name: String,
    pub ready: bool,
    pub reason: String,
    /// Clusters that take new queries.
    pub serving: i32,
    pub desired: i32,
    pub current_revision: Option<String>,
    /// The revision of the template, if another one.
    pub update_revision: Option<String>,
    /// How its canary stands.
    pub canary: Option<CanaryStatus>,
}

/// A cluster.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cluster {
    pub name: String,
    pub group: Option<String>,
    pub phase: Option<ClusterPhase>,
    pub version: String,
    pub revision: Option<String>,
    pub workers_ready: i32,
    pub workers_desired: i32,
    pub draining: Option<DrainStatus>,
}

/// An external cluster of a group.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct External {
    pub name: String,
    pub group: String,
    /// None as long as no operator has looked at it.
    pub phase: Option<ExternalPhase>,
    pub url: String,
    /// Whether the group's spec names it no more, and its queries end.
    pub removed: bool,
    pub draining: Option<DrainStatus>,
}

/// A condition that somebody should read.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attention {
    /// As kubectl writes it, `trinocluster/a`.
    pub object: String,
    /// Whether it goes on only when somebody mends it.
    pub stalled: bool,
    pub reason: String,
    pub message: String,
}

/// What the API server holds, and what the proxies say.
#[derive(Clone, Debug, Default)]
pub(super) struct Objects {
    pub(super) gateways: Vec<TrinoGateway>,
    pub(super) groups: Vec<TrinoClusterGroup>,
    pub(super) clusters: Vec<TrinoCluster>,
    pub(super) proxy_groups: Vec<ProxyGroup>,
    /// Hash of the table in force by ProxyGroup and pod.
    pub(super) applied: BTreeMap<String, BTreeMap<String, Option<String>>>,
}

/// The report of `objects`: all, or those of one kind, or the one of that name.
pub(super) fn report(namespace: &str, objects: &Objects, kind: Option<Kind>, name: Option<&str>) -> Report {
    let wanted = |of: Kind, object: &str| kind.is_none_or(|kind| kind == of) && name.is_none_or(|name| name == object);
    let gateways = objects.gateways.iter().filter(|gateway| wanted(Kind::Gateway, &gateway.name_any()));
    let groups = objects.groups.iter().filter(|group| wanted(Kind::Group, &group.name_any()));
    let mut clusters: Vec<_> =
        objects.clusters.iter().filter(|cluster| wanted(Kind::Cluster, &cluster.name_any())).collect();
    clusters.sort_by_key(|cluster| {
        let name = cluster.name_any();
        (cluster.labels().get(GROUP).cloned(), GroupIdentity::ordinal(&name), name)
    });
    let mut attention = Vec::new();
    let mut tell = |kind: &str, name: String, conditions: &[Condition]| {
        attention.extend(told(format!("{kind}/{name}"), conditions));
    };
    let gateways: Vec<_> = gateways
        .map(|found| {
            let proxies = objects.proxy_groups.iter().filter(|proxies| proxies.spec.gateway.name == found.name_any());
            tell("trinogateway", found.name_any(), found.status.as_ref().map_or(&[], |status| &status.conditions));
            let proxies = proxies.map(|found| {
                tell("proxygroup", found.name_any(), found.status.as_ref().map_or(&[], |status| &status.conditions));
                proxies_of(found, objects)
            });
            let proxies = proxies.collect();
            gateway(found, proxies)
        })
        .collect();
    let groups = groups
        .map(|found| {
            tell("trinoclustergroup", found.name_any(), found.status.as_ref().map_or(&[], |status| &status.conditions));
            group(found)
        })
        .collect();
    let clusters = clusters
        .into_iter()
        .map(|found| {
            tell("trinocluster", found.name_any(), found.status.as_ref().map_or(&[], |status| &status.conditions));
            cluster(found)
        })
        .collect();
    let external_clusters = objects.groups.iter().flat_map(external);
    let external_clusters = external_clusters.filter(|found| wanted(Kind::Cluster, &found.name)).collect();
    Report { namespace: namespace.to_owned(), gateways, groups, clusters, external_clusters, attention }
}

/// The condition `Ready`: whether it holds, and why.
fn ready(conditions: &[Condition]) -> (bool, String) {
    let reason = conditions.iter().find(|condition| condition.type_ == READY.0).map(|ready| ready.reason.clone());
    (READY.holds(conditions), reason.unwrap_or_else(|| "not looked at yet".to_owned()))
}

fn told(object: String, conditions: &[Condition]) -> Option<Attention> {
    let fine = READY.holds(conditions) && !RECONCILING.holds(conditions) && !STALLED.holds(conditions);
    let ready = conditions.iter().find(|condition| condition.type_ == READY.0);
    let (reason, message) = match ready {
        Some(_) if fine => return None,
        Some(ready) => (ready.reason.clone(), ready.message.clone()),
        None => ("Unknown".to_owned(), "no operator has looked at it yet; does one run?".to_owned()),
    };
    Some(Attention { object, stalled: STALLED.holds(conditions), reason, message })
}

fn gateway(gateway: &TrinoGateway, proxies: Vec<Proxies>) -> Gateway {
    let status = gateway.status.clone().unwrap_or_default();
    let (ready, reason) = ready(&status.conditions);
    Gateway { name: gateway.name_any(), ready, reason, table: status.routing_table.map(|table| table.hash), proxies }
}

fn proxies_of(found: &ProxyGroup, objects: &Objects) -> Proxies {
    let status = found.status.clone().unwrap_or_default();
    Proxies {
        name: found.name_any(),
        address: status.address,
        ready: status.ready_replicas,
        desired: proxy_group::replicas(&found.spec),
        applied: objects.applied.get(&found.name_any()).cloned().unwrap_or_default(),
    }
}

fn group(found: &TrinoClusterGroup) -> Group {
    let status = found.status.clone().unwrap_or_default();
    let (ready, reason) = ready(&status.conditions);
    Group {
        name: found.name_any(),
        ready,
        reason,
        serving: status.ready_replicas,
        desired: i32::try_from(crate::desired::group::replicas(&found.spec)).unwrap_or(i32::MAX),
        update_revision: status.update_revision.filter(|update| Some(update) != status.current_revision.as_ref()),
        current_revision: status.current_revision,
        canary: status.canary,
    }
}

fn cluster(found: &TrinoCluster) -> Cluster {
    let status = found.status.clone().unwrap_or_default();
    let workers = status.workers.unwrap_or_default();
    Cluster {
        name: found.name_any(),
        group: found.labels().get(GROUP).cloned(),
        phase: status.phase,
        version: found.spec.version.clone(),
        revision: found.labels().get(REVISION).cloned().or(status.revision),
        workers_ready: workers.ready,
        workers_desired: workers.desired,
        draining: status.draining,
    }
}

/// Those of the spec, and those that were removed and still have queries.
fn external(group: &TrinoClusterGroup) -> Vec<External> {
    let known = group.status.as_ref().map_or(&[][..], |status| &status.external);
    let asked = group.spec.external.iter().map(|asked| {
        let known = known.iter().find(|known| known.name == asked.name);
        (asked.name.clone(), asked.url.clone(), known, false)
    });
    let is_asked = |name: &str| group.spec.external.iter().any(|asked| asked.name == name);
    let left = known.iter().filter(|known| !is_asked(&known.name));
    let left = left.map(|known| (known.name.clone(), known.url.clone(), Some(known), true));
    let found = asked.chain(left).map(|(name, url, known, removed)| External {
        name,
        group: group.name_any(),
        phase: known.map(|known| known.phase),
        url,
        removed,
        draining: known.and_then(|known| known.draining.clone()),
    });
    found.collect()
}
