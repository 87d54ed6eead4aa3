//! What is told of each request: metrics with bounded labels, and one line in the access log. Never a statement, a
//! query string, or the slug in a poll's path.

use std::{
    borrow::Cow,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{HeaderName, HeaderValue, Method, StatusCode};
use tokio::time::Instant;

use super::{
    backend::Backend,
    client::ClientRequest,
    endpoint::{Endpoint, Kind},
    line::{Line, member},
    meters::{Meters, Outcome},
    outside::Arrival,
    peek::PageHead,
    trace,
};
use crate::{
    telemetry::{Lines, Span, Traces},
    trino::QueryId,
};

static X_TRINO_USER: HeaderName = HeaderName::from_static("x-trino-user");
static X_PRESTO_USER: HeaderName = HeaderName::from_static("x-presto-user");

/// The most characters of a user's name that are logged.
const MAX_USER: usize = 128;

/// Where requests are told of.
#[derive(Debug)]
pub(super) struct Observer {
    pub meters: Meters,
    access: Option<Lines>,
    traces: Option<Traces>,
    next_id: AtomicU64,
}

impl Observer {
    /// An observer that counts in `meters` and, if there is an `access` log, writes a line per request there, and if there
    /// are `traces`, a span.
    pub(super) fn new(meters: Meters, access: Option<Lines>, traces: Option<Traces>) -> Arc<Self> {
        // Ids differ between replicas, and between two lives of one.
        Arc::new(Self { meters, access, traces, next_id: AtomicU64::new(rand::random()) })
    }
}

/// One request from its head to the end of its answer. What is known of it at its end, or when it is dropped, is told.
#[derive(Debug)]
pub(super) struct Observation {
    observer: Arc<Observer>,
    id: u64,
    method: Method,
    kind: Kind,
    query: Option<QueryId>,
    /// Whether the coordinator's success is the end of the query.
    ends: bool,
    first_call_only: bool,
    user: Option<HeaderValue>,
    rule: Option<Arc<str>>,
    started: Instant,
    answered: Option<Instant>,
    backend: Option<Arc<Backend>>,
    status: Option<StatusCode>,
    /// What the outcome will be if the answer reaches its end.
    expected: Outcome,
    outcome: Outcome,
    fault: Option<String>,
    bytes: u64,
    /// There if the request is sampled.
    span: Option<Box<Span>>,
}

impl Observation {
    /// Begins with a request's head.
    pub(super) fn begin(observer: Arc<Observer>, request: &ClientRequest, kind: Kind) -> Self {
        observer.meters.in_flight.inc();
        let user = request.headers.get(&X_TRINO_USER).or_else(|| request.headers.get(&X_PRESTO_USER));
        Self {
            id: observer.next_id.fetch_add(1, Ordering::Relaxed),
            observer,
            method: request.method.clone(),
            kind,
            query: None,
            ends: false,
            first_call_only: false,
            user: user.cloned(),
            rule: None,
            started: Instant::now(),
            answered: None,
            backend: None,
            status: None,
            expected: Outcome::ClientGone,
            outcome: Outcome::ClientGone,
            fault: None,
            bytes: 0,
            span: None,
        }
    }

    /// Begins the request's span, if requests are traced; what it goes on to is then below that.
    pub(super) fn trace(&mut self, request: &mut ClientRequest, endpoint: &Endpoint<'_>, arrival: &Arrival) {
        if let Some(traces) = &self.observer.traces {
            self.span = trace::begin(traces, request, endpoint, self.kind, arrival);
        }
    }

    /// The client, and the name by which it knows the gateway.
    pub(super) fn came_from(&mut self, client: IpAddr, host: &str) {
        if let Some(span) = &mut self.span {
            trace::came_from(span, client, host);
        }
    }

    /// The id that the client is told when something fails.
    pub(super) fn id(&self) -> String {
        hex::encode(self.id.to_be_bytes())
    }

    /// Which query it is for; `ends` says that the coordinator's success is its end.
    pub(super) fn of_query(&mut self, query: Option<QueryId>, ends: bool) {
        (self.query, self.ends) = (query, ends);
    }

    /// Where it counts.
    pub(super) fn meters(&self) -> &Meters {
        &self.observer.meters
    }

    /// What kind of request it is.
    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether the answer is a page of results.
    pub(super) fn is_page(&self) -> bool {
        matches!(self.kind, Kind::Statement | Kind::Poll)
    }

    /// The head of a page of results.
    pub(super) fn saw(&mut self, head: PageHead) {
        self.query = Some(head.query);
        let Some(backend) = &self.backend else { return };
        // No count of the coordinator has one that ends with its first page, either.
        if self.kind == Kind::Statement && backend.is_counted() {
            backend.tally.begin(head.query);
        }
        if !head.goes_on {
            backend.ended(head.query);
        } else if self.kind != Kind::Statement || !self.first_call_only {
            backend.chains.see(head.query);
        }
    }

    /// Whether the client goes on with its query at the cluster itself, so that none of its polls will be seen here.
    pub(super) fn first_call_only(&mut self, only: bool) {
        self.first_call_only = only;
    }

    /// The rule that decided where a new query goes.
    pub(super) fn by_rule(&mut self, rule: Arc<str>) {
        self.rule = Some(rule);
    }

    /// The request goes to `backend` now, no longer to one before.
    pub(super) fn goes_to(&mut self, backend: &Arc<Backend>) {
        let now = match self.backend.replace(backend.clone()) {
            None => self.started,
            Some(before) => {
                before.end();
                Instant::now()
            }
        };
        backend.begin(now);
    }

    /// Where the request went last.
    pub(super) fn backend(&self) -> Option<&Arc<Backend>> {
        self.backend.as_ref()
    }

    /// The request is sent once more.
    pub(super) fn retried(&self) {
        self.observer.meters.retried(self.kind);
    }

    /// A coordinator's answer begins.
    pub(super) fn answered(&mut self, status: StatusCode) {
        if let (Some(backend), Some(query)) = (&self.backend, self.query) {
            let is_unknown = self.kind == Kind::Poll && status == StatusCode::NOT_FOUND;
            if (self.ends && status.is_success()) || is_unknown {
                if is_unknown {
                    backend.lost(query);
                } else {
                    backend.ended(query);
                }
            } else if self.method == Method::HEAD && status.is_success() {
                // Of a poll, its page tells more; and what a coordinator refuses must not fill the memory here.
                backend.chains.see(query);
            }
        }
        self.status = Some(status);
        self.answered = Some(Instant::now());
        self.expected = match status.as_u16() {
            500.. => Outcome::ServerError,
            400.. => Outcome::ClientError,
            _ => Outcome::Ok,
        };
    }

    /// The proxy answers itself, because of `error`.
    pub(super) fn failed(&mut self, error: &super::Error) {
        self.status = Some(error.status());
        self.expected = error.outcome();
        self.fault = Some(error.chain());
    }

    /// A piece of the answer passed.
    pub(super) fn passed(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// The answer reached its end.
    pub(super) fn complete(&mut self) {
        self.outcome = self.expected;
    }

    /// The coordinator broke off its answer.
    pub(super) fn broke(&mut self, error: &(dyn std::error::Error + 'static)) {
        self.outcome = Outcome::Broken;
        self.fault = Some(error.to_string());
    }

    fn write(&self, lines: &Lines, duration: Duration) {
        lines.push(|text| {
            let mut line = Line::begin(text, self.id);
            line.word(member!("kind"), self.kind.as_str());
            line.text(member!("method"), Some(self.method.as_str()));
            line.text(member!("cluster"), self.backend.as_ref().map(|backend| backend.name.as_str()));
            line.text(member!("query"), self.query.as_ref().map(QueryId::as_str));
            line.text(member!("user"), self.user.as_ref().map(short).as_deref());
            line.text(member!("rule"), self.rule.as_deref());
            line.number(member!("status"), self.status.map(|status| status.as_u16().into()));
            line.word(member!("outcome"), self.outcome.as_str());
            line.text(member!("fault"), self.fault.as_deref());
            line.number(member!("bytes"), Some(self.bytes));
            let first_byte = self.answered.map(|answered| millis(answered - self.started));
            line.number(member!("first_byte_ms"), first_byte);
            line.number(member!("duration_ms"), Some(millis(duration)));
            line.end();
        });
    }

    /// What the span says at the end.
    fn tell(&self, span: &mut Span) {
        span.text("warren.request", self.id());
        span.text("warren.outcome", self.outcome.as_str());
        if let Some(backend) = &self.backend {
            span.text("warren.cluster", backend.name.as_str());
        }
        if let Some(rule) = &self.rule {
            span.text("warren.rule", &**rule);
        }
        if let Some(query) = &self.query {
            // The name that Trino's own spans have for it (io.trino.tracing.TrinoAttributes).
            span.text("trino.query_id", query.as_str());
        }
        if let Some(status) = self.status {
            span.number("http.response.status_code", status.as_u16());
        }
        match (self.outcome, self.status) {
            (Outcome::Broken, _) => span.text("error.type", self.outcome.as_str()),
            (_, Some(status)) if status.is_server_error() => span.text("error.type", status.as_str()),
            _ => return,
        }
        span.fail();
    }
}

/// The name of a user as it is logged. Bytes that are no text would make the line no JSON.
fn short(user: &HeaderValue) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(user.as_bytes());
    if text.len() <= MAX_USER { text } else { text.chars().take(MAX_USER).collect() }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Drop for Observation {
    fn drop(&mut self) {
        if let Some(backend) = &self.backend {
            backend.end();
        }
        let duration = self.started.elapsed();
        self.observer.meters.ended(self.kind, self.outcome, duration);
        if let Some(lines) = &self.observer.access {
            self.write(lines, duration);
        }
        if let (Some(mut span), Some(traces)) = (self.span.take(), &self.observer.traces) {
            self.tell(&mut span);
            traces.end(*span);
        }
    }
}
