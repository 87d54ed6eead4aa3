//! Transactions without a store: a started transaction's id carries its cluster's name to the client, so that each
//! statement in it names its cluster, whichever proxy it comes to.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::trino::ClusterName;

/// What separates the cluster's name from the id: a name is a DNS label, so the first one ends it.
const SEPARATOR: char = '.';

/// The end of the names of the headers in which a coordinator says that it started a transaction: `X-Trino-…`,
/// `X-Presto-…`, or what `protocol.v1.alternate-header-name` makes of it.
const STARTED: &str = "-started-transaction-id";

/// The end of the names of the headers in which a client says which transaction a statement belongs to.
const OF_STATEMENT: &str = "-transaction-id";

/// Adds the name of `cluster` to the ids of transactions that its answer says were started.
pub(super) fn tag(headers: &mut HeaderMap, cluster: &ClusterName) {
    let is_started = |name: &HeaderName| name.as_str().ends_with(STARTED) && name.as_str().starts_with("x-");
    // Hardly any answer has one: the map is only searched.
    if !headers.keys().any(is_started) {
        return;
    }
    for (_, id) in headers.iter_mut().filter(|(name, _)| is_started(name)) {
        let tagged = id.to_str().ok().map(|text| HeaderValue::try_from(format!("{cluster}{SEPARATOR}{text}")));
        if let Some(Ok(tagged)) = tagged {
            *id = tagged;
        }
    }
}

/// Takes the cluster's name off the transaction id of a client's request; returns that name, to be looked up and
/// nothing else. None if there is no transaction, or its id never went through [`tag`].
pub(super) fn untag(headers: &mut HeaderMap) -> Option<String> {
    let (cluster, _) = headers.iter().find_map(|(name, value)| parts(headers, name, value))?;
    let cluster = cluster.to_owned();
    let said = headers.clone();
    for (name, value) in headers.iter_mut() {
        if let Some(bare) = untagged(&said, name, value) {
            *value = bare;
        }
    }
    Some(cluster)
}

/// The id of the transaction that a field of a client's request names, without the name of its cluster; none if it names
/// none, or its id never went through [`tag`].
pub(super) fn untagged(headers: &HeaderMap, name: &HeaderName, value: &HeaderValue) -> Option<HeaderValue> {
    let (_, id) = parts(headers, name, value)?;
    HeaderValue::from_str(id).ok()
}

/// The name of the cluster, and the id behind it.
#[inline]
fn parts<'a>(headers: &HeaderMap, name: &HeaderName, value: &'a HeaderValue) -> Option<(&'a str, &'a str)> {
    let text = name.as_str();
    // Hardly any request has one. Gateways and tracers have headers such as `X-Transaction-Id`, whose values may have a dot.
    if !text.ends_with(OF_STATEMENT) || text.ends_with(STARTED) || !is_dialect(name, headers) {
        return None;
    }
    let (cluster, id) = value.to_str().ok()?.split_once(SEPARATOR)?;
    cluster.parse::<ClusterName>().is_ok().then_some((cluster, id))
}

/// Whether the header is one of the protocol. Trino takes an alternate name only in requests without any `X-Trino-…`
/// header, and refuses those with both (io.trino.client.ProtocolHeaders, 476).
fn is_dialect(name: &HeaderName, headers: &HeaderMap) -> bool {
    let is_usual = |name: &HeaderName| ["x-trino-", "x-presto-"].iter().any(|usual| name.as_str().starts_with(usual));
    let is_alternate = name.as_str().starts_with("x-") && name.as_str().len() > "x".len() + OF_STATEMENT.len();
    is_usual(name) || (is_alternate && !headers.keys().any(is_usual))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_started_transaction_comes_back_to_its_cluster() {
        for (started, of_statement) in [
            ("x-trino-started-transaction-id", "x-trino-transaction-id"),
            ("x-presto-started-transaction-id", "x-presto-transaction-id"),
            ("x-acme-started-transaction-id", "x-acme-transaction-id"),
        ] {
            let mut answer = headers(&[(started, "7c1f7d2e-9e0b"), ("x-trino-set-catalog", "tpch")]);
            tag(&mut answer, &"blue".parse().unwrap());
            assert_eq!(answer[started], "blue.7c1f7d2e-9e0b");
            assert_eq!(answer["x-trino-set-catalog"], "tpch");
            let mut request = HeaderMap::new();
            request.insert(of_statement, answer[started].clone());
            let tagged = &request[of_statement];
            assert_eq!(untagged(&request, &of_statement.parse().unwrap(), tagged).unwrap(), "7c1f7d2e-9e0b");
            assert_eq!(untag(&mut request), Some("blue".to_owned()));
            assert_eq!(request[of_statement], "7c1f7d2e-9e0b");
        }
    }

    #[test]
    fn what_is_no_transaction_of_ours_stays_as_it_is() {
        for (name, value) in [
            ("x-trino-transaction-id", "NONE"),
            ("x-trino-transaction-id", "7c1f7d2e-9e0b"),
            ("x-trino-transaction-id", "No Cluster.7c1f"),
            ("x-trino-started-transaction-id", "blue.7c1f"),
            ("transaction-id", "blue.7c1f"),
            ("x-transaction-id", "blue.7c1f"),
            ("x-acme-transaction-id", "blue.7c1f"),
        ] {
            let mut request = headers(&[(name, value)]);
            request.insert("x-trino-user", HeaderValue::from_static("alice"));
            assert_eq!(untag(&mut request), None, "{name}");
            assert_eq!(request[name], value);
            assert!(request.iter().all(|(name, value)| untagged(&request, name, value).is_none()), "{name} {value}");
        }
    }
}
