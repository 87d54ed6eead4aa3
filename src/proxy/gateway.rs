//! The proxy as a whole: what all requests share, and the way of one request through it.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use http::{
    Method, Response, StatusCode, Uri,
    header::{CONTENT_ENCODING, CONTENT_LENGTH},
    response::Parts,
};
use http_body_util::Full;
use prometheus_client::registry::Registry;
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    Door, Error, Settings, Shard,
    answer::{ResponseBody, Streamed},
    ask::Ask,
    backend::Backend,
    client::ClientRequest,
    credentials::{self, Known},
    endpoint::{Endpoint, Kind, classify},
    exchange::Exchanged,
    fleet::Fleet,
    forward, headers, ingest, listen,
    login::{self, Place},
    meters::Meters,
    observe::{Observation, Observer},
    outside::{Arrival, Outside},
    oversee,
    peek::Peek,
    report,
    rewrite::{Lead, Rewriter},
    settings::LiveSettings,
    statement, strict, transaction,
};
use crate::{
    routing::{Credential, LiveReport, Router},
    telemetry::{Lines, Traces},
    trino::ClusterName,
};

/// A proxy. Clones are handles of the same one.
#[derive(Clone, Debug)]
pub struct Proxy {
    gateway: Arc<Gateway>,
}

/// What all requests share.
#[derive(Debug)]
pub(super) struct Gateway {
    pub(super) settings: LiveSettings,
    pub(super) observer: Arc<Observer>,
    fleet: ArcSwapOption<Fleet>,
    /// By what the proxy asks clusters, for what it asks by itself.
    pub(super) credentials: ArcSwap<Known>,
    draining: AtomicBool,
    /// Somebody wants clients to go elsewhere, for now.
    set_aside: AtomicBool,
    serving_shards: AtomicUsize,
}

impl Proxy {
    /// A proxy whose metrics are in `registry`, and which writes a line per request to `access`.
    pub fn new(settings: Settings, registry: &mut Registry, access: Option<Lines>) -> Self {
        Self::traced(settings, registry, access, None)
    }

    /// The same, which also makes a span of each request that is sampled.
    pub fn traced(settings: Settings, registry: &mut Registry, access: Option<Lines>, traces: Option<Traces>) -> Self {
        let gateway = Gateway {
            settings: Arc::new(ArcSwap::from_pointee(settings)),
            observer: Observer::new(Meters::new(registry), access, traces),
            fleet: ArcSwapOption::empty(),
            credentials: ArcSwap::default(),
            draining: AtomicBool::new(false),
            set_aside: AtomicBool::new(false),
            serving_shards: AtomicUsize::new(0),
        };
        Self { gateway: Arc::new(gateway) }
    }

    /// Routes by the newest of `tables`, and checks its clusters, until `shutdown`: to be run once, beside all that
    /// serves, and a little longer.
    pub async fn oversee(&self, tables: watch::Receiver<Option<Arc<Router>>>, shutdown: CancellationToken) {
        oversee::oversee(self.gateway.clone(), tables, shutdown).await;
    }

    /// By what it asks clusters from now on, for what it asks by itself.
    pub fn set_credentials(&self, known: HashMap<ClusterName, Credential>) {
        credentials::set(&self.gateway, known);
    }

    /// Serves clients at `doors` as one of [`Settings::shards`], until `shutdown`; then drains, and returns when the
    /// last request ended or the time for that is over.
    ///
    /// The drain: readiness ends at once, connections are still accepted for `drain_delay`, idle ones are then closed,
    /// and running requests get `drain_timeout` to end.
    pub async fn serve(&self, shard: Shard, doors: Vec<Door>, shutdown: CancellationToken) {
        self.gateway.serving_shards.fetch_add(1, Ordering::AcqRel);
        let mut serving = JoinSet::new();
        for door in doors {
            serving.spawn(listen::serve(self.gateway.clone(), shard, door, shutdown.clone()));
        }
        while serving.join_next().await.is_some() {}
    }

    /// Whether clients may be sent here.
    ///
    /// It does not depend on the health of clusters: a proxy that leaves its Service could not tell clients what is
    /// wrong.
    ///
    /// # Errors
    /// With what is missing.
    pub fn readiness(&self) -> Result<(), String> {
        if self.gateway.is_draining() {
            return Err("draining: this proxy is shutting down".to_owned());
        }
        if self.gateway.set_aside.load(Ordering::Acquire) {
            return Err("drained: POST /v1/undrain on the admin port takes this proxy back".to_owned());
        }
        if self.gateway.fleet.load().is_none() {
            return Err("no routing table is in force yet".to_owned());
        }
        if self.gateway.serving_shards.load(Ordering::Acquire) < self.gateway.settings.load().shards {
            return Err("the client listener is not up yet".to_owned());
        }
        Ok(())
    }

