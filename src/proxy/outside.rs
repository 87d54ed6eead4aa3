//! What clients see of the gateway, and who they are: from the table, from the proxies before this one that are
//! trusted, or from the request itself. Pure.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use http::{
    HeaderMap, HeaderName, HeaderValue, Uri,
    header::{FORWARDED, HOST},
    uri::Authority,
};

use super::{backend::Backend, fields::Fields, sent::Sent, shard::Shard};
use crate::routing::Address;

const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// How a request came in.
#[derive(Debug)]
pub(super) struct Arrival {
    pub shard: Shard,
    /// The other end of the connection.
    pub peer: SocketAddr,
    /// Its address, as coordinators are told of it.
    pub peer_value: HeaderValue,
    /// This end of it.
    pub local: SocketAddr,
    /// Whether the connection is TLS.
    pub secure: bool,
    /// The name that the client asked for in its TLS handshake.
    pub server_name: Option<Arc<str>>,
    /// The name of the listener, if it has one.
    pub listener: Option<Arc<str>>,
    /// Whether it is a port for coordinators' events, and for nothing else.
    pub for_events: bool,
    /// What was seen of the gateway last, and by which `Host`: most connections say the same in each request.
    pub seen: Mutex<Option<(HeaderValue, Arc<Outside>)>>,
    /// What its last request became.
    pub sent: Sent,
}

impl Arrival {
    /// What coordinators are told of who came from `peer`.
    pub(super) fn value_of(peer: SocketAddr) -> HeaderValue {
        text(&peer.ip().to_canonical().to_string())
    }

    /// Whether `host` is what the last request of the connection said, which was found to be valid.
    pub(super) fn knows(&self, host: &HeaderValue) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.as_ref().is_some_and(|(known, _)| known == host)
    }
}

/// Where clients see the gateway: what Trino builds the URIs from that it hands out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outside {
    proto: HeaderValue,
    host: HeaderValue,
    port: HeaderValue,
    /// The path before the gateway's own paths, without a slash at its end; most often empty.
    prefix: String,
    level: Level,
}

/// What of the gateway's paths is in the URIs that a coordinator hands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    /// The path of its cluster.
    Cluster,
    /// That before the gateway alone.
    Gateway,
    /// Nothing: they lead to the cluster itself.
    Direct,
}

impl Outside {
    /// The address that the routing table gives.
    pub(super) fn of(address: &Address) -> Option<Self> {
        Self::new(address.scheme().as_str(), address.host(), address.port())
    }

    /// The same, as if what is asked came by HTTPS.
    pub(super) fn by_https(self) -> Self {
        Self { proto: HeaderValue::from_static("https"), ..self }
    }

    /// The address of a cluster that clients talk to by themselves.
    pub(super) fn direct(address: &Address) -> Option<Self> {
        Some(Self { level: Level::Direct, ..Self::of(address)? })
    }

    /// The address to which a request was sent: what a trusted proxy says of it, its own authority or `Host`, else
    /// where it arrived. None if what it says is no address.
    pub(super) fn seen_by(uri: &Uri, headers: &HeaderMap, arrival: &Arrival, trusted: bool) -> Option<Self> {
        let said = if trusted { Said::by_proxy(headers) } else { Said::default() };
        let proto = match said.proto {
            Some("https") => "https",
            Some("http") => "http",
            _ if arrival.secure => "https",
            _ => "http",
        };
        let authority = match said.host {
            Some(host) => Some(host.parse::<Authority>().ok()?),
            None => match (uri.authority(), headers.get(HOST)) {
                (Some(authority), _) => Some(authority.clone()),
                (None, Some(host)) => Some(host.to_str().ok()?.parse().ok()?),
                // HTTP/1.0 knows no Host.
                (None, None) => None,
            },
        };
        let default = if proto == "https" { 443 } else { 80 };
        let port = said.port.and_then(|port| port.parse().ok());
        let seen = match authority {
            Some(authority) => Self::new(proto, authority.host(), port.or(authority.port_u16()).unwrap_or(default)),
            None => Self::new(proto, &bracketed(arrival.local), arrival.local.port()),
        };
        seen?.below(said.prefix.unwrap_or_default())
    }

