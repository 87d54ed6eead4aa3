//! What is decided of a new query, and what picks a cluster for it: plain values between the router and its callers.

use std::sync::Arc;

use crate::trino::ClusterName;

/// What becomes of a new query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Name of the rule that matched; none when the default decided, or nothing did.
    pub rule: Option<Arc<str>>,
    /// What becomes of it.
    pub outcome: Outcome,
    /// Rules that failed on the way, for the log.
    pub faults: Vec<Fault>,
}

/// Where a new query goes, if anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// To the group at this position of [`super::RoutingTable::groups`].
    Group(usize),
    /// To this cluster of the table and no other.
    Cluster(ClusterName),
    /// It is refused, and the user is told this.
    Reject {
        /// For the user.
        message: String,
    },
    /// No rule matches it, and there is no default.
    NoRoute,
}

/// A rule that could not be told of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Name of the rule.
    pub rule: Arc<str>,
    /// Why; never holds the statement's text.
    pub message: String,
}

/// What picks a cluster of a group; the caller has the state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pick {
    /// A count of picks in the group: consecutive turns go round its clusters.
    pub turn: usize,
    /// Any number, each as likely as the other.
    pub random: u64,
}

/// What a healthy cluster does now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Queries under way there.
    pub queries: u32,
    /// How much of its weight counts, from 0 to 1: less than 1 while it warms up.
    pub factor: f64,
}

impl Default for Load {
    fn default() -> Self {
        Self { queries: 0, factor: 1.0 }
    }
}
