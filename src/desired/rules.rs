//! A gateway's rules as the routing table has them. What they mean is not looked at here: the table's compilation does.

use crate::{
    api::{self, GatewayRouting, RouteTarget, RoutingRule},
    routing::{ExternalRouter, Group, OnUnknown, Reject, Rule, Rules, Strategy, Target, WeightedGroup},
};

/// The rules that a gateway's spec gives.
pub(super) fn rules(routing: &GatewayRouting) -> Rules {
    let GatewayRouting { rules, external, default, fallback } = routing;
    Rules {
        external: external.as_ref().map(|api::ExternalRouter { url, timeout_millis, exclude_headers }| {
            ExternalRouter {
                url: url.clone(),
                timeout_millis: timeout_millis.and_then(|millis| u32::try_from(millis).ok()),
                exclude_headers: exclude_headers.clone(),
            }
        }),
        rules: rules.iter().map(rule).collect(),
        default: default.as_ref().map(target),
        fallback: fallback.as_ref().map(target),
    }
}

fn rule(RoutingRule { name, when, to, reject }: &RoutingRule) -> Rule {
    let reject = reject.as_ref().map(|api::Rejection { message, on_unknown }| Reject {
        message: message.clone(),
        on_unknown: match on_unknown.unwrap_or_default() {
            api::OnUnknown::Reject => OnUnknown::Reject,
            api::OnUnknown::Pass => OnUnknown::Pass,
        },
    });
    Rule { name: name.clone(), when: when.clone(), to: to.as_ref().map(target), reject }
}

fn target(RouteTarget { group, groups, cluster }: &RouteTarget) -> Target {
    let weighted = |api::GroupShare { name, weight }: &api::GroupShare| WeightedGroup {
        name: name.clone(),
        weight: weight.map_or(1, |weight| u32::try_from(weight).unwrap_or(0)),
    };
    Target { group: group.clone(), groups: groups.iter().map(weighted).collect(), cluster: cluster.clone() }
}

/// Puts what `routing` names and `groups` lack in as groups without clusters. A pinned cluster that is gone or not made
/// yet must not hold back the whole table: it becomes such a group too, whose name no TrinoClusterGroup can have.
pub(super) fn complete(routing: &mut Rules, groups: &mut Vec<Group>) {
    let to = routing.rules.iter_mut().filter_map(|rule| rule.to.as_mut());
    for target in to.chain(&mut routing.default).chain(&mut routing.fallback) {
        let has = |groups: &[Group], name: &str| {
            groups.iter().flat_map(|group| &group.clusters).any(|cluster| cluster.name.as_str() == name)
        };
        if let Some(cluster) = target.cluster.take_if(|cluster| !has(groups, cluster))
            && target.group.is_none()
        {
            target.group = Some(format!("cluster {cluster}"));
        }
        let missing: Vec<String> = target.group_names().map(str::to_owned).collect();
        for name in missing {
            if !groups.iter().any(|group| group.name == name) {
                groups.push(Group {
                    name,
                    strategy: Strategy::RoundRobin,
                    health_check: None,
                    canary: None,
                    clusters: Vec::new(),
                });
            }
        }
    }
}
