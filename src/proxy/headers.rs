//! What of a message's headers passes the proxy, and what it adds. Pure.
//!
//! Everything passes, in its order and with its repetitions, but for: what is meant for one connection (RFC 9110,
//! section 7.6.1), what clients claim about forwarding, and what only the nodes of a cluster may say to each other.

use std::net::SocketAddr;

use http::{
    HeaderMap, HeaderName, HeaderValue, Uri,
    header::{CONNECTION, HOST, SET_COOKIE, TE, TRANSFER_ENCODING, UPGRADE},
    uri::Authority,
};

use crate::{routing::Address, trino::ClusterName};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Where clients see the gateway: what Trino builds the URIs from that it hands out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outside {
    proto: HeaderValue,
    host: HeaderValue,
    port: HeaderValue,
}

impl Outside {
    /// The address that the routing table gives.
    pub(super) fn of(address: &Address) -> Option<Self> {
        Self::new(address.scheme().as_str(), address.host(), address.port())
    }

    /// The address to which a request was sent: its own authority or `Host`, else where it arrived.
    pub(super) fn seen_by(uri: &Uri, headers: &HeaderMap, local: SocketAddr) -> Option<Self> {
        let host = || headers.get(HOST)?.to_str().ok()?.parse::<Authority>().ok();
        match uri.authority().cloned().or_else(host) {
            Some(authority) => Self::new("http", authority.host(), authority.port_u16().unwrap_or(80)),
            None if headers.contains_key(HOST) => None,
            // HTTP/1.0 knows no Host.
            None => Self::new("http", &bracketed(local), local.port()),
        }
    }

    fn new(proto: &str, host: &str, port: u16) -> Option<Self> {
        Some(Self { proto: proto.parse().ok()?, host: host.parse().ok()?, port: HeaderValue::from(port) })
    }
}

fn bracketed(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(v4) => v4.ip().to_string(),
        SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
    }
}

/// Makes a client's request headers those of the request to `cluster`.
pub(super) fn to_coordinator(headers: &mut HeaderMap, cluster: &ClusterName, outside: &Outside, peer: SocketAddr) {
    let trailers = accepts_trailers(headers);
    drop_hop_by_hop(headers);
    let refused: Vec<HeaderName> = headers.keys().filter(|name| is_refused(name.as_str())).cloned().collect();
    for name in refused {
        headers.remove(name);
    }
    // The client of the coordinator writes the coordinator's own.
    headers.remove(HOST);
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
    add_forwarded(headers, cluster, outside);
    if let Ok(peer) = HeaderValue::from_str(&peer.ip().to_string()) {
        headers.insert(HeaderName::from_static("x-forwarded-for"), peer);
    }
}

/// Adds what makes `cluster` hand out URIs that lead back to it through this gateway.
pub(super) fn add_forwarded(headers: &mut HeaderMap, cluster: &ClusterName, outside: &Outside) {
    let prefix = HeaderValue::from_str(&prefix(cluster)).expect("a cluster's name is a DNS label");
    for (name, value) in [
        ("x-forwarded-proto", &outside.proto),
        ("x-forwarded-host", &outside.host),
        ("x-forwarded-port", &outside.port),
        ("x-forwarded-prefix", &prefix),
    ] {
        headers.insert(HeaderName::from_static(name), value.clone());
    }
}

/// Makes a coordinator's response headers those of the response to the client.
pub(super) fn to_client(headers: &mut HeaderMap, cluster: &ClusterName) {
    drop_hop_by_hop(headers);
    let of_ui = |cookie: &HeaderValue| with_path_below(cookie, cluster);
    if headers.get_all(SET_COOKIE).iter().any(|cookie| of_ui(cookie).is_some()) {
        let cookies: Vec<HeaderValue> = headers.get_all(SET_COOKIE).iter().cloned().collect();
        headers.remove(SET_COOKIE);
        for cookie in cookies {
            let cookie = of_ui(&cookie).unwrap_or(cookie);
            headers.append(SET_COOKIE, cookie);
        }
    }
}

fn prefix(cluster: &ClusterName) -> String {
    format!("/c/{cluster}")
}

/// The cookie for the place where the cluster's UI really is, if it is for `/ui`.
fn with_path_below(cookie: &HeaderValue, cluster: &ClusterName) -> Option<HeaderValue> {
    let text = cookie.to_str().ok()?;
    let mut moved = false;
    let attributes: Vec<String> = text
        .split(';')
        .enumerate()
        .map(|(index, attribute)| match attribute.split_once('=') {
            // The first is the cookie itself, whatever its name.
            Some((name, path)) if index > 0 && name.trim().eq_ignore_ascii_case("path") && is_ui(path.trim()) => {
                moved = true;
                format!("{name}={}{}", prefix(cluster), path.trim())
            }
            _ => attribute.to_owned(),
        })
        .collect();
    if moved { HeaderValue::from_str(&attributes.join(";")).ok() } else { None }
}

fn is_ui(path: &str) -> bool {
    path == "/ui" || path.starts_with("/ui/")
}

