//! Logins by OAuth2 through one redirect URI: identity providers know `/oauth2/callback` of the gateway and nothing of
//! its clusters, so a cookie says which cluster a login is for. Not a secret, and nothing is believed of it: it is
//! looked up in the table, and the coordinator verifies the state that it signed itself. What Trino does is in
//! `OAuth2Service`, `OAuth2CallbackResource` and `NonceCookie` (476).

use std::fmt::Write as _;

use http::{
    HeaderMap, HeaderValue,
    header::{COOKIE, LOCATION, SET_COOKIE},
};

use crate::trino::ClusterName;

/// Where the identity provider sends browsers back to.
pub(super) const CALLBACK: &str = "/oauth2/callback";

const COOKIE_NAME: &str = "Warren-OAuth2-Cluster";

/// How long a login may take at the provider, in seconds; Trino's own nonce lives as long (`challenge-timeout`, 15 min).
const MAX_AGE: u32 = 15 * 60;

/// Where clients see the gateway, as far as logins are concerned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    /// Scheme, authority, and the path before the gateway: `https://trino.example.com`.
    pub base: &'a str,
    pub cluster: &'a ClusterName,
}

/// Which cluster a callback is for, by its cookie.
pub(super) fn cluster_of(headers: &HeaderMap) -> Option<ClusterName> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE_NAME).and_then(|(_, value)| value.parse().ok())
}

/// Makes an answer that sends the client to an identity provider name the gateway's callback instead of the cluster's,
/// and remember the cluster.
pub(super) fn begin(headers: &mut HeaderMap, place: Place<'_>) {
    let location = headers.get(LOCATION).and_then(|location| location.to_str().ok());
    let Some(location) = location.and_then(|location| to_one_callback(location, place)) else { return };
    let Ok(location) = HeaderValue::try_from(location) else { return };
    headers.insert(LOCATION, location);
    let secure = if place.base.starts_with("https:") { "; Secure" } else { "" };
    let cookie = format!(
        "{COOKIE_NAME}={}; Path={}{CALLBACK}; Max-Age={MAX_AGE}; HttpOnly; SameSite=Lax{secure}",
        place.cluster,
        path_of(place.base)
    );
    headers.append(SET_COOKIE, HeaderValue::try_from(cookie).expect("a cluster's name and a plain path"));
}

/// Makes the answer to a callback lead to the UI of its cluster: without a prefix in the request, the coordinator knew
/// of none.
pub(super) fn end(headers: &mut HeaderMap, place: Place<'_>) {
    let location = headers.get(LOCATION).and_then(|location| location.to_str().ok()).unwrap_or_default();
    let path = location.strip_prefix(place.base).unwrap_or(location);
    if path.starts_with("/ui/") || path == "/ui" {
        let below = format!("{}/c/{}{path}", place.base, place.cluster);
        if let Ok(below) = HeaderValue::try_from(below) {
            headers.insert(LOCATION, below);
        }
    }
}

/// `location` with the gateway's callback as its `redirect_uri`; none if that is not the cluster's own.
fn to_one_callback(location: &str, Place { base, cluster }: Place<'_>) -> Option<String> {
    let (target, query) = location.split_once('?')?;
    let own = format!("{base}/c/{cluster}{CALLBACK}");
    let mut changed = false;
    let parameters: Vec<String> = query
        .split('&')
        .map(|parameter| match parameter.split_once('=') {
            Some(("redirect_uri", value)) if decode(value).as_deref() == Some(&own) => {
                changed = true;
                format!("redirect_uri={}", encode(&format!("{base}{CALLBACK}")))
            }
            _ => parameter.to_owned(),
        })
        .collect();
    changed.then(|| format!("{target}?{}", parameters.join("&")))
}

fn path_of(base: &str) -> &str {
    let authority = base.split_once("://").map_or(base, |(_, authority)| authority);
    authority.find('/').map_or("", |at| &authority[at..])
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

    fn blue() -> ClusterName {
        "blue".parse().unwrap()
    }

    fn with(name: http::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn a_login_begins_with_the_gateways_callback_and_remembers_its_cluster() {
        let place = Place { base: "https://trino.example.com/data", cluster: &blue() };
        let mut answer = with(
            LOCATION,
            "https://idp.example.com/auth?client_id=trino&redirect_uri=https%3A%2F%2Ftrino.example.com%2Fdata%2Fc%2Fblue%2Foauth2%2Fcallback&state=a%2Bb",
        );
        begin(&mut answer, place);
        assert_eq!(
            answer[LOCATION],
            "https://idp.example.com/auth?client_id=trino&redirect_uri=https%3A%2F%2Ftrino.example.com%2Fdata%2Foauth2%2Fcallback&state=a%2Bb"
        );
        let cookie = answer[SET_COOKIE].to_str().unwrap().to_owned();
        assert_eq!(
            cookie,
            "Warren-OAuth2-Cluster=blue; Path=/data/oauth2/callback; Max-Age=900; HttpOnly; SameSite=Lax; Secure"
        );
        let sent = cookie.split(';').next().unwrap();
        assert_eq!(cluster_of(&with(COOKIE, &format!("a=b; {sent}; c=d"))), Some(blue()));
    }

    #[test]
    fn other_redirects_stay_as_they_are() {
        for location in [
            "/ui/login.html",
            "https://idp.example.com/auth?redirect_uri=https%3A%2F%2Fother%2Foauth2%2Fcallback",
            "https://idp.example.com/auth?redirect_uri=%zz",
            "https://idp.example.com/auth?x=https%3A%2F%2Ftrino.example.com%2Fc%2Fblue%2Foauth2%2Fcallback",
        ] {
            let mut answer = with(LOCATION, location);
            begin(&mut answer, Place { base: "https://trino.example.com", cluster: &blue() });
            assert_eq!(answer, with(LOCATION, location));
        }
        assert_eq!(cluster_of(&with(COOKIE, "Warren-OAuth2-Cluster=Not a name")), None);
        assert_eq!(cluster_of(&HeaderMap::new()), None);
    }

    #[test]
    fn a_login_ends_at_the_ui_of_its_cluster() {
        let place = Place { base: "https://trino.example.com", cluster: &blue() };
        for (location, expected) in [
            ("https://trino.example.com/ui/", "https://trino.example.com/c/blue/ui/"),
            ("/ui/", "https://trino.example.com/c/blue/ui/"),
            ("https://elsewhere.example.com/ui/", "https://elsewhere.example.com/ui/"),
        ] {
            let mut answer = with(LOCATION, location);
            end(&mut answer, place);
            assert_eq!(answer[LOCATION], expected);
        }
    }
}
