//! Whatever a client says in headers, a coordinator is told of the way by the proxy alone, of one connection nothing,
//! and of the cluster's inside nothing.
#![no_main]

use http::{HeaderMap, HeaderName, HeaderValue, header::HOST};
use libfuzzer_sys::fuzz_target;
use warren::proxy::fuzzing;

fuzz_target!(|lines: &[u8]| {
    let mut headers = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n').take(64) {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default();
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    for trusted in [false, true] {
        let Some(sent) = fuzzing::to_coordinator(&headers, trusted) else { continue };
        hold(&sent, trusted);
    }
    transactions(headers);
});

fn hold(sent: &HeaderMap, trusted: bool) {
    let values = |name: &str| sent.get_all(name).iter().collect::<Vec<_>>();
    assert_eq!(values("host"), ["10.0.0.1:8080"]);
    for added in ["proto", "host", "port", "prefix", "for"] {
        assert_eq!(values(&format!("x-forwarded-{added}")).len(), 1, "{added}");
    }
    let prefix = sent["x-forwarded-prefix"].to_str().expect("visible");
    assert!(prefix == "/c/blue" || (trusted && prefix.ends_with("/c/blue")), "{prefix}");
    let way = sent["x-forwarded-for"].to_str().expect("visible");
    assert!(way == "192.0.2.1" || (trusted && (way.ends_with(", 192.0.2.1") || way == "unknown")), "{way}");
    for name in sent.keys() {
        let dashed = name.as_str().replace('_', "-");
        assert!(!dashed.starts_with("x-trino-internal-") && !dashed.starts_with("x-presto-internal-"), "{name}");
        let ours = ["proto", "host", "port", "prefix", "for"];
        let forwarded = dashed.strip_prefix("x-forwarded-");
        assert!(
            forwarded.is_none() || ours.iter().any(|ours| name.as_str() == format!("x-forwarded-{ours}")),
            "{name}"
        );
        let of_one_connection =
            ["keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "trailer", "forwarded", "x-real-ip"];
        assert!(!of_one_connection.contains(&&*dashed), "{name}");
    }
    assert!(matches!(values("connection")[..], []) || values("connection") == ["te"]);
    assert!(matches!(values("te")[..], []) || values("te") == ["trailers"]);
}

/// An id that was tagged comes back as it was, with its cluster.
fn transactions(mut headers: HeaderMap) {
    let Some(id) = headers.remove("x-trino-started-transaction-id") else { return };
    let mut answer = HeaderMap::from_iter([(HeaderName::from_static("x-trino-started-transaction-id"), id.clone())]);
    fuzzing::tag(&mut answer, "blue");
    let tagged = answer["x-trino-started-transaction-id"].clone();
    if tagged == id {
        assert!(id.to_str().is_err());
        return;
    }
    let host = (HOST, HeaderValue::from_static("trino"));
    let mut request = HeaderMap::from_iter([host, (HeaderName::from_static("x-trino-transaction-id"), tagged)]);
    let sent = fuzzing::to_coordinator(&request, false).expect("its host is valid");
    assert_eq!(sent["x-trino-transaction-id"], id);
    assert_eq!(fuzzing::untag(&mut request).as_deref(), Some("blue"));
    assert_eq!(request["x-trino-transaction-id"], id);
}
