//! The strategy `LeastQueries`: what coordinators say of their queries, and what the proxy knows when they do not say.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};
use warren::proxy::Settings;

use crate::{
    coordinator::{Body, Coordinator, as_trino, text},
    gateway::{Gateway, json, settings, table},
};

/// A coordinator with this many running and queued queries; none refuses to say.
async fn with_queries(name: &'static str, running: Option<Arc<AtomicU32>>, queued: u32) -> Coordinator {
    Coordinator::bare(move |request: Request<Incoming>| {
        let running = running.clone();
        async move {
            Some(match (request.method(), request.uri().path()) {
                (&Method::GET, "/metrics") => {
                    metrics(&request, running.map(|running| running.load(Ordering::SeqCst)), queued)
                }
                (&Method::GET, "/v1/info") => text(StatusCode::OK, r#"{"starting":false}"#),
                (&Method::GET, "/") => text(StatusCode::NOT_FOUND, ""),
                (&Method::POST, "/v1/statement") => {
                    // Each query has its own id, as at a real coordinator.
                    let id = format!("20250805_101112_{:05}_{name}", NEXT.fetch_add(1, Ordering::SeqCst));
                    let page = format!(
                        r#"{{"id":"{id}","nextUri":"http://a/v1/statement/queued/{id}/y0slug/1","from":"{name}"}}"#
                    );
                    text(StatusCode::OK, &page)
                }
                _ => as_trino(name, request).await,
            })
        }
    })
    .await
}

static NEXT: AtomicU32 = AtomicU32::new(0);

/// As Trino 476 answers, for the two gauges that it is asked for.
fn metrics(request: &Request<Incoming>, running: Option<u32>, queued: u32) -> http::Response<Body> {
    let Some(running) = running else { return text(StatusCode::UNAUTHORIZED, "Unauthorized") };
    let asked = request.uri().query().unwrap_or_default();
    for gauge in ["RunningQueries", "QueuedQueries"] {
        assert!(asked.contains(&format!("trino_execution_name_QueryManager_{gauge}")), "{asked}");
    }
    assert!(request.headers().contains_key("x-trino-user"));
    let name = "trino_execution_name_QueryManager";
    text(
        StatusCode::OK,
        &format!(
            "# TYPE {name}_RunningQueries gauge\n{name}_RunningQueries {running}.0\n\
             # TYPE {name}_QueuedQueries gauge\n{name}_QueuedQueries {queued}.0\n# EOF\n"
        ),
    )
}

async fn gateway(clusters: &[(&str, &str)], interval: Duration) -> Gateway {
    let defaults = settings();
    let settings = Settings { health: warren::proxy::HealthChecks { interval, ..defaults.health }, ..defaults };
    let mut table = table(clusters);
    table["groups"][0]["strategy"] = json!("LeastQueries");
    let gateway = Gateway::with(settings, Some(table)).await;
    for (name, _) in clusters {
        gateway.healthy(name).await;
    }
    gateway
}

async fn taken_by(gateway: &Gateway) -> Value {
    json(gateway.post("SELECT 1").await).await["from"].clone()
}

const ONCE: Duration = Duration::from_hours(1);

#[tokio::test]
async fn new_queries_go_where_the_fewest_are_until_what_was_sent_there_makes_up_for_it() {
    let blue = with_queries("blue", Some(Arc::new(AtomicU32::new(3))), 2).await;
    let green = with_queries("green", Some(Arc::new(AtomicU32::new(1))), 1).await;
    let gateway = gateway(&[("blue", &blue.url()), ("green", &green.url())], ONCE).await;
    for (name, queries) in [("blue", 5), ("green", 2)] {
        gateway.until("the counts", || gateway.cluster(name)["reportedQueries"] == queries).await;
    }
    let mut taken = Vec::new();
    for _ in 0..3 {
        taken.push(taken_by(&gateway).await);
    }
    assert_eq!(taken, ["green", "green", "green"]);
    let next = [taken_by(&gateway).await, taken_by(&gateway).await];
    assert!(next.contains(&json!("blue")) && next.contains(&json!("green")), "{next:?}");
}

#[tokio::test]
async fn a_new_count_of_a_coordinator_takes_the_place_of_the_old_one() {
    let queries = Arc::new(AtomicU32::new(0));
    let blue = with_queries("blue", Some(queries.clone()), 0).await;
    let green = with_queries("green", Some(Arc::new(AtomicU32::new(50))), 0).await;
    let gateway = gateway(&[("blue", &blue.url()), ("green", &green.url())], Duration::from_millis(5)).await;
    gateway.until("green's count", || gateway.cluster("green")["reportedQueries"] == 50).await;
    assert_eq!(taken_by(&gateway).await, "blue");
    queries.store(1000, Ordering::SeqCst);
    gateway.until("blue's new count", || gateway.cluster("blue")["reportedQueries"] == 1000).await;
    assert_eq!(taken_by(&gateway).await, "green");
}

#[tokio::test]
async fn of_a_coordinator_that_does_not_say_the_proxy_counts_the_live_queries() {
    let (blue, green) = (with_queries("blue", None, 0).await, with_queries("green", None, 0).await);
    let gateway = gateway(&[("blue", &blue.url()), ("green", &green.url())], ONCE).await;
    let asked = |coordinator: &Coordinator| {
        coordinator.seen().iter().filter(|seen| seen.target.starts_with("/metrics")).count()
    };
    gateway.until("the question", || asked(&blue) > 0 && asked(&green) > 0).await;
    let first = taken_by(&gateway).await;
    let second = taken_by(&gateway).await;
    assert_ne!(first, second);
    for name in ["blue", "green"] {
        let cluster = gateway.cluster(name);
        assert_eq!((cluster["reportedQueries"].clone(), cluster["liveQueries"].clone()), (Value::Null, json!(1)));
        assert_eq!(cluster["health"], "healthy");
    }
}
