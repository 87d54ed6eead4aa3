//! What the span of a request says, by OpenTelemetry's conventions for HTTP servers and a few names of Warren's. Never a
//! statement, a query string, or what in a path is a secret: the slug of a poll, the id of a segment or of a login.

use std::{net::IpAddr, sync::Arc};

use http::{Method, Version, header::USER_AGENT};

use super::{
    client::ClientRequest,
    endpoint::{Endpoint, Kind},
    outside::Arrival,
};
use crate::{
    telemetry::{Span, Traces},
    trino::event::EVENTS_PATH,
};

/// The most characters of a client's own name for itself.
const MAX_AGENT: usize = 256;

/// Begins the span of a request, if it is sampled; its headers then say where in the trace it is.
pub(super) fn begin(
    traces: &Traces,
    request: &mut ClientRequest,
    endpoint: &Endpoint<'_>,
    kind: Kind,
    arrival: &Arrival,
) -> Option<Box<Span>> {
    let mut span = Box::new(traces.begin(Arc::make_mut(&mut request.headers))?);
    let method = method_of(&request.method);
    let route = route(endpoint);
    span.call(match (method, route) {
        (None, _) => "HTTP".to_owned(),
        (Some(method), None) => method.to_owned(),
        (Some(method), Some(route)) => format!("{method} {route}"),
    });
    span.text("http.request.method", method.unwrap_or("_OTHER"));
    if let Some(route) = route {
        span.text("http.route", route);
        span.text("url.path", path(route, endpoint));
    }
    span.text("url.scheme", if arrival.secure { "https" } else { "http" });
    if let Some(version) = version_of(request.version) {
        span.text("network.protocol.version", version);
    }
    span.text("network.peer.address", arrival.peer.ip().to_canonical().to_string());
    span.number("network.peer.port", arrival.peer.port());
    if let Some(agent) = request.headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()) {
        span.text("user_agent.original", agent.chars().take(MAX_AGENT).collect::<String>());
    }
    span.text("warren.kind", kind.as_str());
    Some(span)
}

/// Adds who asks, and under which name of the gateway.
pub(super) fn came_from(span: &mut Span, client: IpAddr, host: &str) {
    span.text("client.address", client.to_string());
    span.text("server.address", host);
}

/// The methods that have a name in the conventions.
fn method_of(method: &Method) -> Option<&'static str> {
    Some(match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        Method::CONNECT => "CONNECT",
        Method::TRACE => "TRACE",
        _ => return None,
    })
}

fn version_of(version: Version) -> Option<&'static str> {
    match version {
        Version::HTTP_10 => Some("1.0"),
        Version::HTTP_11 => Some("1.1"),
        Version::HTTP_2 => Some("2"),
        _ => None,
    }
}

/// How the paths below a cluster begin, and their routes; what is in none is a page of the UI.
const ROUTES: [(&str, &str); 8] = [
    (
        "/v1/statement/executing/partialCancel/",
        "/c/{cluster}/v1/statement/executing/partialCancel/{query}/{stage}/{slug}/{token}",
    ),
    ("/v1/statement/executing/", "/c/{cluster}/v1/statement/executing/{query}/{slug}/{token}"),
    ("/v1/statement/queued/", "/c/{cluster}/v1/statement/queued/{query}/{slug}/{token}"),
    ("/v1/query/", "/c/{cluster}/v1/query/{query}"),
    ("/v1/spooled/download/", "/c/{cluster}/v1/spooled/download/{segment}"),
    ("/v1/spooled/ack/", "/c/{cluster}/v1/spooled/ack/{segment}"),
    ("/v1/info", "/c/{cluster}/v1/info"),
    ("/oauth2/", "/c/{cluster}/oauth2/{leg}"),
];

