//! `status`: fetches what the report is made from. Proxies are asked through the API server; where the rights for that are
//! missing, what they say is unknown, and the rest is told all the same.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, bail};
use futures::{StreamExt as _, stream};
use http::Request;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, ObjectList},
};
use serde::de::DeserializeOwned;

use super::report::{Kind, Objects, Report, report};
use crate::desired::{
    labels::PROXY_GROUP,
    proxy_group::{admin_port, is_admin_secure},
};

/// A proxy that does not answer is not waited for.
const DEADLINE: Duration = Duration::from_secs(3);
const AT_ONCE: usize = 16;
const TABLE_METRIC: &str = "proxy_routing_table{hash=\"";

/// Reports on a namespace: all, or one kind, or one object of it.
///
/// # Errors
/// When the API server does not answer, or does not let this user list Warren's objects, or there is no such object.
pub async fn status(
    client: &Client,
    namespace: &str,
    kind: Option<Kind>,
    name: Option<&str>,
) -> anyhow::Result<Report> {
    let (gateways, groups, clusters, proxy_groups) = futures::try_join!(
        list(client, namespace, "TrinoGateways"),
        list(client, namespace, "TrinoClusterGroups"),
        list(client, namespace, "TrinoClusters"),
        list(client, namespace, "ProxyGroups"),
    )?;
    let asks_proxies = kind.is_none_or(|kind| kind == Kind::Gateway);
    let applied = if asks_proxies { applied(client, namespace).await } else { BTreeMap::new() };
    let report = report(namespace, &Objects { gateways, groups, clusters, proxy_groups, applied }, kind, name);
    if let Some(name) = name
        && report.gateways.is_empty()
        && report.groups.is_empty()
        && report.clusters.is_empty()
        && report.external_clusters.is_empty()
    {
        bail!("there is none of the name {name:?} in namespace {namespace:?}");
    }
    Ok(report)
}

async fn list<K>(client: &Client, namespace: &str, what: &str) -> anyhow::Result<Vec<K>>
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    K: Clone + std::fmt::Debug + DeserializeOwned,
{
    let listed: kube::Result<ObjectList<K>> =
        Api::namespaced(client.clone(), namespace).list(&ListParams::default()).await;
    Ok(listed.with_context(|| format!("cannot list {what} in namespace {namespace:?}"))?.items)
}

/// The hash of the table in force at each proxy, by its ProxyGroup and its pod.
async fn applied(client: &Client, namespace: &str) -> BTreeMap<String, BTreeMap<String, Option<String>>> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let Ok(pods) = pods.list(&ListParams::default().labels(PROXY_GROUP)).await else { return BTreeMap::new() };
    let asked = stream::iter(pods.items).map(async |pod| {
        let hash = tokio::time::timeout(DEADLINE, table_of(client, namespace, &pod)).await.unwrap_or_default();
        (pod.labels().get(PROXY_GROUP).cloned().unwrap_or_default(), pod.name_any(), hash)
    });
    let mut applied: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    let mut asked = std::pin::pin!(asked.buffer_unordered(AT_ONCE));
    while let Some((group, pod, hash)) = asked.next().await {
        applied.entry(group).or_default().insert(pod, hash);
    }
    applied
}

async fn table_of(client: &Client, namespace: &str, pod: &Pod) -> Option<String> {
    // By HTTPS the API server asks without looking at the certificate, as probes do.
    let scheme = if is_admin_secure(pod) { "https:" } else { "" };
    let (pod, port) = (pod.name_any(), admin_port(pod));
    let path = format!("/api/v1/namespaces/{namespace}/pods/{scheme}{pod}:{port}/proxy/metrics");
    let metrics = client.request_text(Request::get(path).body(Vec::new()).ok()?).await.ok()?;
    table_in(&metrics)
}

/// The hash of the table in force, as a proxy's metrics tell it.
fn table_in(metrics: &str) -> Option<String> {
    let (_, rest) = metrics.split_once(TABLE_METRIC)?;
    Some(rest.split_once('"')?.0.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_found_among_the_metrics() {
        let metrics = "# TYPE warren_proxy_routing_table gauge\nwarren_proxy_routing_table{hash=\"4f1c\"} 1\n# EOF\n";
        assert_eq!(table_in(metrics).as_deref(), Some("4f1c"));
        assert_eq!(table_in("# EOF\n"), None);
    }
}
