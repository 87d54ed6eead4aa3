//! What a gateway's spec refers to and is not there, in words for its conditions. It looks, and changes nothing.

use std::collections::BTreeSet;

use super::index::{Index, Watched};
use crate::{
    api::{ProxyGroup, RouteTarget, TrinoClusterGroup, TrinoGateway},
    desired::gateway,
    routing::{ProxyMode, RoutingTable, Serving},
};

/// The first group that the spec names and that does not exist, or to which its rules send queries and which the gateway
/// does not serve.
pub(super) fn missing_group(gateway: &TrinoGateway, index: &Index, namespace: &str) -> Option<String> {
    let exists = |name: &str| TrinoClusterGroup::named(index, namespace, name).is_some();
    let names = gateway.spec.groups.iter().flat_map(|groups| &groups.names);
    for (position, name) in names.enumerate() {
        if !exists(name) {
            return Some(format!(
                "spec.groups.names[{position}]: there is no TrinoClusterGroup {name:?} in namespace {namespace:?}; \
                 create it or remove the name"
            ));
        }
    }
    let of_rules = targets(gateway).into_iter().flat_map(|(field, target)| groups_of(&field, target));
    of_rules.into_iter().find_map(|(field, name)| not_served(gateway, index, namespace, (&field, name)))
}

/// The first group that the spec of proxies names and that their gateway does not have.
pub(super) fn missing_group_of(proxies: &ProxyGroup, index: &Index, namespace: &str) -> Option<String> {
    let gateway = TrinoGateway::named(index, namespace, &proxies.spec.gateway.name)?;
    let names = proxies.spec.groups.iter().flat_map(|groups| &groups.names);
    names.enumerate().find_map(|(position, name)| {
        let group = TrinoClusterGroup::named(index, namespace, name);
        let selection = gateway.spec.groups.as_ref();
        let behind = group.is_some_and(|group| gateway::selects(selection, name, group.metadata.labels.as_ref()));
        (!behind).then(|| {
            format!(
                "spec.groups.names[{position}]: TrinoGateway {:?} has no TrinoClusterGroup {name:?}; create it, or \
                 remove the name. The proxies serve the other groups",
                proxies.spec.gateway.name
            )
        })
    })
}

fn not_served(gateway: &TrinoGateway, index: &Index, namespace: &str, (field, name): (&str, &str)) -> Option<String> {
    let Some(group) = TrinoClusterGroup::named(index, namespace, name) else {
        return Some(format!(
            "{field}: there is no TrinoClusterGroup {name:?} in namespace {namespace:?}; create it or name another"
        ));
    };
    let selection = gateway.spec.groups.as_ref();
    let selected = gateway::selects(selection, name, group.metadata.labels.as_ref());
    let (what, mend) = match selection {
        Some(selection) if !selection.names.is_empty() => ("spec.groups.names does not hold", "add it there"),
        _ => ("spec.groups.selector does not select", "add its labels there"),
    };
    (!selected).then(|| format!("{field}: {what} {name:?}; {mend} or name another group"))
}

/// The first cluster to which the spec pins queries and that `table` does not hold.
pub(super) fn missing_cluster(gateway: &TrinoGateway, table: &RoutingTable) -> Option<String> {
    let known: BTreeSet<_> =
        table.groups.iter().flat_map(|group| &group.clusters).map(|cluster| cluster.name.as_str()).collect();
    let pins = targets(gateway).into_iter().filter_map(|(field, target)| Some((field, target.cluster.as_deref()?)));
    let (field, name) = pins.into_iter().find(|(_, name)| !known.contains(name))?;
    Some(format!(
        "{field}.cluster: no group behind this gateway has a cluster {name:?} that was ready yet; name another, or pin \
         to its group: clusters that a group made change their names with each new revision"
    ))
}

/// The first cluster that clients cannot reach themselves, if that is what the spec asks for.
pub(super) fn missing_client_url(table: &RoutingTable) -> Option<String> {
    if table.proxy_mode != ProxyMode::ProxyFirstCall {
        return None;
    }
    let clusters = table.groups.iter().flat_map(|group| group.clusters.iter().map(move |cluster| (group, cluster)));
    let mut active = clusters.filter(|(_, cluster)| cluster.serving == Serving::Active);
    let (group, cluster) = active.find(|(_, cluster)| cluster.client_url.is_none())?;
    Some(format!(
        "spec.proxyMode: ProxyFirstCall needs the clientUrl of every cluster, and {:?} of TrinoClusterGroup {:?} has \
         none; set spec.template.spec.clientUrl or spec.external[].clientUrl there. Until then its calls go through the \
         gateway",
        cluster.name.as_str(),
        group.name
    ))
}

/// Each target of the spec with its field, in the order of the fields.
fn targets(gateway: &TrinoGateway) -> Vec<(String, &RouteTarget)> {
    let Some(routing) = &gateway.spec.routing else { return Vec::new() };
    let of_rules = routing.rules.iter().filter_map(|rule| {
        let target = rule.to.as_ref()?;
        Some((format!("spec.routing.rules[{}].to", rule.name), target))
    });
    let default = routing.default.as_ref().map(|target| ("spec.routing.default".to_owned(), target));
    let fallback = routing.fallback.as_ref().map(|target| ("spec.routing.fallback".to_owned(), target));
    of_rules.chain(default).chain(fallback).collect()
}

fn groups_of<'a>(field: &str, target: &'a RouteTarget) -> Vec<(String, &'a str)> {
    let one = target.group.iter().map(|name| (format!("{field}.group"), name.as_str()));
    let several = target.groups.iter().map(|share| (format!("{field}.groups[{}]", share.name), share.name.as_str()));
    one.chain(several).collect()
}
