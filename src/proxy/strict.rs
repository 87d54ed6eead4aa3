//! Requests that another reader might take to be for somebody else: refused, and their connection closed. Pure; sees the
//! head after it was parsed, and its framing found to be clear.

use http::{
    HeaderValue, Version,
    header::{CONTENT_LENGTH, HOST},
    uri::Authority,
};
use http_body::Body as _;

use super::client::ClientRequest;

/// What is wrong with a request's head; none if it can be read in one way only. `knows` says of which `Host` it is known that it is valid.
pub(super) fn fault(request: &ClientRequest, knows: impl Fn(&HeaderValue) -> bool) -> Option<&'static str> {
    // RFC 9113, 8.1.1. Over HTTP/1.1 nothing can follow but what was announced.
    let announced = || request.headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0");
    if request.version == Version::HTTP_2 && request.body.is_end_stream() && announced() {
        return Some("the body that it announces does not come");
    }
    if request.uri.authority().is_some_and(|authority| !is_host(authority)) {
        return Some("its target names no valid host");
    }
    fault_of_hosts(request, knows)
}

/// RFC 9112, 3.2: without a `Host`, with several or with an invalid one, a request of HTTP/1.1 is answered 400. RFC 9113,
/// 8.3.1: with HTTP/2, `Host` is either left out or the same as the authority.
fn fault_of_hosts(request: &ClientRequest, knows: impl Fn(&HeaderValue) -> bool) -> Option<&'static str> {
    let mut hosts = request.headers.get_all(HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Some("it has several Host fields");
    }
    let Some(host) = first else { return (request.version == Version::HTTP_11).then_some("it has no Host") };
    if request.version == Version::HTTP_11 && knows(host) {
        return None;
    }
    let host = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()).filter(is_host);
    let Some(host) = host else { return Some("its Host is not valid") };
    let differs = |authority: &Authority| !authority.as_str().eq_ignore_ascii_case(host.as_str());
    (request.version == Version::HTTP_2 && request.uri.authority().is_some_and(differs)).then_some("it names two hosts")
}

/// Host and maybe port: no user, and nothing else before or behind.
fn is_host(authority: &Authority) -> bool {
    let behind = authority.as_str().strip_prefix(authority.host());
    let port = behind.is_some_and(|behind| matches!(behind, "" | ":") || authority.port_u16().is_some());
    port && !authority.host().is_empty()
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn of(version: Version, target: &str, lines: &[(&str, &str)]) -> Option<&'static str> {
        let mut request = Request::builder().version(version).uri(target);
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        fault(&ClientRequest::for_tests(request.body(()).unwrap()), |host| host == "known")
    }

    #[test]
    fn a_request_names_one_valid_host() {
        for (target, hosts) in [
            ("/", &["a"][..]),
            ("/", &["a:8080"]),
            ("/", &["a:"]),
            ("/", &["[::1]:8080"]),
            ("/", &["trino-1.example.com"]),
            ("/", &["known"]),
            ("http://b/", &["a"]),
        ] {
            let lines: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
            assert_eq!(of(Version::HTTP_11, target, &lines), None, "{target} {hosts:?}");
        }
        for (target, hosts) in [
            ("/", &[][..]),
            ("/", &[""]),
            ("/", &["a", "a"]),
            ("/", &["known", "known"]),
            ("/", &["a b"]),
            ("/", &["a/b"]),
            ("/", &["a:b"]),
            ("/", &["a:99999"]),
            ("/", &["u@a"]),
            ("/", &[":80"]),
            ("http://u@b/", &["a"]),
        ] {
            let lines: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
            assert!(of(Version::HTTP_11, target, &lines).is_some(), "{target} {hosts:?}");
        }
        assert_eq!(of(Version::HTTP_10, "/", &[]), None);
        assert_eq!(of(Version::HTTP_2, "https://a/", &[]), None);
        assert_eq!(of(Version::HTTP_2, "https://a/", &[("host", "A")]), None);
        assert!(of(Version::HTTP_2, "https://a/", &[("host", "b")]).is_some());
    }
}
