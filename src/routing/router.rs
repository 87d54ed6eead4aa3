//! A routing table made ready for use: every reference resolved, every address parsed, every expression compiled.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use http::HeaderMap;
use ipnet::IpNet;

use super::{
    External, TableError,
    check::{self, AllowedHost, Destination},
    decide::{self, Trial},
    decision::{Decision, Load, Outcome, Pick},
    facts::{Facts, Origin, Statement},
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
        check::listeners(&table.listeners)?;
        if let Some(external) = &table.routing.external {
            check::external_router(external)?;
        }
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

    /// What rules see of a query with these headers; what the client left out is what its listener presets.
    pub fn facts(&self, headers: &HeaderMap, origin: Origin, statement: Statement) -> Facts {
        let mut facts = Facts::of(headers, origin, statement);
        let name = facts.origin.listener.as_deref();
        if let Some(listener) = self.table.listeners.iter().find(|listener| name == Some(&*listener.name)) {
            facts.complete(listener);
        }
        facts
    }

    /// What becomes of the query of `facts`. `draw`, from 0 to less than 1, falls on one of several weighted groups.
    ///
    /// The statement is analysed at most once, and only when a rule that is reached looks at it.
    pub fn decide(&self, facts: &Facts, draw: f64) -> Decision {
        self.try_rules(facts, draw).decision
    }

    pub(super) fn try_rules(&self, facts: &Facts, draw: f64) -> Trial {
        decide::decide(&self.rules, facts, draw, self.route(draw))
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
        strategy::order(group, clusters, pick).into_iter().map(|(cluster, _)| &cluster.name).collect()
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
    use crate::routing::{Group, Listener, ProxyMode, Reject, Rule, Rules, Strategy, Target, WeightedGroup};

    fn cluster(name: &str) -> Cluster {
        Cluster {
            name: name.parse().expect("a legal name"),
            url: format!("http://{name}:8080"),
            client_url: None,
            weight: 1,
            serving: Serving::Active,
            ca: None,
            event_token: None,
            own_credential: false,
        }
    }

    fn table(clusters: Vec<Cluster>) -> RoutingTable {
        RoutingTable {
            format: 1,
            external_url: None,
            proxy_mode: ProxyMode::default(),
            trusted_proxies: Vec::new(),
            allowed_hosts: Vec::new(),
            listeners: Vec::new(),
            groups: vec![Group {
                name: "adhoc".into(),
                strategy: Strategy::RoundRobin,
                health_check: None,
                canary: None,
                clusters,
            }],
            routing: Rules { default: Some(Target::group("adhoc")), ..Rules::default() },
            ignores_events: false,
            certificates: std::collections::BTreeMap::new(),
        }
    }

    fn names(names: Vec<&ClusterName>) -> Vec<&str> {
        names.into_iter().map(ClusterName::as_str).collect()
    }

    fn in_turn(turn: usize) -> Pick {
        Pick { turn, random: 7 }
    }

    #[expect(clippy::unnecessary_wraps, reason = "the shape of what tells loads")]
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
        twice.groups.push(Group {
            name: "adhoc".into(),
            strategy: Strategy::RoundRobin,
            health_check: None,
            canary: None,
            clusters: vec![],
        });
        let mut same_cluster = table(vec![cluster("a")]);
        same_cluster.groups.push(Group {
            name: "etl".into(),
            strategy: Strategy::RoundRobin,
            health_check: None,
            canary: None,
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

    /// The fault of a table with a group `adhoc` of clusters `a` and `b`, after `change`.
    fn fault(change: impl FnOnce(&mut RoutingTable)) -> String {
        let mut table = table(vec![cluster("a"), cluster("b")]);
        change(&mut table);
        Router::compile(table).expect_err("a fault").to_string()
    }

    fn rule(name: &str, when: &str) -> Rule {
        Rule { name: name.into(), when: when.into(), to: Some(Target::group("adhoc")), reject: None }
    }

    #[test]
    fn a_fault_of_a_rule_names_the_rule() {
        let with = |rule: Rule| fault(|table| table.routing.rules = vec![rule]);
        let reject = |message: &str| Some(Reject { message: message.into(), ..Reject::default() });
        assert_eq!(with(rule(" ", "true")), "routing.rules[0].name: every rule needs a name");
        assert_eq!(
            fault(|table| table.routing.rules = vec![rule("r", "true"), rule("r", "false")]),
            r#"routing.rules: the name "r" is given twice: names of rules must differ"#
        );
        for rule in [Rule { to: None, ..rule("r", "true") }, Rule { reject: reject("No."), ..rule("r", "true") }] {
            assert_eq!(with(rule), "routing.rules[r]: give exactly one of to and reject");
        }
        assert_eq!(
            with(Rule { to: None, reject: reject(""), ..rule("r", "true") }),
            "routing.rules[r].reject.message: say what the user is told"
        );
        assert_eq!(
            with(rule("etl", "true && usr.name == 'a'")),
            r#"routing.rules[etl].when: line 1, column 9: there is no "usr"; the variables are query, user, request"#
        );
        assert_eq!(
            with(Rule { to: Some(Target::group("x")), ..rule("r", "true") }),
            r#"routing.rules[r].to.group: there is no group "x"; the groups are: adhoc"#
        );
    }

    #[test]
    fn a_target_is_one_thing_that_the_table_holds() {
        let weighted = |name: &str, weight| WeightedGroup { name: name.into(), weight };
        let with = |target: Target| fault(|table| table.routing.fallback = Some(target));
        let exactly_one = "routing.fallback: give exactly one of group, groups and cluster";
        assert_eq!(with(Target::default()), exactly_one);
        assert_eq!(with(Target { cluster: Some("a".into()), ..Target::group("adhoc") }), exactly_one);
        assert_eq!(
            with(Target { groups: vec![weighted("adhoc", 1), weighted("x", 0)], ..Target::default() }),
            r#"routing.fallback.groups[1].name: there is no group "x"; the groups are: adhoc"#
        );
        assert_eq!(
            with(Target { groups: vec![weighted("adhoc", 0)], ..Target::default() }),
            "routing.fallback.groups: at least one of them needs a weight over 0"
        );
        assert_eq!(
            with(Target { cluster: Some("x".into()), ..Target::default() }),
            r#"routing.fallback.cluster: there is no cluster "x"; the clusters are: a, b"#
        );
    }

    #[test]
    fn a_fault_of_an_address_names_its_field() {
        for bad in ["10.0.0.0/33", "proxy.example.com", ""] {
            let message = fault(|table| table.trusted_proxies = vec!["10.0.0.1".into(), bad.into()]);
            assert!(message.starts_with(&format!("trustedProxies[1]: {bad:?} must be")), "{message}");
        }
        for bad in ["a:80", "http://a", "a/b", "", "*", "a.*", "*.*.a", "a b", "u@a"] {
            let message = fault(|table| table.allowed_hosts = vec![bad.into()]);
            assert!(message.starts_with(&format!("allowedHosts[0]: {bad:?} must be")), "{message}");
        }
        let message = fault(|table| table.groups[0].clusters[1].client_url = Some("trino".into()));
        assert!(message.starts_with(r#"groups[adhoc].clusters[b].clientUrl: "trino" must be"#), "{message}");
    }

    fn listener(name: &str) -> Listener {
        Listener { name: name.into(), source: Some("superset".into()), client_tags: vec!["bi".into(), "slow".into()] }
    }

    #[test]
    fn a_fault_of_a_listener_names_it() {
        assert_eq!(
            fault(|table| table.listeners = vec![listener("bi"), listener(" ")]),
            "listeners[1].name: every listener needs a name"
        );
        assert_eq!(
            fault(|table| table.listeners = vec![listener("bi"), listener("bi")]),
            r#"listeners: the name "bi" is given twice: names of listeners must differ"#
        );
    }

    #[test]
    fn a_listener_presets_what_the_client_left_out() {
        let mut table = table(vec![]);
        table.listeners = vec![listener("bi"), Listener { name: "bare".into(), ..Listener::default() }];
        let router = Router::compile(table).expect("valid");
        let facts = |at: Option<&str>, headers: &[(&'static str, &'static str)]| {
            let origin = Origin {
                remote: [10, 0, 0, 1].into(),
                listener: at.map(str::to_owned),
                port: 8081,
                host: None,
                sni: None,
                now: jiff::Timestamp::UNIX_EPOCH,
            };
            let headers =
                headers.iter().map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")));
            let statement = Statement::Unread(crate::routing::Unread::NotAsked);
            let facts = router.facts(&headers.collect(), origin, statement);
            (facts.source, facts.tags.join(" "))
        };
        let seen = |source: &str, tags: &str| (source.to_owned(), tags.to_owned());
        assert_eq!(facts(Some("bi"), &[]), seen("superset", "bi slow"));
        assert_eq!(
            facts(Some("bi"), &[("x-trino-source", " "), ("x-trino-client-tags", ",")]),
            seen("superset", "bi slow")
        );
        assert_eq!(facts(Some("bi"), &[("x-trino-source", "hue")]), seen("hue", "bi slow"));
        assert_eq!(facts(Some("bi"), &[("x-presto-client-tags", "a")]), seen("superset", "a"));
        for elsewhere in [None, Some("bare"), Some("other")] {
            assert_eq!(facts(elsewhere, &[("x-trino-source", "hue")]), seen("hue", ""));
            assert_eq!(facts(elsewhere, &[]), seen("", ""));
        }
    }

    #[test]
    fn whom_the_gateway_believes_and_answers() {
        let mut table = table(vec![]);
        table.trusted_proxies = vec!["10.0.0.0/8".into(), "192.168.1.7".into(), "fd00::/8".into()];
        table.allowed_hosts = vec!["Trino.example.com".into(), "*.lake.example.com".into(), "[::1]".into()];
        let router = Router::compile(table).expect("valid");
        let trusts = |peer: &str| router.trusts(peer.parse().expect("an address"));
        assert!(trusts("10.9.9.9") && trusts("::ffff:10.9.9.9") && trusts("192.168.1.7") && trusts("fd12::1"));
        assert!(!trusts("11.0.0.1") && !trusts("192.168.1.8") && !trusts("::1"));
        assert!(
            ["trino.example.com", "TRINO.example.com", "a.lake.example.com", "[::1]"]
                .map(|host| router.allows_host(host))
                .iter()
                .all(|allowed| *allowed)
        );
        assert!(
            ["lake.example.com", "xlake.example.com", "example.com", ""]
                .map(|host| router.allows_host(host))
                .iter()
                .all(|allowed| !*allowed)
        );
    }

    #[test]
    fn weighted_groups_get_their_shares_of_the_draws() {
        let mut table = table(vec![cluster("a")]);
        for name in ["etl", "none"] {
            table.groups.push(Group {
                name: name.into(),
                strategy: Strategy::RoundRobin,
                health_check: None,
                canary: None,
                clusters: vec![],
            });
        }
        let weights = [("none", 0), ("adhoc", 9), ("etl", 1)];
        let groups = weights.map(|(name, weight)| WeightedGroup { name: name.into(), weight });
        table.routing.default = Some(Target { groups: groups.into(), ..Target::default() });
        let router = Router::compile(table).expect("valid");
        for (draw, group) in [(0.0, 0), (0.89, 0), (0.91, 1), (0.999_999, 1), (1.0, 1), (f64::NAN, 1)] {
            assert_eq!(router.route(draw), Outcome::Group(group), "{draw}");
        }
    }

    #[test]
    fn a_token_is_one_clusters_and_its_hash_is_a_sha_256() {
        let compile = |tokens: [&str; 2]| {
            let clusters = ["a", "b"].into_iter().zip(tokens);
            let clusters = clusters.map(|(name, token)| Cluster { event_token: Some(token.into()), ..cluster(name) });
            Router::compile(table(clusters.collect())).map(drop).map_err(|fault| fault.to_string())
        };
        let (one, other) = ("ab".repeat(32), "cd".repeat(32));
        assert_eq!(compile([&one, &other]), Ok(()));
        let fault = compile([&one, &one]).expect_err("one token");
        assert!(fault.contains("groups[adhoc].clusters[b].eventToken: another cluster has the same token"), "{fault}");
        for token in ["", "secret", &one.to_uppercase(), &format!("{one}0")] {
            let fault = compile([token, &other]).expect_err("no hash");
            assert!(
                fault.contains("clusters[a].eventToken: must be a SHA-256") && !fault.contains("secret"),
                "{fault}"
            );
        }
    }

    #[test]
    fn tables_of_before_the_rules_still_read() {
        let old = r#"{"format":1,"externalUrl":"https://a","groups":[{"name":"adhoc","strategy":"RoundRobin","clusters":
            [{"name":"a","url":"http://a:8080","serving":"Active"}]}],"routing":{"default":{"group":"adhoc"}}}"#;
        let read: RoutingTable = serde_json::from_str(old).expect("readable");
        let mut expected = table(vec![cluster("a")]);
        expected.external_url = Some("https://a".into());
        assert_eq!(read, expected);
        assert_eq!(
            serde_json::to_value(&read).expect("JSON"),
            serde_json::from_str::<serde_json::Value>(old).expect("JSON")
        );
    }
}
