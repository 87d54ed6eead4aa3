//! A cluster's Secrets of random values that are made once and stay as they are. Secrets that are renewed have files of their
//! own.

use super::{context::Context, error::Error, secret_value};
use crate::{api::TrinoClusterSpec, desired::cluster::ClusterIdentity};

/// Makes those that are missing.
pub(super) async fn create(
    context: &Context,
    identity: &ClusterIdentity,
    spec: &TrinoClusterSpec,
) -> Result<(), Error> {
    context.create_secret_once(&identity.secret(secret_value())).await?;
    context.create_secret_once(&identity.worker_secret(&secret_value())).await?;
    if spec.spooling.is_some() {
        context.create_secret_once(&identity.spooling_secret(rand::random())).await?;
    }
    Ok(())
}

/// Removes all Secrets of a cluster that goes, but for its certificates.
pub(super) async fn remove(context: &Context, identity: &ClusterIdentity) -> Result<(), Error> {
    let names = [
        identity.secret_name(),
        identity.worker_secret_name(),
        identity.spooling_secret_name(),
        identity.events_name(),
        identity.credential_secret_name(),
    ];
    for name in names {
        context.delete_secret(&identity.namespace, &name).await?;
    }
    Ok(())
}
