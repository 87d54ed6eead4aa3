//! Logins by OAuth2 through one redirect URI: identity providers know `/oauth2/callback` of the gateway and nothing of
//! its clusters, so the `state` that they hand back begins with the name of the cluster. Nothing is believed of it: it is
//! looked up in the table, and the coordinator verifies what it signed itself. What Trino does is in `OAuth2Authenticator`,
//! `OAuth2TokenExchangeResource` and `OAuth2WebUiAuthenticationFilter` (476, tried with dex): its URIs of a login begin at
//! the root of the gateway, whatever prefix the request has. A newer one's that have the prefix stay as they are.

use std::fmt::Write as _;

use http::{
    HeaderMap, HeaderValue,
    header::{COOKIE, LOCATION, SET_COOKIE, WWW_AUTHENTICATE},
};

use super::{backend::Backend, outside::Outside, rewrite::Lead};
use crate::trino::ClusterName;

/// Where the identity provider sends browsers back to.
pub(super) const CALLBACK: &str = "/oauth2/callback";

/// Below it clients begin a login and wait for its token.
const TOKEN: &str = "/oauth2/token";

/// The cookie in which Trino keeps the nonce of a login until the callback (`NonceCookie`, 476): one for each browser. Here it
/// is one for each cluster, so that logins at two of them do not take each other's.
const NONCE: &str = "__Secure-Trino-Nonce";

/// Where clients see the gateway and a cluster behind it, as far as logins are concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    cluster: ClusterName,
    /// What the coordinator's own URIs begin with, without a path: `https://trino.example.com`.
    from: String,
    /// The same, and the path before the gateway: `https://trino.example.com/data`.
    gateway: String,
    /// The same, and the path of the cluster: `https://trino.example.com/data/c/blue`.
    below: String,
}

impl Place {
    pub(super) fn new(backend: &Backend, outside: &Outside) -> Self {
        let gateway = outside.base();
        let origin = &gateway[..gateway.len() - outside.prefix().len()];
        let below = format!("{origin}{}", outside.path_of(backend));
        let from = if backend.is_rewritten() { backend.address().to_string() } else { origin.to_owned() };
        Self { cluster: backend.name.clone(), from, gateway, below }
    }

    /// How the URIs of tokens in an answer's body become ones that lead to the cluster.
    pub(super) fn lead(&self) -> Lead {
        Lead { from: format!("{}{TOKEN}", self.from), to: format!("{}{TOKEN}", self.below) }
    }
}

/// The cluster that a callback is for, by its query, and the query as the coordinator shall see it.
pub(super) fn cluster_of(query: &str) -> Option<(ClusterName, String)> {
    let mut cluster = None;
    let parameters: Vec<String> = query
        .split('&')
        .map(|parameter| match parameter.strip_prefix("state=").and_then(split_at_dot) {
            Some((name, state)) if cluster.is_none() => {
                cluster = name.parse().ok();
                format!("state={state}")
            }
            _ => parameter.to_owned(),
        })
        .collect();
    Some((cluster?, parameters.join("&")))
}

/// Makes a coordinator's challenge name the cluster where the login is to begin.
pub(super) fn challenge(headers: &mut HeaderMap, place: &Place) {
    let Lead { from, to } = place.lead();
    let (from, to) = (format!("=\"{from}/"), format!("=\"{to}/"));
    for (_, value) in headers.iter_mut().filter(|(name, _)| **name == WWW_AUTHENTICATE) {
        let led = value.to_str().ok().filter(|text| text.contains(&from)).map(|text| text.replace(&from, &to));
        if let Some(Ok(led)) = led.map(HeaderValue::try_from) {
            *value = led;
        }
    }
}

/// Makes an answer's cookie with a nonce that of its cluster.
pub(super) fn keep_nonce(headers: &mut HeaderMap, place: &Place) {
    for (_, value) in headers.iter_mut().filter(|(name, _)| **name == SET_COOKIE) {
        let rest = value.to_str().ok().and_then(|text| text.strip_prefix(NONCE)?.strip_prefix('='));
        if let Some(Ok(named)) = rest.map(|rest| HeaderValue::try_from(format!("{NONCE}.{}={rest}", place.cluster))) {
            *value = named;
        }
    }
}

