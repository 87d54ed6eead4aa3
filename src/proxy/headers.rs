//! What of a message's headers passes the proxy, and what it adds. Pure.
//!
//! Everything passes, in its order and with its repetitions, but for: what is meant for one connection (RFC 9110,
//! section 7.6.1), what clients claim about forwarding, and what only the nodes of a cluster may say to each other.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONNECTION, HOST, LOCATION, SET_COOKIE, TE},
};

use super::{
    backend::Backend,
    fields::Fields,
    login::CALLBACK,
    outside::{Outside, X_FORWARDED_FOR},
    transaction,
};

/// The fields of the request to `backend` that a client's request with `headers` becomes. `forwarded_for` is what the
/// coordinator shall know of the way that the request came.
pub(super) fn to_coordinator(
    headers: &HeaderMap,
    backend: &Backend,
    outside: &Outside,
    forwarded_for: &HeaderValue,
) -> Fields {
    // It would refuse what is said about forwarding; and of what is compressed no URI can be replaced.
    let rewritten = backend.is_rewritten();
    let named: Vec<&str> = tokens(headers, CONNECTION).collect();
    let mut fields = Fields::new();
    for (name, value) in headers {
        if passes(name, rewritten) && !named.iter().any(|named| name.as_str().eq_ignore_ascii_case(named)) {
            match transaction::untagged(headers, name, value) {
                Some(bare) => fields.add(name, &bare),
                None => fields.add(name, value),
            }
        }
    }
    fields.add(&HOST, &backend.host);
    if accepts_trailers(headers) {
        fields.add(&TE, &HeaderValue::from_static("trailers"));
        fields.add(&CONNECTION, &HeaderValue::from_static("te"));
    }
    if !rewritten {
        outside.add_to(&mut fields, backend);
        fields.add(&X_FORWARDED_FOR, forwarded_for);
    }
    fields
}

/// Makes the response headers of `backend`'s coordinator those of the response to the client.
pub(super) fn to_client(headers: &mut HeaderMap, backend: &Backend, outside: &Outside) {
    if backend.is_rewritten()
        && let Some(location) = headers.get(LOCATION).and_then(|location| location.to_str().ok())
        && let Some(led) = backend.lead(outside).led(location)
        && let Ok(led) = HeaderValue::try_from(led)
    {
        headers.insert(LOCATION, led);
    }
    if !headers.contains_key(SET_COOKIE) {
        return;
    }
    let (of_ui, of_callback) = (outside.path_of(backend), outside.prefix());
    let moved = |cookie: &HeaderValue| with_path_below(cookie, &of_ui, of_callback);
    if headers.get_all(SET_COOKIE).iter().any(|cookie| moved(cookie).is_some()) {
        let cookies: Vec<HeaderValue> = headers.get_all(SET_COOKIE).iter().cloned().collect();
        headers.remove(SET_COOKIE);
        for cookie in cookies {
            let cookie = moved(&cookie).unwrap_or(cookie);
            headers.append(SET_COOKIE, cookie);
        }
    }
}

/// The cookie for the place where the cluster's UI really is, below `of_ui`, if it is for `/ui`; or the callback of
/// logins, below `of_callback`.
fn with_path_below(cookie: &HeaderValue, of_ui: &str, of_callback: &str) -> Option<HeaderValue> {
    let text = cookie.to_str().ok()?;
    let mut moved = false;
    let attributes: Vec<String> = text
        .split(';')
        .enumerate()
        .map(|(index, attribute)| match attribute.split_once('=') {
            // The first is the cookie itself, whatever its name.
            Some((name, path)) if index > 0 && name.trim().eq_ignore_ascii_case("path") => match path.trim() {
                path if is_ui(path) => {
                    moved = true;
                    format!("{name}={of_ui}{path}")
                }
                CALLBACK => {
                    moved = true;
                    format!("{name}={of_callback}{CALLBACK}")
                }
                _ => attribute.to_owned(),
            },
            _ => attribute.to_owned(),
        })
        .collect();
    if moved { HeaderValue::from_str(&attributes.join(";")).ok() } else { None }
}

fn is_ui(path: &str) -> bool {
    path == "/ui" || path.starts_with("/ui/")
}

/// Drops what is meant for one connection only: the fields that the RFC lists, and those that `Connection` names.
pub(super) fn drop_hop_by_hop(headers: &mut HeaderMap) {
    let named = tokens(headers, CONNECTION).filter_map(|name| name.parse().ok());
    let listed = headers.keys().filter(|name| is_of_connection(name)).cloned();
    let dropped: Vec<HeaderName> = named.chain(listed).collect();
    for name in dropped {
        headers.remove(name);
    }
}

