//! A routing table made ready for use: every reference resolved, every address parsed, every expression compiled.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use ipnet::IpNet;

use super::{
    External, TableError,
    check::{self, AllowedHost, Destination},
    decision::{Decision, Load, Outcome, Pick},
    facts::Facts,
    rule::CompiledRule,
    strategy,
    table::{Cluster, ROUTING_TABLE_FORMAT, RoutingTable, Serving},
};
use crate::trino::ClusterName;

/// A [`RoutingTable`] whose every reference is known to resolve. Cheap to share; never changes.
#[derive(Debug)]
pub struct Router {
    table: RoutingTable,
    clusters: HashMap<ClusterName, Arc<Cluster>>,
    external: Option<External>,
    trusted: Vec<IpNet>,
    hosts: Vec<AllowedHost>,
    rules: Vec<CompiledRule>,
    default: Option<Destination>,
    fallback: Option<Destination>,
}

impl Router {
    /// Checks `table`, resolves its references and compiles its rules.
    ///
    /// # Errors
    /// The first fault found, by the path of its field.
    pub fn compile(table: RoutingTable) -> Result<Self, TableError> {
        if table.format > ROUTING_TABLE_FORMAT {
            return Err(TableError::Format(table.format));
        }
        let external = table.external_url.as_deref().map(check_external_url).transpose()?;
        let trusted = check::networks(&table.trusted_proxies)?;
        let hosts = check::hosts(&table.allowed_hosts)?;
        let clusters = check::clusters(&table)?;
        let rules = CompiledRule::all(&table)?;
        let [default, fallback] =
            [("routing.default", &table.routing.default), ("routing.fallback", &table.routing.fallback)].map(
                |(field, target)| target.as_ref().map(|target| Destination::of(&table, field, target)).transpose(),
            );
        let (default, fallback) = (default?, fallback?);
        Ok(Self { table, clusters, external, trusted, hosts, rules, default, fallback })
    }

    /// The table that this was compiled from.
    pub fn table(&self) -> &RoutingTable {
        &self.table
    }

    /// Where clients see this gateway; none when the table leaves it to each request.
    pub fn external(&self) -> Option<&External> {
        self.external.as_ref()
    }

    /// Whether what `peer` says in `X-Forwarded-*` is believed.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.trusted.iter().any(|network| network.contains(&peer))
    }

    /// Whether clients may name `host`, which is without a port.
    pub fn allows_host(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        self.hosts.is_empty() || self.hosts.iter().any(|allowed| allowed.allows(&host))
    }

    /// The cluster of that name, if the table holds it.
    pub fn cluster(&self, name: &str) -> Option<&Arc<Cluster>> {
        self.clusters.get(name)
    }

    /// All clusters, in no particular order.
    pub fn clusters(&self) -> impl Iterator<Item = &Arc<Cluster>> {
        self.clusters.values()
    }

    /// Whether a rule looks at the statement: it is then to be read before [`Router::decide`].
    pub fn reads_sql(&self) -> bool {
        self.rules.iter().any(CompiledRule::reads_sql)
    }

    /// What becomes of the query of `facts`. `draw`, from 0 to less than 1, falls on one of several weighted groups.
    ///
    /// The statement is analysed at most once, and only when a rule that is reached looks at it.
    pub fn decide(&self, facts: &Facts, draw: f64) -> Decision {
        let _ = facts;
        Decision { rule: None, outcome: self.route(draw), faults: Vec::new() }
    }

    /// Where a query goes that no rule matches.
    pub fn route(&self, draw: f64) -> Outcome {
        self.default.as_ref().map_or(Outcome::NoRoute, |default| default.outcome(draw))
    }

    /// Where a query goes when what it was routed to has no healthy cluster; none if the table names nothing.
    pub fn fallback(&self, draw: f64) -> Option<Outcome> {
        self.fallback.as_ref().map(|fallback| fallback.outcome(draw))
    }

    /// The clusters of the group at position `group` in the order in which a new query tries them: those that take new
    /// queries and of which `load` is known, which says that they are healthy.
    pub fn order(&self, group: usize, pick: Pick, load: impl Fn(&ClusterName) -> Option<Load>) -> Vec<&ClusterName> {
        let Some(group) = self.table.groups.get(group) else { return Vec::new() };
        let open = group.clusters.iter().filter(|cluster| takes_new_queries(cluster));
        let clusters = open.filter_map(|cluster| Some((cluster, load(&cluster.name)?))).collect();
        strategy::order(group.strategy, clusters, pick).into_iter().map(|(cluster, _)| &cluster.name).collect()
    }

    /// The clusters of an outcome in the order in which a new query tries them, as [`Router::order`] has them; a cluster
    /// to which a rule pins is alone.
    pub fn candidates(
        &self,
        outcome: &Outcome,
        pick: Pick,
        load: impl Fn(&ClusterName) -> Option<Load>,
    ) -> Vec<&ClusterName> {
        match outcome {
            Outcome::Group(group) => self.order(*group, pick, load),
            Outcome::Cluster(name) => {
                let cluster = self.clusters.get(name).filter(|cluster| takes_new_queries(cluster));
                cluster
                    .filter(|cluster| load(&cluster.name).is_some())
                    .map(|cluster| &cluster.name)
                    .into_iter()
                    .collect()
            }
            Outcome::Reject { .. } | Outcome::NoRoute => Vec::new(),
        }
    }
}

