//! What of a routing table is checked field by field, and what its texts become. Pure.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

use ipnet::IpNet;

use super::{
    Address, TableError,
    decision::Outcome,
    table::{Cluster, ExternalRouter, HealthCheck, Listener, RoutingTable, Target},
};
use crate::trino::{
    ClusterName,
    sql::{Context, analyze},
};

/// A [`Target`] whose references are known to resolve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    /// Positions of groups and their weights; the weights are over 0.
    Groups(Vec<(usize, u32)>),
    Cluster(ClusterName),
}

impl Destination {
    /// Resolves the target that stands in `field`.
    pub(super) fn of(table: &RoutingTable, field: &str, target: &Target) -> Result<Self, TableError> {
        match target {
            Target { group: Some(group), groups, cluster: None } if groups.is_empty() => {
                Ok(Self::Groups(vec![(position(table, &format!("{field}.group"), group)?, 1)]))
            }
            Target { group: None, groups, cluster: None } if !groups.is_empty() => {
                let mut shares = Vec::with_capacity(groups.len());
                for (index, group) in groups.iter().enumerate() {
                    let at = position(table, &format!("{field}.groups[{index}].name"), &group.name)?;
                    shares.push((at, group.weight));
                }
                shares.retain(|(_, weight)| *weight > 0);
                if shares.is_empty() {
                    Err(TableError::NoWeight { field: field.to_owned() })
                } else {
                    Ok(Self::Groups(shares))
                }
            }
            Target { group: None, groups, cluster: Some(cluster) } if groups.is_empty() => {
                Ok(Self::Cluster(cluster_name(table, &format!("{field}.cluster"), cluster)?))
            }
            _ => Err(TableError::Target { field: field.to_owned() }),
        }
    }

    /// Where a query goes whose draw is `draw`, from 0 to less than 1: groups get their shares of all draws.
    pub(super) fn outcome(&self, draw: f64) -> Outcome {
        let shares = match self {
            Self::Cluster(name) => return Outcome::Cluster(name.clone()),
            Self::Groups(shares) => shares,
        };
        let total: f64 = shares.iter().map(|(_, weight)| f64::from(*weight)).sum();
        let mut left = draw.clamp(0.0, 1.0) * total;
        let drawn = shares.iter().find(|(_, weight)| {
            left -= f64::from(*weight);
            left < 0.0
        });
        // Past the end by rounding, or by a draw of 1: the last one.
        drawn.or(shares.last()).map_or(Outcome::NoRoute, |(group, _)| Outcome::Group(*group))
    }
}

fn position(table: &RoutingTable, field: &str, name: &str) -> Result<usize, TableError> {
    table.groups.iter().position(|group| group.name == name).ok_or_else(|| TableError::UnknownGroup {
        field: field.to_owned(),
        group: name.to_owned(),
        known: table.groups.iter().map(|group| group.name.as_str()).collect::<Vec<_>>().join(", "),
    })
}

fn cluster_name(table: &RoutingTable, field: &str, name: &str) -> Result<ClusterName, TableError> {
    let mut clusters = table.groups.iter().flat_map(|group| &group.clusters).map(|cluster| &cluster.name);
    clusters.clone().find(|known| known.as_str() == name).cloned().ok_or_else(|| TableError::UnknownCluster {
        field: field.to_owned(),
        cluster: name.to_owned(),
        // A table may hold a thousand: a few show what names look like.
        known: clusters.by_ref().take(20).map(ClusterName::as_str).collect::<Vec<_>>().join(", "),
    })
}

