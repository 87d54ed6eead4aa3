//! Where a query goes: the routing table, its compilation, and the strategies. Pure: no I/O, no clock, no Kubernetes.
//!
//! The operator compiles a [`RoutingTable`] before it publishes it, the proxy compiles what it reads; both by
//! [`Router::compile`], so that a table which one accepts the other accepts.

mod address;
pub mod codec;
mod router;
mod table;

pub use address::Address;
pub use router::{Router, TableError, Turn};
// Part of the contract: whoever reads tables needs no other module for it.
pub use crate::trino::ClusterName;
pub use table::{Cluster, Group, ROUTING_TABLE_FORMAT, RoutingTable, Rules, Serving, Strategy, Target};
