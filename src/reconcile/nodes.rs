//! Watches for nodes that are to go, and marks the clusters whose coordinators run there, so that their groups replace them.
//!
//! An eviction that a PodDisruptionBudget refuses leaves no trace on the pod, so it is the node that tells: it is cordoned, or
//! has one of the taints by which autoscalers say that it goes.

use std::{sync::Arc, time::Duration};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
    runtime::{
        WatchStreamExt as _,
        events::EventType,
        reflector::{self, Store},
        watcher,
    },
};
use serde_json::json;
use tracing::{debug, warn};

use super::{
    context::Context,
    index::{Watched, label},
};
use crate::{
    api::TrinoCluster,
    desired::labels::{CLUSTER, COMPONENT, GROUP, MOVING_SINCE, component},
};

/// Taints by which Karpenter and the cluster autoscaler say that a node goes.
pub const TAINTS: [&str; 2] = ["karpenter.sh/disrupted", "ToBeDeletedByClusterAutoscaler"];

/// How often all is looked at although no node has changed: pods are seen by another watch.
const RESYNC: Duration = Duration::from_secs(30);

/// Marks what is to move, until the watch's consumer is dropped.
pub(super) async fn run(context: Arc<Context>, taints: Vec<String>) {
    let (store, writer) = reflector::store();
    let nodes = watcher(Api::<Node>::all(context.client.clone()), watcher::Config::default());
    let nodes = nodes.default_backoff().modify(|node| {
        // Labels, images and conditions are most of a node, and of no use here.
        node.status = None;
        node.metadata.managed_fields = None;
    });
    let mut events = reflector::reflector(writer, nodes).boxed();
    let mut resync = tokio::time::interval(RESYNC);
    loop {
        tokio::select! {
            event = events.next() => match event {
                None => return,
                Some(Err(error)) => debug!(%error, "nodes cannot be watched: what runs on one that is drained is not moved"),
                Some(Ok(_)) => {}
            },
            _ = resync.tick() => {}
        }
        mark_all(&context, &store, &taints).await;
    }
}

/// Marks the clusters whose coordinators run on nodes that are to go.
async fn mark_all(context: &Context, nodes: &Store<Node>, taints: &[String]) {
    for node in nodes.state_filter(|node| leaves(node, taints)) {
        let node = node.name_any();
        for pod in Pod::store(&context.index).state_filter(|pod| is_coordinator_on(pod, &node)) {
            let (Some(name), Some(namespace)) = (label(&*pod, CLUSTER), pod.namespace()) else { continue };
            let Some(cluster) = TrinoCluster::named(&context.index, &namespace, name) else { continue };
            if is_to_be_marked(&cluster) {
                mark(context, &cluster, &node).await;
            }
        }
    }
}

/// Whether the node's pods are to go elsewhere.
fn leaves(node: &Node, taints: &[String]) -> bool {
    let Some(spec) = &node.spec else { return false };
    let tainted = spec.taints.iter().flatten().any(|taint| taints.contains(&taint.key));
    spec.unschedulable == Some(true) || tainted
}

fn is_coordinator_on(pod: &Pod, node: &str) -> bool {
    let on = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    let there = on == Some(node) && pod.metadata.deletion_timestamp.is_none();
    there && label(pod, COMPONENT) == Some(component::COORDINATOR)
}

/// A cluster of a group, which makes another one in its place. One made by hand has nobody to do that.
fn is_to_be_marked(cluster: &TrinoCluster) -> bool {
    let paused = cluster.spec.paused.unwrap_or(false) || cluster.metadata.deletion_timestamp.is_some();
    !paused && label(cluster, GROUP).is_some() && !cluster.annotations().contains_key(MOVING_SINCE)
}

/// A mark stays: a move once begun is completed, whatever becomes of the node.
async fn mark(context: &Context, cluster: &TrinoCluster, node: &str) {
    let (name, namespace) = (cluster.name_any(), cluster.namespace().unwrap_or_default());
    let since = context.now().to_string();
    let patch = Patch::Merge(json!({"metadata": {"annotations": {MOVING_SINCE: since}}}));
    match context.api::<TrinoCluster>(&namespace).patch(&name, &PatchParams::default(), &patch).await {
        Ok(_) => {
            let text = format!("node {node:?} is to go: another cluster takes its place, and then this one drains");
            context.publish(cluster, EventType::Normal, "Moving", &text).await;
        }
        // The next look tries again.
        Err(error) => warn!(cluster = name, %error, "cannot mark a cluster that is to move"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(spec: &serde_json::Value) -> Node {
        serde_json::from_value(json!({"metadata": {"name": "n"}, "spec": spec})).expect("a node")
    }

    #[test]
    fn a_node_goes_when_it_is_cordoned_or_tainted_by_who_removes_it() {
        let taints: Vec<_> = TAINTS.iter().map(|&taint| taint.to_owned()).collect();
        assert!(leaves(&node(&json!({"unschedulable": true})), &taints));
        let tainted = |key: &str| node(&json!({"taints": [{"key": key, "effect": "NoSchedule"}]}));
        assert!(leaves(&tainted("karpenter.sh/disrupted"), &taints));
        assert!(!leaves(&tainted("dedicated"), &taints) && !leaves(&node(&json!({})), &taints));
    }
}
