//! However a client's stream of requests is cut, and whatever the connection remembers of the request before, the same
//! requests are read of it; and none of what is read has a line or a field that another reader would see differently.
#![no_main]

use libfuzzer_sys::fuzz_target;
use warren::proxy::fuzzing;

fuzz_target!(|input: &[u8]| {
    let Some((cut, stream)) = input.split_first() else { return };
    let whole = fuzzing::requests(&[stream], true);
    let pieces: Vec<&[u8]> = stream.chunks(usize::from(*cut % 32) + 1).collect();
    let (cut, anew) = (fuzzing::requests(&pieces, true), fuzzing::requests(&[stream], false));
    assert_eq!(anew, whole, "remembering makes a difference");
    // What is no request is seen the sooner the smaller the pieces are, but no other requests are.
    let taken = |read: &[String]| read.iter().filter(|line| line.contains(" closes: ")).cloned().collect::<Vec<_>>();
    assert_eq!(taken(&cut), taken(&whole), "it matters how it is cut");
    for line in taken(&whole) {
        assert!(!line.contains(['\r', '\n', '\0']), "{line:?}");
    }
});