/// Makes the cookie with the nonce of `cluster` that which its coordinator knows.
pub(super) fn give_nonce(headers: &mut HeaderMap, cluster: &ClusterName) {
    let (from, to) = (format!("{NONCE}.{cluster}="), format!("{NONCE}="));
    for (_, value) in headers.iter_mut().filter(|(name, _)| **name == COOKIE) {
        let text = value.to_str().ok().filter(|text| text.contains(&from));
        if let Some(Ok(given)) = text.map(|text| HeaderValue::try_from(text.replace(&from, &to))) {
            *value = given;
        }
    }
}

/// Makes an answer that sends the client to an identity provider name the gateway's callback, and remember the cluster.
pub(super) fn begin(headers: &mut HeaderMap, place: &Place) {
    let location = headers.get(LOCATION).and_then(|location| location.to_str().ok());
    let location = location.and_then(|location| to_one_callback(location, place));
    if let Some(Ok(location)) = location.map(HeaderValue::try_from) {
        headers.insert(LOCATION, location);
    }
}

/// Makes the answer to a callback lead to the UI of its cluster: without a prefix in the request, the coordinator knew
/// of none.
pub(super) fn end(headers: &mut HeaderMap, place: &Place) {
    let location = headers.get(LOCATION).and_then(|location| location.to_str().ok()).unwrap_or_default();
    let of_gateway = location.strip_prefix(&place.gateway).filter(|path| is_ui(path));
    let path = of_gateway.or_else(|| location.strip_prefix(&place.from)).unwrap_or(location);
    if is_ui(path)
        && let Ok(below) = HeaderValue::try_from(format!("{}{path}", place.below))
    {
        headers.insert(LOCATION, below);
    }
}

fn is_ui(path: &str) -> bool {
    path == "/ui" || path.starts_with("/ui/")
}

/// `location` with the gateway's callback as its `redirect_uri` and the cluster's name before its `state`; none if the
/// callback is not the cluster's own.
fn to_one_callback(location: &str, place: &Place) -> Option<String> {
    let (target, query) = location.split_once('?')?;
    let callback = format!("{}{CALLBACK}", place.gateway);
    let is_own =
        |uri: String| [&place.from, &place.gateway, &place.below].iter().any(|base| uri == format!("{base}{CALLBACK}"));
    let (mut is_led, mut is_remembered) = (false, false);
    let parameters: Vec<String> = query
        .split('&')
        .map(|parameter| match parameter.split_once('=') {
            Some(("redirect_uri", value)) if decode(value).is_some_and(is_own) => {
                is_led = true;
                format!("redirect_uri={}", encode(&callback))
            }
            Some(("state", value)) => {
                is_remembered = true;
                format!("state={}.{value}", place.cluster)
            }
            _ => parameter.to_owned(),
        })
        .collect();
    (is_led && is_remembered).then(|| format!("{target}?{}", parameters.join("&")))
}

