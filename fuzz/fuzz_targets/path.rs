//! Whatever stands in a request's target, what is passed on is on the list, and means there what it means here.
#![no_main]

use http::Method;
use libfuzzer_sys::fuzz_target;
use warren::proxy::fuzzing;

const METHODS: [Method; 5] = [Method::GET, Method::HEAD, Method::POST, Method::DELETE, Method::PUT];

fuzz_target!(|path: &str| {
    for method in METHODS {
        let Some((cluster, rest)) = fuzzing::classify(&method, path) else { continue };
        assert_eq!(format!("/c/{cluster}{rest}"), path);
        assert!(!cluster.contains('/') && method != Method::PUT);
        assert!(
            ["/v1/statement/queued/", "/v1/statement/executing/", "/v1/query/", "/v1/spooled/", "/oauth2/", "/ui/"]
                .iter()
                .any(|served| rest.starts_with(served))
                || rest == "/v1/info"
                || rest == "/ui",
            "{rest}"
        );
        let once = decoded(rest);
        let text = String::from_utf8(once.clone()).expect("what is passed on decodes to text");
        assert!(!text.chars().any(char::is_control) && !text.contains([';', '\\']), "{rest}");
        // Whoever decodes twice finds nothing else.
        assert_eq!(decoded(&text), once);
        assert_eq!(text.matches('/').count(), rest.matches('/').count(), "{rest}");
        assert!(text.split('/').all(|segment| segment != "." && segment != ".."), "{rest}");
    }
});

fn decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let (mut decoded, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let digits = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    decoded
}
