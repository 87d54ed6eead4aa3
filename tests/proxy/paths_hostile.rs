//! Paths that mean something else to whoever reads them differently: none of thousands reaches a coordinator.

use std::collections::BTreeSet;

use futures::StreamExt as _;
use http::StatusCode;

use crate::{
    coordinator::Coordinator,
    gateway::{Gateway, exchange_raw},
};

/// What only the nodes of a cluster, or its operators, may ask of a coordinator.
const INTERNAL: [(&str, &str); 16] = [
    ("GET", "/v1/task"),
    ("POST", "/v1/task/20250805_101112_00003_abcde.0.0.0"),
    ("PUT", "/v1/announcement/node"),
    ("GET", "/v1/memory"),
    ("GET", "/v1/jmx"),
    ("GET", "/v1/jmx/mbean/java.lang:type=Memory"),
    ("PUT", "/v1/info/state"),
    ("GET", "/v1/info/state"),
    ("GET", "/v1/status"),
    ("GET", "/v1/thread"),
    ("GET", "/v1/node"),
    ("GET", "/v1/query"),
    ("GET", "/v1/resourceGroupState/global"),
    ("GET", "/v1/dynamicCatalog"),
    ("GET", "/metrics"),
    // Allowed at the root, and not below a cluster: the cluster is picked here.
    ("POST", "/v1/statement"),
];

/// Requests by method and target; a set, since one trick may lead to the same text as another.
type Variants = BTreeSet<(String, String)>;

fn encoded(byte: u8) -> Vec<String> {
    let overlong = |lead: &str, last: u8| format!("{lead}%{last:02x}");
    vec![
        format!("%{byte:02x}"),
        format!("%{byte:02X}"),
        format!("%25{byte:02x}"),
        format!("%2525{byte:02x}"),
        format!("%u00{byte:02x}"),
        // RFC 3629 forbids the longer forms of what has a shorter one.
        overlong(&format!("%{:02x}", 0xc0 | (byte >> 6)), 0x80 | (byte & 0x3f)),
        overlong(&format!("%e0%{:02X}", 0x80 | (byte >> 6)), 0x80 | (byte & 0x3f)),
        overlong(&format!("%f0%80%{:02x}", 0x80 | (byte >> 6)), 0x80 | (byte & 0x3f)),
    ]
}

/// The path with one of its characters written otherwise.
fn encodings(path: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, character) in path.char_indices() {
        let (before, after) = (&path[..at], &path[at + 1..]);
        let mut others = encoded(u8::try_from(character).unwrap());
        if character.is_ascii_alphabetic() {
            others.push(character.to_ascii_uppercase().to_string());
        }
        // Of the first slash a request line needs one that is plain: the others follow below.
        found.extend(
            others
                .into_iter()
                .filter(|other| *other != character.to_string())
                .map(|other| if at == 0 { format!("/{other}{after}") } else { format!("{before}{other}{after}") }),
        );
    }
    found.push(path.to_uppercase());
    found.push(path.bytes().map(|byte| format!("%{byte:02x}")).fold("/".to_owned(), |all, one| all + &one));
    found
}

/// The path with other text where a slash stands, or behind its end.
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn separations(path: &str) -> Vec<String> {
    let slashes = [
        "//",
        "///",
        "/./",
        "/x/../",
        "/%2e/",
        "/x/%2e%2e/",
        "/x/.%2E/",
        "/x/..;/",
        "/;/",
        "/;a=b/",
        "\\",
        "/\\",
        "%5c",
        "%5C",
        "%2f",
        "%2F",
        "%252f",
        "/%2f",
        "%2f/",
        "%c0%af",
        "%e0%80%af",
        "/%00/",
        "%00/",
        "/ ",
        "/%20/",
        "/%09",
        "/%0d%0a/",
        "/%3b/",
        "/..%2f",
        "/%7f/",
    ];
    let ends = [
        "/",
        "//",
        ".",
        "..",
        "/.",
        "/..",
        "/./",
        "/../",
        ";",
        ";a=b",
        "/;",
        "%00",
        "%20",
        "%09",
        "%0a",
        "%0d%0a",
        "\\",
        "%5c",
        "%2f",
        "%3b",
        "%",
        "%2",
        "%zz",
        "%2e",
        "/%2e",
        "%c0%ae",
        "?",
        "?a=/../ui/",
        "?/ui/",
        "#",
        "#/ui/",
        "~",
        "%3f",
        "%23",
        "*",
        " ",
        "%7f",
    ];
    let mut found: Vec<String> = ends.iter().map(|end| format!("{path}{end}")).collect();
    for (at, _) in path.match_indices('/') {
        found.extend(slashes.iter().map(|slash| format!("{}{slash}{}", &path[..at], &path[at + 1..])));
    }
    found
}

