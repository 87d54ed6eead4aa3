//! The table in force with the clusters behind it: one snapshot that each request reads once.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{
    Settings,
    backend::{Backend, Origin},
    external::External,
    outside::Outside,
};
use crate::{
    routing::{self, Load, Outcome, Pick, ProxyMode, Router, Serving, Strategy},
    trino::{ClusterName, QueryId},
};

/// Clusters by their names, which are looked up for each request.
type Backends = HashMap<ClusterName, Arc<Backend>, foldhash::quality::RandomState>;

/// A routing table in force. Never changes: a new table makes a new fleet, which takes over what stayed the same.
#[derive(Debug)]
pub(super) struct Fleet {
    pub router: Arc<Router>,
    pub hash: String,
    /// What clients see, if the table says it.
    pub outside: Option<Arc<Outside>>,
    /// Who is asked where no rule matches.
    pub external: Option<Arc<External>>,
    /// The clusters whose clients talk to them by themselves after the first call, and where.
    direct: HashMap<ClusterName, Outside>,
    backends: Backends,
    /// By the SHA-256 of the token by which a coordinator tells of its queries.
    tokens: HashMap<String, Arc<Backend>>,
    /// By the name of the group, so that a reload does not send everyone to the first cluster again.
    turns: HashMap<String, Arc<AtomicUsize>>,
    info_turn: Arc<AtomicUsize>,
}

impl Fleet {
    /// The fleet of `router`. A cluster whose address is that of `before` keeps its health, and its connections too if its
    /// CA is the same.
    pub(super) fn new(router: Arc<Router>, before: Option<&Self>, settings: &Settings) -> Self {
        let table = router.table();
        let mut backends = Backends::default();
        for cluster in router.clusters() {
            let Some(origin) = Origin::of(cluster, table) else { continue };
            let same = before.and_then(|fleet| fleet.backend(cluster.name.as_str())).filter(|old| old.is_at(&origin));
            let backend = if let Some(same) = same {
                same.trust(origin, settings);
                same.clone()
            } else {
                Arc::new(Backend::new(cluster.name.clone(), origin, settings))
            };
            backends.insert(cluster.name.clone(), backend);
        }
        for group in &table.groups {
            for cluster in &group.clusters {
                let Some(backend) = backends.get(&cluster.name) else { continue };
                // Where clients poll by themselves, nothing but its count tells how many queries it has.
                let direct = table.proxy_mode == ProxyMode::ProxyFirstCall && cluster.client_url.is_some();
                backend.set_counted(group.strategy == Strategy::LeastQueries || direct);
                // One that drains or takes none shall be left to end what it has.
                let takes_queries = cluster.serving == Serving::Active && cluster.weight > 0;
                backend.set_needs_credential(cluster.own_credential);
                backend.set_health_check(group.health_check.as_ref().filter(|_| takes_queries));
            }
        }
        let turn = |name: &String| before.and_then(|fleet| fleet.turns.get(name)).cloned().unwrap_or_default();
        Self {
            hash: table.hash(),
            outside: router.external().and_then(outside).map(Arc::new),
            external: table.routing.external.as_ref().map(|definition| {
                External::new(definition, before.and_then(|fleet| fleet.external.as_ref()), settings)
            }),
            direct: direct(&router),
            tokens: tokens(&router, &backends),
            turns: table.groups.iter().map(|group| (group.name.clone(), turn(&group.name))).collect(),
            info_turn: before.map(|fleet| fleet.info_turn.clone()).unwrap_or_default(),
            backends,
            router,
        }
    }

    /// All clusters, in no particular order.
    pub(super) fn backends(&self) -> impl Iterator<Item = &Arc<Backend>> {
        self.backends.values()
    }

    /// The cluster of that name, whether it takes new queries or not.
    pub(super) fn backend(&self, name: &str) -> Option<&Arc<Backend>> {
        self.backends.get(name)
    }

    /// The cluster whose coordinator bears the token that has this SHA-256.
    pub(super) fn bearer(&self, digest: &str) -> Option<&Arc<Backend>> {
        self.tokens.get(digest)
    }

    /// The cluster that has `query`, as far as its id tells this proxy: the one whose queries end alike, or the only one.
    pub(super) fn cluster_of(&self, query: QueryId) -> Option<&Arc<Backend>> {
        let mut backends = self.backends.values();
        match (backends.next(), backends.next()) {
            (Some(only), None) => Some(only),
            _ => self.backends.values().find(|backend| backend.chains.tells(query)),
        }
    }

    /// What clients see of a cluster to which they talk by themselves after the first call.
    pub(super) fn direct(&self, cluster: &ClusterName) -> Option<&Outside> {
        self.direct.get(cluster)
    }

    /// The healthy clusters that take new queries where `outcome` leads, in the order in which one tries them.
    pub(super) fn candidates(&self, outcome: &Outcome) -> Vec<Arc<Backend>> {
        let group = if let Outcome::Group(group) = outcome { self.router.table().groups.get(*group) } else { None };
        let turn = group.and_then(|group| self.turns.get(&group.name));
        let turn = turn.map_or(0, |turn| turn.fetch_add(1, Ordering::Relaxed));
        let pick = Pick { turn, random: rand::random() };
        let names = self.router.candidates(outcome, pick, |name| self.load(name));
        names.into_iter().filter_map(|name| self.backends.get(name)).cloned().collect()
    }

    /// What a cluster does now; none if it is not healthy.
    pub(super) fn load(&self, name: &ClusterName) -> Option<Load> {
        self.backends.get(name).and_then(|backend| backend.load())
    }

    /// The healthy clusters of all groups, the next one in turn first.
    pub(super) fn any(&self) -> Vec<Arc<Backend>> {
        let clusters = self.router.table().groups.iter().flat_map(|group| &group.clusters);
        let active = clusters.filter(|cluster| cluster.serving == Serving::Active);
        let mut healthy: Vec<_> = active
            .filter_map(|cluster| self.backends.get(&cluster.name))
            .filter(|backend| backend.health.is_healthy())
            .cloned()
            .collect();
        if !healthy.is_empty() {
            let first = self.info_turn.fetch_add(1, Ordering::Relaxed) % healthy.len();
            healthy.rotate_left(first);
        }
        healthy
    }
}

fn tokens(router: &Router, backends: &Backends) -> HashMap<String, Arc<Backend>> {
    let known = |cluster: &Arc<crate::routing::Cluster>| {
        Some((cluster.event_token.clone()?, backends.get(&cluster.name)?.clone()))
    };
    router.clusters().filter_map(known).collect()
}

fn outside(external: &routing::External) -> Option<Outside> {
    Outside::of(external.address())?.below(external.prefix())
}

fn direct(router: &Router) -> HashMap<ClusterName, Outside> {
    if router.table().proxy_mode == ProxyMode::ProxyAllCalls {
        return HashMap::new();
    }
    let address = |cluster: &crate::routing::Cluster| Outside::direct(&cluster.client_url.as_ref()?.parse().ok()?);
    router.clusters().filter_map(|cluster| Some((cluster.name.clone(), address(cluster)?))).collect()
}
