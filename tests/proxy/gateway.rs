//! The proxy under test, and clients of it.

use std::{fmt::Display, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body;
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::watch,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use warren::{
    proxy::{Door, HealthChecks, Proxy, Settings, Shard},
    routing::{Router, RoutingTable},
    telemetry::Metrics,
};

/// How long a condition is waited for before the test fails; far more than any should take.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    pub(crate) proxy: Proxy,
    pub(crate) shutdown: CancellationToken,
    pub(crate) serving: JoinHandle<()>,
    tables: watch::Sender<Option<Arc<Router>>>,
    metrics: Metrics,
}

/// Limits that let a test wait for what it is about, and for nothing else: clusters are checked at once, and then, when
/// healthy, no more.
pub(crate) fn settings() -> Settings {
    Settings {
        health: HealthChecks {
            interval: Duration::from_hours(1),
            retry: Duration::from_millis(10),
            max_retry: Duration::from_millis(10),
            ..HealthChecks::default()
        },
        drain_delay: Duration::ZERO,
        ..Settings::default()
    }
}

/// A table with one group, `adhoc`, of these clusters (name and URL), which is the default.
pub(crate) fn table(clusters: &[(&str, &str)]) -> Value {
    let clusters: Vec<_> = clusters.iter().map(|(name, url)| json!({"name": name, "url": url})).collect();
    json!({"groups": [{"name": "adhoc", "clusters": clusters}], "routing": {"default": {"group": "adhoc"}}})
}

impl Gateway {
    /// A proxy before these clusters, all of them healthy already.
    pub(crate) async fn before(clusters: &[(&str, &str)]) -> Self {
        let gateway = Self::with(settings(), Some(table(clusters))).await;
        for (name, _) in clusters {
            gateway.healthy(name).await;
        }
        gateway
    }

    #[expect(clippy::unused_async, reason = "as all that begins a gateway")]
    pub(crate) async fn with(settings: Settings, table: Option<Value>) -> Self {
        Self::at(Door::open("127.0.0.1:0".parse().unwrap(), 1).unwrap().remove(0), settings, table)
    }

    pub(crate) fn at(door: Door, settings: Settings, table: Option<Value>) -> Self {
        let mut metrics = Metrics::new();
        let proxy = Proxy::new(settings, metrics.registry(), None);
        Self::of(door, proxy, metrics, table)
    }

    /// The gateway of a proxy that was made already, with its metrics.
    pub(crate) fn of(door: Door, proxy: Proxy, metrics: Metrics, table: Option<Value>) -> Self {
        let address = door.address().unwrap();
        let (tables, receiver) = watch::channel(table.map(compile));
        let shutdown = CancellationToken::new();
        let serving = {
            let (proxy, overseer, shutdown) = (proxy.clone(), proxy.clone(), shutdown.clone());
            tokio::spawn(async move {
                let over = CancellationToken::new();
                let overseeing = tokio::spawn({
                    let over = over.clone();
                    async move { overseer.oversee(receiver, over).await }
                });
                proxy.serve(Shard::default(), vec![door], shutdown).await;
                over.cancel();
                overseeing.await.unwrap();
            })
        };
        Self { address, proxy, shutdown, serving, tables, metrics }
    }

    /// Puts another table into force, and waits until it is.
    pub(crate) async fn reload(&self, table: Value) {
        let router = compile(table);
        let hash = router.table().hash();
        self.tables.send_replace(Some(router));
        self.until("the new table", || self.proxy.status()["routingTable"]["hash"] == hash).await;
    }

    pub(crate) async fn healthy(&self, cluster: &str) {
        self.until(format!("{cluster} healthy"), || self.cluster(cluster)["health"] == "healthy").await;
    }

    pub(crate) async fn unhealthy(&self, cluster: &str) -> String {
        self.until(format!("{cluster} unhealthy"), || self.cluster(cluster)["health"] == "unhealthy").await;
        self.cluster(cluster)["reason"].as_str().unwrap().to_owned()
    }

    pub(crate) fn cluster(&self, name: &str) -> Value {
        let status = self.proxy.status();
        let clusters = status["clusters"].as_array().unwrap();
        clusters.iter().find(|cluster| cluster["name"] == name).cloned().unwrap_or_default()
    }

    /// The metric's value, zero while there is none.
    pub(crate) fn metric(&self, line: &str) -> u64 {
        let text = self.metrics.encode().unwrap();
        let found = text.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok());
        found.unwrap_or(0)
    }

    /// Waits until `holds`.
    pub(crate) async fn until(&self, what: impl Display, holds: impl Fn() -> bool) {
        until(what, holds).await;
    }

    /// Sends a request on a connection of its own.
    pub(crate) async fn send<B>(&self, request: Request<B>) -> Response<Incoming>
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        send(self.address, request).await
    }

    pub(crate) async fn get(&self, target: &str) -> Response<Incoming> {
        self.send(self.request(Method::GET, target, "")).await
    }

    pub(crate) async fn post(&self, statement: &str) -> Response<Incoming> {
        self.send(self.request(Method::POST, "/v1/statement", statement)).await
    }

    pub(crate) fn request(&self, method: Method, target: &str, body: &str) -> Request<Full<Bytes>> {
        let body = Full::new(Bytes::copy_from_slice(body.as_bytes()));
        let host = self.address.to_string();
        Request::builder().method(method).uri(target).header("host", host).body(body).unwrap()
    }

    /// Sends these bytes and reads until the other end closes.
    pub(crate) async fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("an end").unwrap();
        answer
    }
}

/// Sends these bytes on a connection of their own; returns what comes back until the other end closes. A broken
/// connection is an end, too.
pub(crate) async fn exchange_raw(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let (mut reader, mut writer) = TcpStream::connect(address).await.unwrap().into_split();
    let mut answer = Vec::new();
    // Who is refused may be so before all was sent.
    let both = async { tokio::join!(writer.write_all(bytes), reader.read_to_end(&mut answer)) };
    let ended = tokio::time::timeout(PATIENCE, both).await;
    let _ = ended.unwrap_or_else(|_| panic!("no end of: {}", bytes.escape_ascii()));
    answer
}

fn compile(table: Value) -> Arc<Router> {
    let table: RoutingTable = serde_json::from_value(table).unwrap();
    Arc::new(Router::compile(table).unwrap())
}

pub(crate) async fn until(what: impl Display, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("waited in vain for: {what}"));
}

/// A connection that stays open.
pub(crate) async fn connect<B>(address: SocketAddr) -> http1::SendRequest<B>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = http1::Builder::new().max_headers(2000).handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

pub(crate) async fn send<B>(address: SocketAddr, request: Request<B>) -> Response<Incoming>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut sender = connect(address).await;
    tokio::time::timeout(PATIENCE, sender.send_request(request)).await.expect("an answer").unwrap()
}

pub(crate) async fn body(response: Response<Incoming>) -> String {
    let bytes = tokio::time::timeout(PATIENCE, response.into_body().collect()).await.expect("an end").unwrap();
    String::from_utf8(bytes.to_bytes().to_vec()).unwrap()
}

pub(crate) async fn json(response: Response<Incoming>) -> Value {
    serde_json::from_str(&body(response).await).unwrap()
}
