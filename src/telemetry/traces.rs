//! Spans on their way to a collector: OTLP by HTTP and protobuf. A span that ended waits in a bounded queue, which one task
//! empties; when the collector is slow or gone, spans are lost and counted, and no request waits.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri, header::CONTENT_TYPE, uri::Scheme};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    common::v1::{InstrumentationScope, any_value::Value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span as Record},
};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};
use prost::Message as _;
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::span::{self, Sampling, Span, attribute};

/// The most spans that wait, and the most of one request to the collector, as OpenTelemetry's batches have them.
const MOST_WAITING: usize = 2048;
const MOST_SENT: usize = 512;

/// How long a span waits for others.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest that a collector may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How often spans are sent, at most, and the pause before the second time; it doubles.
const TRIES: u32 = 3;
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// How long what waits at the end may take to be sent.
const FLUSH: Duration = Duration::from_secs(5);

/// The most bytes of an answer that are read.
const MAX_ANSWER: usize = 64 * 1024;

/// Where spans go, which, and whose they are.
#[derive(Clone, Debug)]
pub struct TraceSettings {
    /// Where they are sent by `POST`: `http` or `https`, with its path, most often `/v1/traces`.
    pub endpoint: Uri,
    /// Headers for the collector; they may hold secrets.
    pub headers: HeaderMap,
    /// What the spans say of the process, `service.name` among it.
    pub resource: Vec<(String, String)>,
    /// Which requests are traced.
    pub sampling: Sampling,
}

