//! What rules see of a new query: its headers, where it came from, and its statement. Pure; nothing here decides.

use std::{collections::BTreeMap, fmt, net::IpAddr};

use http::HeaderMap;
use jiff::Timestamp;

use super::table::Listener;

/// The most entries of one list or map that are read: what a client sends shall not decide how long a rule takes.
pub const MOST_ENTRIES: usize = 256;

/// What is known of a new query before it is sent anywhere. What the client left out is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// `X-Trino-User`, as the client claims it.
    pub user: String,
    /// `X-Trino-Source`, or what the listener presets.
    pub source: String,
    /// `X-Trino-Client-Tags`, or what the listener presets.
    pub tags: Vec<String>,
    /// `X-Trino-Client-Info`.
    pub client_info: String,
    /// `X-Trino-Catalog`.
    pub catalog: String,
    /// `X-Trino-Schema`.
    pub schema: String,
    /// `X-Trino-Session`: the properties by name, decoded.
    pub session: BTreeMap<String, String>,
    /// `X-Trino-Resource-Estimate` by name.
    pub resource_estimates: BTreeMap<String, String>,
    /// `X-Trino-Prepared-Statement`: texts by name, URL-decoded; what Trino has compressed still is.
    pub prepared: BTreeMap<String, String>,
    /// The first value of each header by its name in lower case; one that is no text is left out.
    pub headers: BTreeMap<String, String>,
    /// Where it came from.
    pub origin: Origin,
    /// What it asks.
    pub statement: Statement,
}

/// Where and when a query arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The client's address.
    pub remote: IpAddr,
    /// Name of the listener, if it has one.
    pub listener: Option<String>,
    /// Port of the listener.
    pub port: u16,
    /// The host that the client named, without port.
    pub host: Option<String>,
    /// The server name of its TLS handshake.
    pub sni: Option<String>,
    /// When.
    pub now: Timestamp,
}

/// The text of a new query, or why it is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    /// The text.
    Text(String),
    /// It was not read.
    Unread(Unread),
}

/// Why a statement was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// It is over the bound up to which the proxy keeps statements.
    TooLarge,
    /// It is not UTF-8.
    NotText,
    /// No rule asks for it.
    NotAsked,
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "the statement is larger than the proxy keeps",
            Self::NotText => "the statement is not UTF-8",
            Self::NotAsked => "the statement was not read",
        })
    }
}

impl Facts {
    /// The facts of a query with these headers. Names with `X-Presto-` count where the one with `X-Trino-` is absent.
    pub fn of(headers: &HeaderMap, origin: Origin, statement: Statement) -> Self {
        let of = Names { headers };
        Self {
            user: of.first("user"),
            source: of.first("source"),
            tags: of.list("client-tags").map(str::to_owned).take(MOST_ENTRIES).collect(),
            client_info: of.first("client-info"),
            catalog: of.first("catalog"),
            schema: of.first("schema"),
            session: of.properties("session"),
            resource_estimates: of.properties("resource-estimate"),
            prepared: of.properties("prepared-statement"),
            headers: first_values(headers),
            origin,
            statement,
        }
    }

    /// Puts what `listener` presets in where the client left it out.
    pub(super) fn complete(&mut self, listener: &Listener) {
        let Listener { name: _, source, client_tags } = listener;
        if self.source.is_empty() {
            self.source = source.clone().unwrap_or_default();
        }
        if self.tags.is_empty() {
            self.tags.clone_from(client_tags);
        }
    }
}

/// The headers of Trino's protocol by what stands after `X-Trino-`.
struct Names<'a> {
    headers: &'a HeaderMap,
}

impl<'a> Names<'a> {
    /// All values of a header, in their order.
    fn all(&self, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        let trino = format!("x-trino-{name}");
        let name = if self.headers.contains_key(&trino) { trino } else { format!("x-presto-{name}") };
        let values: Vec<_> = self.headers.get_all(name).iter().filter_map(|value| text(value.as_bytes())).collect();
        values.into_iter()
    }

    fn first(&self, name: &str) -> String {
        self.all(name).next().unwrap_or_default().trim().to_owned()
    }

    /// What its commas part, as Trino reads it (`HttpRequestSessionContextFactory`, 476): trimmed, empty ones left out.
    fn list(&self, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.all(name).flat_map(|value| value.split(',')).map(str::trim).filter(|item| !item.is_empty())
    }

