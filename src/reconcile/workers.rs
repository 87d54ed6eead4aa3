//! Brings the number of a cluster's workers to what is asked for: tells those to drain that are to go, and takes them back when
//! they are wanted again. What follows from what they say is decided in `lifecycle::workers`.
//!
//! What is under way stands in annotations of the pods, so a restarted operator goes on where the last one was.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::StreamExt as _;
use http::{HeaderValue, Request, header::CONTENT_TYPE};
use jiff::Timestamp;
use k8s_openapi::api::{apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler, core::v1::Pod};
use kube::{
    ResourceExt,
    api::{Patch, PatchParams},
    runtime::events::EventType,
};
use serde_json::{Value, json};
use tracing::{debug, info};

use super::{
    cluster::is_drained,
    context::{Context, FIELD_MANAGER},
    error::Error,
    fetch::{Trust, pod_url, secure_pod_url},
    index::{Watched, label},
};
use crate::{
    api::{TrinoCluster, TrinoClusterSpec},
    desired::{
        Rendered, Revision,
        cluster::{
            ClusterIdentity, WORKER_USER_KEY, autoscaler, autoscaling, drains, first_workers, internal,
            shutdown_timeout, worker_replicas,
        },
        labels::{CLUSTER, COMPONENT, DELETION_COST, LEAVING_SINCE, REVISION, START_WORKERS, component},
    },
    lifecycle::{
        passed,
        workers::{Asked, Plan, State, Worker, plan},
    },
    trino::{
        HTTP_PORT, HTTPS_PORT,
        worker::{STATE, WorkerState, can_drain},
    },
};

/// How often workers that leave are looked at.
pub(super) const INTERVAL: Duration = Duration::from_secs(5);

/// Workers that are asked at the same time.
const AT_ONCE: usize = 16;

/// The deletion costs of a worker that leaves, and of one that may go. Others have none, that is 0.
const LEAVES: &str = "-1000";
const RELEASED: &str = "-2000";

/// How the workers stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// Number that the Deployment is to have.
    pub(super) replicas: i32,
    /// Of these end their tasks before they go.
    pub(super) draining: i32,
    /// What is waited for.
    pub(super) message: Option<String>,
    /// Whether another look follows soon.
    pub(super) busy: bool,
}

/// The cluster with a number of workers, where the autoscaler has set none yet.
pub(super) async fn seeded(context: &Context, cluster: Arc<TrinoCluster>) -> Result<Arc<TrinoCluster>, Error> {
    let (name, namespace) = (cluster.name_any(), cluster.namespace().unwrap_or_default());
    let deployment = Deployment::named(&context.index, &namespace, &super::cluster::identity(&cluster).worker_name());
    let running = deployment.and_then(|deployment| deployment.spec.as_ref()?.replicas);
    let Some(first) = first_workers(&cluster.spec, cluster.annotations(), running) else { return Ok(cluster) };
    // As an autoscaler does, and never again: an autoscaler leaves alone what has no number.
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let patch = Patch::Merge(json!({"spec": {"replicas": first}}));
    let patched = context.api::<TrinoCluster>(&namespace).patch_scale(&name, &parameters, &patch).await;
    context.metrics.wrote("TrinoCluster", "scale");
    patched.map_err(Error::api(format!("scale TrinoCluster {name:?}")))?;
    let mut cluster = (*cluster).clone();
    cluster.spec.workers.get_or_insert_default().replicas = Some(first);
    Ok(Arc::new(cluster))
}

/// Writes into a cluster that a group is about to apply with how many workers it begins: what it began with, or, if it is
/// new, as many as the group's largest one has.
pub(super) fn begin(
    mut cluster: TrinoCluster,
    template: &TrinoClusterSpec,
    group: &[Arc<TrinoCluster>],
) -> TrinoCluster {
    if autoscaling(&cluster.spec).is_none() {
        return cluster;
    }
    let known = group.iter().find(|known| known.name_any() == cluster.name_any());
    let first = if let Some(known) = known {
        known.annotations().get(START_WORKERS).cloned()
    } else {
        let counts = group.iter().filter_map(|other| other.spec.workers.as_ref()?.replicas);
        let count = counts.max().or_else(|| template.workers.as_ref()?.replicas);
        count.map(|count| count.to_string())
    };
    if let Some(first) = first {
        cluster.annotations_mut().insert(START_WORKERS.to_owned(), first);
    }
    cluster
}

