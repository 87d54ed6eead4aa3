//! How a routing table travels: JSON, gzipped when large, under a key of a ConfigMap or a file name of its mount. Pure.

use std::{
    fmt::Write as _,
    io::{Read as _, Write as _},
};

use flate2::{Compression, GzBuilder, read::GzDecoder};
use sha2::{Digest as _, Sha256};

use super::{RoutingTable, TableError};

/// Key in the ConfigMap's `data`, and file name in its mount, of a table as it is.
pub const TABLE_KEY: &str = "routing-table.json";

/// Key in the ConfigMap's `binaryData`, and file name in its mount, of a gzipped table.
pub const TABLE_GZIP_KEY: &str = "routing-table.json.gz";

/// The most bytes of JSON that travel as they are: readable by `kubectl get`.
const PLAIN_LIMIT: usize = 256 * 1024;

/// The most compressed bytes: a ConfigMap ends at 1 MiB, and base64 does not count toward it.
const GZIP_LIMIT: usize = 900 * 1024;

/// The most bytes that a compressed table may grow to.
const INFLATED_LIMIT: u64 = 64 * 1024 * 1024;

/// A table ready for a ConfigMap. The same table always gives the same bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EncodedTable {
    /// For [`TABLE_KEY`] in `data`; the other key must then be absent.
    Json(String),
    /// For [`TABLE_GZIP_KEY`] in `binaryData`; the other key must then be absent.
    Gzip(Vec<u8>),
}

impl RoutingTable {
    /// The table as it is published: JSON up to 256 KiB, else gzip of it.
    ///
    /// # Errors
    /// [`TableError::TooLarge`] when it is over 900 KiB even so.
    pub fn encode(&self) -> Result<EncodedTable, TableError> {
        let json = self.to_json()?;
        if json.len() <= PLAIN_LIMIT {
            return Ok(EncodedTable::Json(json));
        }
        // No name and no time in the header: the same table must give the same bytes.
        let mut gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::default());
        let compressed = gzip
            .write_all(json.as_bytes())
            .and_then(|()| gzip.finish())
            .map_err(|error| TableError::Gzip(error.to_string()))?;
        if compressed.len() > GZIP_LIMIT {
            return Err(TableError::TooLarge { bytes: compressed.len(), limit: GZIP_LIMIT });
        }
        Ok(EncodedTable::Gzip(compressed))
    }

    /// Reads what [`RoutingTable::encode`] wrote; `json` wins when both are given. The table is not checked yet:
    /// [`super::Router::compile`] does that.
    ///
    /// # Errors
    /// When neither is given, or the one read is no routing table or grows over 64 MiB.
    pub fn decode(json: Option<&[u8]>, gzip: Option<&[u8]>) -> Result<Self, TableError> {
        let parse = |bytes: &[u8]| serde_json::from_slice(bytes).map_err(|error| TableError::Json(error.to_string()));
        match (json, gzip) {
            (Some(json), _) => parse(json),
            (None, Some(gzip)) => parse(&inflate(gzip)?),
            (None, None) => Err(TableError::Absent),
        }
    }

    /// The first 16 hexadecimal digits of the SHA-256 of the table's JSON: the version that status and metrics name.
    pub fn hash(&self) -> String {
        let digest = Sha256::digest(self.to_json().unwrap_or_default());
        digest[..8].iter().fold(String::with_capacity(16), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }

    fn to_json(&self) -> Result<String, TableError> {
        serde_json::to_string(self).map_err(|error| TableError::Json(error.to_string()))
    }
}

