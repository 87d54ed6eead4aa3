//! Requests that another reader might take for something else, and that the HTTP library lets pass: refused, and their
//! connection closed. Pure; sees the head after it was parsed.

use http::{
    HeaderMap, HeaderValue, Request, Version,
    header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING},
    uri::Authority,
};

/// What is wrong with a request's head; none if it can be read in one way only. `is_empty` says that no body follows, and
/// `knows` of which `Host` it is known that it is valid.
pub(super) fn fault<B>(
    request: &Request<B>,
    is_empty: bool,
    knows: impl Fn(&HeaderValue) -> bool,
) -> Option<&'static str> {
    // RFC 9113, 8.1.1. Over HTTP/1.1 nothing can follow but what was announced.
    let announced = || request.headers().get(CONTENT_LENGTH).is_some_and(|length| length != "0");
    if is_empty && request.version() == Version::HTTP_2 && announced() {
        return Some("the body that it announces does not come");
    }
    if request.uri().authority().is_some_and(|authority| !is_host(authority)) {
        return Some("its target names no valid host");
    }
    fault_of_hosts(request, knows).or_else(|| fault_of_coding(request.headers()))
}

/// RFC 9112, 3.2: without a `Host`, with several or with an invalid one, a request of HTTP/1.1 is answered 400. RFC 9113,
/// 8.3.1: with HTTP/2, `Host` is either left out or the same as the authority.
fn fault_of_hosts<B>(request: &Request<B>, knows: impl Fn(&HeaderValue) -> bool) -> Option<&'static str> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Some("it has several Host fields");
    }
    let Some(host) = first else { return (request.version() == Version::HTTP_11).then_some("it has no Host") };
    if request.version() == Version::HTTP_11 && knows(host) {
        return None;
    }
    let host = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()).filter(is_host);
    let Some(host) = host else { return Some("its Host is not valid") };
    let differs = |authority: &Authority| !authority.as_str().eq_ignore_ascii_case(host.as_str());
    (request.version() == Version::HTTP_2 && request.uri().authority().is_some_and(differs))
        .then_some("it names two hosts")
}

/// Host and maybe port: no user, and nothing else before or behind.
fn is_host(authority: &Authority) -> bool {
    let behind = authority.as_str().strip_prefix(authority.host());
    let port = behind.is_some_and(|behind| matches!(behind, "" | ":") || authority.port_u16().is_some());
    port && !authority.host().is_empty()
}

/// A body in another coding than `chunked` would be passed on without its coding, and so as something else; `chunked`
/// is applied once (RFC 9112, 6.1 and 7).
fn fault_of_coding(headers: &HeaderMap) -> Option<&'static str> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let plain = codings.next().is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
    (!plain || codings.next().is_some()).then_some("its transfer coding is not chunked alone")
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
        fault(&request.body(()).unwrap(), false, |host| host == "known")
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

    #[test]
    fn a_body_is_chunked_or_plain_and_in_no_other_coding() {
        let coded = |codings: &[&str]| {
            let lines: Vec<_> = codings.iter().map(|coding| ("transfer-encoding", *coding)).collect();
            of(Version::HTTP_10, "/", &lines)
        };
        assert_eq!(coded(&["chunked"]), None);
        assert_eq!(coded(&["CHUNKED"]), None);
        for codings in
            [&["gzip, chunked"][..], &["chunked, chunked"], &["chunked", "chunked"], &[",chunked"], &["gzip"]]
        {
            assert!(coded(codings).is_some(), "{codings:?}");
        }
    }
}
