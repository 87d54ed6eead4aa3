//! One cluster as the proxy deals with it: its connections, its health, and what is under way there. It lives as long
//! as the cluster's address and CA stay the same, over all reloads of the table.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use tokio::time::Instant;

use super::{Settings, body::RequestBody, health::Health, tls, tls::Connector};
use crate::{
    routing::{Address, Cluster, RoutingTable},
    trino::ClusterName,
};

/// How long an idle connection is kept: less than servers and the tables of NAT usually allow.
const POOL_IDLE: Duration = Duration::from_secs(20);

/// The most idle connections that are kept for one cluster.
const POOL_MAX_IDLE: usize = 256;

pub(super) type HttpClient = Client<Connector, RequestBody>;

/// What a backend's connections depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    address: Address,
    ca: Option<String>,
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
    origin: Origin,
    client: Result<HttpClient, tls::Error>,
    in_flight: AtomicUsize,
    last_request: Mutex<Option<Instant>>,
}

impl Backend {
    pub(super) fn new(name: ClusterName, origin: Origin, settings: &Settings) -> Self {
        let secure = *origin.address.scheme() == http::uri::Scheme::HTTPS;
        let client = Connector::new(secure, origin.ca.as_deref(), settings.connect_timeout).map(|connector| {
            Client::builder(TokioExecutor::new())
                .timer(TokioTimer::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(POOL_IDLE)
                .pool_max_idle_per_host(POOL_MAX_IDLE)
                .http1_max_headers(settings.max_headers)
                .build(connector)
        });
        Self {
            name,
            health: Health::default(),
            origin,
            client,
            in_flight: AtomicUsize::new(0),
            last_request: Mutex::new(None),
        }
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    pub(super) fn address(&self) -> &Address {
        &self.origin.address
    }

    /// Its connections.
    ///
    /// # Errors
    /// When its CA cannot be used.
    pub(super) fn client(&self) -> Result<&HttpClient, tls::Error> {
        self.client.as_ref().map_err(Clone::clone)
    }

    /// Notes that a client's request went there.
    pub(super) fn begin(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.touch();
    }

    /// Notes that it is over.
    pub(super) fn end(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.touch();
    }

    /// How many requests of clients are under way.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// How long no request of a client went there; none when there never was one.
    pub(super) fn idle(&self) -> Option<Duration> {
        self.last_request.lock().unwrap_or_else(PoisonError::into_inner).map(|last| last.elapsed())
    }

    fn touch(&self) {
        *self.last_request.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}