fn inflate(gzip: &[u8]) -> Result<Vec<u8>, TableError> {
    let mut json = Vec::new();
    GzDecoder::new(gzip)
        .take(INFLATED_LIMIT + 1)
        .read_to_end(&mut json)
        .map_err(|error| TableError::Gzip(error.to_string()))?;
    if json.len() as u64 > INFLATED_LIMIT {
        return Err(TableError::Bomb { limit: INFLATED_LIMIT });
    }
    Ok(json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::{Cluster, Group, ProxyMode, Rules, Serving, Strategy};

    fn table(clusters: usize, certificate: &str) -> RoutingTable {
        let cluster = |index: usize| Cluster {
            name: format!("adhoc-{index}").parse().unwrap(),
            url: format!("https://adhoc-{index}.trino.svc:8443"),
            client_url: None,
            weight: 1,
            serving: Serving::Active,
            ca: None,
            event_token: None,
            own_credential: false,
        };
        RoutingTable {
            format: 1,
            external_url: None,
            proxy_mode: ProxyMode::default(),
            trusted_proxies: Vec::new(),
            allowed_hosts: Vec::new(),
            listeners: Vec::new(),
            groups: vec![Group {
                name: "adhoc".into(),
                strategy: Strategy::RoundRobin,
                health_check: None,
                canary: None,
                clusters: (0..clusters).map(cluster).collect(),
            }],
            routing: Rules::default(),
            ignores_events: false,
            certificates: [("ca".to_owned(), certificate.to_owned())].into(),
        }
    }

    fn decode(encoded: &EncodedTable) -> Result<RoutingTable, TableError> {
        match encoded {
            EncodedTable::Json(json) => RoutingTable::decode(Some(json.as_bytes()), None),
            EncodedTable::Gzip(gzip) => RoutingTable::decode(None, Some(gzip)),
        }
    }

    #[test]
    fn a_small_table_travels_as_json_and_a_large_one_as_gzip() {
        let small = table(3, "pem").encode().unwrap();
        assert!(matches!(small, EncodedTable::Json(_)));
        assert_eq!(decode(&small).unwrap(), table(3, "pem"));
        let large = table(5000, "pem").encode().unwrap();
        assert!(matches!(large, EncodedTable::Gzip(_)));
        assert_eq!(decode(&large).unwrap(), table(5000, "pem"));
        assert_eq!(large, table(5000, "pem").encode().unwrap());
    }

    #[test]
    fn a_table_that_no_config_map_holds_is_refused_with_its_size() {
        // Hexadecimal digits of hashes compress to about half: 4 MiB of them stay over the limit.
        let noise = (0..64 * 1024_u32).fold(String::new(), |mut noise, n| {
            write!(noise, "{:x?}", Sha256::digest(n.to_be_bytes())).unwrap();
            noise
        });
        let error = table(1, &noise).encode().unwrap_err();
        assert!(matches!(error, TableError::TooLarge { bytes, limit: GZIP_LIMIT } if bytes > GZIP_LIMIT), "{error}");
    }

    #[test]
    fn a_table_that_is_absent_or_broken_says_so() {
        assert_eq!(RoutingTable::decode(None, None), Err(TableError::Absent));
        assert!(matches!(RoutingTable::decode(Some(b"{"), None), Err(TableError::Json(_))));
        assert!(matches!(RoutingTable::decode(None, Some(b"{}")), Err(TableError::Gzip(_))));
    }

    #[test]
    fn a_gzip_bomb_is_refused() {
        let mut bomb = GzBuilder::new().write(Vec::new(), Compression::best());
        let zeros = vec![b' '; 1024 * 1024];
        for _ in 0..65 {
            bomb.write_all(&zeros).unwrap();
        }
        let error = RoutingTable::decode(None, Some(&bomb.finish().unwrap())).unwrap_err();
        assert_eq!(error, TableError::Bomb { limit: INFLATED_LIMIT });
    }

    #[test]
    fn the_hash_is_the_start_of_the_sha256_of_the_json() {
        let empty = RoutingTable { groups: vec![], certificates: std::collections::BTreeMap::new(), ..table(0, "") };
        assert_eq!(serde_json::to_string(&empty).unwrap(), r#"{"format":1,"groups":[],"routing":{}}"#);
        // printf '%s' '{"format":1,"groups":[],"routing":{}}' | sha256sum
        assert_eq!(empty.hash(), "f458ba011176ae08");
    }
}