    /// The same as [`Outside::seen_by`] of what nobody in between says anything about, remembered for the connection.
    pub(super) fn seen_again(uri: &Uri, headers: &HeaderMap, arrival: &Arrival) -> Option<Arc<Self>> {
        let (None, Some(host)) = (uri.authority(), headers.get(HOST)) else {
            return Self::seen_by(uri, headers, arrival, false).map(Arc::new);
        };
        let mut seen = arrival.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, outside)) = &*seen
            && of == host
        {
            return Some(outside.clone());
        }
        let outside = Arc::new(Self::seen_by(uri, headers, arrival, false)?);
        // A copy: the value shares a buffer with all that came with it.
        *seen = Some((HeaderValue::from_bytes(host.as_bytes()).ok()?, outside.clone()));
        Some(outside)
    }

    /// `http://a:8080` with a path before the gateway's own.
    #[cfg(test)]
    pub(super) fn for_tests(prefix: &str) -> Self {
        Self::new("http", "a", 8080).and_then(|outside| outside.below(prefix)).expect("a valid address")
    }

    fn new(proto: &str, host: &str, port: u16) -> Option<Self> {
        Some(Self {
            proto: proto.parse().ok()?,
            host: host.parse().ok()?,
            port: HeaderValue::from(port),
            prefix: String::new(),
            level: Level::Cluster,
        })
    }

    /// The same with a path before the gateway's own; none if that is no plain path.
    pub(super) fn below(mut self, prefix: &str) -> Option<Self> {
        let prefix = prefix.trim_end_matches('/');
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte);
        if !(prefix.is_empty() || prefix.starts_with('/')) || !prefix.bytes().all(plain) {
            return None;
        }
        prefix.clone_into(&mut self.prefix);
        Some(self)
    }

    /// The path before the gateway, without a slash at its end.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The host that clients see, without a port.
    pub(super) fn host(&self) -> &str {
        self.host.to_str().unwrap_or_default()
    }

    /// The path below which clients find `backend`, without a slash at its end.
    pub(super) fn path_of(&self, backend: &Backend) -> String {
        match self.level {
            Level::Cluster => format!("{}{}", self.prefix, backend.prefix),
            Level::Gateway => self.prefix.clone(),
            Level::Direct => String::new(),
        }
    }

    /// The same for a request whose URIs shall lead to the gateway, and not to a cluster behind it.
    pub(super) fn of_gateway(&self) -> Self {
        Self { level: Level::Gateway, ..self.clone() }
    }

    /// Scheme and authority, and the path before the gateway: what everything that clients are given begins with.
    pub(super) fn base(&self) -> String {
        let text = |value: &HeaderValue| value.to_str().unwrap_or_default().to_owned();
        let (proto, port) = (text(&self.proto), text(&self.port));
        let port = match (proto.as_str(), port.as_str()) {
            ("http", "80") | ("https", "443") => String::new(),
            _ => format!(":{port}"),
        };
        format!("{proto}://{}{port}{}", self.host(), self.prefix)
    }

    /// Adds what makes `backend`'s coordinator hand out URIs that lead back to it from out there.
    pub(super) fn add_to(&self, fields: &mut Fields, backend: &Backend) {
        fields.add(&X_FORWARDED_PROTO, &self.proto);
        fields.add(&X_FORWARDED_HOST, &self.host);
        fields.add(&X_FORWARDED_PORT, &self.port);
        if self.level == Level::Cluster && self.prefix.is_empty() {
            fields.add(&X_FORWARDED_PREFIX, &backend.prefix_value);
            return;
        }
        let path = self.path_of(backend);
        if !path.is_empty() {
            let path = HeaderValue::try_from(path).expect("a plain path and a DNS label are visible ASCII");
            fields.add(&X_FORWARDED_PREFIX, &path);
        }
    }
}

