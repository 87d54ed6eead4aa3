//! Where coordinators tell of their queries: the gateway whose proxies take it, and who is to look when that changes.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Secret, Service};
use kube::{ResourceExt, runtime::reflector::ObjectRef};

use super::{
    certificates, cluster,
    context::Context,
    error::Error,
    index::{Index, Watched, label},
    secret_value,
};
use crate::{
    api::{TrinoCluster, TrinoClusterGroup, TrinoGateway},
    desired::{
        cluster::{ClusterIdentity, ClusterObjects, event_token_hash, events_lead_to, trusts_for_events},
        gateway,
        labels::GROUP,
    },
};

/// The gateways that serve `cluster`, by name.
pub(super) fn gateways_of(index: &Index, cluster: &TrinoCluster) -> Vec<Arc<TrinoGateway>> {
    let Some(name) = label(cluster, GROUP) else { return Vec::new() };
    gateways_before(index, &cluster.namespace().unwrap_or_default(), name)
}

/// The gateways that serve the group `name`, by name.
pub(super) fn gateways_before(index: &Index, namespace: &str, name: &str) -> Vec<Arc<TrinoGateway>> {
    let group = TrinoClusterGroup::named(index, namespace, name);
    let labels = group.as_ref().and_then(|group| group.metadata.labels.as_ref());
    let mut gateways = index.gateways.state_filter(|gateway| {
        gateway.namespace().as_deref() == Some(namespace)
            && gateway::selects(gateway.spec.groups.as_ref(), name, labels)
    });
    gateways.sort_by_key(|gateway| gateway.name_any());
    gateways
}

/// The gateway to which the coordinator of `cluster` is to tell of its queries: the first that wants to know, else the first.
pub(super) fn gateway_of(index: &Index, cluster: &TrinoCluster) -> Option<String> {
    let mut gateways = gateways_of(index, cluster);
    gateways.retain(|gateway| gateway.metadata.deletion_timestamp.is_none());
    let wants = gateways.iter().find(|gateway| gateway::takes_events(&gateway.spec));
    wants.or(gateways.first()).map(|gateway| gateway.name_any())
}

/// The clusters of a namespace whose coordinators tell another gateway than they are to.
pub(super) fn astray(index: &Index, namespace: Option<&str>) -> Vec<ObjectRef<TrinoCluster>> {
    let astray = index.clusters.state_filter(|cluster| {
        let identity = cluster::identity(cluster);
        namespace == Some(identity.namespace.as_str())
            && Service::named(index, &identity.namespace, &identity.events_name())
                .is_some_and(|service| events_lead_to(&service) != gateway_of(index, cluster).as_deref())
    });
    astray.iter().map(|cluster| ObjectRef::from_obj(&**cluster)).collect()
}

/// What the coordinator needs to tell of its queries, before its pods: its token, whose hash is returned, and the CA by which
/// it trusts the proxies.
pub(super) async fn settle(
    context: &Context,
    identity: &ClusterIdentity,
    objects: &ClusterObjects,
) -> Result<Option<String>, Error> {
    if objects.events.is_none() {
        return Ok(None);
    }
    if trusts_for_events(&objects.coordinator) {
        certificates::authorities(context, &identity.namespace).await?;
    }
    context.event_token(|token| identity.events_secret(token)).await
}

impl Context {
    /// The hash of the token in the Secret that `around` makes around a random value; it is created unless it is there.
    pub(super) async fn event_token(&self, around: impl FnOnce(String) -> Secret) -> Result<Option<String>, Error> {
        let secret = self.secret_once(&around(secret_value())).await?;
        Ok(secret.as_ref().and_then(event_token_hash))
    }
}