/// Makes or removes the cluster's autoscaler.
pub(super) async fn autoscale(
    context: &Context,
    identity: &ClusterIdentity,
    spec: &TrinoClusterSpec,
) -> Result<(), Error> {
    if let Some(autoscaler) = autoscaler(identity, spec)? {
        context.apply(autoscaler).await?;
        return Ok(());
    }
    for unwanted in HorizontalPodAutoscaler::labelled(&context.index, &identity.namespace, CLUSTER, &identity.name) {
        context.delete(&*unwanted).await?;
    }
    Ok(())
}

/// Looks at the workers, and does what follows. The Deployment is the caller's to apply.
pub(super) async fn settle(
    context: &Context,
    cluster: &TrinoCluster,
    identity: &ClusterIdentity,
    revision: &Revision,
    rendered: &Rendered,
) -> Result<Standing, Error> {
    let wanted = worker_replicas(&cluster.spec);
    let direct = Standing { replicas: wanted, ..Standing::default() };
    let timeout = shutdown_timeout(&cluster.spec)?;
    let now = context.now();
    let pods = Pod::labelled(&context.index, &identity.namespace, CLUSTER, &identity.name);
    let pods = pods.into_iter().filter(|pod| label(&**pod, COMPONENT) == Some(component::WORKER));
    let (ending, pods): (Vec<_>, Vec<_>) = pods.partition(|pod| pod.metadata.deletion_timestamp.is_some());
    let overdue: Vec<_> = ending.iter().filter(|pod| is_overdue(pod, timeout, now)).collect();
    let direct = Standing { busy: hurry(context, cluster, &overdue).await? > 0, ..direct };
    let deployment = Deployment::named(&context.index, &identity.namespace, &identity.worker_name());
    let Some(replicas) = deployment.and_then(|deployment| in_hand(cluster, revision, rendered, &deployment)) else {
        return Ok(direct);
    };
    let asked = Asked { wanted: count(wanted), replicas: count(replicas), timeout };
    if pods.len() <= asked.wanted && !pods.iter().any(|pod| leaving(pod).is_some()) {
        return Ok(direct);
    }
    let (workers, faults) = look(context, cluster, &pods).await;
    let plan = plan(&asked, &workers, now);
    let faults = [faults, act(context, cluster, identity, &pods, &workers, &plan).await?].concat();
    Ok(Standing {
        replicas: i32::try_from(plan.replicas).unwrap_or(i32::MAX),
        draining: i32::try_from(plan.leaving.len()).unwrap_or(i32::MAX),
        message: (!plan.leaving.is_empty()).then(|| message(&plan, &faults, timeout)),
        busy: direct.busy || !plan.leaving.is_empty() || !plan.back.is_empty(),
    })
}

/// The number of workers that the Deployment has, if they are to be drained one by one. Not when a new revision replaces all of
/// them anyway, and not where there is nothing to wait for or nobody to ask: preStop hooks do what can be done then.
fn in_hand(cluster: &TrinoCluster, revision: &Revision, rendered: &Rendered, workers: &Deployment) -> Option<i32> {
    let replicas = workers.spec.as_ref()?.replicas?;
    let status = workers.status.as_ref()?;
    // One that was scaled a moment ago is steady too, though its controller has not looked yet.
    let steady = label(workers, REVISION) == Some(revision.as_str()) && status.updated_replicas == status.replicas;
    let serves = cluster.status.as_ref().is_some_and(|status| status.serving_since.is_some()) && !is_drained(cluster);
    let graceful = rendered.components.get(component::WORKER).is_some_and(drains) && can_drain(&cluster.spec.version);
    (steady && serves && graceful && worker_replicas(&cluster.spec) > 0).then_some(replicas)
}

