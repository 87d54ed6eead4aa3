//! Metadata of what Warren makes, and the pod settings that Pod Security `restricted` asks for.

use k8s_openapi::{
    api::core::v1::{Capabilities, PodSecurityContext, ResourceRequirements, SeccompProfile, SecurityContext},
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{ObjectMeta, OwnerReference},
    },
};

use super::labels::Labels;
use crate::api::Resources;

/// Metadata with name, namespace and labels.
pub(super) fn object_meta(name: String, namespace: &str, labels: &Labels) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(namespace.to_owned()),
        labels: Some(labels.clone()),
        ..ObjectMeta::default()
    }
}

/// The same with an owner, whose deletion takes the object along.
pub(super) fn owned_meta(name: String, namespace: &str, labels: &Labels, owner: &OwnerReference) -> ObjectMeta {
    ObjectMeta { owner_references: Some(vec![owner.clone()]), ..object_meta(name, namespace, labels) }
}

/// The security context of a pod that runs as `user`, as Pod Security `restricted` wants it.
pub(super) fn pod_security(user: i64) -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(user),
        run_as_group: Some(user),
        fs_group: Some(user),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".into(), localhost_profile: None }),
        ..PodSecurityContext::default()
    }
}

/// The security context of each container, as Pod Security `restricted` wants it.
pub(super) fn container_security() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { add: None, drop: Some(vec!["ALL".into()]) }),
        read_only_root_filesystem: Some(true),
        ..SecurityContext::default()
    }
}

/// CPU as a request only, so that a query may use what the node has to spare; memory as request and limit.
pub(super) fn resource_requirements(resources: Option<&Resources>, cpu: &str, memory: &str) -> ResourceRequirements {
    let cpu = resources.and_then(|resources| resources.cpu.as_deref()).unwrap_or(cpu);
    let memory = resources.and_then(|resources| resources.memory.as_deref()).unwrap_or(memory);
    let quantity = |key: &str, value: &str| (key.to_owned(), Quantity(value.to_owned()));
    ResourceRequirements {
        requests: Some([quantity("cpu", cpu), quantity("memory", memory)].into()),
        limits: Some([quantity("memory", memory)].into()),
        ..ResourceRequirements::default()
    }
}
