//! The labels by which Warren knows what is whose.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;

/// Kubernetes' recommended label that tells Warren's objects from everyone else's.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The value of [`MANAGED_BY`] on all that Warren makes.
pub const WARREN: &str = "warren";
/// What part of the system a pod is: one of the `component` module's values.
pub const COMPONENT: &str = "app.kubernetes.io/component";
/// The TrinoCluster that an object belongs to.
pub const CLUSTER: &str = "trinowarren.io/cluster";
/// The TrinoClusterGroup that a TrinoCluster belongs to.
pub const GROUP: &str = "trinowarren.io/group";
/// The TrinoGateway that an object belongs to.
pub const GATEWAY: &str = "trinowarren.io/gateway";
/// The ProxyGroup that an object belongs to.
pub const PROXY_GROUP: &str = "trinowarren.io/proxy-group";
/// The UID of the owner that the other labels name: an owner of the same name, made later, is another one.
pub const OWNER_UID: &str = "trinowarren.io/owner-uid";
/// The revision that an object was made from.
pub const REVISION: &str = "trinowarren.io/revision";
/// Annotation: hash of the object as it was last applied. Together with a comparison it tells whether to apply again.
pub const APPLIED: &str = "trinowarren.io/applied";
/// Annotation on a TrinoCluster: since when it drains, in RFC 3339.
pub const DRAINING_SINCE: &str = "trinowarren.io/draining-since";
/// Annotation on a TrinoCluster: with how many workers it begins, where nobody set a number and autoscaling is on.
pub const START_WORKERS: &str = "trinowarren.io/start-workers";
/// Annotation on a worker's pod: since when it is to go, in RFC 3339.
pub const LEAVING_SINCE: &str = "trinowarren.io/leaving-since";
/// Annotation on a pod, Kubernetes' own: of those that are ready, the one with the least goes first.
pub const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// Annotation on a proxy's pod: names of the labels and annotations that its ProxyGroup's spec gave it, in JSON.
pub const GIVEN_METADATA: &str = "trinowarren.io/given-metadata";
/// Annotation on a proxy's pod: digest of the settings that it is to take while it runs.
pub const CONFIG: &str = "trinowarren.io/config";
/// Annotation on the routing table of proxies that serve some groups only: since when a group is not served any more, by
/// its name, in JSON.
pub const LEAVING_GROUPS: &str = "trinowarren.io/leaving-groups";

/// On a cluster of a group: since when another one is to take its place, since its coordinator's node is to go.
pub const MOVING_SINCE: &str = "trinowarren.io/moving-since";

/// On a cluster of a group: it gets only what its group's canary gives it.
pub const ON_PROBATION: &str = "trinowarren.io/on-probation";

/// On a group: the revision that takes over now, whatever its canary says.
pub const PROMOTE: &str = "trinowarren.io/promote";

/// Annotation on a TrinoCluster or a TrinoClusterGroup that is being deleted: `"true"` removes it at once, with its running
/// queries.
pub const FORCE_REMOVAL: &str = "trinowarren.io/force-removal";

/// Whether whoever deletes the object asks to remove it at once.
pub fn is_forced(metadata: &ObjectMeta) -> bool {
    let annotations = metadata.annotations.as_ref();
    annotations.and_then(|annotations| annotations.get(FORCE_REMOVAL)).is_some_and(|force| force == "true")
}

/// Values of the label [`COMPONENT`].
pub mod component {
    /// The pods of the operator; the chart sets it.
    pub const OPERATOR: &str = "operator";
    /// The pod of a coordinator.
    pub const COORDINATOR: &str = "coordinator";
    /// The pods of workers.
    pub const WORKER: &str = "worker";
    /// The pods of proxies.
    pub const PROXY: &str = "proxy";
    /// Warren's own CA of a namespace.
    pub const CA: &str = "ca";
    /// A routing table.
    pub const ROUTING: &str = "routing";
    /// Where a coordinator tells of its queries.
    pub const EVENTS: &str = "events";
}

/// A label selector in text form, as the scale subresource wants it.
pub fn selector_text(labels: &Labels) -> String {
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

/// The labels from string slices.
pub fn labels<const N: usize>(pairs: [(&str, &str); N]) -> Labels {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}
