//! Why a routing table is refused. Each text names the field and, where it is not plain, the mend.

use super::{
    address::InvalidExternal,
    codec::{TABLE_GZIP_KEY, TABLE_KEY},
    expression::ExpressionError,
    table::ROUTING_TABLE_FORMAT,
};
use crate::trino::ClusterName;

/// Why a table is refused. The table in force stays so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// Written by a newer version than this one reads.
    #[error("format {0} is newer than this version reads (up to {ROUTING_TABLE_FORMAT}): upgrade this proxy")]
    Format(u32),
    /// The address that clients see cannot be used.
    #[error("externalUrl: {0:?} {InvalidExternal}")]
    ExternalUrl(String),
    /// An entry of `trustedProxies` is neither an address nor a network.
    #[error("trustedProxies[{index}]: {given:?} must be an address such as 10.0.0.1 or a network such as 10.0.0.0/8")]
    TrustedProxy {
        /// Its position.
        index: usize,
        /// What was given.
        given: String,
    },
    /// An entry of `allowedHosts` is no host.
    #[error(
        "allowedHosts[{index}]: {given:?} must be a host as clients name it, such as trino.example.com or \
         *.example.com, without a port"
    )]
    AllowedHost {
        /// Its position.
        index: usize,
        /// What was given.
        given: String,
    },
    /// A listener has no name.
    #[error("listeners[{0}].name: every listener needs a name")]
    ListenerUnnamed(usize),
    /// Two listeners share one name.
    #[error("listeners: the name {0:?} is given twice: names of listeners must differ")]
    ListenerTwice(String),
    /// The external router cannot be asked there.
    #[error("routing.external.url: {0:?} must be http://host or https://host, with a port and a path or without")]
    ExternalRouter(String),
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
        "groups[{group}].clusters[{cluster}].{field}: {url:?} must be http://host:port or https://host:port, without a \
         path"
    )]
    Url {
        /// `url` or `clientUrl`.
        field: &'static str,
        /// The cluster's group.
        group: String,
        /// The cluster.
        cluster: ClusterName,
        /// What was given.
        url: String,
    },
    /// A group's health check cannot be used.
    #[error("groups[{group}].healthCheck.{field}: {mend}")]
    HealthCheck {
        /// The group.
        group: String,
        /// The field of its health check.
        field: &'static str,
        /// What it must be.
        mend: &'static str,
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
    /// The hash of a cluster's token is none, or another cluster has the same.
    #[error("groups[{group}].clusters[{cluster}].eventToken: {mend}")]
    EventToken {
        /// The cluster's group.
        group: String,
        /// The cluster.
        cluster: ClusterName,
        /// What it must be.
        mend: &'static str,
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
    /// A rule pins queries to a cluster that the table does not hold.
    #[error("{field}: there is no cluster {cluster:?}; the clusters are: {known}")]
    UnknownCluster {
        /// The field that names it.
        field: String,
        /// What was given.
        cluster: String,
        /// The names that would do.
        known: String,
    },
    /// A target names nothing, or more than one thing.
    #[error("{field}: give exactly one of group, groups and cluster")]
    Target {
        /// The target's field.
        field: String,
    },
    /// All groups of a target have the weight 0.
    #[error("{field}.groups: at least one of them needs a weight over 0")]
    NoWeight {
        /// The target's field.
        field: String,
    },
    /// Two rules share one name.
    #[error("routing.rules: the name {0:?} is given twice: names of rules must differ")]
    RuleTwice(String),
    /// A rule has no name.
    #[error("routing.rules[{0}].name: every rule needs a name")]
    RuleUnnamed(usize),
    /// A rule says neither where queries go nor that they are refused, or both.
    #[error("routing.rules[{0}]: give exactly one of to and reject")]
    RuleEnd(String),
    /// A rule rejects without a word.
    #[error("routing.rules[{0}].reject.message: say what the user is told")]
    RejectMessage(String),
    /// A rule's expression cannot be used.
    #[error("routing.rules[{rule}].when: {fault}")]
    Expression {
        /// Name of the rule.
        rule: String,
        /// What is wrong, and where.
        fault: ExpressionError,
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