/// What the pods and the workers in them say; those that stay and were never told to go are not asked.
async fn look(context: &Context, cluster: &TrinoCluster, pods: &[Arc<Pod>]) -> (Vec<Worker>, Vec<String>) {
    let trust = trust(cluster);
    let trust = trust.as_ref();
    let asked = futures::stream::iter(pods.iter().cloned()).map(|pod| async move {
        if !runs(&pod) {
            return (pod, State::Idle, None);
        }
        if leaving(&pod).is_none() {
            return (pod, State::Unknown, None);
        }
        match ask(context, &pod, trust, None).await.map(|answer| WorkerState::read(&answer)) {
            Ok(Some(WorkerState::Active)) => (pod, State::Active, None),
            Ok(Some(WorkerState::Draining)) => (pod, State::Draining, None),
            Ok(Some(WorkerState::Drained)) => (pod, State::Drained, None),
            Ok(Some(WorkerState::ShuttingDown) | None) => (pod, State::Unknown, None),
            Err(fault) => {
                let fault = format!("{}: {fault}", pod.name_any());
                (pod, State::Unknown, Some(fault))
            }
        }
    });
    let mut workers = Vec::new();
    let mut faults = Vec::new();
    let mut asked = asked.buffered(AT_ONCE);
    while let Some((pod, state, fault)) = asked.next().await {
        faults.extend(fault);
        workers.push(Worker {
            name: pod.name_any(),
            leaving: leaving(&pod),
            released: pod.annotations().get(DELETION_COST).is_some_and(|cost| cost == RELEASED),
            state,
            is_ready: is_ready(&pod),
            created: pod.metadata.creation_timestamp.as_ref().map(|created| created.0),
        });
    }
    (workers, faults)
}

/// Does what the plan says about the pods; returns what could not be asked for, and why.
async fn act(
    context: &Context,
    cluster: &TrinoCluster,
    identity: &ClusterIdentity,
    pods: &[Arc<Pod>],
    workers: &[Worker],
    plan: &Plan,
) -> Result<Vec<String>, Error> {
    let named = |name: &String| pods.iter().find(|pod| pod.name_any() == *name);
    // The marks first: should this be cut off, the next look finds who leaves and asks again.
    let marked = plan.leave.iter().chain(plan.release.iter().filter(|name| !plan.leave.contains(name)));
    for name in marked {
        let Some(pod) = named(name) else { continue };
        let since = leaving(pod).unwrap_or_else(|| context.now()).to_string();
        let cost = if plan.release.contains(name) { RELEASED } else { LEAVES };
        annotate(context, pod, &json!({LEAVING_SINCE: since, DELETION_COST: cost})).await?;
    }
    for name in &plan.overdue {
        let note =
            format!("worker {name} did not end its tasks in time: it goes, and queries that have tasks there fail");
        context.publish(cluster, EventType::Warning, "WorkerDrainDeadlinePassed", &note).await;
    }
    if plan.drain.is_empty() && plan.back.is_empty() {
        return Ok(Vec::new());
    }
    let (user, trust) = (user(context, identity).await?, trust(cluster));
    let trust = trust.as_ref();
    let mut faults = Vec::new();
    for (name, state) in plan.drain.iter().map(|name| (name, WorkerState::Draining)) {
        let Some(pod) = named(name) else { continue };
        info!(worker = name, "told to drain");
        let told = ask(context, pod, trust, Some((state, user.clone()))).await;
        faults.extend(told.err().map(|fault| format!("{name}: {fault}")));
    }
    for name in &plan.back {
        let Some(pod) = named(name) else { continue };
        let state = workers.iter().find(|worker| worker.name == *name).map(|worker| worker.state);
        info!(worker = name, "taken back");
        if !matches!(state, Some(State::Active | State::Idle)) {
            let told = ask(context, pod, trust, Some((WorkerState::Active, user.clone()))).await;
            if let Err(fault) = told {
                faults.push(format!("{name}: {fault}"));
                continue;
            }
        }
        annotate(context, pod, &json!({LEAVING_SINCE: null, DELETION_COST: null})).await?;
    }
    Ok(faults)
}

/// The header that lets the operator set a worker's state.
async fn user(context: &Context, identity: &ClusterIdentity) -> Result<Option<HeaderValue>, Error> {
    let secret = context.secret(&identity.namespace, &identity.worker_secret_name()).await?;
    let name = secret.and_then(|secret| secret.data?.remove(WORKER_USER_KEY));
    Ok(name.and_then(|name| HeaderValue::from_bytes(&name.0).ok()).map(|mut name| {
        name.set_sensitive(true);
        name
    }))
}