/// The clusters of all groups by name.
pub(super) fn clusters(table: &RoutingTable) -> Result<HashMap<ClusterName, Arc<Cluster>>, TableError> {
    let mut clusters = HashMap::new();
    let mut tokens = HashSet::new();
    for (index, group) in table.groups.iter().enumerate() {
        if table.groups[..index].iter().any(|other| other.name == group.name) {
            return Err(TableError::GroupTwice(group.name.clone()));
        }
        if let Some(check) = &group.health_check {
            health_check(check).map_err(|(field, mend)| TableError::HealthCheck {
                group: group.name.clone(),
                field,
                mend,
            })?;
        }
        for cluster in &group.clusters {
            check_cluster(table, &group.name, cluster)?;
            check_token(cluster, &mut tokens).map_err(|mend| TableError::EventToken {
                group: group.name.clone(),
                cluster: cluster.name.clone(),
                mend,
            })?;
            if clusters.insert(cluster.name.clone(), Arc::new(cluster.clone())).is_some() {
                return Err(TableError::ClusterTwice { group: group.name.clone(), cluster: cluster.name.clone() });
            }
        }
    }
    Ok(clusters)
}

/// Checks the hash of a cluster's token; whose events they are must be plain from it. A fault is what it must be.
fn check_token<'a>(cluster: &'a Cluster, known: &mut HashSet<&'a str>) -> Result<(), &'static str> {
    let Some(hash) = &cluster.event_token else { return Ok(()) };
    if hash.len() != 64 || !hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Err("must be a SHA-256 of 64 digits 0-9 and a-f");
    }
    if known.insert(hash) { Ok(()) } else { Err("another cluster has the same token: each needs one of its own") }
}

fn check_cluster(table: &RoutingTable, group: &str, cluster: &Cluster) -> Result<(), TableError> {
    for (field, url) in [("url", Some(&cluster.url)), ("clientUrl", cluster.client_url.as_ref())] {
        if let Some(url) = url
            && url.parse::<Address>().is_err()
        {
            let (group, cluster) = (group.to_owned(), cluster.name.clone());
            return Err(TableError::Url { field, group, cluster, url: url.clone() });
        }
    }
    match &cluster.ca {
        Some(ca) if !table.certificates.contains_key(ca) => {
            Err(TableError::Ca { group: group.to_owned(), cluster: cluster.name.clone(), ca: ca.clone() })
        }
        _ => Ok(()),
    }
}

/// The verbs of statements that only read. Many proxies run it again and again: what writes does not belong there.
const READING: &[&str] = &["SELECT", "SHOW", "DESCRIBE", "EXPLAIN"];

/// Checks the query by which a group's clusters are checked; a fault is a field and what it must be.
fn health_check(check: &HealthCheck) -> Result<(), (&'static str, &'static str)> {
    let HealthCheck { sql, user, interval_seconds, timeout_seconds } = check;
    let context = Context { catalog: None, schema: None, prepared: &BTreeMap::new() };
    if sql.trim_end().ends_with(';') || !READING.contains(&analyze(sql, &context).kind.as_str()) {
        return Err(("sql", "must be one statement that only reads, such as SELECT 1, without a semicolon"));
    }
    if user.is_empty() || !user.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(("user", "must be the name of a user: visible ASCII characters"));
    }
    if interval_seconds.is_some_and(|seconds| !(5..=3600).contains(&seconds)) {
        return Err(("intervalSeconds", "must be from 5 to 3600"));
    }
    if timeout_seconds.is_some_and(|seconds| !(1..=60).contains(&seconds)) || check.timeout() > check.interval() {
        return Err(("timeoutSeconds", "must be from 1 to 60, and not over intervalSeconds"));
    }
    Ok(())
}

/// The networks of `trustedProxies`; an address is a network of one.
pub(super) fn networks(given: &[String]) -> Result<Vec<IpNet>, TableError> {
    let network = |(index, text): (usize, &String)| {
        let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
        let network = text.parse::<IpNet>().ok().or_else(address);
        network.ok_or_else(|| TableError::TrustedProxy { index, given: text.clone() })
    };
    given.iter().enumerate().map(network).collect()
}

/// A host that clients may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AllowedHost {
    /// In lower case.
    Exact(String),
    /// `.example.com` in lower case: any name that ends so.
    Below(String),
}

