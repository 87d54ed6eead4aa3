//! A group's TrinoClusters: their names and what stands in them.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{
    labels::{DRAINING_SINCE, GROUP, Labels, MANAGED_BY, ON_PROBATION, OWNER_UID, REVISION, WARREN},
    revision::{Revision, cluster_revision},
};
use crate::api::{
    CanaryStage, ClusterDrain, ClusterTemplate, Rollout, ServingIntent, TrinoCluster, TrinoClusterGroup,
    TrinoClusterGroupSpec, TrinoClusterSpec,
};

/// Who a group is, as its clusters carry it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupIdentity {
    /// Name of the TrinoClusterGroup.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its UID.
    pub uid: String,
}

impl GroupIdentity {
    /// The name of the group's cluster number `ordinal`: never used again, since the UID is in it and ordinals only grow.
    pub fn cluster_name(&self, ordinal: i64) -> String {
        let uid: String = self.uid.chars().filter(char::is_ascii_hexdigit).take(4).collect();
        format!("{}-{uid}-{ordinal}", self.name)
    }

    /// The number in a cluster's name; none for a name that no group gives.
    pub fn ordinal(cluster: &str) -> Option<i64> {
        cluster.rsplit_once('-')?.1.parse().ok()
    }

    /// The labels of the group's clusters.
    pub fn labels(&self) -> Labels {
        super::labels::labels([
            ("app.kubernetes.io/name", "trino"),
            ("app.kubernetes.io/part-of", "trino"),
            (MANAGED_BY, WARREN),
            (GROUP, self.name.as_str()),
            (OWNER_UID, self.uid.as_str()),
        ])
    }

    /// The labels that select the group's clusters.
    pub fn selector(&self) -> Labels {
        super::labels::labels([(GROUP, self.name.as_str())])
    }

    /// A cluster of the template as it stands now, which takes new queries once it is ready, unless a user drains it.
    /// `rollout` says what it shows before that, and how long its queries may go on once it is replaced; `on_probation`, that it
    /// then gets only what a canary gives it.
    pub fn cluster(
        &self,
        name: &str,
        template: &ClusterTemplate,
        rollout: Option<&Rollout>,
        on_probation: bool,
    ) -> TrinoCluster {
        let metadata = template.metadata.clone().unwrap_or_default();
        let revision = cluster_revision(&template.spec);
        let mut labels = metadata.labels;
        labels.extend(self.labels());
        labels.insert(REVISION.to_owned(), revision.to_string());
        let mut spec = template.spec.clone();
        // Nothing is said of `serving`: applied so, it takes back what the group asked for before, and no user's drain.
        spec.serving = None;
        leave_to_autoscaler(&mut spec);
        spec.drain = drain(template, rollout);
        // What remains of it concerns the group alone.
        if let Some(Rollout { drain_timeout: _, verify, max_surge: _, canary: _ }) = rollout.cloned() {
            spec.verify = verify;
        }
        let mut annotations = metadata.annotations;
        if on_probation {
            annotations.insert(ON_PROBATION.to_owned(), revision.to_string());
        }
        self.object(name, labels, annotations, spec)
    }

    /// `cluster` as it is, but draining since `since` (RFC 3339), as the template and `rollout` now say: like all that makes no
    /// revision, the terms of a drain are those of the newest edit, also for clusters of an older revision.
    pub fn drained(
        &self,
        cluster: &TrinoCluster,
        template: Option<&ClusterTemplate>,
        rollout: Option<&Rollout>,
        since: String,
    ) -> TrinoCluster {
        let mut spec = cluster.spec.clone();
        spec.serving = Some(ServingIntent::Drained);
        if let Some(template) = template {
            spec.drain = drain(template, rollout);
        }
        leave_to_autoscaler(&mut spec);
        let revision = revision_of(cluster);
        let mut labels = self.labels();
        labels.insert(REVISION.to_owned(), revision.to_string());
        let name = cluster.metadata.name.clone().unwrap_or_default();
        let mut annotations = BTreeMap::from([(DRAINING_SINCE.to_owned(), since)]);
        if is_on_probation(cluster) {
            annotations.insert(ON_PROBATION.to_owned(), revision.to_string());
        }
        self.object(&name, labels, annotations, spec)
    }

