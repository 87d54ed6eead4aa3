//! How a cluster is reached, and by whom.

use k8s_openapi::{
    api::{
        core::v1::{Service, ServicePort, ServiceSpec},
        networking::v1::{
            NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
        },
    },
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, LabelSelectorRequirement},
        util::intstr::IntOrString,
    },
};

use super::{
    ClusterIdentity,
    tls::{self, Doors},
};
use crate::{
    api::{CoordinatorService, ServiceType, TrinoClusterSpec},
    desired::{
        labels::{self, COMPONENT, GATEWAY, MANAGED_BY, WARREN, component},
        metadata::object_meta,
    },
    trino::{HTTP_PORT, HTTPS_PORT},
};

/// The coordinator's Service, and one without an address of its own where nodes speak TLS: they find the coordinator's pod by it,
/// for whose address Trino makes a certificate.
pub(super) fn services(cluster: &ClusterIdentity, spec: &TrinoClusterSpec) -> Vec<Service> {
    let ports = Doors::of(component::COORDINATOR, spec).ports();
    let mut services = vec![with_asked(service(cluster, cluster.coordinator_name(), ports), spec.service.as_ref())];
    if tls::internal(spec) {
        let mut headless = service(cluster, cluster.discovery_name(), vec![("https", HTTPS_PORT)]);
        headless.spec.get_or_insert_default().cluster_ip = Some("None".into());
        services.push(headless);
    }
    services
}

/// The coordinator's Service as the user wants it.
fn with_asked(mut service: Service, asked: Option<&CoordinatorService>) -> Service {
    service.metadata.annotations =
        asked.map(|asked| asked.annotations.clone()).filter(|annotations| !annotations.is_empty());
    // Left out where nobody asks: what an earlier version applied stays as it is.
    service.spec.get_or_insert_default().type_ = asked.and_then(|asked| asked.type_).map(|type_| match type_ {
        ServiceType::ClusterIP => "ClusterIP".to_owned(),
        ServiceType::NodePort => "NodePort".to_owned(),
        ServiceType::LoadBalancer => "LoadBalancer".to_owned(),
    });
    service
}

fn service(cluster: &ClusterIdentity, name: String, ports: Vec<(&str, i32)>) -> Service {
    let labels = cluster.labels(Some(component::COORDINATOR));
    let port = |(name, port): (&str, i32)| ServicePort {
        name: Some(name.into()),
        port,
        target_port: Some(IntOrString::String(name.into())),
        ..ServicePort::default()
    };
    Service {
        metadata: object_meta(name, &cluster.namespace, &labels),
        spec: Some(ServiceSpec {
            selector: Some(cluster.selector(component::COORDINATOR)),
            ports: Some(ports.into_iter().map(port).collect()),
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
pub(super) fn policies(
    cluster: &ClusterIdentity,
    spec: &TrinoClusterSpec,
    operator_namespace: Option<&str>,
) -> Vec<NetworkPolicy> {
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
    let outside = if tls::server(spec).is_some() { HTTPS_PORT } else { HTTP_PORT };
    let inside: Vec<_> = Doors::of(component::COORDINATOR, spec).ports().into_iter().map(|(_, port)| port).collect();
    let to_coordinator = if inside == [outside] {
        vec![rule([proxies, own_pods()].into_iter().chain(operator.clone()).collect(), &inside)]
    } else {
        let others = [proxies].into_iter().chain(operator.clone()).collect();
        vec![rule(others, &[outside]), rule(vec![own_pods()], &inside)]
    };
    let between = if tls::internal(spec) { HTTPS_PORT } else { HTTP_PORT };
    let to_workers = vec![rule([own_pods()].into_iter().chain(operator).collect(), &[between])];
    vec![
        policy(cluster, component::COORDINATOR, cluster.coordinator_name(), to_coordinator),
        policy(cluster, component::WORKER, cluster.worker_name(), to_workers),
    ]
}

fn rule(from: Vec<NetworkPolicyPeer>, ports: &[i32]) -> NetworkPolicyIngressRule {
    let port = |port: &i32| NetworkPolicyPort {
        port: Some(IntOrString::Int(*port)),
        protocol: Some("TCP".into()),
        end_port: None,
    };
    NetworkPolicyIngressRule { from: Some(from), ports: Some(ports.iter().map(port).collect()) }
}

fn policy(
    cluster: &ClusterIdentity,
    component: &str,
    name: String,
    ingress: Vec<NetworkPolicyIngressRule>,
) -> NetworkPolicy {
    NetworkPolicy {
        metadata: object_meta(name, &cluster.namespace, &cluster.labels(Some(component))),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector {
                match_labels: Some(cluster.selector(component)),
                match_expressions: None,
            }),
            policy_types: Some(vec!["Ingress".into()]),
            ingress: Some(ingress),
            egress: None,
        }),
    }
}

fn peer(selector: LabelSelector) -> NetworkPolicyPeer {
    NetworkPolicyPeer { pod_selector: Some(selector), ..NetworkPolicyPeer::default() }
}
