//! What is true of Trino, whoever asks: names, properties files, statements, what its logs and its queries say. No I/O of its own.

mod duration;
pub mod event;
mod name;
pub mod page;
pub mod password;
pub mod properties;
mod query;
mod release;
pub mod sql;
pub mod startup;
pub mod work;
pub mod worker;

pub use duration::parse_duration;
pub use name::{ClusterName, InvalidClusterName};
pub use query::{InvalidQueryId, QueryId};
pub use release::release;

/// The port on which coordinator and workers speak HTTP, as in the official image.
pub const HTTP_PORT: i32 = 8080;

/// The port on which they speak HTTPS, where they do: Trino's own default (476).
pub const HTTPS_PORT: i32 = 8443;