/// Drops what is meant for one connection only: the fields that the RFC lists, and those that `Connection` names.
fn drop_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.into_iter().chain([CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, TE, TRANSFER_ENCODING, UPGRADE]) {
        headers.remove(name);
    }
}

fn accepts_trailers(headers: &HeaderMap) -> bool {
    let mut codings =
        headers.get_all(TE).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    codings.any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
}

/// Whether a client may not say this: it is about forwarding, or between the nodes of a cluster. Servers that map
/// headers to variables take `_` for `-`, so both are meant.
fn is_refused(name: &str) -> bool {
    let name = name.replace('_', "-");
    matches!(name.as_str(), "forwarded" | "x-real-ip")
        || ["x-forwarded-", "x-trino-internal-", "x-presto-internal-"].iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        headers
    }

    fn lines(headers: &HeaderMap) -> Vec<(&str, &str)> {
        headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect()
    }

    fn blue() -> ClusterName {
        "blue".parse().unwrap()
    }

    fn sent(request: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut headers = headers(request);
        let outside = Outside::of(&"https://trino.example.com".parse().unwrap()).unwrap();
        to_coordinator(&mut headers, &blue(), &outside, "10.1.2.3:999".parse().unwrap());
        lines(&headers).into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    const ADDED: [(&str, &str); 5] = [
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "trino.example.com"),
        ("x-forwarded-port", "443"),
        ("x-forwarded-prefix", "/c/blue"),
        ("x-forwarded-for", "10.1.2.3"),
    ];

    fn and_added(lines: &[(&str, &str)]) -> Vec<(String, String)> {
        lines.iter().chain(&ADDED).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn repeated_headers_pass_in_their_order() {
        let repeated = [("x-trino-session", "a=1"), ("x-trino-session", "b=2"), ("x-trino-session", "a=3")];
        assert_eq!(sent(&repeated), and_added(&repeated));
    }

    #[test]
    fn what_a_client_says_about_forwarding_or_as_a_node_is_dropped() {
        let said = [
            ("X-Forwarded-For", "6.6.6.6"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Prefix", "/evil"),
            ("X-Forwarded-Anything", "x"),
            ("X_Forwarded_Host", "evil"),
            ("Forwarded", "for=6.6.6.6"),
            ("X-Real-IP", "6.6.6.6"),
            ("X-Trino-Internal-Bearer", "x"),
            ("X_Trino_Internal_Bearer", "x"),
            ("X-Presto-Internal-Bearer", "x"),
            ("Host", "evil"),
        ];
        assert_eq!(sent(&said), and_added(&[]));
    }

    #[test]
    fn what_is_for_one_connection_stays_on_it() {
        let request = [
            ("connection", "keep-alive, X-Mine, x-forwarded-prefix"),
            ("connection", "close"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("x-mine", "1"),
            ("te", "gzip"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
        ];
        assert_eq!(sent(&request), and_added(&[]));
        let with_trailers: Vec<_> = sent(&[("te", "gzip, Trailers")]).into_iter().take(2).collect();
        assert_eq!(
            with_trailers,
            [("te", "trailers"), ("connection", "te")].map(|(a, b)| (a.to_owned(), b.to_owned()))
        );
    }

    #[test]
    fn a_cookie_for_the_ui_moves_below_the_prefix_and_no_other_does() {
        let mut answer = headers(&[
            ("set-cookie", "Trino-UI-Token=a.b; Version=1; Path=/ui; HttpOnly"),
            ("set-cookie", "other=path=/ui; Path=/"),
            ("set-cookie", "path=/ui"),
            ("set-cookie", "x=1;path=/ui/api"),
            ("set-cookie", "x=1; Path=/uix"),
            ("connection", "x-hop"),
            ("x-hop", "1"),
        ]);
        to_client(&mut answer, &blue());
        assert_eq!(
            lines(&answer),
            [
                ("set-cookie", "Trino-UI-Token=a.b; Version=1; Path=/c/blue/ui; HttpOnly"),
                ("set-cookie", "other=path=/ui; Path=/"),
                ("set-cookie", "path=/ui"),
                ("set-cookie", "x=1;path=/c/blue/ui/api"),
                ("set-cookie", "x=1; Path=/uix"),
            ]
        );
    }

    #[test]
    fn a_request_tells_where_it_was_sent() {
        let local = "[::1]:8080".parse().unwrap();
        let seen = |uri: &str, lines: &[(&str, &str)]| Outside::seen_by(&uri.parse().unwrap(), &headers(lines), local);
        assert_eq!(seen("/", &[("host", "a:8080")]), Outside::new("http", "a", 8080));
        assert_eq!(seen("/", &[("host", "a")]), Outside::new("http", "a", 80));
        assert_eq!(seen("/", &[("host", "[::2]:1")]), Outside::new("http", "[::2]", 1));
        assert_eq!(seen("http://b:9/", &[("host", "a")]), Outside::new("http", "b", 9));
        assert_eq!(seen("/", &[]), Outside::new("http", "[::1]", 8080));
        assert_eq!(seen("/", &[("host", "a b")]), None);
    }
}