    fn properties(&self, name: &str) -> BTreeMap<String, String> {
        let pairs = self.list(name).filter_map(|property| property.split_once('='));
        pairs.map(|(name, value)| (url_decode(name.trim()), url_decode(value.trim()))).take(MOST_ENTRIES).collect()
    }
}

fn first_values(headers: &HeaderMap) -> BTreeMap<String, String> {
    let first = |name: &http::HeaderName| Some((name.as_str().to_owned(), text(headers.get(name)?.as_bytes())?.into()));
    headers.keys().filter_map(first).collect()
}

/// A header's value as text: `HeaderValue::to_str` takes ASCII only, and clients send names in UTF-8.
fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok()
}

/// Decodes as Java's `URLDecoder` does, with which Trino reads these values; what is no escape stays as it is.
fn url_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hex = (byte == b'%').then(|| bytes.get(at + 1..at + 3)).flatten();
        let escaped = hex.and_then(|hex| Some(digit(hex[0])? * 16 + digit(hex[1])?));
        decoded.push(match (escaped, byte) {
            (Some(escaped), _) => escaped,
            (None, b'+') => b' ',
            (None, byte) => byte,
        });
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn digit(hex: u8) -> Option<u8> {
    char::from(hex).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn facts(headers: &[(&str, &str)]) -> Facts {
        let header = |(name, value): &(&str, &str)| {
            (name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap())
        };
        let origin = Origin {
            remote: [10, 0, 0, 1].into(),
            listener: None,
            port: 8080,
            host: None,
            sni: None,
            now: Timestamp::UNIX_EPOCH,
        };
        let mut map = HeaderMap::new();
        for (name, value) in headers.iter().map(header) {
            map.append(name, value);
        }
        Facts::of(&map, origin, Statement::Unread(Unread::NotAsked))
    }

    #[test]
    fn the_headers_of_both_dialects_are_read_and_trinos_win() {
        let both = facts(&[
            ("X-Presto-User", "old"),
            ("X-Trino-User", "ann"),
            ("X-Presto-Source", "hue"),
            ("X-Presto-Client-Tags", "a"),
            ("X-Trino-Client-Tags", "b, c,,"),
            ("X-Trino-Client-Tags", "d"),
        ]);
        assert_eq!((both.user.as_str(), both.source.as_str()), ("ann", "hue"));
        assert_eq!(both.tags, ["b", "c", "d"]);
        assert_eq!((both.catalog.as_str(), both.client_info.as_str()), ("", ""));
    }

    #[test]
    fn properties_are_gathered_over_repeated_headers_and_decoded() {
        // Values as trino-cli and the JDBC driver encode them: java.net.URLEncoder, UTF-8.
        let query = facts(&[
            ("X-Trino-Session", "query_max_run_time=10m,hive.x=a%2Cb+c"),
            ("X-Trino-Session", "path=%C3%A9, broken"),
            ("X-Trino-Resource-Estimate", "EXECUTION_TIME=5m,PEAK_MEMORY=1GB"),
            ("X-Trino-Prepared-Statement", "q1=SELECT+%3D+%3F"),
            ("X-Trino-Prepared-Statement", "q%202=100%"),
        ]);
        let session: Vec<_> = query.session.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(session, [("hive.x", "a,b c"), ("path", "é"), ("query_max_run_time", "10m")]);
        assert_eq!(query.resource_estimates["PEAK_MEMORY"], "1GB");
        assert_eq!(query.prepared["q1"], "SELECT = ?");
        assert_eq!(query.prepared["q 2"], "100%");
        // As Trino 476 hands out a long statement, and JDBC sends it back.
        let packed = facts(&[("X-Trino-Prepared-Statement", "q3=%24zstd%3AKLUv_WC1-dUBABQDU0U%3D")]);
        assert_eq!(packed.prepared["q3"], "$zstd:KLUv_WC1-dUBABQDU0U=");
    }

    #[test]
    fn headers_are_there_by_lower_case_name_with_their_first_value() {
        let query = facts(&[("X-Team", "Ä"), ("x-team", "b"), ("X-Trino-User", "ann")]);
        assert_eq!(query.headers["x-team"], "Ä");
        assert_eq!(query.headers["x-trino-user"], "ann");
    }

    #[test]
    fn a_client_does_not_decide_how_many_entries_there_are() {
        let many: Vec<_> = (0..5000).map(|n| format!("k{n}=v")).collect();
        let query = facts(&[("X-Trino-Client-Tags", &many.join(",")), ("X-Trino-Session", &many.join(","))]);
        assert_eq!((query.tags.len(), query.session.len()), (MOST_ENTRIES, MOST_ENTRIES));
    }
}