/// What the proxy before this one says of a request.
#[derive(Debug, Default)]
struct Said<'a> {
    proto: Option<&'a str>,
    host: Option<&'a str>,
    port: Option<&'a str>,
    prefix: Option<&'a str>,
}

impl<'a> Said<'a> {
    /// `X-Forwarded-*`, else the first element of `Forwarded` (RFC 7239): what the outermost proxy saw.
    fn by_proxy(headers: &'a HeaderMap) -> Self {
        let first = |name: &HeaderName| {
            let value = headers.get(name)?.to_str().ok()?;
            value.split(',').next().map(str::trim).filter(|value| !value.is_empty())
        };
        let standard = |parameter: &str| {
            let mut pairs = first(&FORWARDED)?.split(';').filter_map(|pair| pair.split_once('='));
            let (_, value) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case(parameter))?;
            Some(value.trim().trim_matches('"'))
        };
        Self {
            proto: first(&X_FORWARDED_PROTO).or_else(|| standard("proto")),
            host: first(&X_FORWARDED_HOST).or_else(|| standard("host")),
            port: first(&X_FORWARDED_PORT),
            prefix: first(&X_FORWARDED_PREFIX),
        }
    }
}

/// The address of the client, and what the coordinator is told of the way: every proxy in between that can be
/// believed. `trusts` says of which address that is true.
pub(super) fn client_of(
    headers: &HeaderMap,
    arrival: &Arrival,
    trusts: impl Fn(IpAddr) -> bool,
) -> (IpAddr, HeaderValue) {
    let peer = arrival.peer.ip().to_canonical();
    if !trusts(peer) {
        return (peer, arrival.peer_value.clone());
    }
    let lines: Vec<&str> = headers.get_all(X_FORWARDED_FOR).iter().filter_map(|line| line.to_str().ok()).collect();
    if lines.is_empty() {
        return (peer, arrival.peer_value.clone());
    }
    let way = lines.join(", ");
    let mut client = peer;
    // Each proxy appends whom it saw: the last one that is no proxy of ours is the client.
    for said in way.rsplit(',') {
        let Some(address) = address(said.trim()) else { break };
        client = address;
        if !trusts(address) {
            break;
        }
    }
    (client, text(&format!("{way}, {peer}")))
}

