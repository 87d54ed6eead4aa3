//! The Secrets and ConfigMaps of users that pods need are looked for. Nothing of what they hold is kept.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    time::Duration,
};

use k8s_openapi::api::core::v1::ConfigMap;

use super::{assess::Trouble, context::Context, error::Error};
use crate::{
    api::TrinoClusterSpec,
    desired::{Needed, Source, cluster::ClusterIdentity, needed_by_cluster},
};

/// They are not watched (of Secrets that would take the right to read all of them), so a missing one is looked for again.
pub(super) const RETRY: Duration = Duration::from_secs(15);

/// The reason of a condition that tells of a missing Secret.
pub(super) const SECRET_NOT_FOUND: &str = "SecretNotFound";

/// What is wrong with the first of `needed` that is not there, or lacks a key; and the mend.
pub(super) async fn missing(context: &Context, namespace: &str, needed: &[Needed]) -> Result<Option<Trouble>, Error> {
    let mut known: BTreeMap<_, Option<BTreeSet<String>>> = BTreeMap::new();
    for needed in needed {
        let object = (needed.source, needed.name.as_str(), needed.filled);
        let found = match known.entry(object) {
            Entry::Occupied(found) => found.into_mut(),
            Entry::Vacant(new) => new.insert(keys(context, namespace, object).await?),
        };
        if let Some(message) = needed.fault(namespace, found.as_ref()) {
            let reason = match needed.source {
                Source::Secret => SECRET_NOT_FOUND,
                Source::ConfigMap => "ConfigMapNotFound",
            };
            return Ok(Some(Trouble { reason, message }));
        }
    }
    Ok(None)
}

/// The keys of a Secret or ConfigMap, or those whose values are not empty; none if it is not there.
async fn keys(
    context: &Context,
    namespace: &str,
    (source, name, filled): (Source, &str, bool),
) -> Result<Option<BTreeSet<String>>, Error> {
    let counts = |value: &[u8]| !filled || !value.is_empty();
    Ok(match source {
        Source::Secret => context.secret(namespace, name).await?.map(|secret| {
            let data = secret.data.unwrap_or_default().into_iter();
            data.filter(|(_, value)| counts(&value.0)).map(|(key, _)| key).collect()
        }),
        Source::ConfigMap => {
            let found = context.api::<ConfigMap>(namespace).get_opt(name).await;
            found.map_err(Error::api(format!("read ConfigMap {name:?}")))?.map(|map| {
                let text = map.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.into_bytes()));
                let binary = map.binary_data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0));
                text.chain(binary).filter(|(_, value)| counts(value)).map(|(key, _)| key).collect()
            })
        }
    })
}

/// What is missing of that which a cluster's pods need.
pub(super) async fn missing_of_cluster(
    context: &Context,
    identity: &ClusterIdentity,
    spec: &TrinoClusterSpec,
) -> Result<Option<Trouble>, Error> {
    let missing = missing(context, &identity.namespace, &needed_by_cluster(spec)).await?;
    Ok(missing.map(|Trouble { reason, message }| {
        let message = format!("{message}. Pods that need it cannot start until then; those that run go on");
        Trouble { reason, message }
    }))
}
