//! From specs to Kubernetes objects and Trino's configuration. Pure: no client, no clock, no randomness, so that the same
//! spec always gives the same objects.
//!
//! Every default that a user may leave out is applied here and nowhere else.

pub mod authority;
pub mod catalogs;
pub mod certificate;
pub mod cluster;
pub mod credential;
pub mod gateway;
pub mod group;
pub mod labels;
pub mod overlay;
pub mod proxy_group;

mod canary;
mod drain;
mod duration;
mod external;
mod image;
mod metadata;
mod narrow;
mod needed;
mod quantity;
mod revision;
mod rules;
mod strict;
mod verify;

/// Key of a CA certificate in a Secret, where the user names no other.
pub const CA_KEY: &str = "ca.crt";

pub use canary::{CanaryTerms, canary_terms};
pub use drain::{DrainTerms, drain_terms};
pub use duration::{InvalidDuration, InvalidField, parse_duration};
pub use external::{
    InvalidCredentials, authorization, external_clusters, external_drain_terms, removed, with_credentials,
};
pub use narrow::narrowed;
pub use needed::{Needed, Source, needed_by_cluster};
pub use quantity::{InvalidQuantity, bytes, same_quantity};
pub(crate) use revision::digest;
pub use revision::{Component, Rendered, Revision, cluster_revision, proxy_revision};
pub use verify::{VerifyTerms, verify_terms};
