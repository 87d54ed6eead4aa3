//! How a cluster is, judged from its Deployments and pods. Pure: no client, no clock.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ContainerStatus, Pod},
};

use super::workers::Standing;
use crate::{
    api::{ClusterPhase, Conditions, ServingIntent, TrinoClusterSpec, WorkersStatus},
    desired::catalogs,
    trino::startup,
};

/// The judgement.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Assessment {
    pub(super) phase: ClusterPhase,
    pub(super) was_ready: bool,
    pub(super) settled: bool,
    pub(super) workers: WorkersStatus,
    pub(super) conditions: Conditions,
}

const NOT_CREATED: &str = "ContainerNotCreated";

/// Something that no waiting mends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) reason: &'static str,
    pub(super) message: String,
}

/// Judges a cluster. It is to be verified when coordinator and all workers are ready; once it was (`was_ready`), it is ready
/// as long as its coordinator is there and one worker at least. It is settled while all workers were ready for some time.
pub(super) fn cluster(
    spec: &TrinoClusterSpec,
    was_ready: bool,
    coordinator: &Deployment,
    workers: &Deployment,
    pods: &[Arc<Pod>],
) -> Assessment {
    let desired = crate::desired::cluster::worker_replicas(spec);
    let ready_workers = workers.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0);
    let coordinator_ready = is_complete(coordinator);
    let workers_complete = desired == 0 || is_complete(workers);
    let enough_workers = if was_ready { desired == 0 || ready_workers > 0 } else { workers_complete };
    let ready = coordinator_ready && enough_workers;
    let available = workers.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0);
    let settled = ready && workers_complete && available >= desired;
    let trouble = if ready && workers_complete { None } else { trouble(spec, [coordinator, workers], pods) };
    let drained = spec.serving.unwrap_or_default() != ServingIntent::Active;
    let phase = match (&trouble, was_ready) {
        (Some(_), false) => ClusterPhase::Failed,
        (None, false) if ready => ClusterPhase::Verifying,
        (None, false) => ClusterPhase::Provisioning,
        (_, true) if drained => ClusterPhase::Draining,
        (_, true) => ClusterPhase::Active,
    };
    let state = Workloads { ready, coordinator_ready, workers_complete, ready_workers, desired };
    Assessment {
        phase,
        was_ready,
        settled,
        workers: WorkersStatus { desired, ready: ready_workers, draining: 0 },
        conditions: conditions(&state, trouble),
    }
}

impl Assessment {
    /// While the cluster has not shown yet that it can take queries, and why.
    pub(super) fn verifying(self, why: &str) -> Self {
        let message = format!("coordinator and workers are ready; waiting until the cluster can take queries: {why}");
        let conditions = Conditions::Reconciling { serving: false, reason: "Verifying", message };
        Self { phase: ClusterPhase::Verifying, conditions, ..self }
    }

    /// When it has not shown it in time, and why.
    pub(super) fn unverified(self, why: &str) -> Self {
        let message = format!("the cluster gets no queries, since it does not pass its verification: {why}");
        let conditions = Conditions::Stalled { serving: false, reason: "VerificationFailed", message };
        Self { phase: ClusterPhase::Failed, conditions, ..self }
    }

    /// With the workers that end their tasks.
    pub(super) fn with_workers(self, standing: &Standing) -> Self {
        let Self { mut workers, mut conditions, .. } = self;
        workers.draining = standing.draining;
        if let (Conditions::Ready { .. }, Some(message)) = (&conditions, &standing.message) {
            conditions = Conditions::Reconciling { serving: true, reason: "WorkersDraining", message: message.clone() };
        }
        Self { workers, conditions, ..self }
    }

    /// With what is wrong with something that somebody else keeps, if anything is. What serves goes on by what it has.
    pub(super) fn stalled(self, trouble: Option<Trouble>) -> Self {
        let Some(Trouble { reason, message }) = trouble else { return self };
        Self { conditions: Conditions::Stalled { serving: self.conditions.serves(), reason, message }, ..self }
    }
}

struct Workloads {
    ready: bool,
    coordinator_ready: bool,
    workers_complete: bool,
    ready_workers: i32,
    desired: i32,
}

fn conditions(state: &Workloads, trouble: Option<Trouble>) -> Conditions {
    if let Some(Trouble { reason, message }) = trouble {
        return Conditions::Stalled { serving: state.ready, reason, message };
    }
    let Workloads { ready, coordinator_ready, workers_complete, ready_workers, desired } = state;
    if !coordinator_ready {
        let message = "waiting for the coordinator to start".to_owned();
        return Conditions::Reconciling { serving: false, reason: "CoordinatorStarting", message };
    }
    if !workers_complete {
        let message = format!("waiting for workers: {ready_workers} of {desired} are ready");
        return Conditions::Reconciling { serving: *ready, reason: "WorkersStarting", message };
    }
    Conditions::Ready { reason: "Available", message: format!("coordinator and {desired} workers are ready") }
}

