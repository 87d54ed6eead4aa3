//! The routing tables of proxies that serve some of a gateway's groups only, made from the gateway's own.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;

use super::{
    context::{Context, whole_second},
    error::Error,
    gateway::decoded,
    index::Watched,
    proxies,
    status::HasStatus,
};
use crate::{
    api::{ProxyGroup, TrinoClusterGroup, TrinoGateway},
    desired::{gateway, labels::LEAVING_GROUPS, narrowed},
    lifecycle::passed,
    routing::{Router, RoutingTable},
};

/// How long the queries of a group go on through proxies that are not to serve it any more.
const LINGER: Duration = Duration::from_hours(1);

/// Publishes the tables of the proxies of `gateway` that have one of their own. Returns after what time to look again,
/// where a group leaves.
pub(super) async fn publish(
    context: &Context,
    gateway: &TrinoGateway,
    groups: &[Arc<TrinoClusterGroup>],
    table: &RoutingTable,
) -> Result<Option<Duration>, Error> {
    let (name, namespace) = (gateway.name_any(), gateway.namespace());
    let followers = context.index.proxy_groups.state_filter(|proxies| {
        proxies.namespace() == namespace && proxies.spec.gateway.name == name && proxies.spec.groups.is_some()
    });
    let mut again = None;
    for proxies in followers {
        if proxies.metadata.deletion_timestamp.is_none() && !proxies.is_paused() {
            let leaving = publish_for(context, &proxies, groups, table).await?;
            again = leaving.then_some(LINGER).or(again);
        }
    }
    Ok(again)
}

/// Publishes the table of one ProxyGroup; returns whether a group leaves it.
async fn publish_for(
    context: &Context,
    proxies: &ProxyGroup,
    groups: &[Arc<TrinoClusterGroup>],
    table: &RoutingTable,
) -> Result<bool, Error> {
    let Some(selection) = &proxies.spec.groups else { return Ok(false) };
    let identity = proxies::identity(proxies);
    let served: BTreeSet<_> =
        groups.iter().filter(|group| gateway::serves(selection, group)).map(|group| group.name_any()).collect();
    let before = ConfigMap::named(&context.index, &identity.namespace, &identity.routing_config_map(&proxies.spec));
    let leaving = leaving(before.as_deref(), &served, context.now());
    let narrow = narrowed(table, |group| served.contains(group), |group| leaving.contains_key(group));
    // Compiled as the proxies will compile it: what they would refuse is never published.
    let router = Router::compile(narrow)?;
    let config_map = gateway::narrow_config_map(&identity, &proxies.spec, router.table(), &leaving)?;
    context.apply(config_map).await?;
    Ok(!leaving.is_empty())
}

/// The groups of the table before that are not served any more, and since when; not those whose time is over.
fn leaving(before: Option<&ConfigMap>, served: &BTreeSet<String>, now: Timestamp) -> BTreeMap<String, String> {
    let Some(before) = before else { return BTreeMap::new() };
    let known = before.metadata.annotations.as_ref().and_then(|annotations| annotations.get(LEAVING_GROUPS));
    let known: BTreeMap<String, String> = known.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let groups = decoded(before).map(|table| table.groups).unwrap_or_default();
    let names = groups.into_iter().map(|group| group.name).filter(|name| !served.contains(name));
    let since = |name: &str| known.get(name).and_then(|since| since.parse().ok()).unwrap_or(whole_second(now));
    let leaving = names.map(|name| (since(&name), name)).filter(|(since, _)| passed(*since, now) < LINGER);
    leaving.map(|(since, name)| (name, since.to_string())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_leaves_for_an_hour_and_no_longer() {
        let table = r#"{"groups": [{"name": "etl"}, {"name": "open"}]}"#;
        let mut before = ConfigMap {
            data: Some([(crate::routing::codec::TABLE_KEY.into(), table.into())].into()),
            ..<_>::default()
        };
        let served = BTreeSet::from(["open".to_owned()]);
        let at = |second| Timestamp::from_second(second).expect("in range");
        let first = leaving(Some(&before), &served, at(100));
        assert_eq!(first, BTreeMap::from([("etl".to_owned(), at(100).to_string())]));
        let annotation = serde_json::to_string(&first).expect("JSON");
        before.metadata.annotations = Some([(LEAVING_GROUPS.to_owned(), annotation)].into());
        assert_eq!(leaving(Some(&before), &served, at(3699)), first);
        assert_eq!(leaving(Some(&before), &served, at(3700)), BTreeMap::new());
        assert_eq!(leaving(None, &served, at(0)), BTreeMap::new());
    }
}
