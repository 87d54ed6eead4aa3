//! Traces: what a collector receives, decoded, and what coordinators are told.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::any_value::Value as Any,
    trace::v1::{Span, span::SpanKind},
};
use prost::Message as _;
use serde_json::json;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use warren::{
    proxy::{Door, Proxy},
    telemetry::{Metrics, Sampling, TraceSettings, traces},
};

use crate::{
    coordinator::{Coordinator, QUERY},
    gateway::{Gateway, body, settings, table, until},
};

// The example of W3C Trace Context, 3.2.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// A collector that answers as it is told, and keeps what it got.
struct Collector {
    url: String,
    got: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
}

impl Collector {
    async fn saying(statuses: &[u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
        let got = Arc::<Mutex<Vec<_>>>::default();
        let (keeps, statuses) = (got.clone(), Arc::new(statuses.to_vec()));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (keeps, statuses) = (keeps.clone(), statuses.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let (keeps, statuses) = (keeps.clone(), statuses.clone());
                    async move {
                        let (head, body) = request.into_parts();
                        assert_eq!((head.method, head.uri.path()), (Method::POST, "/v1/traces"));
                        let body = body.collect().await?.to_bytes();
                        let mut kept = keeps.lock().unwrap();
                        let status = *statuses.get(kept.len()).or(statuses.last()).unwrap();
                        kept.push((head.headers, body));
                        let answer = Response::builder().status(StatusCode::from_u16(status).unwrap());
                        Ok::<_, hyper::Error>(answer.body(Full::new(Bytes::new())).unwrap())
                    }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self { url, got }
    }

    fn requests(&self) -> Vec<ExportTraceServiceRequest> {
        let got = self.got.lock().unwrap();
        got.iter().map(|(_, body)| ExportTraceServiceRequest::decode(body.clone()).unwrap()).collect()
    }

    fn spans(&self) -> Vec<Span> {
        let resources = self.requests().into_iter().flat_map(|request| request.resource_spans);
        resources.flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans).collect()
    }
}

struct Traced {
    gateway: Gateway,
    stop: CancellationToken,
    exporting: JoinHandle<()>,
}

impl Traced {
    async fn before(collector: &Collector, sampling: Sampling, coordinator: &Coordinator) -> Self {
        let mut metrics = Metrics::new();
        let settings_of_traces = TraceSettings {
            endpoint: collector.url.parse().unwrap(),
            headers: HeaderMap::from_iter([("x-key".parse().unwrap(), "s3cret".parse().unwrap())]),
            resource: vec![("service.name".to_owned(), "edge".to_owned())],
            sampling,
        };
        let (traces, exporter) = traces(settings_of_traces, metrics.registry()).unwrap();
        let proxy = Proxy::traced(settings(), metrics.registry(), None, Some(traces));
        let door = Door::open("127.0.0.1:0".parse().unwrap(), 1).unwrap().remove(0);
        let mut table = table(&[("blue", &coordinator.url())]);
        table["routing"]["rules"] = json!([{"name": "all", "when": "true", "to": {"group": "adhoc"}}]);
        let gateway = Gateway::of(door, proxy, metrics, Some(table));
        gateway.healthy("blue").await;
        let stop = CancellationToken::new();
        let exporting = tokio::spawn(exporter.run(stop.clone()));
        Self { gateway, stop, exporting }
    }

    /// Lets what waits be sent, as at the end of a process.
    async fn end(self) {
        self.stop.cancel();
        self.exporting.await.unwrap();
    }