impl AllowedHost {
    /// Whether `host`, in lower case and without a port, is one.
    pub(super) fn allows(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => name == host,
            Self::Below(end) => host.len() > end.len() && host.ends_with(end.as_str()),
        }
    }
}

/// The hosts of `allowedHosts`.
pub(super) fn hosts(given: &[String]) -> Result<Vec<AllowedHost>, TableError> {
    let host = |(index, text): (usize, &String)| {
        let refused = || TableError::AllowedHost { index, given: text.clone() };
        let lower = text.to_ascii_lowercase();
        let name = lower.strip_prefix("*.").unwrap_or(&lower);
        // An address without scheme and port holds exactly what a Host may: a name, or an address of IPv4 or IPv6.
        let address = format!("http://{name}").parse::<Address>().map_err(|_| refused())?;
        match (address.authority().as_str() == name && address.host() == name, lower.strip_prefix('*')) {
            (true, None) if !name.contains('*') => Ok(AllowedHost::Exact(lower)),
            (true, Some(end)) if !name.contains('*') => Ok(AllowedHost::Below(end.to_owned())),
            _ => Err(refused()),
        }
    };
    given.iter().enumerate().map(host).collect()
}

/// Checks that listeners can be told apart.
pub(super) fn listeners(listeners: &[Listener]) -> Result<(), TableError> {
    for (index, listener) in listeners.iter().enumerate() {
        if listener.name.trim().is_empty() {
            return Err(TableError::ListenerUnnamed(index));
        }
        if listeners[..index].iter().any(|other| other.name == listener.name) {
            return Err(TableError::ListenerTwice(listener.name.clone()));
        }
    }
    Ok(())
}

/// Checks where an external router is asked.
pub(super) fn external_router(router: &ExternalRouter) -> Result<(), TableError> {
    let fault = || TableError::ExternalRouter(router.url.clone());
    let uri: http::Uri = router.url.parse().map_err(|_| fault())?;
    let known = matches!(uri.scheme_str(), Some("http" | "https"));
    let plain = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
    if known && plain && !router.url.contains('#') { Ok(()) } else { Err(fault()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sql: &str) -> HealthCheck {
        HealthCheck { sql: sql.into(), user: "health".into(), interval_seconds: None, timeout_seconds: None }
    }

    #[test]
    fn a_health_check_reads_and_leaves_its_cluster_time() {
        for sql in ["SELECT 1", "select count(*) FROM tpch.tiny.nation\n", "SHOW CATALOGS", "EXPLAIN DELETE FROM a.b.c"]
        {
            assert_eq!(health_check(&check(sql)), Ok(()), "{sql}");
        }
        for sql in ["", " ", "SELECT 1;", "SELECT 1; \n", "DELETE FROM a.b.c", "EXPLAIN ANALYZE DELETE FROM a.b.c", "x"]
        {
            assert_eq!(health_check(&check(sql)).unwrap_err().0, "sql", "{sql}");
        }
        for user in ["", "a b", "é", "a\n"] {
            let by = HealthCheck { user: user.into(), ..check("SELECT 1") };
            assert_eq!(health_check(&by).unwrap_err().0, "user", "{user:?}");
        }
        let timed = |interval_seconds, timeout_seconds| {
            let check = HealthCheck { interval_seconds, timeout_seconds, ..check("SELECT 1") };
            health_check(&check).err().map(|(field, _)| field)
        };
        for (interval, timeout) in [(Some(5), None), (None, Some(30)), (Some(3600), Some(60)), (Some(5), Some(1))] {
            assert_eq!(timed(interval, timeout), None);
        }
        assert_eq!([timed(Some(4), None), timed(Some(3601), None)], [Some("intervalSeconds"); 2]);
        assert_eq!(
            [timed(None, Some(0)), timed(None, Some(31)), timed(Some(60), Some(61))],
            [Some("timeoutSeconds"); 3]
        );
    }
}
