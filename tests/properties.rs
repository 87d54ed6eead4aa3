//! Whatever a key or a value holds, Java's own parser reads it back as it was given. Random ones, by the thousand.
//!
//! It needs a JDK of 17 or newer: `WARREN_JAVA_HOME` (which `hack/test.sh` sets, so there the test runs or fails), else the first
//! below `/usr/lib/jvm`. Where there is none, and nobody named one, the test says that it is skipped.

use std::{collections::BTreeMap, env, fs, io::Write, path::PathBuf, process::Command};

use warren::trino::properties;

const MAPS: usize = 8;
const LINES: usize = 500;

/// Characters that a parser of properties looks at, those at the edges of encodings, and some plain ones.
const CHARACTERS: &[char] = &[
    ' ',
    '\t',
    '\n',
    '\r',
    '\u{c}',
    '\u{b}',
    '\\',
    '=',
    ':',
    '#',
    '!',
    'u',
    'n',
    't',
    'r',
    'f',
    '0',
    'A',
    'a',
    '.',
    '-',
    '_',
    '$',
    '{',
    '}',
    '"',
    '\'',
    '~',
    '\u{0}',
    '\u{1}',
    '\u{7f}',
    '\u{80}',
    '\u{85}',
    '\u{a0}',
    'é',
    'ß',
    '中',
    '\u{2028}',
    '\u{feff}',
    '\u{fffd}',
    '\u{d7ff}',
    '\u{e000}',
    '\u{ffff}',
    '\u{10000}',
    '😀',
    '\u{10ffff}',
];

#[test]
fn javas_own_parser_reads_back_any_key_and_value() {
    let Some(java) = java() else {
        // Past the test harness, which swallows what passing tests print.
        let _ = writeln!(std::io::stderr(), "skipped: no JDK (WARREN_JAVA_HOME names none); `make test` needs one");
        return;
    };
    let seed: u64 = env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    let mut random = Random(seed | 1);
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    for round in 0..MAPS {
        let written: BTreeMap<String, String> = (0..LINES).map(|_| (random.text(), random.text())).collect();
        let file = folder.join(format!("round-{round}.properties"));
        fs::write(&file, properties::render(&written)).expect("a file is written");
        let reader = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/properties/Reader.java");
        let output =
            Command::new(&java).arg("-XX:TieredStopAtLevel=1").arg(reader).arg(&file).output().expect("java runs");
        assert!(output.status.success(), "SEED={seed}: {}", String::from_utf8_lossy(&output.stderr));
        let read: BTreeMap<String, String> =
            String::from_utf8(output.stdout).expect("ASCII").lines().map(line).collect();
        for (key, value) in &written {
            assert_eq!(read.get(key), Some(value), "SEED={seed}: the value of {key:?}");
        }
        assert_eq!(read.len(), written.len(), "SEED={seed}: lines that nobody wrote");
    }
}

fn java() -> Option<PathBuf> {
    if let Some(home) = env::var_os("WARREN_JAVA_HOME") {
        let java = PathBuf::from(home).join("bin/java");
        assert!(java.exists(), "WARREN_JAVA_HOME holds no {}", java.display());
        return Some(java);
    }
    let homes = fs::read_dir("/usr/lib/jvm").into_iter().flatten().flatten();
    homes.map(|home| home.path().join("bin/java")).find(|java| java.exists())
}

fn line(line: &str) -> (String, String) {
    let text = |hex: &str| String::from_utf8(hex::decode(hex).expect("hexadecimal digits")).expect("UTF-8");
    let (key, value) = line.split_once('=').expect("a key and a value");
    (text(key), text(value))
}

/// Marsaglia's xorshift64: what it gives follows from its seed, so that a failure can be seen again.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % (bound as u64)).expect("below a usize")
    }

    /// Up to 24 characters; one in eight is any that Unicode has.
    fn text(&mut self) -> String {
        let length = self.below(25);
        let mut text = String::new();
        for _ in 0..length {
            let any = char::from_u32(u32::try_from(self.below(0x11_0000)).expect("below 2^32"));
            let picked = CHARACTERS[self.below(CHARACTERS.len())];
            text.push(if self.below(8) == 0 { any.unwrap_or(picked) } else { picked });
        }
        text
    }
}
