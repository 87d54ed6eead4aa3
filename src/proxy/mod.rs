//! The gateway that clients talk to: listen → route → forward → observe.
//!
//! A new query (`POST /v1/statement`) is sent to a healthy cluster of its group, with `X-Forwarded-Prefix:
//! /c/<cluster>`; Trino then hands out URIs below that prefix, and every later request names its own cluster. So a
//! proxy keeps nothing: any replica serves any request of any query. Bodies stream in both directions and are never
//! collected. Nothing here knows of Kubernetes: routing tables come in through a watch channel.

mod answer;
mod ask;
mod backend;
mod body;
mod census;
mod chains;
mod check;
mod client;
mod clock;
mod connector;
mod credentials;
mod deadline;
mod door;
mod endpoint;
mod error;
mod exchange;
mod external;
mod fields;
mod fleet;
mod forward;
mod framing;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod gateway;
mod headers;
mod health;
mod http1;
mod http2;
mod ingest;
mod kept;
mod line;
mod listen;
mod login;
mod meters;
mod observe;
mod outside;
mod oversee;
mod patient;
mod peek;
mod pool;
mod probe;
mod reason;
mod report;
mod rewrite;
mod roots;
mod sent;
mod settings;
mod shard;
mod statement;
mod stream;
mod strict;
mod tally;
mod trace;
mod transaction;
mod wire;

pub use door::{Door, Tls, TlsError, TlsFiles};
pub use error::Error;
pub use gateway::Proxy;
pub use roots::Roots;
pub use settings::{HealthChecks, Settings};
pub use shard::Shard;