/// Whether all pods of a Deployment are of its newest template, and ready.
pub(super) fn is_complete(deployment: &Deployment) -> bool {
    let asked = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let Some(status) = &deployment.status else { return false };
    let observed = status.observed_generation >= deployment.metadata.generation;
    let updated = status.updated_replicas.unwrap_or(0) >= asked;
    let none_of_old = status.replicas.unwrap_or(0) == status.updated_replicas.unwrap_or(0);
    observed && updated && none_of_old && status.ready_replicas.unwrap_or(0) >= asked
}

fn trouble(spec: &TrinoClusterSpec, deployments: [&Deployment; 2], pods: &[Arc<Pod>]) -> Option<Trouble> {
    pods.iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none())
        .find_map(|pod| pod_trouble(spec, pod))
        .or_else(|| deployments.into_iter().find_map(pods_refused))
}

/// The API server does not let the Deployment make its pods.
pub(super) fn pods_refused(deployment: &Deployment) -> Option<Trouble> {
    let conditions = deployment.status.as_ref()?.conditions.as_ref()?;
    let refused =
        conditions.iter().find(|condition| condition.type_ == "ReplicaFailure" && condition.status == "True")?;
    let message = refused.message.as_deref().unwrap_or("no reason given");
    let name = deployment.metadata.name.as_deref().unwrap_or_default();
    let message = format!(
        "the namespace does not admit the pods of Deployment {name:?}: {message}; \
         mend the namespace's quota or policy, or lower spec's resources"
    );
    Some(Trouble { reason: "PodsForbidden", message })
}

/// Why no node takes the pod, if none does.
pub(super) fn unschedulable(pod: &Pod) -> Option<&str> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let condition = conditions
        .iter()
        .find(|condition| condition.type_ == "PodScheduled" && condition.reason.as_deref() == Some("Unschedulable"))?;
    Some(condition.message.as_deref().unwrap_or("no node fits"))
}

fn pod_trouble(spec: &TrinoClusterSpec, pod: &Pod) -> Option<Trouble> {
    let status = pod.status.as_ref()?;
    let component = pod.metadata.labels.as_ref()?.get(crate::desired::labels::COMPONENT)?.clone();
    if let Some(message) = unschedulable(pod) {
        let field = resources_field(&component);
        return Some(Trouble {
            reason: "Unschedulable",
            message: format!("no node takes the {component}: {message}; lower {field} or add nodes"),
        });
    }
    let before = status.init_container_statuses.iter().flatten();
    let failed = before.into_iter().find_map(|container| init_trouble(&component, container));
    if failed.is_some() {
        return failed;
    }
    let containers = status.container_statuses.iter().flatten();
    containers.into_iter().find_map(|container| container_trouble(spec, &component, container))
}

fn container_trouble(spec: &TrinoClusterSpec, component: &str, container: &ContainerStatus) -> Option<Trouble> {
    let held_up = held_up(container, &image_field(component, container), &format!("the {component}"));
    if held_up.is_some() {
        return held_up;
    }
    let current = container.state.as_ref().and_then(|state| state.terminated.as_ref());
    let last = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    let ended = current.or(last).filter(|ended| ended.exit_code != 0)?;
    if container.started == Some(true) {
        return None;
    }
    if ended.reason.as_deref() == Some("OOMKilled") {
        let message = format!("the {component} ran out of memory; raise {}", resources_field(component));
        return Some(Trouble { reason: "OutOfMemory", message });
    }
    // A server that was told to stop ends with 143 (SIGTERM): that is nobody's fault.
    if ended.exit_code == 143 {
        return None;
    }
    let why = ended.message.as_deref().and_then(startup::failure);
    let why = why.unwrap_or_else(|| format!("it ended with exit code {}; see its log", ended.exit_code));
    let field = fields_in(spec, &why).unwrap_or_else(|| "spec".to_owned());
    Some(Trouble {
        reason: "TrinoDoesNotStart",
        message: format!("Trino does not start on the {component}: {why}; correct {field}"),
    })
}

/// What keeps Trino's container from being started at all: a plugin that cannot be copied, or what an overlay does before.
fn init_trouble(component: &str, container: &ContainerStatus) -> Option<Trouble> {
    let state = container.state.as_ref()?;
    let field = image_field(component, container);
    if let Some(Trouble { reason, message }) = held_up(container, &field, &format!("the {component}")) {
        let mend = if reason == NOT_CREATED { format!("; correct {field}") } else { String::new() };
        return Some(Trouble { reason, message: message + &mend });
    }
    let last = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    let ended = state.terminated.as_ref().or(last).filter(|ended| ended.exit_code != 0)?;
    let why = ended.message.as_deref().and_then(|log| log.lines().last()).unwrap_or("see its log");
    let message = format!(
        "init container {:?} of the {component} ended with exit code {}: {why}; correct {field}",
        container.name, ended.exit_code
    );
    Some(Trouble { reason: "InitContainerFailed", message })
}

