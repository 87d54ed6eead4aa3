//! A gateway's routing table for proxies that serve some of its groups only. They follow a table of their own, so that they
//! neither know nor reach the clusters of the others; what the rules send there is refused with a message.

use std::collections::{BTreeMap, BTreeSet};

use crate::routing::{Group, OnUnknown, Reject, RoutingTable, Rule, Serving, Target};

/// Name of the rule that refuses what no other takes. No rule of a user can have it.
const REST: &str = "(not served here)";

/// The part of `table` that has to do with the groups that are `served`. The groups of `leaving` are not any more: their
/// clusters stay, and take no new query.
pub fn narrowed(table: &RoutingTable, served: impl Fn(&str) -> bool, leaving: impl Fn(&str) -> bool) -> RoutingTable {
    let mut table = table.clone();
    table.groups.retain(|group| served(&group.name) || leaving(&group.name));
    let (kept, gone): (Vec<_>, Vec<_>) =
        std::mem::take(&mut table.groups).into_iter().partition(|group| served(&group.name));
    let narrow = Narrow::to(&kept);
    table.groups = kept.iter().cloned().chain(gone.into_iter().map(drained)).collect();
    let routing = &mut table.routing;
    for rule in &mut routing.rules {
        if let Some(target) = rule.to.take() {
            narrow.rule(rule, target);
        }
    }
    routing.fallback = routing.fallback.take().and_then(|target| narrow.target(target));
    let default = routing.default.take();
    let asked = default.is_some();
    routing.default = default.and_then(|target| narrow.target(target));
    // An external router is asked before the default: what it answers counts, and the rest is told that nothing takes it.
    if asked && routing.default.is_none() && routing.external.is_none() {
        let when = "true".to_owned();
        routing.rules.push(Rule { name: REST.to_owned(), when, to: None, reject: Some(refusal("the default")) });
    }
    let used: BTreeSet<_> =
        table.groups.iter().flat_map(|group| &group.clusters).filter_map(|cluster| cluster.ca.clone()).collect();
    table.certificates.retain(|digest, _| used.contains(digest));
    table
}

/// What queries are told that belong elsewhere.
fn refusal(by: &str) -> Reject {
    let message = format!(
        "the gateway's {by} sends this query to clusters that are not served at this address; use the address of the \
         gateway that serves them"
    );
    // As the rule that it stands for: where nobody can tell, it does not match.
    Reject { message, on_unknown: OnUnknown::Pass }
}

fn drained(mut group: Group) -> Group {
    group.canary = None;
    for cluster in &mut group.clusters {
        cluster.serving = Serving::Draining;
    }
    group
}

/// What is left.
struct Narrow<'a> {
    groups: BTreeMap<&'a str, BTreeSet<&'a str>>,
}

impl<'a> Narrow<'a> {
    fn to(groups: &'a [Group]) -> Self {
        let names = |group: &'a Group| group.clusters.iter().map(|cluster| cluster.name.as_str()).collect();
        Self { groups: groups.iter().map(|group| (group.name.as_str(), names(group))).collect() }
    }

    fn has(&self, group: &str) -> bool {
        self.groups.contains_key(group)
    }

    /// The target without what is not served; none where nothing is left.
    fn target(&self, Target { group, mut groups, cluster }: Target) -> Option<Target> {
        groups.retain(|share| self.has(&share.name));
        let group = group.filter(|group| self.has(group));
        let cluster = cluster.filter(|cluster| self.groups.values().any(|names| names.contains(cluster.as_str())));
        let any = group.is_some() || cluster.is_some() || groups.iter().any(|share| share.weight > 0);
        any.then_some(Target { group, groups, cluster })
    }

    fn rule(&self, rule: &mut Rule, target: Target) {
        rule.to = self.target(target);
        if rule.to.is_none() {
            rule.reject = Some(refusal(&format!("rule {:?}", rule.name)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::Router;

    const TABLE: &str = "
groups:
- {name: adhoc, clusters: [{name: a1, url: 'http://a1', ca: x}]}
- {name: etl, clusters: [{name: e1, url: 'https://e1', ca: y}]}
- {name: open, clusters: [{name: o1, url: 'https://o1', ca: x}]}
routing:
  rules:
  - {name: etl, when: 'query.source == \"airflow\"', to: {group: etl}}
  - {name: both, when: 'query.source == \"bi\"', to: {groups: [{name: etl, weight: 3}, {name: open, weight: 1}]}}
  - {name: pin, when: 'user.name == \"ann\"', to: {cluster: e1}}
  - {name: no, when: 'query.type == \"DROP\"', reject: {message: no}}
  default: {group: adhoc}
  fallback: {group: etl}
certificates: {x: PEM, y: PEM}
";

    fn table() -> RoutingTable {
        serde_saphyr::from_str(TABLE).expect("a table")
    }

    fn names(table: &RoutingTable) -> Vec<(&str, Serving)> {
        let clusters = table.groups.iter().flat_map(|group| &group.clusters);
        clusters.map(|cluster| (cluster.name.as_str(), cluster.serving)).collect()
    }

    #[test]
    fn nothing_of_the_others_is_left_and_what_belongs_there_is_refused() {
        let narrow = narrowed(&table(), |group| group == "open", |_| false);
        assert_eq!(names(&narrow), [("o1", Serving::Active)]);
        assert_eq!(narrow.certificates.keys().collect::<Vec<_>>(), ["x"]);
        let rules = &narrow.routing.rules;
        let told = |rule: &Rule| rule.reject.as_ref().map(|reject| reject.message.clone()).unwrap_or_default();
        assert!(
            told(&rules[0]).starts_with("the gateway's rule \"etl\" sends this query to clusters that are not served")
        );
        assert_eq!(rules[0].reject.as_ref().map(|reject| reject.on_unknown), Some(OnUnknown::Pass));
        let shares = &rules[1].to.as_ref().expect("one is left").groups;
        assert_eq!(shares.iter().map(|share| share.name.as_str()).collect::<Vec<_>>(), ["open"]);
        assert!(rules[2].to.is_none() && told(&rules[3]) == "no");
        assert_eq!((rules[4].name.as_str(), rules[4].when.as_str()), (REST, "true"));
        assert!(narrow.routing.default.is_none() && narrow.routing.fallback.is_none());
    }

    #[test]
    fn proxies_take_what_is_left() {
        for served in ["adhoc", "etl", "open", "none"] {
            let mut narrow = narrowed(&table(), |group| group == served, |_| false);
            for cluster in narrow.groups.iter_mut().flat_map(|group| &mut group.clusters) {
                cluster.ca = None;
            }
            narrow.certificates.clear();
            Router::compile(narrow).unwrap_or_else(|fault| panic!("{served}: {fault}"));
        }
    }

    #[test]
    fn a_group_that_leaves_serves_what_it_has() {
        let narrow = narrowed(&table(), |group| group == "open", |group| group == "etl");
        assert_eq!(names(&narrow), [("o1", Serving::Active), ("e1", Serving::Draining)]);
        assert!(narrow.routing.rules[0].to.is_none(), "no new query goes there");
    }

    #[test]
    fn all_groups_are_the_whole_table() {
        assert_eq!(narrowed(&table(), |_| true, |_| false), table());
    }
}