/// Why spans cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// TLS cannot be set up.
    #[error("TLS to the collector cannot be set up")]
    Tls(#[source] rustls::Error),
    /// The collector's certificate could not be verified by anything.
    #[error("the operating system has no root certificates for an https collector")]
    NoRoots(#[source] std::io::Error),
}

/// Makes spans, and takes them when they end. Clones lead to the same collector.
#[derive(Clone, Debug)]
pub struct Traces {
    sampling: Sampling,
    queue: mpsc::Sender<Record>,
    counts: Counts,
}

/// Sends what [`Traces`] took.
#[derive(Debug)]
pub struct Exporter {
    queue: mpsc::Receiver<Record>,
    counts: Counts,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    endpoint: Uri,
    headers: HeaderMap,
    resource: Resource,
    failing: bool,
}

#[derive(Clone, Debug)]
struct Counts {
    exported: Counter,
    /// The queue was full.
    dropped: Counter,
    /// The collector did not take them.
    failed: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

impl Counts {
    fn new(registry: &mut Registry) -> Self {
        let spans = Family::<ResultLabel, Counter>::default();
        registry.register("trace_spans", "Spans that ended, by what became of them", spans.clone());
        let count = |result| spans.get_or_create(&ResultLabel { result }).clone();
        Self { exported: count("exported"), dropped: count("dropped"), failed: count("failed") }
    }
}

impl Traces {
    /// Begins a request: from now on its headers say that what follows is below a span of its own. That span is returned if
    /// the request is sampled.
    pub fn begin(&self, headers: &mut HeaderMap) -> Option<Span> {
        let (place, parent) = span::enter(headers, self.sampling);
        place.is_sampled().then(|| Span::of_server(place, parent))
    }

    /// Takes a span that ends now.
    pub fn end(&self, span: Span) {
        if self.queue.try_send(span.end()).is_err() {
            self.counts.dropped.inc();
        }
    }
}

/// Traces by `settings`, counted in `registry`, and the task that sends them.
///
/// # Errors
/// When TLS to the collector cannot be set up.
pub fn traces(settings: TraceSettings, registry: &mut Registry) -> Result<(Traces, Exporter), TraceError> {
    let TraceSettings { endpoint, headers, resource, sampling } = settings;
    let client = Client::builder(TokioExecutor::new()).build(connector(endpoint.scheme() == Some(&Scheme::HTTPS))?);
    let (sender, queue) = mpsc::channel(MOST_WAITING);
    let counts = Counts::new(registry);
    let attributes = resource.into_iter().map(|(key, value)| attribute(&key, Value::StringValue(value)));
    let resource = Resource { attributes: attributes.collect(), ..Resource::default() };
    let traces = Traces { sampling, queue: sender, counts: counts.clone() };
    Ok((traces, Exporter { queue, counts, client, endpoint, headers, resource, failing: false }))
}

fn connector(secure: bool) -> Result<HttpsConnector<HttpConnector>, TraceError> {
    let builder = ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(TraceError::Tls)?;
    let config = if secure {
        builder.with_native_roots().map_err(TraceError::NoRoots)?
    } else {
        builder.with_root_certificates(RootCertStore::empty())
    };
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    Ok(HttpsConnector::from((http, config.with_no_client_auth())))
}

impl Exporter {
    /// Sends spans until `shutdown`, and then those that are there, for some seconds.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let over = async {
            shutdown.cancelled().await;
            tokio::time::sleep(FLUSH).await;
        };
        tokio::select! {
            () = self.send_all(&shutdown) => {}
            () = over => tracing::warn!("the last spans could not be sent in time"),
        }
    }

    async fn send_all(&mut self, shutdown: &CancellationToken) {
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                taken = self.queue.recv_many(&mut batch, MOST_SENT) => if taken == 0 { return },
            }
            let more =
                async { while batch.len() < MOST_SENT && self.queue.recv_many(&mut batch, MOST_SENT).await > 0 {} };
            tokio::select! {
                () = shutdown.cancelled() => {}
                _ = tokio::time::timeout(PAUSE, more) => {}
            }
            self.send(std::mem::take(&mut batch)).await;
        }
        while let Ok(span) = self.queue.try_recv() {
            batch.push(span);
            if batch.len() == MOST_SENT {
                self.send(std::mem::take(&mut batch)).await;
            }
        }
        if !batch.is_empty() {
            self.send(batch).await;
        }
    }

    /// Sends spans, and tells what became of them.
    async fn send(&mut self, spans: Vec<Record>) {
        let count = spans.len() as u64;
        let scope = InstrumentationScope {
            name: "warren".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        };
        let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }];
        let resource = Some(self.resource.clone());
        let resource_spans = vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }];
        let body = Bytes::from(ExportTraceServiceRequest { resource_spans }.encode_to_vec());
        let mut pause = FIRST_RETRY;
        let mut sent = self.try_once(body.clone()).await;
        for _ in 1..TRIES {
            match sent {
                Err(Refusal { again: true, .. }) => {
                    tokio::time::sleep(pause.mul_f64(0.75 + rand::random::<f64>() / 2.0)).await;
                    pause *= 2;
                    sent = self.try_once(body.clone()).await;
                }
                _ => break,
            }
        }
        match sent {
            Ok(rejected) => {
                let rejected = rejected.min(count);
                self.counts.exported.inc_by(count - rejected);
                self.counts.failed.inc_by(rejected);
                self.failing = false;
            }
            Err(Refusal { cause, .. }) => {
                self.counts.failed.inc_by(count);
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(cause, "spans cannot be sent to the collector; requests go on without them");
                }
            }
        }
    }

    /// Sends a body; returns how many of its spans the collector rejects.
    async fn try_once(&self, body: Bytes) -> Result<u64, Refusal> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.endpoint.clone();
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        let again = |cause: String| Refusal { cause, again: true };
        let answering = async {
            let answer = self.client.request(request).await.map_err(|error| again(innermost(&error)))?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|error| again(innermost(&*error)))?;
            Ok((head.status, body.to_bytes()))
        };
        let answered = tokio::time::timeout(TIMEOUT, answering).await;
        let (status, body) = answered.unwrap_or_else(|_| Err(again("no answer in time".to_owned())))?;
        match status {
            status if status.is_success() => {
                // Most collectors say nothing; what is no message says nothing either.
                let said = ExportTraceServiceResponse::decode(body).unwrap_or_default().partial_success;
                Ok(said.and_then(|said| u64::try_from(said.rejected_spans).ok()).unwrap_or(0))
            }
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Err(again(format!("it answered {status}"))),
            status => Err(Refusal { cause: format!("it answered {status}"), again: false }),
        }
    }
}

/// Why a collector did not take spans.
struct Refusal {
    cause: String,
    /// Whether it may take them later (OTLP, "Failures").
    again: bool,
}

fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