/// Whether new queries go to `cluster` while it is healthy.
pub(super) fn takes_new_queries(cluster: &Cluster) -> bool {
    cluster.serving == Serving::Active && cluster.weight > 0
}

fn check_external_url(url: &str) -> Result<External, TableError> {
    url.parse().map_err(|_| TableError::ExternalUrl(url.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::{Group, ProxyMode, Rules, Strategy, Target};

    fn cluster(name: &str) -> Cluster {
        Cluster {
            name: name.parse().expect("a legal name"),
            url: format!("http://{name}:8080"),
            client_url: None,
            weight: 1,
            serving: Serving::Active,
            ca: None,
        }
    }

    fn table(clusters: Vec<Cluster>) -> RoutingTable {
        RoutingTable {
            format: 1,
            external_url: None,
            proxy_mode: ProxyMode::default(),
            trusted_proxies: Vec::new(),
            allowed_hosts: Vec::new(),
            groups: vec![Group { name: "adhoc".into(), strategy: Strategy::RoundRobin, clusters }],
            routing: Rules { default: Some(Target::group("adhoc")), ..Rules::default() },
            certificates: std::collections::BTreeMap::new(),
        }
    }

    fn names(names: Vec<&ClusterName>) -> Vec<&str> {
        names.into_iter().map(ClusterName::as_str).collect()
    }

    fn in_turn(turn: usize) -> Pick {
        Pick { turn, random: 7 }
    }

    fn idle(_: &ClusterName) -> Option<Load> {
        Some(Load::default())
    }

    #[test]
    fn turns_go_round_the_healthy_clusters() {
        let router = Router::compile(table(vec![cluster("a"), cluster("b"), cluster("c")])).expect("valid");
        assert_eq!(router.route(0.5), Outcome::Group(0));
        let but_b = |name: &ClusterName| (name.as_str() != "b").then(Load::default);
        assert_eq!(names(router.order(0, in_turn(0), idle)), ["a", "b", "c"]);
        assert_eq!(names(router.order(0, in_turn(1), idle)), ["b", "c", "a"]);
        assert_eq!(names(router.order(0, in_turn(1), but_b)), ["c", "a"]);
        assert!(router.order(0, in_turn(1), |_| None).is_empty());
    }

    #[test]
    fn a_cluster_that_drains_or_weighs_nothing_is_known_but_never_a_candidate() {
        let mut draining = cluster("old");
        draining.serving = Serving::Draining;
        let mut closed = cluster("closed");
        closed.weight = 0;
        let router = Router::compile(table(vec![draining, closed, cluster("new")])).expect("valid");
        assert_eq!(names(router.order(0, in_turn(0), idle)), ["new"]);
        for name in ["old", "closed"] {
            let pinned = Outcome::Cluster(name.parse().expect("a legal name"));
            assert!(router.candidates(&pinned, in_turn(0), idle).is_empty());
            assert!(router.cluster(name).is_some());
        }
        let pinned = Outcome::Cluster("new".parse().expect("a legal name"));
        assert_eq!(names(router.candidates(&pinned, in_turn(0), idle)), ["new"]);
        assert!(router.candidates(&pinned, in_turn(0), |_| None).is_empty());
    }

    #[test]
    fn each_fault_names_its_field() {
        let mut unknown_group = table(vec![]);
        unknown_group.routing.default = Some(Target::group("etl"));
        let mut bad_url = cluster("a");
        bad_url.url = "http://a:8080/path".into();
        let mut bad_ca = cluster("a");
        bad_ca.ca = Some("x".into());
        let mut bad_external = table(vec![]);
        bad_external.external_url = Some("https://user@trino.example.com".into());
        let mut newer = table(vec![]);
        newer.format = 2;
        let mut twice = table(vec![cluster("a")]);
        twice.groups.push(Group { name: "adhoc".into(), strategy: Strategy::RoundRobin, clusters: vec![] });
        let mut same_cluster = table(vec![cluster("a")]);
        same_cluster.groups.push(Group {
            name: "etl".into(),
            strategy: Strategy::RoundRobin,
            clusters: vec![cluster("a")],
        });
        for (table, message) in [
            (unknown_group, r#"routing.default.group: there is no group "etl"; the groups are: adhoc"#),
            (
                table(vec![bad_url]),
                r#"groups[adhoc].clusters[a].url: "http://a:8080/path" must be http://host:port or https://host:port, without a path"#,
            ),
            (table(vec![bad_ca]), r#"groups[adhoc].clusters[a].ca: certificates holds no "x""#),
            (
                bad_external,
                r#"externalUrl: "https://user@trino.example.com" must be http://host or https://host, with a port or without, and maybe a path such as /trino without a slash at its end"#,
            ),
            (newer, "format 2 is newer than this version reads (up to 1): upgrade this proxy"),
            (twice, r#"groups: the name "adhoc" is given twice: names of groups must differ"#),
            (
                same_cluster,
                r#"groups[etl].clusters: the name "a" is given twice: names of clusters must differ over all groups"#,
            ),
        ] {
            assert_eq!(Router::compile(table).expect_err("a fault").to_string(), message);
        }
    }
}