/// Whether a field is always meant for one connection only.
pub(super) fn is_of_connection(name: &HeaderName) -> bool {
    matches!(name.as_str(), "connection" | "keep-alive" | "proxy-connection" | "te" | "transfer-encoding" | "upgrade")
}

fn accepts_trailers(headers: &HeaderMap) -> bool {
    tokens(headers, TE).any(|coding| coding.eq_ignore_ascii_case("trailers"))
}

/// The words of a field that is a list (RFC 9110, section 5.6.1), over all its lines.
pub(super) fn tokens(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    headers.get_all(name).into_iter().flat_map(words)
}

/// The words of one line of a field that is a list; none if it is no text.
pub(super) fn words(line: &HeaderValue) -> impl Iterator<Item = &str> {
    line.to_str().into_iter().flat_map(|line| line.split(',')).map(str::trim)
}

/// Whether a field of a client's request is for the coordinator. If URIs are `rewritten`, the answer must not be compressed.
fn passes(name: &HeaderName, rewritten: bool) -> bool {
    match name.as_str() {
        // Most of Trino's clients' fields.
        text if text.starts_with("x-") => !is_refused(text),
        // Trailers pass only if `Trailer` announces them. No client of Trino has any, and a refused header must not come as one.
        "host" | "trailer" | "forwarded" => false,
        "accept-encoding" => !rewritten,
        text => !is_of_connection(name) && !is_refused(text),
    }
}

/// Whether a client may not say this: it is about forwarding, or between the nodes of a cluster. Servers that map
/// headers to variables take `_` for `-`, so both are meant.
fn is_refused(name: &str) -> bool {
    match name.as_bytes() {
        [b'x', _, b'f', ..] => begins(name, "x-forwarded-"),
        [b'x', _, b'r', ..] => is(name, "x-real-ip"),
        [b'x', _, b't', ..] => begins(name, "x-trino-internal-"),
        [b'x', _, b'p', ..] => begins(name, "x-presto-internal-"),
        _ => false,
    }
}

fn is(name: &str, meant: &str) -> bool {
    name.len() == meant.len() && begins(name, meant)
}

fn begins(name: &str, meant: &str) -> bool {
    let same = |(byte, meant): (u8, u8)| byte == meant || (byte == b'_' && meant == b'-');
    name.len() >= meant.len() && name.bytes().zip(meant.bytes()).all(same)
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

    fn blue() -> Backend {
        Backend::for_tests("blue", "http://10.0.0.1:8080")
    }

    fn outside() -> Outside {
        Outside::of(&"https://trino.example.com".parse().unwrap()).unwrap()
    }

    fn sent(request: &[(&str, &str)]) -> Vec<(String, String)> {
        let way = HeaderValue::from_static("10.1.2.3");
        let fields = to_coordinator(&headers(request), &blue(), &outside(), &way);
        lines(&fields.to_map()).into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    const ADDED: [(&str, &str); 6] = [
        ("host", "10.0.0.1:8080"),
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
            ("trailer", "x-trino-internal-bearer"),
        ];
        assert_eq!(sent(&request), and_added(&[]));
        let with_trailers = sent(&[("te", "gzip, Trailers")]);
        for line in [("te", "trailers"), ("connection", "te")] {
            assert!(with_trailers.contains(&(line.0.to_owned(), line.1.to_owned())), "{with_trailers:?}");
        }
    }

    #[test]
    fn a_cookie_for_the_ui_moves_below_the_prefix_and_no_other_does() {
        let mut answer = headers(&[
            ("set-cookie", "Trino-UI-Token=a.b; Version=1; Path=/ui; HttpOnly"),
            ("set-cookie", "other=path=/ui; Path=/"),
            ("set-cookie", "path=/ui"),
            ("set-cookie", "x=1;path=/ui/api"),
            ("set-cookie", "x=1; Path=/uix"),
            ("set-cookie", "nonce=1;Path=/oauth2/callback;Secure"),
        ]);
        to_client(&mut answer, &blue(), &outside());
        assert_eq!(
            lines(&answer),
            [
                ("set-cookie", "Trino-UI-Token=a.b; Version=1; Path=/c/blue/ui; HttpOnly"),
                ("set-cookie", "other=path=/ui; Path=/"),
                ("set-cookie", "path=/ui"),
                ("set-cookie", "x=1;path=/c/blue/ui/api"),
                ("set-cookie", "x=1; Path=/uix"),
                ("set-cookie", "nonce=1;Path=/oauth2/callback;Secure"),
            ]
        );
    }
}