/// Ways from a path that is served to one that is not.
fn climbs(target: &str) -> Vec<String> {
    let served = [
        "/c/blue/ui",
        "/c/blue/ui/api",
        "/c/blue/oauth2/token",
        "/c/blue/v1/query/a",
        "/c/blue/v1/info",
        "/c/blue/v1/spooled/download/a",
        "/c/blue/v1/statement/queued/a/b/1",
        "/v1/info",
    ];
    let steps = [
        "/..",
        "/%2e%2e",
        "/%2E%2E",
        "/.%2e",
        "/%2e.",
        "/..;",
        "/..;a=b",
        "/..%3b",
        "/..%00",
        "/..\\",
        "\\..",
        "/..%5c",
        "%2f..",
        "%2F..",
        "/%c0%ae%c0%ae",
        "/%252e%252e",
        "//..",
        "/./..",
        "/%5c..",
        "/.%00.",
    ];
    let mut found = Vec::new();
    for served in served {
        for step in steps {
            for depth in [1, 2, 4] {
                found.push(format!("{served}{}{target}", step.repeat(depth)));
            }
        }
    }
    found
}

/// Forms of a request's target other than a path, and names of clusters that are none.
fn forms(target: &str, coordinator: &str) -> Vec<String> {
    let mut found = Vec::new();
    for authority in ["a", "a:80", coordinator, "user@a", "a%2fb", ""] {
        for scheme in ["http:", "https:", "HTTP:", "file:", "gopher:", ""] {
            found.push(format!("{scheme}//{authority}{target}"));
            found.push(format!("{scheme}//{authority}/c/blue{target}"));
        }
    }
    for cluster in [
        "BLUE",
        "Blue",
        "blue.",
        ".blue",
        "blu",
        "blue%00",
        "blue%20",
        "%62lue",
        "bl%75e",
        "blue;a",
        "*",
        "",
        ".",
        "..",
        "-",
        "blue@a",
        coordinator,
        "http:",
        "127.0.0.1",
        "localhost",
        "[::1]",
        "blue\\",
        "xn--blue",
        "blue/c/blue",
    ] {
        found.push(format!("/c/{cluster}{target}"));
        found.push(format!("/c/{cluster}/ui{target}").replacen("/c/blue/c/blue/ui", "/c/blue/c/blue", 1));
    }
    for before in ["/c", "/C/blue", "/c/blue/c/blue", "//c/blue", "/./c/blue", "/%63/blue", "/c%2fblue", "/x/../c/blue"]
    {
        found.push(format!("{before}{target}"));
    }
    found.extend(
        ["*", "/", "", "a:80", coordinator, "blue:443", "?", "#", ".", "..", "c/blue/ui", "\\c\\blue\\ui"]
            .map(str::to_owned),
    );
    found.push(target.trim_start_matches('/').to_owned());
    found
}

fn variants(coordinator: &str) -> Variants {
    let mut all = Variants::new();
    for (method, target) in INTERNAL {
        let below = format!("/c/blue{target}");
        let mut targets = vec![below.clone()];
        for path in [target, &below] {
            targets.extend(encodings(path));
            targets.extend(separations(path));
        }
        targets.extend(climbs(target));
        targets.extend(forms(target, coordinator));
        all.extend(targets.into_iter().map(|target| (method.to_owned(), target)));
    }
    // The one target of these that is served: with a query, a fragment or an authority of whatever name it is the same.
    all.retain(|(method, target)| method != "POST" || !is_root_statement(target));
    all
}

fn is_root_statement(target: &str) -> bool {
    let scheme_ends = target.find("//").map_or(0, |at| at + 2);
    let path = if target.starts_with('/') && !target.starts_with("//") {
        target
    } else {
        target[scheme_ends..].find('/').map_or("", |at| &target[scheme_ends + at..])
    };
    path.split(['?', '#']).next() == Some("/v1/statement")
}

#[tokio::test]
async fn no_way_of_writing_an_internal_path_reaches_a_coordinator() {
    let blue = Coordinator::saying(StatusCode::OK).await;
    let gateway = Gateway::before(&[("blue", &blue.url())]).await;
    // The same request with a path that is served arrives: what follows is refused for its path alone.
    let (address, seen) = (gateway.address, blue.address.to_string());
    let ask = move |method: String, target: String| async move {
        let request =
            format!("{method} {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let answer = exchange_raw(address, request.as_bytes()).await;
        (format!("{method} {target}"), String::from_utf8_lossy(&answer).into_owned())
    };
    for (method, target) in [("GET", "/c/blue/ui/api"), ("POST", "/v1/statement"), ("GET", "http://a/c/blue/v1/info")] {
        let (_, answer) = ask(method.to_owned(), target.to_owned()).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{method} {target}: {answer}");
    }
    assert_eq!(blue.seen().len(), 3);
    let variants = variants(&seen);
    assert_eq!(variants.len(), 18_617);
    let mut answers = futures::stream::iter(variants).map(|(method, target)| ask(method, target)).buffer_unordered(16);
    let mut wrong = Vec::new();
    while let Some((request, answer)) = answers.next().await {
        if !["HTTP/1.1 404 ", "HTTP/1.1 400 "].iter().any(|refusal| answer.starts_with(refusal)) {
            wrong.push(format!("{request}: {}", answer.lines().next().unwrap_or("closed without an answer")));
        }
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
    let reached: Vec<_> =
        blue.seen().into_iter().skip(3).map(|seen| format!("{} {}", seen.method, seen.target)).collect();
    assert!(reached.is_empty(), "{reached:?}");
}
