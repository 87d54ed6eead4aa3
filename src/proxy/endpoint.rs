//! Which request is for whom, by method and path alone. Pure, and the only list of what is let through.

use http::Method;

use super::login::CALLBACK;
use crate::trino::{QueryId, event::EVENTS_PATH};

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint<'a> {
    /// A new query, for any cluster of its group.
    Statement,
    /// The root's `/v1/info`, for any healthy cluster.
    Info,
    /// A query by its id alone: it is not in the path which cluster has it.
    Query(QueryId),
    /// A browser that comes back from an identity provider: its state names its cluster.
    Callback,
    /// What a coordinator's event listener tells of its queries.
    Events,
    /// A request that names its cluster.
    OfCluster(OfCluster<'a>),
    /// Nothing that is served here.
    Unknown,
}

/// A request below `/c/<cluster>/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OfCluster<'a> {
    /// The name as it stands in the path: to be looked up, and nothing else.
    pub cluster: &'a str,
    /// The path at the coordinator, from its slash on.
    pub path: &'a str,
    pub kind: Kind,
    /// The query, if the path names one. Never its slug, which is a secret.
    pub query: Option<QueryId>,
    /// Whether the query is over once the coordinator says that this was done: a cancel of one stage is not its end.
    pub ends: bool,
    pub retry: Retry,
}

/// The kinds of requests that metrics and logs tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Statement,
    Poll,
    Cancel,
    Spooled,
    Ui,
    Login,
    Event,
    Other,
}

impl Kind {
    /// All of them, in the order in which they are declared.
    pub(super) const ALL: [Self; 8] =
        [Self::Statement, Self::Poll, Self::Cancel, Self::Spooled, Self::Ui, Self::Login, Self::Event, Self::Other];

    /// The word in metrics and logs.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Statement => "statement",
            Self::Poll => "poll",
            Self::Cancel => "cancel",
            Self::Spooled => "spooled",
            Self::Ui => "ui",
            Self::Login => "login",
            Self::Event => "event",
            Self::Other => "other",
        }
    }
}

/// After which failures the same request may be sent once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    /// Never: it has a body that is gone after the first try.
    Never,
    /// When no connection could be opened, so that nothing was sent.
    Unsent,
    /// When no answer began, too: asking twice gives the same answer as asking once.
    Unanswered,
}

/// Where some clients ask for, or cancel, a query by its id (the Go client's cancel does so, 1.1).
const QUERY: &str = "/v1/query/";

/// The bytes of which the paths of polls are: nothing that could mean something else elsewhere.
static OF_POLLS: [bool; 256] = {
    let plain = b"/-_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut bytes = [false; 256];
    let mut at = 0;
    while at < plain.len() {
        bytes[plain[at] as usize] = true;
        at += 1;
    }
    bytes
};

/// Below what a query is polled and cancelled.
const POLLS: [&str; 2] = ["v1/statement/executing/", "v1/statement/queued/"];

/// Says what a request with this method and path (as it was sent, undecoded) asks for.
pub(super) fn classify<'a>(method: &Method, path: &'a str) -> Endpoint<'a> {
    match path {
        "/v1/statement" if method == Method::POST => return Endpoint::Statement,
        "/v1/info" if reads(method) => return Endpoint::Info,
        CALLBACK if method == Method::GET => return Endpoint::Callback,
        EVENTS_PATH if method == Method::POST => return Endpoint::Events,
        _ if path.starts_with(QUERY) && (method == Method::GET || method == Method::DELETE) => {
            let id = path[QUERY.len()..].parse();
            return id.map_or(Endpoint::Unknown, Endpoint::Query);
        }
        _ => {}
    }
    let named = path.strip_prefix("/c/").filter(|_| is_plain(path)).and_then(|rest| rest.split_once('/'));
    let Some((cluster, rest)) = named else { return Endpoint::Unknown };
    let Some((kind, query, retry)) = allow(method, rest) else { return Endpoint::Unknown };
    // `named` split at the slash before `rest`: the path at the coordinator begins there.
    let path = &path[path.len() - rest.len() - 1..];
    let ends = kind == Kind::Cancel && !rest.starts_with("v1/statement/executing/partialCancel/");
    // What is no query's id must not be logged as one.
    let query = query.and_then(|id| id.parse().ok());
    Endpoint::OfCluster(OfCluster { cluster, path, kind, query, ends, retry })
}

