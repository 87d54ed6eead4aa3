//! What can go wrong with a request, and the one place where an error becomes HTTP.
//!
//! A client gets a short fixed text and the request's id; names of hosts and causes go to the log only.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use rustls::CertificateError;

use super::meters::Outcome;
use crate::{
    telemetry,
    trino::{ClusterName, event::InvalidEvent},
};

pub(super) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What clients are asked to wait before they try again, in seconds.
const RETRY_AFTER: &str = "1";

/// Why a request was not answered by a coordinator.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No routing table was read since the start.
    #[error("no routing table is in force yet")]
    NoTable,
    /// Another reader might take the request for something else.
    #[error("the request is not plain HTTP: {0}")]
    Ambiguous(&'static str),
    /// The method and path are none that are served.
    #[error("there is no such page")]
    NotFound,
    /// The table holds no cluster of the name in the path.
    #[error("there is no cluster of this name")]
    NoCluster,
    /// The request does not say validly which host it is for.
    #[error("the Host header is not valid")]
    BadHost,
    /// A browser comes back from an identity provider, and its state does not say for which cluster.
    #[error("the login did not begin here")]
    NoLogin,
    /// No rule says where a new query goes.
    #[error("no routing rule matches this query")]
    NoRoute,
    /// A rule refuses a new query; this is what its user is told.
    #[error("a routing rule rejected the query")]
    Rejected(String),
    /// The transaction of a new query was started by a cluster that the table no longer holds.
    #[error("the transaction's cluster is gone")]
    UnknownTransaction,
    /// Nowhere to send a request that any cluster could serve.
    #[error("no cluster is healthy")]
    NoHealthyCluster,
    /// Every cluster that could take a new query failed to.
    #[error("no cluster took the query")]
    AllFailed(#[source] Box<Error>),
    /// No connection could be opened.
    #[error("cluster {cluster} cannot be reached")]
    Unreachable {
        /// The cluster.
        cluster: ClusterName,
        /// Why.
        #[source]
        source: Cause,
    },
    /// The connection broke before an answer began, or what came was no HTTP.
    #[error("cluster {cluster} broke the connection")]
    Broken {
        /// The cluster.
        cluster: ClusterName,
        /// Why.
        #[source]
        source: Cause,
    },
    /// The coordinator took too long to answer.
    #[error("cluster {cluster} did not answer in time")]
    Timeout {
        /// The cluster.
        cluster: ClusterName,
    },
    /// The coordinator answered that it cannot take a new query.
    #[error("cluster {cluster} answered {status} to a new query")]
    Unavailable {
        /// The cluster.
        cluster: ClusterName,
        /// 502, 503 or 504.
        status: StatusCode,
    },
    /// The client's own request ended before its time.
    #[error("the client broke off its request")]
    ClientGone,
    /// The client sends nothing more of its request, or takes too long for all of it.
    #[error("the client's request did not come in time")]
    ClientLate,
    /// An event without a token of one of the table's clusters.
    #[error("the event bears no token of a cluster")]
    NoToken,
    /// An event over the limit.
    #[error("the event is too large")]
    EventTooLarge,
    /// What came as an event is none.
    #[error("the event cannot be read")]
    BadEvent(#[source] InvalidEvent),
    /// An event in an encoding that is not read.
    #[error("the event is compressed")]
    EventCompressed,
    /// A cluster has as many events under way as it may.
    #[error("too many events of the cluster are under way")]
    EventsBusy,
}

impl Error {
    /// The status that a client gets. A query that no rule matches is answered as Trino answers a failed query.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoRoute | Self::Rejected(_) | Self::UnknownTransaction => StatusCode::OK,
            Self::Ambiguous(_)
            | Self::BadHost
            | Self::NoLogin
            | Self::BadEvent(_)
            | Self::EventCompressed
            | Self::ClientGone => StatusCode::BAD_REQUEST,
            Self::ClientLate => StatusCode::REQUEST_TIMEOUT,
            Self::NoToken => StatusCode::UNAUTHORIZED,
            Self::EventTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotFound | Self::NoCluster => StatusCode::NOT_FOUND,
            Self::Broken { .. } => StatusCode::BAD_GATEWAY,
            Self::Timeout { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::NoTable
            | Self::NoHealthyCluster
            | Self::AllFailed(_)
            | Self::EventsBusy
            | Self::Unreachable { .. }
            | Self::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// How metrics and logs call it.
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Ambiguous(_)
            | Self::NotFound
            | Self::NoCluster
            | Self::BadHost
            | Self::NoLogin
            | Self::NoRoute
            | Self::Rejected(_)
            | Self::UnknownTransaction
            | Self::NoToken
            | Self::EventTooLarge
            | Self::BadEvent(_)
            | Self::EventCompressed => Outcome::Refused,
            Self::ClientGone | Self::ClientLate => Outcome::ClientGone,
            _ => Outcome::Unavailable,
        }
    }

    /// The text that a client gets: nothing of the inside.
    fn message(&self) -> &str {
        match self {
            Self::NoTable => "this proxy has no routing table yet",
            Self::Ambiguous(fault) => fault,
            Self::NotFound => "there is no such page; clients of Trino begin at POST /v1/statement",
            Self::NoCluster => "there is no such cluster; its queries, if any, are gone",
            Self::BadHost => "the Host header is not valid, or names a host that is not served here",
            Self::NoLogin => "this login did not begin here; begin again",
            Self::NoRoute => "No routing rule matches this query, and the gateway has no default group",
            Self::Rejected(message) => message,
            Self::UnknownTransaction => "The cluster of this transaction is gone, and the transaction with it",
            Self::NoHealthyCluster => "no cluster is healthy; try again soon",
            Self::AllFailed(error) => error.untrusted().unwrap_or("no cluster could take the query; try again soon"),
            Self::Unavailable { .. } => "no cluster could take the query; try again soon",
            Self::Unreachable { .. } => {
                self.untrusted().unwrap_or("the query's cluster cannot be reached; try again soon")
            }
            Self::Broken { .. } => "the query's cluster broke the connection",
            Self::Timeout { .. } => "the query's cluster did not answer in time",
            Self::ClientGone => "the request broke off",
            Self::ClientLate => "the request's body did not come in time",
            Self::NoToken => "Authorization must be the bearer token of a cluster of this gateway",
            Self::EventTooLarge => "an event has at most 8 MiB",
            Self::BadEvent(InvalidEvent::NotAnEvent) => "the body is no event of Trino in JSON",
            Self::BadEvent(InvalidEvent::UnknownKind) => "the event is neither of a query nor of a split",
            Self::BadEvent(InvalidEvent::BadQueryId) => "metadata.queryId is no query id",
            Self::EventCompressed => "events are sent without Content-Encoding",
            Self::EventsBusy => "too many events of this cluster are under way; try again soon",
        }
    }

    /// What is wrong with the certificate that the cluster shows, if that is why it cannot be reached.
    fn untrusted(&self) -> Option<&'static str> {
        let Self::Unreachable { source, .. } = self else { return None };
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&**source);
        while let Some(error) = cause {
            if let Some(rustls::Error::InvalidCertificate(fault)) = error.downcast_ref() {
                return Some(match fault {
                    CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                        "the query's cluster shows a certificate that has expired"
                    }
                    CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                        "the query's cluster shows a certificate for another name"
                    }
                    CertificateError::UnknownIssuer => "the query's cluster shows a certificate of an unknown CA",
                    _ => "the query's cluster shows a certificate that is not valid",
                });
            }
            // An I/O error says of what it wraps that it is itself.
            let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
            cause = wrapped.map(|error| error as &(dyn std::error::Error + 'static)).or_else(|| error.source());
        }
        None
    }

    /// The whole response, but for what a failed query needs besides.
    pub(super) fn to_response(&self, request_id: &str) -> Response<Full<Bytes>> {
        let (content_type, body) = match self.status() {
            StatusCode::OK => ("application/json", self.to_failed_query(request_id)),
            _ => ("text/plain; charset=utf-8", format!("{} (request {request_id})\n", self.message())),
        };
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = self.status();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        if let Self::Ambiguous(_) = self {
            // Who sends such a request may send more that is not what it seems.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if let Self::NoToken = self {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
        }
        response
    }

    /// The messages of this error and of its causes, for the log.
    pub(super) fn chain(&self) -> String {
        telemetry::chain(self)
    }

    /// Whether no connection could be opened because nobody listens there.
    pub(super) fn is_refused(&self) -> bool {
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
            if kind == Some(std::io::ErrorKind::ConnectionRefused) {
                return true;
            }
            cause = error.source();
        }
        false
    }

    /// A failed query as Trino's clients know it: `QueryResults` with an `error` and no `nextUri`. The fields that its
    /// Java client requires are `id`, `infoUri` and `stats.state`; names and codes are those of Trino's
    /// `StandardErrorCode` (476).
    fn to_failed_query(&self, request_id: &str) -> String {
        let (code, name) = match self {
            Self::UnknownTransaction => (20, "UNKNOWN_TRANSACTION"),
            _ => (31, "QUERY_REJECTED"),
        };
        let now = jiff::Timestamp::now().strftime("%Y%m%d_%H%M%S");
        let suffix: String = request_id.chars().take(5).collect();
        serde_json::json!({
            "id": format!("{now}_00000_{suffix}"),
            "infoUri": "http://localhost/",
            "stats": stats_of_failed(),
            "error": {
                "message": format!("{} (request {request_id})", self.message()),
                "errorCode": code,
                "errorName": name,
                "errorType": "USER_ERROR",
            },
            "warnings": [],
        })
        .to_string()
    }
}

fn stats_of_failed() -> serde_json::Value {
    serde_json::json!({
        "state": "FAILED", "queued": false, "scheduled": false, "nodes": 0, "totalSplits": 0, "queuedSplits": 0,
        "runningSplits": 0, "completedSplits": 0, "planningTimeMillis": 0, "analysisTimeMillis": 0, "cpuTimeMillis": 0,
        "wallTimeMillis": 0, "queuedTimeMillis": 0, "elapsedTimeMillis": 0, "finishingTimeMillis": 0,
        "physicalInputTimeMillis": 0, "processedRows": 0, "processedBytes": 0, "physicalInputBytes": 0,
        "physicalWrittenBytes": 0, "internalNetworkInputBytes": 0, "peakMemoryBytes": 0, "spilledBytes": 0,
    })
}
