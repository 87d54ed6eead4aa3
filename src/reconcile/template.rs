//! What the clusters of a group are made from: its template, with the TrinoCatalogs that it picks as they stand now.

use std::sync::Arc;

use kube::ResourceExt;

use super::{catalog, error::Error, index::Index};
use crate::{
    api::{ClusterTemplate, Conditions, TrinoCluster, TrinoClusterGroup},
    desired::{cluster_revision, group::GroupIdentity},
};

/// The template of a group as its clusters get it.
pub(super) struct Target {
    /// The template, with the catalogs that it picks; none where the group makes no clusters.
    pub(super) template: Option<ClusterTemplate>,
    /// Its revision.
    pub(super) revision: Option<String>,
    /// Why the catalogs are not those that are picked now.
    conflict: Option<Error>,
}

impl Target {
    /// The template of `group`. Where the catalogs that it picks contradict each other, with those that the newest of its clusters
    /// has: what serves goes on, and all else that a group does.
    ///
    /// # Errors
    /// When they contradict each other and there is no cluster yet.
    pub(super) fn of(group: &TrinoClusterGroup, members: &[Arc<TrinoCluster>], index: &Index) -> Result<Self, Error> {
        let Some(mut template) = group.spec.template.clone() else {
            return Ok(Self { template: None, revision: None, conflict: None });
        };
        let mut conflict = None;
        match catalog::resolved(index, &group.namespace().unwrap_or_default(), &template.spec) {
            Ok(spec) => template.spec = spec,
            Err(error) => {
                let error = Error::GroupCatalogs(error);
                let newest = members.iter().max_by_key(|cluster| GroupIdentity::ordinal(&cluster.name_any()));
                let Some(newest) = newest else { return Err(error) };
                template.spec.catalogs.clone_from(&newest.spec.catalogs);
                conflict = Some(error);
            }
        }
        let revision = Some(cluster_revision(&template.spec).to_string());
        Ok(Self { template: Some(template), revision, conflict })
    }

    /// The conditions that tell of a contradiction, if there is one.
    pub(super) fn conditions(&self, serving: bool) -> Option<Conditions> {
        let error = self.conflict.as_ref()?;
        let message = format!("{error}. Until then clusters have the catalogs that were picked before");
        Some(Conditions::Stalled { serving, reason: error.reason(), message })
    }
}