    async fn ask(&self, method: Method, target: &str, headers: &[(&'static str, &'static str)]) -> StatusCode {
        let mut request = self.gateway.request(method, target, "SELECT 'hidden-text'");
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        let answer = self.gateway.send(request).await;
        let status = answer.status();
        body(answer).await;
        status
    }
}

const ALL: Sampling = Sampling { by_parent: true, ratio: 1.0 };
const NONE: Sampling = Sampling { by_parent: true, ratio: 0.0 };

fn text(span: &Span, key: &str) -> String {
    let found = span.attributes.iter().find(|attribute| attribute.key == key);
    match found.and_then(|attribute| attribute.value.clone()?.value) {
        Some(Any::StringValue(text)) => text,
        Some(Any::IntValue(number)) => number.to_string(),
        _ => String::new(),
    }
}

#[tokio::test]
async fn a_span_of_each_request_says_what_became_of_it_below_its_parent() {
    let (collector, blue) = (Collector::saying(&[200]).await, Coordinator::trino("blue").await);
    let traced = Traced::before(&collector, ALL, &blue).await;
    let parent: &'static str = Box::leak(format!("00-{TRACE}-{PARENT}-01").into_boxed_str());
    let headers = [
        ("traceparent", parent),
        ("tracestate", "vendor=1"),
        ("x-trino-user", "ann"),
        ("authorization", "Basic c2VjcmV0"),
        ("x-trino-extra-credential", "password=s3cret-password"),
        ("user-agent", "trino-cli"),
    ];
    assert_eq!(traced.ask(Method::POST, "/v1/statement?hidden-query=1", &headers).await, StatusCode::OK);
    let poll = format!("/c/blue/v1/statement/executing/{QUERY}/y0slug/0?hidden-query=1");
    assert_eq!(traced.ask(Method::GET, &poll, &headers).await, StatusCode::OK);
    assert_eq!(traced.ask(Method::GET, "/hidden-path", &[]).await, StatusCode::NOT_FOUND);
    let exported = r#"warren_trace_spans_total{result="exported"}"#;
    traced.gateway.until("the spans", || traced.gateway.metric(exported) == 3).await;

    let spans = collector.spans();
    let names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["POST /v1/statement", "GET /c/{cluster}/v1/statement/executing/{query}/{slug}/{token}", "GET"]);
    for span in &spans[..2] {
        assert_eq!((hex::encode(&span.trace_id).as_str(), hex::encode(&span.parent_span_id).as_str()), (TRACE, PARENT));
        assert_eq!(span.trace_state, "vendor=1");
        assert_eq!(span.kind, SpanKind::Server as i32);
        assert_eq!(span.flags, 0x301);
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano && span.status.is_none());
        for (key, value) in [
            ("http.response.status_code", "200"),
            ("network.protocol.version", "1.1"),
            ("url.scheme", "http"),
            ("server.address", "127.0.0.1"),
            ("client.address", "127.0.0.1"),
            ("user_agent.original", "trino-cli"),
            ("warren.cluster", "blue"),
            ("warren.outcome", "ok"),
            ("trino.query_id", QUERY),
        ] {
            assert_eq!(text(span, key), value, "{key}");
        }
    }
    for (key, values) in [
        ("http.request.method", ["POST", "GET", "GET"]),
        ("http.route", ["/v1/statement", &names[1][4..], ""]),
        ("url.path", ["/v1/statement", &format!("/c/blue/v1/statement/executing/{QUERY}/REDACTED/REDACTED"), ""]),
        ("warren.kind", ["statement", "poll", "other"]),
        ("warren.rule", ["all", "", ""]),
        ("http.response.status_code", ["200", "200", "404"]),
    ] {
        assert_eq!([0, 1, 2].map(|index| text(&spans[index], key)), values, "{key}");
    }
    // The last one began a trace of its own.
    assert!(spans[2].parent_span_id.is_empty() && hex::encode(&spans[2].trace_id) != TRACE);

    // Trino's spans are below these.
    let seen = blue.seen();
    for (span, seen) in spans.iter().zip(&seen) {
        let below = format!("00-{TRACE}-{}-01", hex::encode(&span.span_id));
        assert_eq!(seen.headers.get_all("traceparent").iter().collect::<Vec<_>>(), [&below]);
        assert_eq!(seen.headers["tracestate"], "vendor=1");
    }
    let (headers, sent) = collector.got.lock().unwrap()[0].clone();
    assert_eq!(headers["x-key"], "s3cret");
    assert_eq!(headers["content-type"], "application/x-protobuf");
    for secret in ["hidden", "y0slug", "c2VjcmV0", "s3cret", "SELECT"] {
        assert!(!String::from_utf8_lossy(&sent).contains(secret), "{secret}");
    }
    let service = collector.requests()[0].resource_spans[0].resource.clone().unwrap().attributes;
    assert_eq!(service[0].key, "service.name");
    traced.end().await;
}

