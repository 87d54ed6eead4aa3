//! One cluster as the proxy deals with it: its connections, its health, and what is under way there. It lives as long
//! as the cluster's address stays the same, over all reloads of the table, and over all CAs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use http::{HeaderValue, Uri, uri::Scheme};
use tokio::{
    sync::{Semaphore, watch},
    time::Instant,
};

use super::{
    Settings, Shard,
    chains::Chains,
    connector::{self, Connector, Trusted},
    health::Health,
    outside::Outside,
    pool::Pool,
    rewrite::Lead,
    roots::Roots,
    tally::Tally,
};
use crate::{
    routing::{Address, Cluster, Credential, HealthCheck, Load, RoutingTable},
    trino::{ClusterName, QueryId},
};

/// The most KiB of events that one cluster may have under way here.
const EVENTS_KIB: usize = 16 * 1024;

/// What a backend's connections depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    address: Address,
    ca: Option<String>,
}

/// Its connections, and the CA that they trust.
#[derive(Debug)]
struct Link {
    ca: Option<String>,
    further: Option<Arc<String>>,
    pool: Result<Arc<Pool>, connector::Error>,
}

impl Link {
    fn new(Origin { address, ca }: Origin, settings: &Settings) -> Self {
        let secure = *address.scheme() == Scheme::HTTPS;
        let further = settings.backend_roots.as_ref().map(Roots::pem);
        let trusted = Trusted { ca: ca.as_deref(), further: further.as_ref().map(|pem| pem.as_str()) };
        let connector = Connector::new(secure, trusted, settings.connect_timeout);
        let pool = connector.map(|connector| Pool::new(connector, uri(&address), settings.shards + 1));
        Self { ca, further, pool }
    }
}

impl Origin {
    /// Where `cluster` of `table` is; none if its address cannot be used, which a compiled table rules out.
    pub(super) fn of(cluster: &Cluster, table: &RoutingTable) -> Option<Self> {
        let address = cluster.url.parse().ok()?;
        let ca = cluster.ca.as_ref().and_then(|ca| table.certificates.get(ca)).cloned();
        Some(Self { address, ca })
    }
}

/// One cluster.
#[derive(Debug)]
pub(super) struct Backend {
    pub name: ClusterName,
    pub health: Health,
    pub chains: Chains,
    /// How many queries it has.
    pub tally: Tally,
    /// Room for the events that it sends, in KiB.
    pub events: Semaphore,
    /// What this cluster's requests say as their `Host`.
    pub host: HeaderValue,
    /// Where its requests come from, as Trino is told: `/c/<cluster>`.
    pub prefix: String,
    /// The same as a header's value.
    pub prefix_value: HeaderValue,
    address: Address,
    link: ArcSwap<Link>,
    /// It builds no URIs from forwarded headers: those in its pages are rewritten.
    rewritten: AtomicBool,
    /// A strategy looks at how many queries it has.
    counted: AtomicBool,
    /// By what the proxy asks it, for what it asks by itself.
    credential: ArcSwapOption<Credential>,
    /// It refuses who has none.
    needs_credential: AtomicBool,
    /// The query that is to check it.
    wanted_check: ArcSwapOption<HealthCheck>,
    /// The query that checks it.
    health_check: watch::Sender<Option<HealthCheck>>,
    in_flight: AtomicUsize,
    slow_start: Duration,
    born: Instant,
    /// Milliseconds from `born` to the last request, plus one; zero when there never was one.
    last_request: AtomicU64,
}