/// An address with or without a port, and with brackets or without.
fn address(said: &str) -> Option<IpAddr> {
    let bare = said.trim_start_matches('[').trim_end_matches(']');
    bare.parse().ok().or_else(|| said.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

fn text(way: &str) -> HeaderValue {
    HeaderValue::from_str(way).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}

fn bracketed(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(v4) => v4.ip().to_string(),
        SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn arrival() -> Arrival {
        Arrival {
            shard: Shard::default(),
            peer: "10.0.0.9:999".parse().unwrap(),
            peer_value: HeaderValue::from_static("10.0.0.9"),
            local: "[::1]:8080".parse().unwrap(),
            secure: false,
            server_name: None,
            listener: None,
            for_events: false,
            seen: Mutex::default(),
            sent: Sent::default(),
        }
    }

    fn seen(uri: &str, lines: &[(&'static str, &'static str)], trusted: bool) -> Option<Outside> {
        Outside::seen_by(&uri.parse().unwrap(), &headers(lines), &arrival(), trusted)
    }

    #[test]
    fn a_request_tells_where_it_was_sent() {
        assert_eq!(seen("/", &[("host", "a:8080")], false), Outside::new("http", "a", 8080));
        assert_eq!(seen("/", &[("host", "a")], false), Outside::new("http", "a", 80));
        assert_eq!(seen("/", &[("host", "[::2]:1")], false), Outside::new("http", "[::2]", 1));
        assert_eq!(seen("http://b:9/", &[("host", "a")], false), Outside::new("http", "b", 9));
        assert_eq!(seen("/", &[], false), Outside::new("http", "[::1]", 8080));
        assert_eq!(seen("/", &[("host", "a b")], false), None);
        let over_tls = Arrival { secure: true, ..arrival() };
        let seen = Outside::seen_by(&"/".parse().unwrap(), &headers(&[("host", "a")]), &over_tls, false);
        assert_eq!(seen, Outside::new("https", "a", 443));
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        let said = [
            ("host", "inside:8080"),
            ("x-forwarded-proto", "https, http"),
            ("x-forwarded-host", "trino.example.com"),
            ("x-forwarded-prefix", "/data/"),
        ];
        assert_eq!(seen("/", &said, false), Outside::new("http", "inside", 8080));
        let outside = Outside::new("https", "trino.example.com", 443).unwrap().below("/data");
        assert_eq!(seen("/", &said, true), outside);
        let standard = [("host", "a"), ("forwarded", "for=1.2.3.4;Proto=https;host=\"b:8443\", for=10.0.0.1")];
        assert_eq!(seen("/", &standard, true), Outside::new("https", "b", 8443));
        assert_eq!(seen("/", &[("host", "a"), ("x-forwarded-port", "81")], true), Outside::new("http", "a", 81));
        for bad in ["data", "/da ta", "/data?x", "/da\"ta"] {
            assert_eq!(Outside::new("http", "a", 80).unwrap().below(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_client_is_the_last_address_that_is_no_trusted_proxy() {
        let trusts = |address: IpAddr| address.to_string().starts_with("10.");
        let of = |peer: &str, way: &[(&'static str, &'static str)]| {
            let peer = format!("{peer}:999").parse().unwrap();
            let arrival = Arrival { peer, peer_value: Arrival::value_of(peer), ..arrival() };
            let (client, way) = client_of(&headers(way), &arrival, trusts);
            (client.to_string(), way.to_str().unwrap().to_owned())
        };
        let pair = |client: &str, way: &str| (client.to_owned(), way.to_owned());
        let way = [("x-forwarded-for", "6.6.6.6, 1.2.3.4"), ("x-forwarded-for", "10.0.0.2")];
        assert_eq!(of("10.0.0.1", &way), pair("1.2.3.4", "6.6.6.6, 1.2.3.4, 10.0.0.2, 10.0.0.1"));
        assert_eq!(of("1.1.1.1", &way), pair("1.1.1.1", "1.1.1.1"));
        assert_eq!(of("10.0.0.1", &[]), pair("10.0.0.1", "10.0.0.1"));
        let with_ports = [("x-forwarded-for", "[2001:db8::1]:55, 10.0.0.2:80")];
        assert_eq!(of("10.0.0.1", &with_ports).0, "2001:db8::1");
        assert_eq!(of("10.0.0.1", &[("x-forwarded-for", "garbage")]).0, "10.0.0.1");
    }

    #[test]
    fn a_path_before_the_gateway_stands_before_the_clusters() {
        let blue = Backend::for_tests("blue", "http://10.0.0.1:8080");
        let prefix = |outside: &Outside| {
            let mut added = Fields::default();
            outside.add_to(&mut added, &blue);
            added.to_map().get(X_FORWARDED_PREFIX).map(|prefix| prefix.to_str().unwrap().to_owned())
        };
        let outside = Outside::new("https", "a", 443).unwrap();
        let below = outside.clone().below("/data").unwrap();
        assert_eq!(prefix(&below).as_deref(), Some("/data/c/blue"));
        assert_eq!(prefix(&below.of_gateway()).as_deref(), Some("/data"));
        assert_eq!((outside.base(), below.base()), ("https://a".to_owned(), "https://a/data".to_owned()));
        assert_eq!(Outside::new("http", "[::1]", 8080).unwrap().base(), "http://[::1]:8080");
        assert_eq!(prefix(&Outside { level: Level::Direct, ..outside }), None);
    }
}
