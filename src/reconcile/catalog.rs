//! Reconciles a TrinoCatalog: tells which clusters have it, and whether they can load it. It makes nothing: what picks a catalog
//! makes a revision from it.

use std::{sync::Arc, time::Duration};

use kube::{ResourceExt, runtime::controller::Action};

use super::{
    cluster::takes_queries,
    context::Context,
    error::Error,
    index::{Index, Watched},
};
use crate::{
    api::{
        CatalogUse, Conditions, STALLED, ServingIntent, TrinoCatalog, TrinoCatalogStatus, TrinoCluster,
        TrinoClusterGroup, TrinoClusterSpec,
    },
    desired::{
        catalogs::{self, CatalogError},
        cluster_revision,
    },
};

const RESYNC: Duration = Duration::from_mins(10);
/// Clusters that a status names. There may be a thousand of them.
const NAMED: usize = 100;

/// Brings the status of a catalog up to date.
pub(super) async fn reconcile(catalog: Arc<TrinoCatalog>, context: &Context) -> Result<Action, Error> {
    if catalog.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let namespace = catalog.namespace().unwrap_or_default();
    let mut clusters = in_namespace::<TrinoCluster>(&context.index, &namespace);
    clusters.retain(|cluster| cluster.metadata.deletion_timestamp.is_none() && has(cluster, &catalog));
    clusters.sort_by_key(|cluster| cluster.name_any());
    let uses: Vec<_> = clusters.iter().map(|cluster| used(&context.index, cluster, &catalog)).collect();
    let conditions = conflict(&context.index, &namespace, &catalog)
        .or_else(|| failure(&clusters, &uses, &catalog))
        .unwrap_or_else(|| standing(&clusters, &uses));
    let status = TrinoCatalogStatus {
        catalog_name: Some(catalogs::catalog_name(&catalog).to_owned()),
        cluster_count: i32::try_from(uses.len()).unwrap_or(i32::MAX),
        clusters: uses.into_iter().take(NAMED).collect(),
        ..catalog.status.clone().unwrap_or_default()
    };
    context.write_status(&*catalog, status, &conditions).await?;
    Ok(Action::requeue(RESYNC))
}

/// `spec`, of an object in `namespace`, with what its selector picks there.
pub(super) fn resolved(
    index: &Index,
    namespace: &str,
    spec: &TrinoClusterSpec,
) -> Result<TrinoClusterSpec, CatalogError> {
    if catalogs::selector(spec).is_none() {
        return Ok(spec.clone());
    }
    let known = in_namespace::<TrinoCatalog>(index, namespace);
    catalogs::resolve(spec, known.iter().map(|catalog| &**catalog))
}

/// Whether the cluster has the catalog, as it stands now or as it stood before.
pub(super) fn has(cluster: &TrinoCluster, catalog: &TrinoCatalog) -> bool {
    written(cluster, catalog).is_some() || catalogs::picks(&cluster.spec, catalog)
}

/// The catalog as a group wrote it into its cluster, with its name in Trino.
fn written<'a>(
    cluster: &'a TrinoCluster,
    catalog: &TrinoCatalog,
) -> Option<(&'a String, &'a crate::api::ResolvedCatalog)> {
    let mut resolved = cluster.spec.catalogs.as_ref()?.resolved.as_ref()?.iter();
    resolved.find(|(_, written)| written.trino_catalog == catalog.metadata.name)
}

fn used(index: &Index, cluster: &TrinoCluster, catalog: &TrinoCatalog) -> CatalogUse {
    let up_to_date = if let Some((name, written)) = written(cluster, catalog) {
        name == catalogs::catalog_name(catalog) && *written == catalogs::resolved(catalog)
    } else {
        // One made by hand: it is what its status says.
        let now = resolved(index, &cluster.namespace().unwrap_or_default(), &cluster.spec);
        let known = cluster.status.as_ref().and_then(|status| status.revision.as_deref());
        now.is_ok_and(|now| Some(cluster_revision(&now).as_str()) == known)
    };
    CatalogUse { name: cluster.name_any(), up_to_date, serving: takes_queries(cluster) }
}

fn in_namespace<K: Watched>(index: &Index, namespace: &str) -> Vec<Arc<K>> {
    K::store(index).state_filter(|object| object.meta().namespace.as_deref() == Some(namespace))
}

/// The first group or cluster that cannot have the catalog beside another one.
fn conflict(index: &Index, namespace: &str, catalog: &TrinoCatalog) -> Option<Conditions> {
    let name = catalog.name_any();
    let fault = |spec: &TrinoClusterSpec| {
        let picked = catalogs::picks(spec, catalog);
        picked.then(|| resolved(index, namespace, spec).err().filter(|error| error.involves(&name))).flatten()
    };
    let groups = in_namespace::<TrinoClusterGroup>(index, namespace);
    let of_groups = groups.iter().filter_map(|group| {
        let error = fault(&group.spec.template.as_ref()?.spec)?;
        Some(format!("TrinoClusterGroup {:?}: spec.template.spec.{error}", group.name_any()))
    });
    let clusters = in_namespace::<TrinoCluster>(index, namespace);
    let of_clusters = clusters.iter().filter_map(|cluster| {
        let error = fault(&cluster.spec)?;
        Some(format!("TrinoCluster {:?}: spec.{error}", cluster.name_any()))
    });
    let message = of_groups.chain(of_clusters).min()?;
    Some(Conditions::Stalled { serving: false, reason: "CatalogConflict", message })
}

/// What a cluster that has the catalog as it stands now says against it.
fn failure(clusters: &[Arc<TrinoCluster>], uses: &[CatalogUse], catalog: &TrinoCatalog) -> Option<Conditions> {
    let current = clusters.iter().zip(uses).filter(|(_, found)| found.up_to_date);
    let object = catalogs::mention(&catalog.name_any());
    let missing = format!("no catalog {:?}", catalogs::catalog_name(catalog));
    let message = current.into_iter().find_map(|(cluster, found)| {
        let conditions = &cluster.status.as_ref()?.conditions;
        let stalled = conditions.iter().find(|condition| condition.type_ == STALLED.0 && condition.status == "True")?;
        let named = stalled.message.contains(&object) || stalled.message.contains(&missing);
        named.then(|| format!("TrinoCluster {:?}: {}", found.name, stalled.message))
    })?;
    Some(Conditions::Stalled { serving: uses.iter().any(|found| found.serving), reason: "CatalogFailed", message })
}

fn standing(clusters: &[Arc<TrinoCluster>], uses: &[CatalogUse]) -> Conditions {
    if uses.is_empty() {
        let message = "no cluster has it: no spec.catalogs.selector of this namespace picks its labels".to_owned();
        return Conditions::Ready { reason: "Unused", message };
    }
    let serving = uses.iter().filter(|found| found.serving && found.up_to_date).count();
    let old = uses.iter().filter(|found| !found.up_to_date).count();
    // Those that somebody drained or hibernated rest, and nothing is to be waited for.
    let asked = |cluster: &TrinoCluster| cluster.spec.serving.unwrap_or_default() == ServingIntent::Active;
    let found = clusters.iter().zip(uses);
    let starting = found.filter(|(cluster, found)| found.up_to_date && !found.serving && asked(cluster)).count();
    if starting + old == 0 {
        return Conditions::Ready { reason: "Loaded", message: format!("{serving} clusters have it and take queries") };
    }
    let message = format!(
        "{serving} clusters have it as it stands now and take queries, {starting} are to, {old} have it as it stood before"
    );
    let serving = uses.iter().any(|found| found.serving);
    Conditions::Reconciling { serving, reason: "ClustersChanging", message }
}
