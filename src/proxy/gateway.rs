//! The proxy as a whole: what all requests share, the way of one request through it, and the tasks behind it.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use arc_swap::ArcSwapOption;
use http::{Request, Response};
use hyper::body::Incoming;
use prometheus_client::registry::Registry;
use serde_json::json;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    Error, Settings,
    backend::Backend,
    body::{Answer, ResponseBody},
    endpoint::{Endpoint, Kind, classify},
    fleet::Fleet,
    forward, headers,
    headers::Outside,
    health, listen,
    observe::{Observation, Observer},
    statement,
};
use crate::{routing::Router, trino::ClusterName};

/// A proxy: made once, run once. Clones are handles of the same one.
#[derive(Clone, Debug)]
pub struct Proxy {
    gateway: Arc<Gateway>,
}

/// What all requests share.
#[derive(Debug)]
pub(super) struct Gateway {
    pub(super) settings: Settings,
    pub(super) observer: Arc<Observer>,
    fleet: ArcSwapOption<Fleet>,
    phase: AtomicU8,
}

/// Where in its life a proxy is; only ever grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    Starting,
    Serving,
    Draining,
}

/// What one request's way needs besides the request itself.
#[derive(Debug)]
pub(super) struct Ask<'a> {
    pub settings: &'a Settings,
    pub fleet: &'a Fleet,
    pub outside: Outside,
    pub peer: SocketAddr,
    pub observation: &'a mut Observation,
}

impl Proxy {
    /// A proxy whose metrics are in `registry`.
    pub fn new(settings: Settings, registry: &mut Registry) -> Self {
        let gateway = Gateway {
            settings,
            observer: Observer::new(registry),
            fleet: ArcSwapOption::empty(),
            phase: AtomicU8::new(Phase::Starting as u8),
        };
        Self { gateway: Arc::new(gateway) }
    }

    /// Serves clients on `listener` by the newest of `tables` until `shutdown`; then drains, and returns when the last
    /// request ended or the time for that is over.
    ///
    /// The drain: readiness ends at once, connections are still accepted for `drain_delay`, idle ones are then closed,
    /// and running requests get `drain_timeout` to end.
    pub async fn serve(
        &self,
        listener: TcpListener,
        tables: watch::Receiver<Option<Arc<Router>>>,
        shutdown: CancellationToken,
    ) {
        let background = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(follow(self.gateway.clone(), tables, background.clone()));
        listen::serve(self.gateway.clone(), listener, shutdown).await;
        background.cancel();
        while tasks.join_next().await.is_some() {}
    }

    /// Whether clients may be sent here.
    ///
    /// It does not depend on the health of clusters: a proxy that leaves its Service could not tell clients what is
    /// wrong.
    ///
    /// # Errors
    /// With what is missing.
    pub fn readiness(&self) -> Result<(), String> {
        if self.gateway.phase() == Phase::Draining {
            return Err("draining: this proxy is shutting down".to_owned());
        }
        if self.gateway.fleet.load().is_none() {
            return Err("no routing table is in force yet".to_owned());
        }
        if self.gateway.phase() == Phase::Starting {
            return Err("the client listener is not up yet".to_owned());
        }
        Ok(())
    }

    /// Counts a routing table that was refused before it came here.
    pub fn table_refused(&self) {
        self.gateway.observer.table_refused();
    }

    /// What the proxy sees, as JSON: the hash of the table in force, and each cluster's health, requests under way, and
    /// milliseconds since the last one. Meant for the operator's decisions; fields are only ever added.
    pub fn status(&self) -> serde_json::Value {
        let fleet = self.gateway.fleet.load_full();
        let clusters = fleet.iter().flat_map(|fleet| fleet.router.table().groups.iter()).flat_map(|group| {
            let describe = |cluster| self.describe(&group.name, cluster);
            group.clusters.iter().map(describe).collect::<Vec<_>>()
        });
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "ready": self.readiness().is_ok(),
            "draining": self.gateway.phase() == Phase::Draining,
            "routingTable": fleet.as_ref().map(|fleet| json!({ "hash": fleet.hash })),
            "clusters": clusters.collect::<Vec<_>>(),
        })
    }

    fn describe(&self, group: &str, cluster: &crate::routing::Cluster) -> serde_json::Value {
        let fleet = self.gateway.fleet.load_full();
        let backend = fleet.as_ref().and_then(|fleet| fleet.backend(cluster.name.as_str()));
        let (health, reason) = match backend.map(|backend| backend.health.state()) {
            None | Some(health::State::Unknown) => ("unknown", None),
            Some(health::State::Healthy) => ("healthy", None),
            Some(health::State::Unhealthy(reason)) => ("unhealthy", Some(reason.to_string())),
        };
        json!({
            "name": cluster.name,
            "group": group,
            "serving": cluster.serving,
            "health": health,
            "reason": reason,
            "inFlight": backend.map_or(0, |backend| backend.in_flight()),
            "idleMillis": backend.and_then(|backend| backend.idle())
                .map(|idle| u64::try_from(idle.as_millis()).unwrap_or(u64::MAX)),
        })
    }
}

