//! Where a query goes: the routing table, its compilation, rules and strategies. Pure: no I/O, no clock, no Kubernetes.
//!
//! The operator compiles a [`RoutingTable`] before it publishes it, the proxy compiles what it reads; both by
//! [`Router::compile`], so that a table which one accepts the other accepts.

mod address;
mod check;
pub mod codec;
mod credential;
mod decide;
mod decision;
mod error;
mod explain;
mod expression;
mod facts;
mod live;
mod router;
mod rule;
mod strategy;
mod table;

pub use address::{Address, External};
pub use credential::{Credential, Given};
pub use decision::{Decision, Fault, Load, Outcome, Pick};
pub use error::TableError;
pub use explain::{ClusterExplanation, Explanation, OutcomeExplanation, RuleExplanation, StatementExplanation};
pub use expression::ExpressionError;
pub use facts::{Facts, MOST_ENTRIES, Origin, Statement, Unread};
pub use live::{EndedQuery, LiveCluster, LiveQuery, LiveReport};
pub use router::Router;
// Part of the contract: whoever reads tables needs no other module for it.
pub use crate::trino::ClusterName;
pub use table::{
    Canary, Cluster, ExternalRouter, Group, HealthCheck, Listener, OnUnknown, ProxyMode, ROUTING_TABLE_FORMAT, Reject,
    RoutingTable, Rule, Rules, Serving, Strategy, Target, WeightedGroup,
};
