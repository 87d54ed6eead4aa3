//! How a cluster is reached, and by whom.

use k8s_openapi::{
    api::{
        core::v1::{Service, ServicePort, ServiceSpec},
        networking::v1::{
            NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
        },
    },
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, LabelSelectorRequirement, ObjectMeta},
        util::intstr::IntOrString,
    },
};

use super::ClusterIdentity;
use crate::{
    api::{CoordinatorService, ServiceType},
    desired::{
        labels::{self, COMPONENT, GATEWAY, MANAGED_BY, WARREN, component},
        metadata::object_meta,
    },
    trino::HTTP_PORT,
};

/// The coordinator's Service.
pub(super) fn coordinator_service(cluster: &ClusterIdentity, asked: Option<&CoordinatorService>) -> Service {
    let labels = cluster.labels(Some(component::COORDINATOR));
    let annotations = asked.map(|asked| asked.annotations.clone()).filter(|annotations| !annotations.is_empty());
    // Left out where nobody asks: what an earlier version applied stays as it is.
    let type_ = asked.and_then(|asked| asked.type_).map(|type_| match type_ {
        ServiceType::ClusterIP => "ClusterIP".to_owned(),
        ServiceType::NodePort => "NodePort".to_owned(),
        ServiceType::LoadBalancer => "LoadBalancer".to_owned(),
    });
    Service {
        metadata: ObjectMeta { annotations, ..object_meta(cluster.coordinator_name(), &cluster.namespace, &labels) },
        spec: Some(ServiceSpec {
            type_,
            selector: Some(cluster.selector(component::COORDINATOR)),
            ports: Some(vec![ServicePort {
                name: Some("http".into()),
                port: HTTP_PORT,
                target_port: Some(IntOrString::String("http".into())),
                ..ServicePort::default()
            }]),
            // Workers announce themselves, and polls of running queries arrive, while the pod is unready or terminating.
            publish_not_ready_addresses: Some(true),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

/// Clients enter through the proxies only: with `process-forwarded`, a coordinator believes whoever forges
/// `X-Forwarded-Proto: https`. Workers speak with their own cluster. The operator, in `operator_namespace`, asks coordinators
/// which queries go on, and workers to drain.
pub(super) fn policies(cluster: &ClusterIdentity, operator_namespace: Option<&str>) -> Vec<NetworkPolicy> {
    let proxies = peer(LabelSelector {
        match_labels: Some(labels::labels([(MANAGED_BY, WARREN), (COMPONENT, component::PROXY)])),
        match_expressions: Some(vec![LabelSelectorRequirement {
            key: GATEWAY.into(),
            operator: "Exists".into(),
            values: None,
        }]),
    });
    let own_pods = || {
        peer(LabelSelector {
            match_labels: Some(labels::labels([(labels::CLUSTER, cluster.name.as_str())])),
            match_expressions: None,
        })
    };
    let operator = operator_namespace.map(|namespace| NetworkPolicyPeer {
        namespace_selector: Some(LabelSelector {
            match_labels: Some(labels::labels([("kubernetes.io/metadata.name", namespace)])),
            match_expressions: None,
        }),
        ..peer(LabelSelector {
            match_labels: Some(labels::labels([(COMPONENT, component::OPERATOR)])),
            match_expressions: None,
        })
    });
    let to_coordinator = [proxies, own_pods()].into_iter().chain(operator.clone()).collect();
    let to_workers = [own_pods()].into_iter().chain(operator).collect();
    vec![
        policy(cluster, component::COORDINATOR, cluster.coordinator_name(), to_coordinator),
        policy(cluster, component::WORKER, cluster.worker_name(), to_workers),
    ]
}

fn policy(cluster: &ClusterIdentity, component: &str, name: String, from: Vec<NetworkPolicyPeer>) -> NetworkPolicy {
    NetworkPolicy {
        metadata: object_meta(name, &cluster.namespace, &cluster.labels(Some(component))),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector {
                match_labels: Some(cluster.selector(component)),
                match_expressions: None,
            }),
            policy_types: Some(vec!["Ingress".into()]),
            ingress: Some(vec![NetworkPolicyIngressRule {
                from: Some(from),
                ports: Some(vec![NetworkPolicyPort {
                    port: Some(IntOrString::Int(HTTP_PORT)),
                    protocol: Some("TCP".into()),
                    end_port: None,
                }]),
            }]),
            egress: None,
        }),
    }
}

fn peer(selector: LabelSelector) -> NetworkPolicyPeer {
    NetworkPolicyPeer { pod_selector: Some(selector), ..NetworkPolicyPeer::default() }
}
