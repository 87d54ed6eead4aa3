//! Warren runs fleets of Trino clusters on Kubernetes and puts one gateway in front of them.
//!
//! The library holds everything; `main.rs` only starts [`cli`]. Which module may name which is written down, with its
//! reasons, in `docs/architecture.md` and enforced by `tests/architecture.rs`.

pub mod api;
pub mod cli;
pub mod desired;
pub mod follow;
pub mod lifecycle;
pub mod proxy;
pub mod reconcile;
pub mod routing;
pub mod telemetry;
pub mod trino;
pub mod tuning;