/// The field that a container's image is from.
fn image_field(component: &str, container: &ContainerStatus) -> String {
    if let Some(plugin) = container.name.strip_prefix("plugin-") {
        return format!("spec.plugins[{plugin}]");
    }
    let coordinator = component == crate::desired::labels::component::COORDINATOR;
    match container.name.as_str() {
        "trino" => "spec.version or spec.image".to_owned(),
        name if coordinator => format!("spec.coordinator.template, its container {name:?}"),
        name => format!("spec.workers.template, its container {name:?}"),
    }
}

/// What keeps a container of `who` from being made: its image, that `field` names, cannot be pulled, or the kubelet cannot make it.
pub(super) fn held_up(container: &ContainerStatus, field: &str, who: &str) -> Option<Trouble> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let message = waiting.message.as_deref().unwrap_or_default();
    match waiting.reason.as_deref()? {
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" => {
            let (image, message) = (&container.image, message.split('\n').next().unwrap_or_default());
            let message = format!(
                "cannot pull the image {image:?}: {message}; correct {field}, or name a pull secret in image.pullSecrets"
            );
            Some(Trouble { reason: "ImageNotPulled", message })
        }
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
            Some(Trouble { reason: NOT_CREATED, message: format!("{who} cannot be started: {message}") })
        }
        _ => None,
    }
}

fn resources_field(component: &str) -> &'static str {
    if component == crate::desired::labels::component::COORDINATOR {
        "spec.coordinator.resources"
    } else {
        "spec.workers.resources"
    }
}

/// The paths of the fields whose keys or values a message of Trino quotes.
fn fields_in(spec: &TrinoClusterSpec, why: &str) -> Option<String> {
    let quoted = |text: &str| why.contains(&format!("'{text}'")) || why.contains(&format!("\"{text}\""));
    let mut fields = Vec::new();
    let maps = [
        ("spec.config", Some(&spec.config)),
        ("spec.coordinator.config", spec.coordinator.as_ref().map(|coordinator| &coordinator.config)),
        ("spec.workers.config", spec.workers.as_ref().map(|workers| &workers.config)),
    ];
    for (path, map) in maps {
        let keys = map.into_iter().flatten().filter(|(key, _)| quoted(key));
        fields.extend(keys.map(|(key, _)| format!("{path}[{key}]")));
    }
    for catalog in catalogs::all(spec) {
        let properties = catalog.properties.iter();
        let keys = properties.filter(|(key, value)| quoted(key) || (*key == "connector.name" && quoted(value)));
        let secrets = catalog.secrets.into_iter().flat_map(BTreeMap::keys).filter(|key| quoted(key));
        fields.extend(keys.map(|(key, _)| key).chain(secrets).map(|key| catalog.path(key)));
    }
    (!fields.is_empty()).then(|| fields.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_of_whatever_container_does_not_start_is_named() {
        let spec: TrinoClusterSpec = serde_saphyr::from_str("version: '476'").expect("a spec");
        let coordinator = crate::desired::labels::component::COORDINATOR;
        for (statuses, reason, words) in [
            (
                "initContainerStatuses: [{name: plugin-a, image: x, imageID: '', ready: false, restartCount: 1, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 1, message: 'cp: no such file'}}}]",
                "InitContainerFailed",
                "ended with exit code 1: cp: no such file; correct spec.plugins[a]",
            ),
            (
                "initContainerStatuses: [{name: plugin-a, image: x, imageID: '', ready: false, restartCount: 0, state: {waiting: {reason: ErrImagePull, message: gone}}}]",
                "ImageNotPulled",
                "correct spec.plugins[a]",
            ),
            (
                "containerStatuses: [{name: sidecar, image: x, imageID: '', ready: false, restartCount: 0, state: {waiting: {reason: ErrImagePull, message: gone}}}]",
                "ImageNotPulled",
                "correct spec.coordinator.template, its container \"sidecar\"",
            ),
            (
                "containerStatuses: [{name: trino, image: x, imageID: '', ready: false, restartCount: 0, state: {waiting: {reason: ErrImagePull, message: gone}}}]",
                "ImageNotPulled",
                "correct spec.version or spec.image",
            ),
        ] {
            let labels = format!("{}: {coordinator}", crate::desired::labels::COMPONENT);
            let pod = format!("{{metadata: {{labels: {{{labels}}}}}, status: {{{statuses}}}}}");
            let pod: Pod = serde_saphyr::from_str(&pod).expect("a pod");
            let trouble = pod_trouble(&spec, &pod).expect(words);
            assert_eq!(trouble.reason, reason);
            assert!(trouble.message.contains(words), "{}", trouble.message);
        }
    }
}
