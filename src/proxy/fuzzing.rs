//! Ways to what is private here, for the targets in `fuzz/`; unit tests compile them, too, so that
//! they do not rot, and no other build has them. Each does what the proxy does with
//! the same bytes, and nothing else.

use std::sync::Mutex;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Uri, header::CONTENT_ENCODING};

use super::{
    Shard,
    backend::Backend,
    endpoint::{self, Endpoint},
    headers, http1,
    outside::{Arrival, Outside, client_of},
    peek::Peek,
    rewrite::{Lead, Rewriter},
    sent::Sent,
    transaction,
};

/// The cluster and the path at its coordinator, if the request is for one.
pub fn classify<'a>(method: &Method, path: &'a str) -> Option<(&'a str, &'a str)> {
    match endpoint::classify(method, path) {
        Endpoint::OfCluster(asked) => Some((asked.cluster, asked.path)),
        Endpoint::Statement
        | Endpoint::Info
        | Endpoint::Callback
        | Endpoint::Events
        | Endpoint::Query(_)
        | Endpoint::Unknown => None,
    }
}

/// A client's headers as the coordinator of `blue`, at `10.0.0.1:8080`, gets them. The peer is `192.0.2.1`, `trusted` or
/// not. None if they name no valid host.
pub fn to_coordinator(headers: &HeaderMap, trusted: bool) -> Option<HeaderMap> {
    let backend = Backend::for_tests("blue", "http://10.0.0.1:8080");
    let (peer, local) = (([192, 0, 2, 1], 999).into(), ([192, 0, 2, 2], 8080).into());
    let arrival = Arrival {
        shard: Shard::default(),
        peer,
        peer_value: Arrival::value_of(peer),
        local,
        secure: false,
        server_name: None,
        listener: None,
        for_events: false,
        seen: Mutex::default(),
        sent: Sent::default(),
    };
    let (_, forwarded_for) = client_of(headers, &arrival, |_| trusted);
    let outside = Outside::seen_by(&Uri::from_static("/"), headers, &arrival, trusted)?;
    Some(headers::to_coordinator(headers, &backend, &outside, &forwarded_for).to_map())
}

/// Tags the ids of started transactions with `cluster`.
pub fn tag(headers: &mut HeaderMap, cluster: &str) {
    transaction::tag(headers, &cluster.parse().expect("a name"));
}

/// Takes the cluster's name off a transaction's id.
pub fn untag(headers: &mut HeaderMap) -> Option<String> {
    transaction::untag(headers)
}

/// The query's id, and whether it goes on, as the head of a page that comes in `pieces` says.
pub fn peek(pieces: &[&[u8]], gzip: bool) -> Option<(String, bool)> {
    let mut headers = HeaderMap::new();
    if gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    let mut peek = Peek::new(&headers)?;
    let head = pieces.iter().find_map(|piece| peek.feed(piece))?;
    Some((head.query.to_string(), head.goes_on))
}

/// The requests of a client's stream that comes in `pieces`; with `remembers` as a connection reads them, and without it
/// each as if it were the first.
pub fn requests(pieces: &[&[u8]], remembers: bool) -> Vec<String> {
    http1::requests(pieces, remembers)
}

/// A page that comes in `pieces` with the URIs of `from` led to `to`.
pub fn rewrite(pieces: &[&[u8]], from: &str, to: &str) -> Vec<u8> {
    let mut rewriter = Rewriter::new(Lead { from: from.to_owned(), to: to.to_owned() });
    let mut page = Vec::new();
    for piece in pieces {
        page.extend_from_slice(&rewriter.feed(&Bytes::copy_from_slice(piece)));
    }
    page.extend_from_slice(&rewriter.finish());
    page
}
