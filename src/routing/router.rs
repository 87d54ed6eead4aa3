//! A routing table made ready for use: every reference resolved, every address parsed.

use std::{collections::HashMap, sync::Arc};

use super::address::Address;
use super::codec::{TABLE_GZIP_KEY, TABLE_KEY};
use super::table::{Cluster, ROUTING_TABLE_FORMAT, RoutingTable, Serving, Target};
use crate::trino::ClusterName;

/// A [`RoutingTable`] whose every reference is known to resolve. Cheap to share; never changes.
#[derive(Debug)]
pub struct Router {
    table: RoutingTable,
    clusters: HashMap<ClusterName, Arc<Cluster>>,
    external: Option<Address>,
    default_group: Option<usize>,
}

/// A count of picks in a group; consecutive turns go round its clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn(pub usize);

/// Why a table is refused. The table in force stays so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// Written by a newer version than this one reads.
    #[error("format {0} is newer than this version reads (up to {ROUTING_TABLE_FORMAT}): upgrade this proxy")]
    Format(u32),
    /// The address that clients see cannot be used.
    #[error("externalUrl: {0:?} must be http://host or https://host, with a port or without, and without a path")]
    ExternalUrl(String),
    /// Two groups share one name.
    #[error("groups: the name {0:?} is given twice: names of groups must differ")]
    GroupTwice(String),
    /// Two clusters share one name, in the same group or in two.
    #[error(
        "groups[{group}].clusters: the name \"{cluster}\" is given twice: names of clusters must differ over all groups"
    )]
    ClusterTwice {
        /// The group in which it stands the second time.
        group: String,
        /// The name.
        cluster: ClusterName,
    },
    /// A cluster's URL cannot be used.
    #[error(
        "groups[{group}].clusters[{cluster}].url: {url:?} must be http://host:port or https://host:port, without a path"
    )]
    Url {
        /// The cluster's group.
        group: String,
        /// The cluster.
        cluster: ClusterName,
        /// What was given.
        url: String,
    },
    /// A cluster names a CA certificate that the table does not hold.
    #[error("groups[{group}].clusters[{cluster}].ca: certificates holds no {ca:?}")]
    Ca {
        /// The cluster's group.
        group: String,
        /// The cluster.
        cluster: ClusterName,
        /// What was given.
        ca: String,
    },
    /// A rule sends queries to a group that the table does not hold.
    #[error("{field}: there is no group {group:?}; the groups are: {known}")]
    UnknownGroup {
        /// The field that names it.
        field: String,
        /// What was given.
        group: String,
        /// The names that would do.
        known: String,
    },
    /// The table is no JSON, or not of this shape.
    #[error("it is not the JSON of a routing table: {0}")]
    Json(String),
    /// The compressed table is not gzip, or is cut off.
    #[error("it is not gzip: {0}")]
    Gzip(String),
    /// Neither form of the table was given.
    #[error("neither {TABLE_KEY} nor {TABLE_GZIP_KEY} is there")]
    Absent,
    /// The table does not fit into a ConfigMap, compressed as it is.
    #[error("its {bytes} bytes, compressed, are over the {limit} that a ConfigMap has room for: split the gateway")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The most that is accepted.
        limit: usize,
    },
    /// The compressed table grows beyond all reason.
    #[error("it is over {limit} bytes when decompressed")]
    Bomb {
        /// The most that is accepted.
        limit: u64,
    },
}

impl Router {
    /// Checks `table` and resolves its references.
    ///
    /// # Errors
    /// The first fault found, by the path of its field.
    pub fn compile(table: RoutingTable) -> Result<Self, TableError> {
        if table.format > ROUTING_TABLE_FORMAT {
            return Err(TableError::Format(table.format));
        }
        let external = table.external_url.as_deref().map(check_external_url).transpose()?;
        let mut clusters = HashMap::new();
        for (index, group) in table.groups.iter().enumerate() {
            if table.groups[..index].iter().any(|other| other.name == group.name) {
                return Err(TableError::GroupTwice(group.name.clone()));
            }
            for cluster in &group.clusters {
                check_cluster(&table, &group.name, cluster)?;
                if clusters.insert(cluster.name.clone(), Arc::new(cluster.clone())).is_some() {
                    return Err(TableError::ClusterTwice { group: group.name.clone(), cluster: cluster.name.clone() });
                }
            }
        }
        let default_group = table
            .routing
            .default
            .as_ref()
            .map(|target| resolve(&table, "routing.default.group", target))
            .transpose()?;
        Ok(Self { table, clusters, external, default_group })
    }

    /// The table that this was compiled from.
    pub fn table(&self) -> &RoutingTable {
        &self.table
    }

    /// Where clients see this gateway; none when the table leaves it to each request.
    pub fn external(&self) -> Option<&Address> {
        self.external.as_ref()
    }

    /// The cluster of that name, if the table holds it.
    pub fn cluster(&self, name: &str) -> Option<&Arc<Cluster>> {
        self.clusters.get(name)
    }

    /// All clusters, in no particular order.
    pub fn clusters(&self) -> impl Iterator<Item = &Arc<Cluster>> {
        self.clusters.values()
    }

    /// The position in [`RoutingTable::groups`] of the group for a new query; none when nothing matches it.
    pub fn route(&self) -> Option<usize> {
        self.default_group
    }

