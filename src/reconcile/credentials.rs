//! Brings the credentials by which proxies ask clusters, Warren's own and those that users give for external ones, into the
//! proxies' own Secret, which their pods have mounted. They go nowhere else.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::ResourceExt;

use super::{
    context::Context,
    credential,
    error::Error,
    gateway::clusters_of,
    index::{Index, Watched},
    secret_value,
};
use crate::{
    api::{ExternalCluster, ProxyGroup, TrinoCluster, TrinoClusterGroup, TrinoGateway},
    desired::{authorization, gateway, proxy_group::ProxyIdentity, with_credentials},
    routing::{Credential, Given},
};

/// Secrets of users are not watched, so they are looked at again.
pub(super) const INTERVAL: Duration = Duration::from_secs(60);
/// Tries when others write the same Secret.
const TRIES: usize = 3;

/// Makes the proxies' Secret if it is not there, and brings what it holds to what the clusters that they serve ask for: before a
/// cluster takes queries, as far as a kubelet is quick. Returns whether there is something of users' to look after.
pub(super) async fn settle(context: &Context, proxies: &ProxyGroup, identity: &ProxyIdentity) -> Result<bool, Error> {
    let groups = served(&context.index, proxies, identity);
    let given = with_given(&groups);
    for _ in 0..TRIES {
        let Some(found) = context.secret_once(&identity.secret(secret_value())).await? else { continue };
        let held = found.data.clone().unwrap_or_default();
        let mut wanted = BTreeMap::new();
        for cluster in groups.iter().flat_map(|group| clusters_of(group, &context.index)) {
            let Ok(name) = cluster.name_any().parse() else { continue };
            let key = Credential::file_name(&name);
            if let Some(credential) = own(context, &cluster, held.get(&key)).await? {
                wanted.insert(key, credential);
            }
        }
        for external in &given {
            let Ok(name) = external.name.parse() else { continue };
            let key = Credential::file_name(&name);
            let found = credentials(context, &identity.namespace, external).await?;
            if let Some(found) = found.or_else(|| kept(held.get(&key), external)) {
                wanted.insert(key, Credential::Given(found));
            }
        }
        let data = with_credentials(&held, &wanted);
        if data == held {
            return Ok(!given.is_empty());
        }
        let next = Secret { metadata: found.metadata.clone(), data: Some(data), ..Secret::default() };
        if context.write_secret(Some(&found), next).await? {
            return Ok(!given.is_empty());
        }
    }
    Err(Error::Contended(identity.object_name()))
}

/// The groups that these proxies serve.
fn served(index: &Index, proxies: &ProxyGroup, identity: &ProxyIdentity) -> Vec<Arc<TrinoClusterGroup>> {
    let Some(gateway) = TrinoGateway::named(index, &identity.namespace, &identity.gateway) else { return Vec::new() };
    let mut groups = index.groups.state_filter(|group| {
        let (name, labels) = (group.name_any(), group.metadata.labels.as_ref());
        group.namespace().as_deref() == Some(&*identity.namespace)
            && gateway::selects(gateway.spec.groups.as_ref(), &name, labels)
            && proxies.spec.groups.as_ref().is_none_or(|selection| gateway::serves(selection, group))
    });
    groups.sort_by_key(|group| group.name_any());
    groups
}

/// Warren's own for a cluster with authentication: what is held, unless the cluster's status tells of another one.
async fn own(
    context: &Context,
    cluster: &TrinoCluster,
    held: Option<&ByteString>,
) -> Result<Option<Credential>, Error> {
    if cluster.spec.authentication.is_none() {
        return Ok(None);
    }
    let held = held.and_then(|file| Credential::read(&file.0));
    let told = cluster.status.as_ref().and_then(|status| Some(&status.credential.as_ref()?.digest));
    if held.as_ref().is_some_and(|held| Some(&held.digest()) == told) {
        return Ok(held);
    }
    Ok(credential::used(context, cluster).await?.or(held))
}

/// Their external clusters with credentials.
fn with_given(groups: &[Arc<TrinoClusterGroup>]) -> Vec<ExternalCluster> {
    let external = groups.iter().flat_map(|group| &group.spec.external);
    external.filter(|external| external.credentials_secret_ref.is_some()).cloned().collect()
}

/// Those of the user's Secret; none while it is not there or not as it must be, which the group's condition tells.
async fn credentials(context: &Context, namespace: &str, external: &ExternalCluster) -> Result<Option<Given>, Error> {
    let Some(reference) = &external.credentials_secret_ref else { return Ok(None) };
    let data = context.secret(namespace, &reference.name).await?.and_then(|secret| secret.data);
    let authorization = data.and_then(|data| authorization(&data).ok());
    Ok(authorization.map(|authorization| Given { url: external.url.clone(), authorization }))
}

/// Those that the proxies have for the same address.
fn kept(held: Option<&ByteString>, external: &ExternalCluster) -> Option<Given> {
    match Credential::read(&held?.0)? {
        Credential::Given(kept) if kept.url == external.url => Some(kept),
        _ => None,
    }
}
