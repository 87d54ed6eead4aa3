//! The orphan sweep: removes what belongs to a cluster or a group that is gone, should its finalizer have been taken away.
//!
//! It deletes only after the API server itself said that the owner is gone: the index alone may lag behind.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use k8s_openapi::api::{
    apps::v1::{ControllerRevision, Deployment},
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{ConfigMap, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use kube::{Resource, ResourceExt};
use tracing::{info, warn};

use super::{
    cluster,
    context::Context,
    error::Error,
    index::{Watched, label},
};
use crate::{
    api::{TrinoCluster, TrinoClusterGroup},
    desired::labels::{CLUSTER, GROUP, MANAGED_BY, OWNER_UID, WARREN},
};

const PERIOD: Duration = Duration::from_mins(1);

/// An owner as the labels of its objects name it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Owner {
    namespace: String,
    name: String,
    uid: String,
}

/// Sweeps for ever.
pub(super) async fn run(context: Arc<Context>) {
    let mut ticks = tokio::time::interval(PERIOD);
    loop {
        ticks.tick().await;
        if let Err(error) = sweep(&context).await {
            warn!(%error, "the orphan sweep did not end; it is tried again");
        }
    }
}

async fn sweep(context: &Context) -> Result<(), Error> {
    for owner in gone::<TrinoCluster>(context, cluster_owners(context)).await? {
        info!(namespace = owner.namespace, cluster = owner.name, "removing what a cluster left behind");
        cluster::remove(context, &owner.namespace, &owner.name).await?;
    }
    let clusters = context.index.clusters.state();
    let groups = clusters.iter().filter_map(|cluster| owner(&**cluster, GROUP)).collect();
    for owner in gone::<TrinoClusterGroup>(context, groups).await? {
        for orphan in TrinoCluster::labelled(&context.index, &owner.namespace, GROUP, &owner.name) {
            if label(&*orphan, OWNER_UID) == Some(owner.uid.as_str()) {
                info!(
                    namespace = owner.namespace,
                    cluster = orphan.name_any(),
                    "removing a cluster whose group is gone"
                );
                context.delete(&*orphan).await?;
            }
        }
    }
    Ok(())
}

/// The owners of all objects that belong to clusters.
fn cluster_owners(context: &Context) -> BTreeSet<Owner> {
    fn of<K: Watched>(context: &Context) -> impl Iterator<Item = Owner> {
        K::store(&context.index).state().into_iter().filter_map(|object| owner(&*object, CLUSTER))
    }
    of::<Deployment>(context)
        .chain(of::<ControllerRevision>(context))
        .chain(of::<Service>(context))
        .chain(of::<ConfigMap>(context))
        .chain(of::<ServiceAccount>(context))
        .chain(of::<NetworkPolicy>(context))
        .chain(of::<PodDisruptionBudget>(context))
        .chain(of::<HorizontalPodAutoscaler>(context))
        .collect()
}

fn owner(object: &impl Resource, key: &str) -> Option<Owner> {
    if label(object, MANAGED_BY) != Some(WARREN) {
        return None;
    }
    Some(Owner {
        namespace: object.meta().namespace.clone()?,
        name: label(object, key)?.to_owned(),
        uid: label(object, OWNER_UID)?.to_owned(),
    })
}

/// Those of `owners` that the API server does not hold any more.
async fn gone<K: Watched>(context: &Context, owners: BTreeSet<Owner>) -> Result<Vec<Owner>, Error> {
    let mut gone = Vec::new();
    for owner in owners {
        let known = K::named(&context.index, &owner.namespace, &owner.name);
        if known.is_some_and(|known| known.meta().uid.as_deref() == Some(owner.uid.as_str())) {
            continue;
        }
        let step = format!("look up {} {:?}", K::kind(&()), owner.name);
        let live = context.api::<K>(&owner.namespace).get_metadata_opt(&owner.name).await.map_err(Error::api(step))?;
        if live.is_none_or(|live| live.metadata.uid.as_deref() != Some(owner.uid.as_str())) {
            gone.push(owner);
        }
    }
    Ok(gone)
}