impl Gateway {
    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Serving,
            _ => Phase::Draining,
        }
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::AcqRel);
    }

    /// The way of one request: what is it for, who answers it, what becomes of the answer.
    pub(super) async fn handle(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
        local: SocketAddr,
    ) -> Result<Response<ResponseBody>, Infallible> {
        let path = request.uri().path().to_owned();
        let endpoint = classify(request.method(), &path);
        let kind = match endpoint {
            Endpoint::Statement => Kind::Statement,
            Endpoint::OfCluster(asked) => asked.kind,
            Endpoint::Info | Endpoint::Unknown => Kind::Other,
        };
        let mut observation = Observation::begin(self.observer.clone(), request.method(), kind, request.headers());
        Ok(match self.answer(endpoint, request, (peer, local), &mut observation).await {
            Ok((answer, backend)) => {
                observation.answered(answer.status());
                let (mut head, body) = answer.into_parts();
                headers::to_client(&mut head.headers, &backend);
                // What hyper noted of the coordinator's connection is not for the client's.
                let mut response = Response::new(ResponseBody::new(Answer::Coordinator(body), observation));
                *response.status_mut() = head.status;
                *response.headers_mut() = head.headers;
                response
            }
            Err(error) => {
                observation.failed(&error);
                let response = error.to_response(observation.id());
                response.map(|body| ResponseBody::new(Answer::Own(body), observation))
            }
        })
    }

    async fn answer(
        &self,
        endpoint: Endpoint<'_>,
        request: Request<Incoming>,
        (peer, local): (SocketAddr, SocketAddr),
        observation: &mut Observation,
    ) -> Result<(Response<Incoming>, ClusterName), Error> {
        if endpoint == Endpoint::Unknown {
            return Err(Error::NotFound);
        }
        let fleet = self.fleet.load_full().ok_or(Error::NoTable)?;
        let outside = match &fleet.outside {
            Some(outside) => outside.clone(),
            None => Outside::seen_by(request.uri(), request.headers(), local).ok_or(Error::BadHost)?,
        };
        let mut ask = Ask { settings: &self.settings, fleet: &fleet, outside, peer, observation };
        let (answer, backend) = match endpoint {
            Endpoint::Statement => statement::submit(&mut ask, request).await?,
            Endpoint::Info => forward::to_any(&mut ask, request).await?,
            Endpoint::OfCluster(asked) => {
                ask.observation.of_query(asked.query);
                forward::to_cluster(&mut ask, asked, request).await?
            }
            Endpoint::Unknown => return Err(Error::NotFound),
        };
        Ok((answer, backend.name.clone()))
    }
}

/// The checking task of each cluster, and how to end it.
#[derive(Debug, Default)]
struct Checks {
    tasks: JoinSet<()>,
    running: HashMap<ClusterName, (Arc<Backend>, CancellationToken)>,
}

impl Checks {
    /// Ends the checks of clusters that are gone or have moved, and begins those of new ones. Returns the names of
    /// those that are gone.
    fn adapt(&mut self, gateway: &Gateway, fleet: &Fleet, shutdown: &CancellationToken) -> Vec<ClusterName> {
        let mut gone = Vec::new();
        self.running.retain(|name, (backend, stop)| {
            let now = fleet.backend(name.as_str());
            let stays = now.is_some_and(|now| Arc::ptr_eq(now, backend));
            if !stays {
                stop.cancel();
            }
            if now.is_none() {
                gone.push(name.clone());
            }
            stays
        });
        for backend in fleet.backends() {
            if self.running.contains_key(&backend.name) {
                continue;
            }
            let stop = shutdown.child_token();
            self.running.insert(backend.name.clone(), (backend.clone(), stop.clone()));
            let observer = gateway.observer.clone();
            let told = {
                let stop = stop.clone();
                // The metric of a cluster that is gone must not come back.
                move |backend: &Backend| {
                    if !stop.is_cancelled() {
                        observer.health(backend);
                    }
                }
            };
            self.tasks.spawn(health::watch(backend.clone(), gateway.settings.health.clone(), told, stop));
        }
        gone
    }
}

/// Puts each new table into force, and owns the checks of its clusters.
async fn follow(gateway: Arc<Gateway>, mut tables: watch::Receiver<Option<Arc<Router>>>, shutdown: CancellationToken) {
    let mut checks = Checks::default();
    loop {
        let table = tables.borrow_and_update().clone();
        if let Some(router) = table {
            let before = gateway.fleet.load_full();
            let fleet = Arc::new(Fleet::new(router, before.as_deref(), &gateway.settings));
            let gone = checks.adapt(&gateway, &fleet, &shutdown);
            gateway.observer.table_in_force(&fleet.hash, &gone);
            gateway.fleet.store(Some(fleet));
        }
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(ended) = checks.tasks.join_next() => if let Err(error) = ended {
                tracing::error!(%error, "the checks of a cluster ended: its health stays as it is");
            },
            changed = tables.changed() => if changed.is_err() {
                // Whoever wrote tables is gone: the last one stays in force.
                shutdown.cancelled().await;
                break;
            }
        }
    }
    while checks.tasks.join_next().await.is_some() {}
}
