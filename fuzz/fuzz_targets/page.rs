//! Whatever a coordinator answers, and however it is cut, a page is read alike and changed nowhere but in its URIs.
#![no_main]

use libfuzzer_sys::fuzz_target;
use warren::proxy::fuzzing;

const OWN: &str = "http://10.0.0.1:8080";

// The first byte says into which pieces the rest is cut.
fuzz_target!(|input: &[u8]| {
    let Some((cut, page)) = input.split_first() else { return };
    let (cut, gzip) = (*cut, page.starts_with(&[0x1f, 0x8b]));
    let whole = [page];
    let cut: Vec<&[u8]> = page.chunks(usize::from(cut) + 1).collect();
    assert_eq!(fuzzing::peek(&whole, gzip), fuzzing::peek(&cut, gzip));
    assert_eq!(fuzzing::rewrite(&cut, OWN, OWN), page);
    let led = fuzzing::rewrite(&whole, OWN, "https://a/c/blue");
    assert_eq!(led, fuzzing::rewrite(&cut, OWN, "https://a/c/blue"));
    if !page.windows(OWN.len()).any(|window| window == OWN.as_bytes()) {
        assert_eq!(led, page);
    }
});
