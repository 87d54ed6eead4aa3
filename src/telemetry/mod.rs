//! What a process tells about itself: logs, metrics, and the admin server that shows them. It knows nothing of Trino or
//! Kubernetes: both planes use it, each with its own metrics and its own idea of readiness.

pub mod admin;
mod chain;
mod lines;
pub mod logs;
mod metrics;
mod span;
mod token;
mod traces;

pub use admin::Admin;
pub use chain::chain;
pub use lines::Lines;
pub use metrics::Metrics;
pub use span::{Sampling, Span};
pub use token::Token;
pub use traces::{Exporter, TraceError, TraceSettings, Traces, traces};
