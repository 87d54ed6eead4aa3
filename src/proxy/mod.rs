//! The gateway that clients talk to: listen → route → forward → observe.
//!
//! A new query (`POST /v1/statement`) is sent to a healthy cluster of its group, with `X-Forwarded-Prefix:
//! /c/<cluster>`; Trino then hands out URIs below that prefix, and every later request names its own cluster. So a
//! proxy keeps nothing: any replica serves any request of any query. Bodies stream in both directions and are never
//! collected. Nothing here knows of Kubernetes: routing tables come in through a watch channel.

mod backend;
mod body;
mod endpoint;
mod error;
mod exchange;
mod fleet;
mod forward;
mod gateway;
mod headers;
mod health;
mod kept;
mod listen;
mod observe;
mod settings;
mod statement;
mod tls;

pub use error::Error;
pub use gateway::Proxy;
pub use settings::{HealthChecks, Settings};
