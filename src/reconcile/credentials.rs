//! Brings the credentials by which proxies check external clusters from the users' Secrets into the proxies' own, which their
//! pods have mounted. They go nowhere else.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::ResourceExt;

use super::{
    context::Context,
    error::Error,
    index::{Index, Watched},
    secret_value,
};
use crate::{
    api::{ExternalCluster, ProxyGroup, TrinoGateway},
    desired::{authorization, gateway, proxy_group::ProxyIdentity, with_credentials},
    routing::CheckCredentials,
};

/// Secrets of users are not watched, so they are looked at again.
pub(super) const INTERVAL: Duration = Duration::from_secs(60);
/// Tries when others write the same Secret.
const TRIES: usize = 3;

/// Makes the proxies' Secret if it is not there, and brings what it holds for checks to what the spec of their groups asks
/// for. Returns whether there is something to look after.
pub(super) async fn settle(context: &Context, proxies: &ProxyGroup, identity: &ProxyIdentity) -> Result<bool, Error> {
    let asked = asked(&context.index, proxies, identity);
    for _ in 0..TRIES {
        let Some(found) = context.secret_once(&identity.secret(secret_value())).await? else { return Ok(true) };
        let held = found.data.clone().unwrap_or_default();
        let mut wanted = BTreeMap::new();
        for external in &asked {
            let Ok(name) = external.name.parse() else { continue };
            let key = CheckCredentials::file_name(&name);
            let credentials = credentials(context, &identity.namespace, external).await?;
            if let Some(credentials) = credentials.or_else(|| kept(&held, &key, external)) {
                wanted.insert(key, credentials);
            }
        }
        let data = with_credentials(&held, &wanted);
        if data == held {
            return Ok(!asked.is_empty());
        }
        let mut next = identity.secret(String::new());
        next.string_data = None;
        if context.write_secret(Some(&found), Secret { data: Some(data), ..next }).await? {
            return Ok(!asked.is_empty());
        }
    }
    Err(Error::Contended(identity.object_name()))
}

/// The external clusters with credentials that these proxies serve.
fn asked(index: &Index, proxies: &ProxyGroup, identity: &ProxyIdentity) -> Vec<ExternalCluster> {
    let Some(gateway) = TrinoGateway::named(index, &identity.namespace, &identity.gateway) else { return Vec::new() };
    let mut groups = index.groups.state_filter(|group| {
        let (name, labels) = (group.name_any(), group.metadata.labels.as_ref());
        group.namespace().as_deref() == Some(&*identity.namespace)
            && gateway::selects(gateway.spec.groups.as_ref(), &name, labels)
            && gateway::selects(proxies.spec.groups.as_ref(), &name, labels)
    });
    groups.sort_by_key(|group| group.name_any());
    let external = groups.iter().flat_map(|group| &group.spec.external);
    external.filter(|external| external.credentials_secret_ref.is_some()).cloned().collect()
}

/// Those of the user's Secret; none while it is not there or not as it must be, which the group's condition tells.
async fn credentials(
    context: &Context,
    namespace: &str,
    external: &ExternalCluster,
) -> Result<Option<CheckCredentials>, Error> {
    let Some(reference) = &external.credentials_secret_ref else { return Ok(None) };
    let data = context.secret(namespace, &reference.name).await?.and_then(|secret| secret.data);
    let authorization = data.and_then(|data| authorization(&data).ok());
    Ok(authorization.map(|authorization| CheckCredentials { url: external.url.clone(), authorization }))
}

/// Those that the proxies have for the same address.
fn kept(held: &BTreeMap<String, ByteString>, key: &str, external: &ExternalCluster) -> Option<CheckCredentials> {
    let kept: CheckCredentials = serde_json::from_slice(&held.get(key)?.0).ok()?;
    Some(kept).filter(|kept| kept.url == external.url)
}