#[tokio::test]
async fn a_failed_request_is_a_failed_span() {
    let (collector, blue) = (Collector::saying(&[200]).await, Coordinator::saying(StatusCode::IM_A_TEAPOT).await);
    let traced = Traced::before(&collector, ALL, &blue).await;
    traced.ask(Method::GET, "/c/blue/v1/info", &[]).await;
    blue.stop().await;
    assert_eq!(traced.ask(Method::POST, "/v1/statement", &[]).await, StatusCode::SERVICE_UNAVAILABLE);
    traced.end().await;
    let spans = collector.spans();
    // What the client did wrong is no failure of the server (HTTP conventions, "Status").
    assert_eq!((spans[0].status.as_ref(), text(&spans[0], "warren.outcome").as_str()), (None, "client_error"));
    assert_eq!(spans[1].status.as_ref().unwrap().code, 2);
    assert_eq!(
        (text(&spans[1], "error.type").as_str(), text(&spans[1], "warren.outcome").as_str()),
        ("503", "unavailable")
    );
}

#[tokio::test]
async fn who_is_not_sampled_makes_no_span_and_trino_is_told_so() {
    let (collector, blue) = (Collector::saying(&[200]).await, Coordinator::trino("blue").await);
    let traced = Traced::before(&collector, NONE, &blue).await;
    traced.ask(Method::POST, "/v1/statement", &[]).await;
    let sampled: &'static str = Box::leak(format!("00-{TRACE}-{PARENT}-01").into_boxed_str());
    traced.ask(Method::POST, "/v1/statement", &[("traceparent", sampled)]).await;
    traced.end().await;
    assert_eq!(collector.spans().len(), 1);
    let told = blue.seen().into_iter().map(|seen| seen.headers["traceparent"].to_str().unwrap().to_owned());
    let told: Vec<_> = told.collect();
    assert!(told[0].ends_with("-00") && told[1].ends_with("-01"), "{told:?}");
}

#[tokio::test]
async fn without_a_collector_the_clients_context_passes_as_it_is() {
    let blue = Coordinator::trino("blue").await;
    let gateway = Gateway::before(&[("blue", &blue.url())]).await;
    let mut request = gateway.request(Method::POST, "/v1/statement", "SELECT 1");
    for (name, value) in [("traceparent", "what the client says"), ("traceparent", "twice"), ("tracestate", "a=1")] {
        request.headers_mut().append(name, value.parse().unwrap());
    }
    body(gateway.send(request).await).await;
    let seen = &blue.seen()[0].headers;
    assert_eq!(seen.get_all("traceparent").iter().collect::<Vec<_>>(), ["what the client says", "twice"]);
    assert_eq!(seen["tracestate"], "a=1");
}

#[tokio::test]
async fn a_collector_that_has_no_time_is_asked_again_and_one_that_refuses_is_not() {
    let blue = Coordinator::trino("blue").await;
    let busy = Collector::saying(&[503, 200]).await;
    let traced = Traced::before(&busy, ALL, &blue).await;
    traced.ask(Method::POST, "/v1/statement", &[]).await;
    traced.end().await;
    let bodies: Vec<_> = busy.got.lock().unwrap().iter().map(|(_, body)| body.clone()).collect();
    assert!(bodies.len() == 2 && bodies[0] == bodies[1]);

    let refusing = Collector::saying(&[400]).await;
    let traced = Traced::before(&refusing, ALL, &blue).await;
    traced.ask(Method::POST, "/v1/statement", &[]).await;
    let failed = r#"warren_trace_spans_total{result="failed"}"#;
    until("the refusal", || traced.gateway.metric(failed) == 1).await;
    assert_eq!(refusing.requests().len(), 1);
    traced.end().await;
}

#[tokio::test]
async fn a_collector_that_says_nothing_costs_spans_and_no_request() {
    // It takes connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/traces", silent.local_addr().unwrap());
    let collector = Collector { url, got: Arc::default() };
    let blue = Coordinator::trino("blue").await;
    let traced = Traced::before(&collector, ALL, &blue).await;
    let mut client = crate::gateway::connect(traced.gateway.address).await;
    let dropped = r#"warren_trace_spans_total{result="dropped"}"#;
    let mut asked = 0;
    while traced.gateway.metric(dropped) == 0 {
        client.ready().await.unwrap();
        let answer = client.send_request(traced.gateway.request(Method::GET, "/nowhere", "")).await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
        body(answer).await;
        asked += 1;
        assert!(asked < 10_000, "nothing is dropped");
    }
    // The queue, and at most two batches on their way.
    assert!((2048..=2048 + 2 * 1024).contains(&(asked - 1)), "{asked}");
    // From here on time is what is waited for: the end does not wait for the collector for long.
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    traced.end().await;
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
}