    /// Goes on with those of `settings` that can change while it runs: requests and checks that begin from now on have
    /// them. The others stay as they were at the start.
    pub fn tune(&self, settings: &Settings) {
        self.gateway.settings.rcu(|now| now.tuned(settings));
    }

    /// Counts a routing table that was refused before it came here.
    pub fn table_refused(&self) {
        self.gateway.observer.meters.tables_refused.inc();
    }

    /// What the proxy sees, as JSON: the hash of the table in force, and each cluster's health, requests under way, and
    /// milliseconds since the last one. Meant for the operator's decisions; fields are only ever added.
    pub fn status(&self) -> serde_json::Value {
        report::status(&self.gateway, self.readiness().is_ok())
    }

    /// Takes this proxy out of its load balancer, by its readiness, or back; what it serves goes on. Returns what
    /// [`Proxy::status`] then says.
    pub fn set_aside(&self, aside: bool) -> serde_json::Value {
        if self.gateway.set_aside.swap(aside, Ordering::AcqRel) != aside {
            tracing::info!(aside, "readiness was changed by hand");
        }
        self.status()
    }

    /// Says what would become of a new query that `asked` describes (see [`report::Question`]), and why.
    ///
    /// # Errors
    /// With what is wrong with `asked`, or that there is no table yet.
    pub fn explain(&self, asked: &[u8]) -> Result<serde_json::Value, String> {
        report::explain(&self.gateway, asked)
    }

    /// The queries whose clients still hold a `nextUri`, by cluster.
    pub fn queries(&self) -> LiveReport {
        report::queries(&self.gateway)
    }
}

impl Gateway {
    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// The proxy is about to end: clients shall go elsewhere. Returns whether this is news.
    pub(super) fn drain(&self) -> bool {
        !self.draining.swap(true, Ordering::AcqRel)
    }

    /// The table in force with its clusters.
    pub(super) fn fleet(&self) -> Option<Arc<Fleet>> {
        self.fleet.load_full()
    }

    pub(super) fn put_into_force(&self, fleet: Arc<Fleet>) {
        self.fleet.store(Some(fleet));
    }

    /// The way of one request: what is it for, who answers it, what becomes of the answer.
    pub(super) async fn handle(&self, mut request: ClientRequest, arrival: &Arrival) -> Response<ResponseBody> {
        let ambiguous = strict::fault(&request, |host| arrival.knows(host));
        let fleet = self.fleet();
        // Who needs it is given it beside the request.
        let uri = std::mem::take(&mut request.uri);
        let path = below_prefix(uri.path(), fleet.as_deref());
        let endpoint = match classify(&request.method, path) {
            endpoint if arrival.for_events && endpoint != Endpoint::Events => Endpoint::Unknown,
            endpoint => endpoint,
        };
        let (kind, is_head) = (kind_of(&endpoint, &request.method), request.method == Method::HEAD);
        let own = |body, observation| ResponseBody::own(if is_head { Full::default() } else { body }, observation);
        let mut observation = Observation::begin(self.observer.clone(), &request, kind);
        observation.trace(&mut request, &endpoint, arrival);
        let answered = match (ambiguous, &fleet) {
            (Some(fault), _) => Err(Error::Ambiguous(fault)),
            (None, None) => Err(Error::NoTable),
            // Coordinators know the gateway by names of their own: it is the token that lets them in, not the host.
            (None, Some(fleet)) if endpoint == Endpoint::Events => {
                Box::pin(ingest::take(fleet, request, &mut observation)).await.map(Answered::Itself)
            }
            (None, Some(fleet)) => self
                .answer(fleet, (&uri, endpoint, path), request, arrival, &mut observation)
                .await
                .map(|(exchanged, outside)| Answered::Coordinator(exchanged, outside)),
        };
        match answered {
            Ok(Answered::Coordinator(exchanged, outside)) => pass_on(exchanged, &outside, is_head, observation),
            Ok(Answered::Itself(response)) => {
                observation.answered(response.status());
                response.map(|body| own(body, observation))
            }
            Err(error) => {
                observation.failed(&error);
                let response = error.to_response(&observation.id());
                response.map(|body| own(body, observation))
            }
        }
    }