/// The path with names in place of what differs; none for what is not served.
fn route(endpoint: &Endpoint<'_>) -> Option<&'static str> {
    let asked = match endpoint {
        Endpoint::Statement => return Some("/v1/statement"),
        Endpoint::Info => return Some("/v1/info"),
        Endpoint::Query(_) => return Some("/v1/query/{query}"),
        Endpoint::Callback => return Some("/oauth2/callback"),
        Endpoint::Events => return Some(EVENTS_PATH),
        Endpoint::Unknown => return None,
        Endpoint::OfCluster(asked) => asked,
    };
    let known = ROUTES.iter().find(|(begin, _)| asked.path.starts_with(begin));
    Some(known.map_or("/c/{cluster}/ui/{page}", |(_, route)| route))
}

/// The route with the cluster and the query filled in; the rest stays unsaid.
fn path(route: &str, endpoint: &Endpoint<'_>) -> String {
    let (cluster, query) = match endpoint {
        Endpoint::OfCluster(asked) => (Some(asked.cluster), asked.query),
        Endpoint::Query(query) => (None, Some(*query)),
        _ => (None, None),
    };
    let segments = route.split('/').map(|segment| match segment {
        "{cluster}" => cluster.unwrap_or(REDACTED),
        "{query}" => query.as_ref().map_or(REDACTED, |query| query.as_str()),
        segment if segment.starts_with('{') => REDACTED,
        segment => segment,
    });
    segments.collect::<Vec<_>>().join("/")
}

/// The word of OpenTelemetry for what is left out.
const REDACTED: &str = "REDACTED";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::endpoint::classify;

    const ID: &str = "20250805_101112_00003_abcde";

    #[test]
    fn a_path_is_told_without_its_secrets() {
        for (method, asked, told_route, told_path) in [
            (Method::POST, "/v1/statement".to_owned(), "/v1/statement", "/v1/statement".to_owned()),
            (Method::GET, "/v1/info".to_owned(), "/v1/info", "/v1/info".to_owned()),
            (Method::GET, format!("/v1/query/{ID}"), "/v1/query/{query}", format!("/v1/query/{ID}")),
            (Method::GET, "/oauth2/callback".to_owned(), "/oauth2/callback", "/oauth2/callback".to_owned()),
            (
                Method::GET,
                format!("/c/blue/v1/statement/queued/{ID}/y0secret/1"),
                "/c/{cluster}/v1/statement/queued/{query}/{slug}/{token}",
                format!("/c/blue/v1/statement/queued/{ID}/REDACTED/REDACTED"),
            ),
            (
                Method::DELETE,
                format!("/c/blue/v1/statement/executing/partialCancel/{ID}/2/y0secret/1"),
                "/c/{cluster}/v1/statement/executing/partialCancel/{query}/{stage}/{slug}/{token}",
                format!("/c/blue/v1/statement/executing/partialCancel/{ID}/REDACTED/REDACTED/REDACTED"),
            ),
            (
                Method::GET,
                "/c/blue/v1/statement/executing/no%20id/y0secret/1".to_owned(),
                "/c/{cluster}/v1/statement/executing/{query}/{slug}/{token}",
                "/c/blue/v1/statement/executing/REDACTED/REDACTED/REDACTED".to_owned(),
            ),
            (
                Method::GET,
                "/c/blue/v1/spooled/download/secret=".to_owned(),
                "/c/{cluster}/v1/spooled/download/{segment}",
                "/c/blue/v1/spooled/download/REDACTED".to_owned(),
            ),
            (
                Method::DELETE,
                "/c/blue/v1/spooled/ack/secret".to_owned(),
                "/c/{cluster}/v1/spooled/ack/{segment}",
                "/c/blue/v1/spooled/ack/REDACTED".to_owned(),
            ),
            (
                Method::GET,
                "/c/blue/oauth2/token/secret".to_owned(),
                "/c/{cluster}/oauth2/{leg}",
                "/c/blue/oauth2/REDACTED".to_owned(),
            ),
            (
                Method::GET,
                "/c/blue/ui/api/query/x".to_owned(),
                "/c/{cluster}/ui/{page}",
                "/c/blue/ui/REDACTED".to_owned(),
            ),
            (Method::GET, "/c/blue/v1/info".to_owned(), "/c/{cluster}/v1/info", "/c/blue/v1/info".to_owned()),
        ] {
            let endpoint = classify(&method, &asked);
            assert_eq!(route(&endpoint), Some(told_route), "{asked}");
            assert_eq!(path(told_route, &endpoint), told_path);
        }
        assert_eq!(route(&classify(&Method::GET, "/v1/node?secret")), None);
    }
}