/// A state before and after its first dot, which a provider may have encoded.
fn split_at_dot(state: &str) -> Option<(&str, &str)> {
    [".", "%2E", "%2e"].iter().find_map(|dot| state.split_once(dot))
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a String takes everything");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(path: &str) -> Place {
        let from = "https://trino.example.com".to_owned();
        let gateway = format!("{from}{path}");
        Place { cluster: "blue".parse().unwrap(), below: format!("{gateway}/c/blue"), from, gateway }
    }

    fn with(name: http::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn a_login_begins_with_the_gateways_callback_and_remembers_its_cluster() {
        for own in ["", "%2Fdata", "%2Fdata%2Fc%2Fblue"] {
            let mut answer = with(
                LOCATION,
                &format!(
                    "https://idp.example.com/auth?client_id=trino&redirect_uri=https%3A%2F%2Ftrino.example.com{own}%2Foauth2%2Fcallback&state=a.b%2Bc"
                ),
            );
            begin(&mut answer, &place("/data"));
            assert_eq!(
                answer[LOCATION],
                "https://idp.example.com/auth?client_id=trino&redirect_uri=https%3A%2F%2Ftrino.example.com%2Fdata%2Foauth2%2Fcallback&state=blue.a.b%2Bc"
            );
        }
    }

    #[test]
    fn other_redirects_stay_as_they_are() {
        for location in [
            "/ui/login.html",
            "https://idp.example.com/auth?redirect_uri=https%3A%2F%2Fother%2Foauth2%2Fcallback&state=a",
            "https://idp.example.com/auth?redirect_uri=https%3A%2F%2Ftrino.example.com%2Fc%2Fgreen%2Foauth2%2Fcallback&state=a",
            "https://idp.example.com/auth?redirect_uri=https%3A%2F%2Ftrino.example.com%2Foauth2%2Fcallback",
            "https://idp.example.com/auth?redirect_uri=%zz&state=a",
            "https://idp.example.com/auth?x=https%3A%2F%2Ftrino.example.com%2Fc%2Fblue%2Foauth2%2Fcallback&state=a",
        ] {
            let mut answer = with(LOCATION, location);
            begin(&mut answer, &place(""));
            assert_eq!(answer, with(LOCATION, location));
        }
    }

    #[test]
    fn a_callback_is_for_the_cluster_before_the_first_dot_of_its_state() {
        for (query, expected) in [
            ("code=c&state=blue.a.b", Some("code=c&state=a.b")),
            ("state=blue%2Ea%2Eb&error=access_denied", Some("state=a%2Eb&error=access_denied")),
            ("state=blue%2ea", Some("state=a")),
            ("state=blue.a&state=green.b", Some("state=a&state=green.b")),
            ("state=blue", None),
            ("state=.a", None),
            ("state=eyJhbGciOiJIUzI1NiJ9.e30.c2ln", None),
            ("state=..%2Fblue.a", None),
            ("mystate=blue.a", None),
            ("", None),
        ] {
            let found = cluster_of(query);
            assert_eq!(found, expected.map(|query| ("blue".parse().unwrap(), query.to_owned())), "{query}");
        }
    }

    #[test]
    fn a_challenge_leads_to_its_cluster() {
        for (challenge_of, expected) in [
            (
                r#"Bearer x_redirect_server="https://trino.example.com/oauth2/token/initiate/7f", x_token_server="https://trino.example.com/oauth2/token/3a""#,
                r#"Bearer x_redirect_server="https://trino.example.com/data/c/blue/oauth2/token/initiate/7f", x_token_server="https://trino.example.com/data/c/blue/oauth2/token/3a""#,
            ),
            (
                r#"Bearer x_token_server="https://trino.example.com/data/c/blue/oauth2/token/3a""#,
                r#"Bearer x_token_server="https://trino.example.com/data/c/blue/oauth2/token/3a""#,
            ),
            (
                r#"Bearer x_token_server="https://trino.example.com.other/oauth2/token/3a""#,
                r#"Bearer x_token_server="https://trino.example.com.other/oauth2/token/3a""#,
            ),
            (r#"Basic realm="Trino""#, r#"Basic realm="Trino""#),
        ] {
            let mut answer = with(WWW_AUTHENTICATE, r#"Basic realm="Trino""#);
            answer.append(WWW_AUTHENTICATE, challenge_of.parse().unwrap());
            challenge(&mut answer, &place("/data"));
            let values: Vec<_> = answer.get_all(WWW_AUTHENTICATE).iter().collect();
            assert_eq!(values, [r#"Basic realm="Trino""#, expected]);
        }
    }

    #[test]
    fn a_nonce_is_kept_for_its_cluster() {
        let mut answer = with(SET_COOKIE, "__Secure-Trino-Nonce=ab;Version=1;Path=/oauth2/callback");
        answer.append(SET_COOKIE, HeaderValue::from_static("__Secure-Trino-Nonce2=a"));
        keep_nonce(&mut answer, &place(""));
        let kept: Vec<_> = answer.get_all(SET_COOKIE).iter().collect();
        assert_eq!(kept, ["__Secure-Trino-Nonce.blue=ab;Version=1;Path=/oauth2/callback", "__Secure-Trino-Nonce2=a"]);
        let mut request = with(COOKIE, "a=b; __Secure-Trino-Nonce.green=cd; __Secure-Trino-Nonce.blue=ab");
        give_nonce(&mut request, &"blue".parse().unwrap());
        assert_eq!(request[COOKIE], "a=b; __Secure-Trino-Nonce.green=cd; __Secure-Trino-Nonce=ab");
    }

    #[test]
    fn a_login_ends_at_the_ui_of_its_cluster() {
        for (location, expected) in [
            ("https://trino.example.com/data/ui/", "https://trino.example.com/data/c/blue/ui/"),
            ("https://trino.example.com/ui/", "https://trino.example.com/data/c/blue/ui/"),
            ("/ui/", "https://trino.example.com/data/c/blue/ui/"),
            ("https://trino.example.com/data/c/blue/ui/", "https://trino.example.com/data/c/blue/ui/"),
            ("https://elsewhere.example.com/ui/", "https://elsewhere.example.com/ui/"),
        ] {
            let mut answer = with(LOCATION, location);
            end(&mut answer, &place("/data"));
            assert_eq!(answer[LOCATION], expected);
        }
    }
}
