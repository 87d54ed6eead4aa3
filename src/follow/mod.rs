//! A routing table as a watch channel: from a standalone file, or from the ConfigMap that the operator writes. And the
//! document with a proxy's settings, from a file, and by what it asks clusters, from files.
//!
//! This is the data plane's only user of Kubernetes. A table that cannot be used is refused whole: it is logged with
//! its fault, counted, and the last good one stays in force. It never routes, and never writes anything.

mod config_map;
mod credentials;
mod each;
mod error;
mod publish;
mod read;
mod standalone;
mod tuning;

pub use config_map::{ConfigMapSource, connect, follow_config_map};
pub use credentials::{Credentials, follow_credentials};
pub use error::Error;
pub use publish::{Publisher, Tables, channel};
pub use standalone::{Listen, Standalone, follow_file};
pub use tuning::{Document, DocumentFile};
