//! What a process tells about itself: logs, metrics, and the admin server that shows them. It knows nothing of Trino or
//! Kubernetes: both planes use it, each with its own metrics and its own idea of readiness.

pub mod admin;
mod lines;
pub mod logs;
mod metrics;
mod token;

pub use admin::Admin;
pub use lines::Lines;
pub use metrics::Metrics;
pub use token::Token;
