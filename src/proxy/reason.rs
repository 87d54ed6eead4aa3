//! Why a cluster is unhealthy, in words for people and in words for metrics. Pure.

use std::fmt;

use http::StatusCode;

/// Why a cluster is unhealthy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// It still starts.
    Starting,
    /// It answered with another status than 200.
    Status(StatusCode),
    /// It sent the check elsewhere: most often to a login page.
    Redirect(StatusCode),
    /// It answered with something else than a coordinator's JSON.
    NotACoordinator,
    /// It answers 406, with forwarded headers and without.
    NoForwarding,
    /// It did not answer in time.
    Timeout,
    /// No connection, or a broken one.
    Connection(String),
    /// The query that checks it failed.
    Query(QueryFault),
}

/// Why the query of a health check failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum QueryFault {
    /// It was answered with another status than 200.
    Status(StatusCode),
    /// It was answered with something else than a page of results.
    NotAPage,
    /// Its answer is too large.
    TooLarge,
    /// It did not end in time.
    Timeout,
    /// No connection, or a broken one.
    Connection(String),
    /// Trino says that it failed: the name of the error, and the message.
    Failed(String, String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting => f.write_str("the coordinator is starting"),
            Self::Status(status) => write!(f, "GET /v1/info answered {status}"),
            Self::Redirect(status) => {
                write!(
                    f,
                    "GET /v1/info answered {status}: a login page or another server stands before the coordinator"
                )
            }
            Self::NotACoordinator => f.write_str("GET /v1/info answered with something else than a coordinator's JSON"),
            Self::NoForwarding => {
                f.write_str("GET /v1/info answered 406 with X-Forwarded headers and without: no coordinator does so")
            }
            Self::Timeout => f.write_str("GET /v1/info did not answer in time"),
            Self::Connection(cause) => write!(f, "no connection: {cause}"),
            Self::Query(fault) => write!(f, "the query of the health check {fault}"),
        }
    }
}

impl fmt::Display for QueryFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(StatusCode::UNAUTHORIZED) => {
                f.write_str("was answered 401 Unauthorized: it asks for credentials, and was sent none that it takes")
            }
            Self::Status(status) => write!(f, "was answered {status}"),
            Self::NotAPage => f.write_str("was answered with something else than a page of results"),
            Self::TooLarge => f.write_str("has too large a result: choose one that returns little"),
            Self::Timeout => f.write_str("did not end in time"),
            Self::Connection(cause) => write!(f, "lost its connection: {cause}"),
            Self::Failed(name, message) => write!(f, "failed: {name}: {message}"),
        }
    }
}

impl Reason {
    /// All words of [`Reason::word`].
    pub(super) const WORDS: [&str; 10] = [
        "starting",
        "status",
        "redirect",
        "not_a_coordinator",
        "no_forwarding",
        "timeout",
        "connection",
        "not_a_page",
        "too_large",
        "query_failed",
    ];

    /// The word in metrics.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Status(_) | Self::Query(QueryFault::Status(_)) => "status",
            Self::Redirect(_) => "redirect",
            Self::NotACoordinator => "not_a_coordinator",
            Self::NoForwarding => "no_forwarding",
            Self::Timeout | Self::Query(QueryFault::Timeout) => "timeout",
            Self::Connection(_) | Self::Query(QueryFault::Connection(_)) => "connection",
            Self::Query(QueryFault::NotAPage) => "not_a_page",
            Self::Query(QueryFault::TooLarge) => "too_large",
            Self::Query(QueryFault::Failed(..)) => "query_failed",
        }
    }

    /// Whether both are the same trouble, whatever its details.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Connection(_), Self::Connection(_))
            | (Self::Query(QueryFault::Connection(_)), Self::Query(QueryFault::Connection(_))) => true,
            (Self::Query(QueryFault::Failed(name, _)), Self::Query(QueryFault::Failed(other, _))) => name == other,
            (reason, other) => reason == other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_in_the_list_and_no_other_is() {
        let status = StatusCode::BAD_GATEWAY;
        let reasons = [
            Reason::Starting,
            Reason::Status(status),
            Reason::Redirect(status),
            Reason::NotACoordinator,
            Reason::NoForwarding,
            Reason::Timeout,
            Reason::Connection(String::new()),
            Reason::Query(QueryFault::NotAPage),
            Reason::Query(QueryFault::TooLarge),
            Reason::Query(QueryFault::Failed(String::new(), String::new())),
        ];
        assert_eq!(reasons.map(|reason| reason.word()), Reason::WORDS);
        for fault in [QueryFault::Status(status), QueryFault::Timeout, QueryFault::Connection(String::new())] {
            assert!(Reason::WORDS.contains(&Reason::Query(fault).word()));
        }
    }
}