    fn object(
        &self,
        name: &str,
        labels: Labels,
        annotations: BTreeMap<String, String>,
        spec: crate::api::TrinoClusterSpec,
    ) -> TrinoCluster {
        TrinoCluster {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: Some(self.namespace.clone()),
                labels: Some(labels),
                annotations: (!annotations.is_empty()).then_some(annotations),
                ..ObjectMeta::default()
            },
            spec,
            status: None,
        }
    }
}

/// How the clusters of a group drain.
fn drain(template: &ClusterTemplate, rollout: Option<&Rollout>) -> Option<ClusterDrain> {
    let mut drain = template.spec.drain.clone();
    if let Some(timeout) = rollout.and_then(|rollout| rollout.drain_timeout.clone()) {
        drain.get_or_insert_default().timeout = Some(timeout);
    }
    drain
}

/// The revision that a cluster of a group was made from.
pub fn revision_of(cluster: &TrinoCluster) -> Revision {
    let label = cluster.metadata.labels.as_ref().and_then(|labels| labels.get(REVISION)).cloned();
    label.map_or_else(|| cluster_revision(&cluster.spec), Revision::from)
}

/// Whoever applies a field takes it back from others: with autoscaling on, the number of workers is applied by nobody.
fn leave_to_autoscaler(spec: &mut TrinoClusterSpec) {
    if let Some(workers) = spec.workers.as_mut().filter(|workers| workers.autoscaling.is_some()) {
        workers.replicas = None;
    }
}

/// Number of clusters that a spec asks for.
pub fn replicas(spec: &TrinoClusterGroupSpec) -> usize {
    let asked = spec.replicas.unwrap_or(i32::from(spec.template.is_some()));
    if spec.template.is_some() { usize::try_from(asked).unwrap_or(0) } else { 0 }
}

/// How many clusters there may be beyond those that a spec asks for.
pub fn max_surge(spec: &TrinoClusterGroupSpec) -> usize {
    let asked = spec.rollout.as_ref().and_then(|rollout| rollout.max_surge).unwrap_or(1);
    usize::try_from(asked).unwrap_or(1)
}

/// Whether the cluster gets only what its group's canary gives it.
pub fn is_on_probation(cluster: &TrinoCluster) -> bool {
    cluster.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(ON_PROBATION))
}

/// The cluster's share of new queries in percent; none when it takes part as all others do.
pub fn canary_share(group: &TrinoClusterGroup, cluster: &TrinoCluster) -> Option<u32> {
    if !is_on_probation(cluster) {
        return None;
    }
    let revision = revision_of(cluster);
    let canary = group.status.as_ref().and_then(|status| status.canary.as_ref());
    match canary.filter(|canary| canary.revision == revision.as_str()).map(|canary| (canary.stage, canary.weight)) {
        Some((CanaryStage::Promoted, _)) => None,
        Some((CanaryStage::Running, weight)) => Some(u32::try_from(weight).unwrap_or(0)),
        Some((CanaryStage::Aborted, _)) | None => Some(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clusters_name_tells_its_group_and_its_number() {
        let group = GroupIdentity {
            name: "adhoc".into(),
            namespace: "trino".into(),
            uid: "7f3a91c2-0000-0000-0000-000000000000".into(),
        };
        assert_eq!(group.cluster_name(12), "adhoc-7f3a-12");
        assert_eq!(GroupIdentity::ordinal("adhoc-7f3a-12"), Some(12));
        assert_eq!(GroupIdentity::ordinal("adhoc"), None);
    }
}
