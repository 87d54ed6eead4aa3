//! What is true of Trino, whoever asks: names, properties files, what its logs say. No I/O of its own.

mod name;

pub use name::{ClusterName, InvalidClusterName};
