//! Whatever a rule says and whatever a query is, the rule is refused when it is compiled, or a decision comes of it.
#![no_main]

use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use warren::routing::{Facts, Origin, Router, RoutingTable, Rule, Rules, Statement, Target};

const NAMES: [&str; 8] =
    ["user", "source", "client-tags", "session", "catalog", "schema", "prepared-statement", "resource-estimate"];

// An expression, a statement and headers' values, parted by NUL.
fuzz_target!(|input: &str| {
    let mut parts = input.split('\0');
    let (when, sql) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let rule = Rule { name: "rule".to_owned(), when: when.to_owned(), to: Some(Target::group("adhoc")), reject: None };
    let table = serde_table(Rules { rules: vec![rule], default: Some(Target::group("etl")), ..Rules::default() });
    let Ok(router) = Router::compile(table) else { return };
    let mut headers = HeaderMap::new();
    for (name, value) in NAMES.iter().cycle().zip(parts) {
        let name = HeaderName::try_from(format!("x-trino-{name}"));
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    }
    let origin = Origin {
        remote: [192, 0, 2, 1].into(),
        listener: None,
        port: 8080,
        host: Some("trino.example.com".to_owned()),
        sni: None,
        now: jiff::Timestamp::UNIX_EPOCH,
    };
    let facts = Facts::of(&headers, origin, Statement::Text(sql.to_owned()));
    // The same query is decided alike each time.
    assert_eq!(router.decide(&facts, 0.5).outcome, router.decide(&facts, 0.5).outcome);
});

fn serde_table(routing: Rules) -> RoutingTable {
    let json = br#"{"groups":[{"name":"adhoc","clusters":[]},{"name":"etl","clusters":[]}]}"#;
    RoutingTable { routing, ..RoutingTable::decode(Some(json), None).expect("a table") }
}
