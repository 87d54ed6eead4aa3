//! Whatever is published as a routing table, it is refused or compiled, and one that is compiled survives its journey.
#![no_main]

use libfuzzer_sys::fuzz_target;
use warren::routing::{Router, RoutingTable, codec::EncodedTable};

fuzz_target!(|bytes: &[u8]| {
    let gzip = bytes.starts_with(&[0x1f, 0x8b]);
    let decoded = if gzip { RoutingTable::decode(None, Some(bytes)) } else { RoutingTable::decode(Some(bytes), None) };
    let Ok(table) = decoded else { return };
    let again = match table.encode().expect("so small a table fits") {
        EncodedTable::Json(json) => RoutingTable::decode(Some(json.as_bytes()), None),
        EncodedTable::Gzip(gzip) => RoutingTable::decode(None, Some(&gzip)),
    };
    assert_eq!(again.as_ref(), Ok(&table));
    let Ok(router) = Router::compile(table.clone()) else { return };
    assert_eq!(router.table(), &table);
    for draw in [0.0, 0.5, 0.999] {
        let _ = (router.route(draw), router.fallback(draw));
    }
    for cluster in router.clusters() {
        assert!(router.cluster(cluster.name.as_str()).is_some());
    }
    let _ = router.allows_host("trino.example.com");
});
