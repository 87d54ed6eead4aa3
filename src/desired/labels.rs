//! The labels by which Warren knows what is whose.

use std::collections::BTreeMap;

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

/// Values of the label [`COMPONENT`].
pub mod component {
    /// The pod of a coordinator.
    pub const COORDINATOR: &str = "coordinator";
    /// The pods of workers.
    pub const WORKER: &str = "worker";
    /// The pods of proxies.
    pub const PROXY: &str = "proxy";
    /// A routing table.
    pub const ROUTING: &str = "routing";
}

/// A label selector in text form, as the scale subresource wants it.
pub fn selector_text(labels: &Labels) -> String {
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

/// The labels from string slices.
pub fn labels<const N: usize>(pairs: [(&str, &str); N]) -> Labels {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}