    /// The clusters of the group at position `group` in the order in which a new query tries them: those that take new
    /// queries and of which `healthy` holds, beginning with the one whose turn it is.
    pub fn candidates(&self, group: usize, turn: Turn, healthy: impl Fn(&ClusterName) -> bool) -> Vec<&ClusterName> {
        let clusters = self.table.groups.get(group).map_or(&[][..], |group| &group.clusters);
        let mut names: Vec<_> = clusters
            .iter()
            .filter(|cluster| cluster.serving == Serving::Active && healthy(&cluster.name))
            .map(|cluster| &cluster.name)
            .collect();
        if !names.is_empty() {
            let first = turn.0 % names.len();
            names.rotate_left(first);
        }
        names
    }
}

fn check_cluster(table: &RoutingTable, group: &str, cluster: &Cluster) -> Result<(), TableError> {
    if cluster.url.parse::<Address>().is_err() {
        return Err(TableError::Url {
            group: group.to_owned(),
            cluster: cluster.name.clone(),
            url: cluster.url.clone(),
        });
    }
    match &cluster.ca {
        Some(ca) if !table.certificates.contains_key(ca) => {
            Err(TableError::Ca { group: group.to_owned(), cluster: cluster.name.clone(), ca: ca.clone() })
        }
        _ => Ok(()),
    }
}

fn check_external_url(url: &str) -> Result<Address, TableError> {
    url.parse().map_err(|_| TableError::ExternalUrl(url.to_owned()))
}

fn resolve(table: &RoutingTable, field: &str, target: &Target) -> Result<usize, TableError> {
    table.groups.iter().position(|group| group.name == target.group).ok_or_else(|| TableError::UnknownGroup {
        field: field.to_owned(),
        group: target.group.clone(),
        known: table.groups.iter().map(|group| group.name.as_str()).collect::<Vec<_>>().join(", "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::{Group, Rules, Strategy};

    fn cluster(name: &str) -> Cluster {
        Cluster {
            name: name.parse().expect("a legal name"),
            url: format!("http://{name}:8080"),
            serving: Serving::Active,
            ca: None,
        }
    }

    fn table(clusters: Vec<Cluster>) -> RoutingTable {
        RoutingTable {
            format: 1,
            external_url: None,
            groups: vec![Group { name: "adhoc".into(), strategy: Strategy::RoundRobin, clusters }],
            routing: Rules { default: Some(Target { group: "adhoc".into() }) },
            certificates: std::collections::BTreeMap::new(),
        }
    }

    fn names(names: Vec<&ClusterName>) -> Vec<&str> {
        names.into_iter().map(ClusterName::as_str).collect()
    }

    #[test]
    fn turns_go_round_the_healthy_clusters() {
        let router = Router::compile(table(vec![cluster("a"), cluster("b"), cluster("c")])).expect("valid");
        let group = router.route().expect("a default");
        assert_eq!(names(router.candidates(group, Turn(0), |_| true)), ["a", "b", "c"]);
        assert_eq!(names(router.candidates(group, Turn(1), |_| true)), ["b", "c", "a"]);
        assert_eq!(names(router.candidates(group, Turn(1), |name| name.as_str() != "b")), ["c", "a"]);
        assert!(router.candidates(group, Turn(1), |_| false).is_empty());
    }

    #[test]
    fn a_draining_cluster_is_known_but_never_a_candidate() {
        let mut draining = cluster("old");
        draining.serving = Serving::Draining;
        let router = Router::compile(table(vec![draining, cluster("new")])).expect("valid");
        assert_eq!(names(router.candidates(0, Turn(0), |_| true)), ["new"]);
        assert!(router.cluster("old").is_some());
    }

    #[test]
    fn each_fault_names_its_field() {
        let mut unknown_group = table(vec![]);
        unknown_group.routing.default = Some(Target { group: "etl".into() });
        let mut bad_url = cluster("a");
        bad_url.url = "http://a:8080/path".into();
        let mut bad_ca = cluster("a");
        bad_ca.ca = Some("x".into());
        let mut bad_external = table(vec![]);
        bad_external.external_url = Some("https://user@trino.example.com".into());
        let mut newer = table(vec![]);
        newer.format = 2;
        let mut twice = table(vec![cluster("a")]);
        twice.groups.push(Group { name: "adhoc".into(), strategy: Strategy::RoundRobin, clusters: vec![] });
        let mut same_cluster = table(vec![cluster("a")]);
        same_cluster.groups.push(Group {
            name: "etl".into(),
            strategy: Strategy::RoundRobin,
            clusters: vec![cluster("a")],
        });
        for (table, message) in [
            (unknown_group, r#"routing.default.group: there is no group "etl"; the groups are: adhoc"#),
            (
                table(vec![bad_url]),
                r#"groups[adhoc].clusters[a].url: "http://a:8080/path" must be http://host:port or https://host:port, without a path"#,
            ),
            (table(vec![bad_ca]), r#"groups[adhoc].clusters[a].ca: certificates holds no "x""#),
            (
                bad_external,
                r#"externalUrl: "https://user@trino.example.com" must be http://host or https://host, with a port or without, and without a path"#,
            ),
            (newer, "format 2 is newer than this version reads (up to 1): upgrade this proxy"),
            (twice, r#"groups: the name "adhoc" is given twice: names of groups must differ"#),
            (
                same_cluster,
                r#"groups[etl].clusters: the name "a" is given twice: names of clusters must differ over all groups"#,
            ),
        ] {
            assert_eq!(Router::compile(table).expect_err("a fault").to_string(), message);
        }
    }
}