    async fn answer(
        &self,
        fleet: &Fleet,
        (uri, endpoint, path): (&Uri, Endpoint<'_>, &str),
        mut request: ClientRequest,
        arrival: &Arrival,
        observation: &mut Observation,
    ) -> Result<(Exchanged, Arc<Outside>), Error> {
        if endpoint == Endpoint::Unknown {
            return Err(Error::NotFound);
        }
        let settings = self.settings.load_full();
        request.body.set_patience(settings.body_timeout);
        let mut ask = Ask::new(&settings, fleet, arrival, (uri, &request.headers), observation)?;
        ask.observation.came_from(ask.client, ask.outside.host());
        let exchanged = match endpoint {
            // In boxes, so that the others need no room for them: nearly all requests are polls.
            Endpoint::Statement => Box::pin(statement::submit(&mut ask, request)).await?,
            Endpoint::Info => Box::pin(forward::to_any(&mut ask, path, request)).await?,
            Endpoint::Callback => Box::pin(forward::to_callback(&mut ask, request)).await?,
            Endpoint::Query(query) => {
                let ends = request.method == Method::DELETE;
                ask.observation.of_query(Some(query), ends);
                Box::pin(forward::to_query(&mut ask, query, request)).await?
            }
            Endpoint::OfCluster(asked) => {
                ask.observation.of_query(asked.query, asked.ends);
                forward::to_cluster(&mut ask, asked, request).await?
            }
            Endpoint::Events | Endpoint::Unknown => return Err(Error::NotFound),
        };
        Ok((exchanged, ask.outside))
    }
}

/// Who answered a request.
enum Answered {
    Coordinator(Exchanged, Arc<Outside>),
    Itself(Response<Full<Bytes>>),
}

/// The path as this proxy knows it: whatever stands before the gateway may have left its own part in it.
fn below_prefix<'a>(path: &'a str, fleet: Option<&Fleet>) -> &'a str {
    let prefix = fleet.and_then(|fleet| fleet.router.external()).map_or("", |external| external.prefix());
    match path.strip_prefix(prefix) {
        Some(below) if below.starts_with('/') => below,
        _ => path,
    }
}

fn kind_of(endpoint: &Endpoint<'_>, method: &Method) -> Kind {
    match endpoint {
        Endpoint::Statement => Kind::Statement,
        Endpoint::OfCluster(asked) => asked.kind,
        Endpoint::Callback => Kind::Login,
        Endpoint::Events => Kind::Event,
        Endpoint::Query(_) if method == Method::DELETE => Kind::Cancel,
        Endpoint::Info | Endpoint::Query(_) | Endpoint::Unknown => Kind::Other,
    }
}

/// Makes the answer to a request of a login, or for want of one, lead to `backend` again. What it gives back is for the
/// URIs in the body; none where there can be none.
fn lead_logins(head: &mut Parts, kind: Kind, backend: &Backend, outside: &Outside) -> Option<Lead> {
    let of_ui = kind == Kind::Ui && head.status.is_redirection();
    if kind != Kind::Login && !of_ui && head.status != StatusCode::UNAUTHORIZED {
        return None;
    }
    let place = Place::new(backend, outside);
    login::challenge(&mut head.headers, &place);
    login::keep_nonce(&mut head.headers, &place);
    login::begin(&mut head.headers, &place);
    login::end(&mut head.headers, &place);
    (kind == Kind::Login && head.status == StatusCode::OK).then(|| place.lead())
}

/// A coordinator's answer as the client gets it.
fn pass_on(
    exchanged: Exchanged,
    outside: &Outside,
    is_head: bool,
    mut observation: Observation,
) -> Response<ResponseBody> {
    let (mut head, body) = exchanged.into_parts();
    observation.answered(head.status);
    let is_page = observation.is_page() && head.status == StatusCode::OK && !is_head;
    let mut rewriter = None;
    if let Some(backend) = observation.backend() {
        headers::to_client(&mut head.headers, backend, outside);
        transaction::tag(&mut head.headers, &backend.name);
        let lead = lead_logins(&mut head, observation.kind(), backend, outside)
            .or_else(|| (is_page && backend.is_rewritten()).then(|| backend.lead(outside)));
        if let Some(lead) = lead.filter(|_| !head.headers.contains_key(CONTENT_ENCODING)) {
            head.headers.remove(CONTENT_LENGTH);
            rewriter = Some(Rewriter::new(lead));
        }
    }
    let peek = if is_page { Peek::new(&head.headers) } else { None };
    let streamed = Streamed { body, rewriter, peek };
    let mut response = Response::new(ResponseBody::of_coordinator(streamed, observation));
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    response
}