/// The requests that a cluster serves to clients; `rest` is the path without its first slash.
fn allow<'a>(method: &Method, rest: &'a str) -> Option<(Kind, Option<&'a str>, Retry)> {
    // Only pages have paths that end in a slash.
    if rest.ends_with('/') && !rest.starts_with("ui/") {
        return None;
    }
    // Nearly all requests are for these.
    if let Some(tail) = POLLS.iter().find_map(|polls| rest.strip_prefix(polls)) {
        let query = tail.split('/').find(|segment| *segment != "partialCancel");
        return match *method {
            Method::GET | Method::HEAD => Some((Kind::Poll, query, Retry::Unanswered)),
            Method::DELETE => Some((Kind::Cancel, query, Retry::Unsent)),
            _ => None,
        };
    }
    let segments: Vec<&str> = rest.split('/').collect();
    match segments[..] {
        ["v1", "query", id] => match *method {
            Method::GET => Some((Kind::Other, Some(id), Retry::Unanswered)),
            Method::DELETE => Some((Kind::Cancel, Some(id), Retry::Unsent)),
            _ => None,
        },
        ["v1", "spooled", "download", _, ..] if method == Method::GET => Some((Kind::Spooled, None, Retry::Unanswered)),
        // Acknowledging drops the segment: a second try might be told that there is none.
        ["v1", "spooled", "ack", _, ..] if method == Method::GET || method == Method::DELETE => {
            Some((Kind::Spooled, None, Retry::Unsent))
        }
        ["v1", "info"] if reads(method) => Some((Kind::Other, None, Retry::Unanswered)),
        ["ui", ..] => match *method {
            Method::GET | Method::HEAD => Some((Kind::Ui, None, Retry::Unsent)),
            Method::POST => Some((Kind::Ui, None, Retry::Never)),
            _ => None,
        },
        // Each leg of a login counts once: a code or a token is gone when it was delivered.
        ["oauth2", _, ..] => match *method {
            Method::GET | Method::HEAD | Method::DELETE => Some((Kind::Login, None, Retry::Unsent)),
            Method::POST => Some((Kind::Login, None, Retry::Never)),
            _ => None,
        },
        _ => None,
    }
}

fn reads(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
}

/// Whether a path means to the coordinator what it means here: no segment is empty (but for a last one), a dot segment,
/// or has parameters, nothing is encoded that could become one of these or a slash, and what it decodes to is text: no
/// control character, and no overlong form of a character that a lenient decoder would take for that one (RFC 3629, 10).
fn is_plain(path: &str) -> bool {
    // Of nothing else are the paths of polls.
    if path.bytes().all(|byte| OF_POLLS[usize::from(byte)]) {
        return !path.contains("//");
    }
    let segments = path.strip_suffix('/').unwrap_or(path);
    segments.split('/').skip(1).all(|segment| !matches!(segment, "" | "." | "..") && !segment.contains([';', '\\']))
        && is_plain_text(path)
}

fn is_plain_text(path: &str) -> bool {
    if !path.contains('%') {
        return !path.chars().any(char::is_control);
    }
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        decoded.push(match byte {
            b'%' => match (digit(rest.next()), digit(rest.next())) {
                (Some(high), Some(low)) if !is_telling(high << 4 | low) => high << 4 | low,
                _ => return false,
            },
            byte => byte,
        });
    }
    std::str::from_utf8(&decoded).is_ok_and(|text| !text.chars().any(char::is_control))
}

fn digit(byte: Option<u8>) -> Option<u8> {
    byte.and_then(|byte| char::from(byte).to_digit(16)).and_then(|digit| u8::try_from(digit).ok())
}