/// Who is believed to be a worker of the cluster; none where they speak plain HTTP.
fn trust(cluster: &TrinoCluster) -> Option<Trust> {
    let known = cluster.status.as_ref().and_then(|status| status.tls.as_ref()?.internal.as_ref());
    let ca = known.map(|known| known.ca.clone()).unwrap_or_default();
    internal(&cluster.spec).then(|| Trust { ca, name: Some(super::cluster::identity(cluster).worker_host()) })
}

/// Asks a worker for its state, or for another one.
async fn ask(
    context: &Context,
    pod: &Pod,
    trust: Option<&Trust>,
    set: Option<(WorkerState, Option<HeaderValue>)>,
) -> Result<Bytes, String> {
    let address = pod.status.as_ref().and_then(|status| status.pod_ip.as_deref()).ok_or("it has no address")?;
    let request = match trust {
        None => Request::builder().uri(pod_url(address, HTTP_PORT, STATE)),
        Some(trust) => Request::builder().uri(secure_pod_url(address, HTTPS_PORT, STATE)).extension(trust.clone()),
    };
    let request = match set {
        None => request.body(Bytes::new()),
        Some((state, user)) => {
            let user = user.ok_or("the Secret with its user is missing")?;
            let request = request.method("PUT").header(CONTENT_TYPE, "application/json").header("x-trino-user", user);
            request.body(Bytes::from_static(state.as_json().as_bytes()))
        }
    };
    (context.fetch)(request.map_err(|error| error.to_string())?).await.map_err(|error| error.to_string())
}

/// Changes annotations of a pod, if it is still that very one.
async fn annotate(context: &Context, pod: &Pod, annotations: &Value) -> Result<(), Error> {
    let (name, namespace) = (pod.name_any(), pod.namespace().unwrap_or_default());
    let patch = Patch::Merge(json!({"metadata": {"uid": pod.uid(), "annotations": annotations}}));
    let patched = context.api::<Pod>(&namespace).patch(&name, &PatchParams::default(), &patch).await;
    context.metrics.wrote("Pod", "annotate");
    match patched {
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        patched => patched.map(|_| ()).map_err(Error::api(format!("annotate Pod {name:?}"))),
    }
}

/// Ends the waiting of the hooks of pods that are being removed and had their time before; how many there are. A shorter grace
/// period would not do: a kubelet lets the hook run on.
async fn hurry(context: &Context, cluster: &TrinoCluster, overdue: &[&Arc<Pod>]) -> Result<usize, Error> {
    if overdue.is_empty() {
        return Ok(0);
    }
    let user = user(context, &super::cluster::identity(cluster)).await?;
    let trust = trust(cluster);
    for pod in overdue {
        // Who does not answer is deaf to its hook too, which then ends by itself.
        if let Err(fault) = ask(context, pod, trust.as_ref(), Some((WorkerState::ShuttingDown, user.clone()))).await {
            debug!(worker = pod.name_any(), fault, "cannot be hurried");
        }
    }
    Ok(overdue.len())
}

/// Whether a pod that is being deleted had its time to drain before, and would take it once more.
fn is_overdue(pod: &Pod, timeout: Duration, now: Timestamp) -> bool {
    leaving(pod).is_some_and(|since| passed(since, now) >= timeout)
}

fn leaving(pod: &Pod) -> Option<Timestamp> {
    pod.annotations().get(LEAVING_SINCE)?.parse().ok()
}

/// Whether a container of the pod runs, as far as Kubernetes knows.
fn runs(pod: &Pod) -> bool {
    let containers = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref()).into_iter().flatten();
    containers.into_iter().any(|container| container.state.as_ref().is_some_and(|state| state.running.is_some()))
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref()).into_iter().flatten();
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn count(replicas: i32) -> usize {
    usize::try_from(replicas).unwrap_or(0)
}

fn message(plan: &Plan, faults: &[String], timeout: Duration) -> String {
    let who = plan.leaving.join(", ");
    let faults = if faults.is_empty() { String::new() } else { format!("; not asked: {}", faults.join("; ")) };
    let minutes = timeout.as_secs().div_ceil(60);
    format!("{} workers end their tasks before they go, within {minutes} min: {who}{faults}", plan.leaving.len())
}
