//! A cluster's Secrets of random values that are made once and stay as they are, and those of users, which are only looked for.
//! Secrets that are renewed have files of their own.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use k8s_openapi::ByteString;

use super::{context::Context, error::Error, secret_value};
use crate::{
    api::TrinoClusterSpec,
    desired::{NeededSecret, cluster::ClusterIdentity, needed_by_cluster},
};

/// Secrets are not watched (that would take the right to read all of them), so a missing one is looked for again.
pub(super) const RETRY: Duration = Duration::from_secs(15);

/// What is wrong with the first of `needed` that is not there, or lacks a key whose value `counts`; and the mend. Nothing of what
/// a Secret holds is kept.
pub(super) async fn missing(
    context: &Context,
    namespace: &str,
    needed: &[NeededSecret],
    counts: fn(&ByteString) -> bool,
) -> Result<Option<String>, Error> {
    let mut known: BTreeMap<&str, Option<BTreeSet<String>>> = BTreeMap::new();
    for needed in needed {
        let name = needed.name.as_str();
        if !known.contains_key(name) {
            let data = context.secret(namespace, name).await?.map(|secret| secret.data.unwrap_or_default());
            let keys =
                data.map(|data| data.into_iter().filter(|(_, value)| counts(value)).map(|(key, _)| key).collect());
            known.insert(name, keys);
        }
        let fault = needed.fault(namespace, known.get(name).and_then(Option::as_ref));
        if fault.is_some() {
            return Ok(fault);
        }
    }
    Ok(None)
}

/// The same of those that a cluster's pods need.
pub(super) async fn missing_of_cluster(
    context: &Context,
    identity: &ClusterIdentity,
    spec: &TrinoClusterSpec,
) -> Result<Option<String>, Error> {
    let fault = missing(context, &identity.namespace, &needed_by_cluster(spec), |_| true).await?;
    Ok(fault.map(|fault| format!("{fault}. Pods that need it cannot start until then; those that run go on")))
}

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