impl Backend {
    pub(super) fn new(name: ClusterName, origin: Origin, settings: &Settings) -> Self {
        let address = origin.address.clone();
        let authority = address.authority().as_str();
        Self {
            health: Health::default(),
            chains: Chains::default(),
            tally: Tally::default(),
            events: Semaphore::new(EVENTS_KIB),
            host: HeaderValue::from_str(authority).expect("an authority is visible ASCII"),
            prefix_value: HeaderValue::try_from(format!("/c/{name}")).expect("a cluster's name is a DNS label"),
            prefix: format!("/c/{name}"),
            name,
            link: ArcSwap::from_pointee(Link::new(origin, settings)),
            address,
            rewritten: AtomicBool::new(false),
            counted: AtomicBool::new(false),
            credential: ArcSwapOption::empty(),
            needs_credential: AtomicBool::new(false),
            wanted_check: ArcSwapOption::empty(),
            health_check: watch::Sender::new(None),
            in_flight: AtomicUsize::new(0),
            slow_start: settings.health.slow_start,
            born: Instant::now(),
            last_request: AtomicU64::new(0),
        }
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn for_tests(name: &str, url: &str) -> Self {
        let origin = Origin { address: url.parse().expect("an address"), ca: None };
        Self::new(name.parse().expect("a name"), origin, &Settings::default())
    }

    /// Whether `origin` is this one, whatever it trusts. What was trusted before and is no more has no connections left:
    /// requests under way go on, and their connections close behind them.
    pub(super) fn is_at(&self, origin: &Origin) -> bool {
        self.address == origin.address
    }

    /// Trusts the CA of `origin` from now on. A certificate that is renewed, or its CA, is no reason to forget what is known
    /// of the cluster.
    pub(super) fn trust(&self, origin: Origin, settings: &Settings) {
        if self.link.load().ca != origin.ca {
            self.link.store(Arc::new(Link::new(origin, settings)));
            self.health.recheck.notify_one();
        }
    }

    /// Trusts what the proxy itself trusts now.
    pub(super) fn renew_trust(&self, settings: &Settings) {
        let link = self.link.load();
        if link.further != settings.backend_roots.as_ref().map(Roots::pem) {
            let origin = Origin { address: self.address.clone(), ca: link.ca.clone() };
            self.link.store(Arc::new(Link::new(origin, settings)));
        }
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// Its connections.
    ///
    /// # Errors
    /// When its CA cannot be used.
    pub(super) fn pool(&self) -> Result<Arc<Pool>, connector::Error> {
        self.link.load().pool.clone()
    }

    /// Whether the URIs in its pages are rewritten, since it builds none from forwarded headers.
    pub(super) fn is_rewritten(&self) -> bool {
        self.rewritten.load(Ordering::Relaxed)
    }

    /// Whether its URIs are rewritten from now on.
    pub(super) fn set_rewritten(&self, rewritten: bool) {
        if self.rewritten.swap(rewritten, Ordering::Relaxed) != rewritten && rewritten {
            let cluster = &self.name;
            tracing::warn!(%cluster, "the coordinator does not process forwarded headers: its URIs are rewritten, which \
                costs CPU; set http-server.process-forwarded=true there");
        }
    }

    /// Whether the coordinator is asked how many queries it has.
    pub(super) fn is_counted(&self) -> bool {
        self.counted.load(Ordering::Relaxed)
    }

    /// Whether it is asked from now on.
    pub(super) fn set_counted(&self, counted: bool) {
        self.counted.store(counted, Ordering::Relaxed);
    }

    /// The query that checks it from now on, and none if it takes no new queries.
    pub(super) fn set_health_check(&self, check: Option<&HealthCheck>) {
        self.wanted_check.store(check.cloned().map(Arc::new));
        self.settle_health_check();
    }

    /// By what the proxy asks it; none if it knows nothing.
    pub(super) fn credential(&self) -> Option<Arc<Credential>> {
        self.credential.load_full()
    }

    /// By what the proxy asks it from now on.
    pub(super) fn set_credential(&self, credential: Option<&Credential>) {
        if self.credential().as_deref() != credential {
            self.credential.store(credential.cloned().map(Arc::new));
            self.settle_health_check();
        }
    }

    /// Whether it refuses, from now on, who has no credential.
    pub(super) fn set_needs_credential(&self, needs: bool) {
        self.needs_credential.store(needs, Ordering::Relaxed);
        self.settle_health_check();
    }

    /// Without the credential that it needs no query checks it: all would be refused, which says nothing of the cluster.
    fn settle_health_check(&self) {
        let can_ask = !self.needs_credential.load(Ordering::Relaxed) || self.credential.load().is_some();
        let check = self.wanted_check.load_full().filter(|_| can_ask);
        self.health.expect_query(check.is_some());
        self.health_check.send_if_modified(|before| {
            let changed = before.as_ref() != check.as_deref();
            if changed {
                *before = check.as_deref().cloned();
            }
            changed
        });
    }

    /// The same, to be followed.
    pub(super) fn health_check(&self) -> watch::Receiver<Option<HealthCheck>> {
        self.health_check.subscribe()
    }

    /// How its URIs become ones that lead through the gateway.
    pub(super) fn lead(&self, outside: &Outside) -> Lead {
        let to = format!("{}{}", outside.base(), self.prefix);
        Lead { from: self.address.to_string(), to }
    }

    /// Notes that a client's request went there.
    pub(super) fn begin(&self, now: Instant) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.touch(now);
    }

    /// Notes that it is over.
    pub(super) fn end(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many requests of clients are under way.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// How long no request of a client went there; none when there never was one.
    pub(super) fn idle(&self) -> Option<Duration> {
        let last = self.last_request.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.born.elapsed().saturating_sub(Duration::from_millis(last)))
    }

    /// What it does now; none if it is not healthy. The coordinator's own count, which other proxies' queries are in,
    /// and what this proxy saw begin and end since; where nobody asks for it, what this proxy's own clients have.
    pub(super) fn load(&self) -> Option<Load> {
        if !self.health.is_healthy() {
            return None;
        }
        let queries =
            if self.is_counted() { self.queries() } else { u32::try_from(self.chains.len()).unwrap_or(u32::MAX) };
        Some(Load { queries, factor: self.health.warmth(self.slow_start) })
    }

    /// How many queries it has, as far as its coordinator says and this proxy saw.
    pub(super) fn queries(&self) -> u32 {
        self.tally.count().unwrap_or_else(|| {
            let begun = self.tally.going_on().into_iter().map(|begun| begun.query);
            u32::try_from(self.chains.len_with(begun)).unwrap_or(u32::MAX)
        })
    }

    /// Notes that a query's last page was given out, or that it was cancelled.
    pub(super) fn ended(&self, query: QueryId) {
        if !self.is_counted() {
            return self.lost(query);
        }
        self.tally.end(query);
        self.chains.end(query);
    }

    /// Notes that it does not have a query, or no longer.
    pub(super) fn lost(&self, query: QueryId) {
        self.tally.lose(query);
        self.chains.end(query);
    }

    /// Lets go of what has grown old.
    pub(super) fn tidy(&self, shards: usize) {
        self.chains.age_out();
        self.tally.age_out();
        if let Ok(pool) = &self.link.load().pool {
            (0..=shards).for_each(|shard| pool.trim(Shard::new(shard)));
        }
    }

    fn touch(&self, now: Instant) {
        let millis = now.saturating_duration_since(self.born).as_millis();
        self.last_request.store(u64::try_from(millis).unwrap_or(u64::MAX - 1) + 1, Ordering::Relaxed);
    }
}

fn uri(address: &Address) -> Uri {
    address.to_string().parse().expect("an address is a URI by its type")
}