/// Whether a byte, once decoded, could say something of the path's structure.
fn is_telling(byte: u8) -> bool {
    matches!(byte, b'%' | b'.' | b'/' | b';' | b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "20250805_101112_00003_abcde";

    fn of_cluster<'a>(method: &Method, path: &'a str) -> OfCluster<'a> {
        match classify(method, path) {
            Endpoint::OfCluster(found) => found,
            other => panic!("{method} {path}: {other:?}"),
        }
    }

    #[test]
    fn each_call_of_the_protocol_is_known_with_its_query() {
        for (method, rest, kind, query) in [
            (Method::GET, format!("/v1/statement/queued/{ID}/y0slug/1"), Kind::Poll, Some(ID)),
            (Method::GET, format!("/v1/statement/executing/{ID}/y0slug/17"), Kind::Poll, Some(ID)),
            (Method::HEAD, format!("/v1/statement/executing/{ID}/y0slug/17"), Kind::Poll, Some(ID)),
            (Method::DELETE, format!("/v1/statement/executing/{ID}/y0slug/17"), Kind::Cancel, Some(ID)),
            (Method::DELETE, format!("/v1/statement/executing/partialCancel/{ID}/2/y0slug/17"), Kind::Cancel, Some(ID)),
            (Method::GET, format!("/v1/query/{ID}"), Kind::Other, Some(ID)),
            (Method::DELETE, format!("/v1/query/{ID}"), Kind::Cancel, Some(ID)),
            (Method::GET, "/v1/spooled/download/AbC-_=".to_owned(), Kind::Spooled, None),
            (Method::GET, "/v1/spooled/ack/AbC-_=".to_owned(), Kind::Spooled, None),
            (Method::DELETE, "/v1/spooled/ack/AbC-_=".to_owned(), Kind::Spooled, None),
            (Method::GET, "/v1/info".to_owned(), Kind::Other, None),
            (Method::GET, "/ui".to_owned(), Kind::Ui, None),
            (Method::GET, "/ui/".to_owned(), Kind::Ui, None),
            (Method::GET, "/ui/vendor/jquery/jquery.min.js".to_owned(), Kind::Ui, None),
            (Method::POST, "/ui/login".to_owned(), Kind::Ui, None),
            (Method::GET, "/oauth2/token/7f".to_owned(), Kind::Login, None),
            (Method::DELETE, "/oauth2/token/7f".to_owned(), Kind::Login, None),
        ] {
            let path = format!("/c/blue{rest}");
            let found = of_cluster(&method, &path);
            let query = query.map(|id: &str| id.parse().unwrap());
            assert_eq!((found.cluster, found.path, found.kind, found.query), ("blue", &*rest, kind, query));
            let partial = rest.contains("partialCancel");
            assert_eq!(found.ends, kind == Kind::Cancel && !partial, "{rest}");
        }
        assert_eq!(classify(&Method::POST, "/v1/statement"), Endpoint::Statement);
        assert_eq!(classify(&Method::GET, "/v1/info"), Endpoint::Info);
        assert_eq!(classify(&Method::GET, "/oauth2/callback"), Endpoint::Callback);
        assert_eq!(classify(&Method::POST, "/v1/trino-event-listener"), Endpoint::Events);
        assert_eq!(classify(&Method::DELETE, "/v1/query/a_b"), Endpoint::Query("a_b".parse().unwrap()));
        assert_eq!(classify(&Method::PUT, "/v1/query/a_b"), Endpoint::Unknown);
        assert_eq!(classify(&Method::GET, "/v1/query/a/b"), Endpoint::Unknown);
        assert_eq!(classify(&Method::GET, "/v1/query/"), Endpoint::Unknown);
    }

    #[test]
    fn what_is_not_on_the_list_is_unknown() {
        for (method, path) in [
            (Method::POST, "/c/blue/v1/statement"),
            (Method::GET, "/c/blue/v1/statement"),
            (Method::POST, "/c/blue/v1/trino-event-listener"),
            (Method::GET, "/v1/trino-event-listener"),
            (Method::PUT, "/v1/trino-event-listener"),
            (Method::POST, "/v1/trino-event-listener/"),
            (Method::POST, "/v1/trino-event-listener/x"),
            (Method::POST, "/v1//trino-event-listener"),
            (Method::POST, "/v1/Trino-event-listener"),
            (Method::POST, "/v1/trino%2Devent-listener"),
            (Method::POST, "/v1/./trino-event-listener"),
            (Method::POST, "//v1/trino-event-listener"),
            (Method::POST, "/v1/trino-event-listener;x"),
            (Method::POST, "/c/blue/v1/statement/queued/a/b/1"),
            (Method::PUT, "/c/blue/v1/info/state"),
            (Method::GET, "/c/blue/v1/info/state"),
            (Method::GET, "/c/blue/v1/status"),
            (Method::GET, "/c/blue/v1/query"),
            (Method::GET, "/c/blue/v1/query/"),
            (Method::GET, "/c/blue/v1/query/a/b"),
            (Method::GET, "/c/blue/v1/task/a"),
            (Method::GET, "/c/blue/metrics"),
            (Method::GET, "/c/blue/v1/statement/queued"),
            (Method::GET, "/c/blue/v1/statement/queued/"),
            (Method::GET, "/c/blue/v1/statement/other/a/b/1"),
            (Method::GET, "/c/blue/v1/statement/Queued/a/b/1"),
            (Method::GET, "/c/blue/v1/spooled/download"),
            (Method::PUT, "/c/blue/ui/login"),
            (Method::GET, "/c/blue/uix"),
            (Method::GET, "/c/blue"),
            (Method::GET, "/c/blue/"),
            (Method::GET, "/c/"),
            (Method::GET, "/"),
            (Method::GET, "/v1/statement"),
            (Method::POST, "/v1/statement/"),
            (Method::POST, "/V1/statement"),
            (Method::POST, "/v1/info"),
            (Method::GET, "/ui/"),
        ] {
            assert_eq!(classify(&method, path), Endpoint::Unknown, "{method} {path}");
        }
    }

    #[test]
    fn no_path_leaves_its_place() {
        for path in [
            "/c/blue/ui/../v1/statement",
            "/c/blue/ui/./x",
            "/c/blue//ui/",
            "/c//blue/ui/",
            "//c/blue/ui/",
            "/c/blue/ui//x",
            "/c/blue/ui/x//",
            "/c/blue/ui/..",
            "/c/blue/ui/%2e%2e/v1/task",
            "/c/blue/ui/%2E%2E/v1/task",
            "/c/blue/ui/.%2e/v1/task",
            "/c/blue/ui/..%2fv1/task",
            "/c/blue/ui/..%2Fv1/task",
            "/c/blue/ui/..%5cv1/task",
            "/c/blue/ui/..\\v1",
            "/c/blue/ui/..;/v1/task",
            "/c/blue/ui/%3b/x",
            "/c/blue/ui/%252e%252e/x",
            "/c/blue/ui/%00",
            "/c/blue/ui/%",
            "/c/blue/ui/%2",
            "/c/blue/ui/%zz",
            "/c/%62lue%2fui/x",
            "/c/../c/blue/ui/x",
            "/c/blue/ui/%c0%ae%c0%ae/v1/task",
            "/c/blue/ui/..%c0%afv1/task",
            "/c/blue/ui/%e0%80%ae%e0%80%ae/v1/task",
            "/c/blue/ui/%f0%80%80%ae/v1/task",
            "/c/blue/ui/%ff",
            "/c/blue/ui/a%0d%0aHost:%20b",
            "/c/blue/ui/%7f",
            "/c/blue/ui/%c2%85",
            "/c/blue/ui/\u{7f}",
            "/c/blue/ui/\u{96}",
        ] {
            assert_eq!(classify(&Method::GET, path), Endpoint::Unknown, "{path}");
        }
        assert_eq!(of_cluster(&Method::GET, "/c/blue/ui/a%20b").path, "/ui/a%20b");
        assert_eq!(of_cluster(&Method::GET, "/c/blue/ui/%C3%A4").path, "/ui/%C3%A4");
    }

    #[test]
    fn a_text_that_is_no_id_is_never_logged_as_one() {
        assert_eq!(of_cluster(&Method::GET, "/c/blue/v1/query/a%20b").query, None);
        assert_eq!(of_cluster(&Method::GET, "/c/blue/v1/query/a%22").query, None);
    }
}
