//! The control plane: watches the objects, brings what they ask for about, and tells how it went.
//!
//! Each kind has a file of its own with the same steps: fetch → check → build → apply → status. What is to be built
//! stands in `desired`, what is to be decided in `lifecycle`; only this module writes to the API server.

mod admin;
mod apply;
mod assess;
mod backoff;
mod canary;
mod catalog;
mod cert_manager;
mod certificates;
mod cluster;
mod context;
mod credential;
mod credentials;
mod drain;
mod error;
mod events;
mod external;
mod fetch;
mod gateway;
mod group;
mod index;
mod issue;
mod malformed;
mod metrics;
mod narrow;
mod needed;
mod nodes;
mod proxies;
mod proxy_certificates;
mod readiness;
mod references;
mod rendered;
mod secrets;
mod statement;
mod status;
mod sweep;
mod template;
mod tuning;
mod verify;
mod wakes;
mod workers;

use std::{sync::Arc, time::Instant};

use futures::{Stream, StreamExt};
use kube::{
    Client, ResourceExt,
    runtime::{
        applier,
        controller::{Action, Config},
        events::{Recorder, Reporter},
        reflector::ObjectRef,
    },
};
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, info, warn};

use self::{backoff::Backoff, context::Context, index::Watched, status::HasStatus};
pub use self::{
    error::{Class, Error},
    fetch::{Fetch, FetchError, Trust, over_http},
    index::Scope,
    issue::IssueError,
    metrics::Metrics,
    nodes::TAINTS,
    readiness::Readiness,
};
use crate::api::{Conditions, ProxyGroup, TrinoCatalog, TrinoCluster, TrinoClusterGroup, TrinoGateway};

/// Reconciliations of one kind that run at the same time. Most of those that take long wait for a coordinator's answer.
const CONCURRENCY: u16 = 64;
/// After an error that only an edit mends, the object is looked at again all the same.
const INVALID_RETRY: std::time::Duration = std::time::Duration::from_mins(2);
/// After an error that an event mends, should the event be missed.
const WAITING_RETRY: std::time::Duration = std::time::Duration::from_secs(10);

/// Tells the time. The decisions about drains take it from here, so that tests may let it pass at will.
pub type Clock = Arc<dyn Fn() -> jiff::Timestamp + Send + Sync>;

/// What the operator is told from outside.
#[derive(Clone)]
pub struct Settings {
    /// Where it looks.
    pub scope: Scope,
    /// The image that it runs itself.
    pub own_image: String,
    /// Its name in Events, for example its pod's.
    pub instance: String,
    /// What time it is.
    pub clock: Clock,
    /// Reads what proxies and coordinators tell: [`over_http`], but for tests.
    pub fetch: Fetch,
    /// Keys of taints that say, as a cordon does, that a node is to go; none: nodes are not watched.
    pub leaving_taints: Option<Vec<String>>,
    /// The namespace of its own pods, which coordinators let in; none where it runs outside of Kubernetes.
    pub namespace: Option<String>,
}

/// Runs all reconcilers until `shutdown`, then ends those under way and returns. The caller sees to it that no other
/// operator runs at the same time.
pub async fn run(
    client: Client,
    settings: Settings,
    metrics: Metrics,
    readiness: Readiness,
    shutdown: CancellationToken,
) {
    let tasks = TaskTracker::new();
    let (index, queues) = index::start(&client, &settings.scope, &tasks, &readiness);
    let reporter = Reporter { controller: "warren".into(), instance: Some(settings.instance) };
    let context = Arc::new(Context {
        recorder: Recorder::new(client.clone(), reporter),
        client,
        index,
        backoff: Backoff::default(),
        metrics,
        own_image: settings.own_image,
        clock: settings.clock,
        fetch: settings.fetch,
        namespace: settings.namespace,
    });
    wait_for_all(&context, &shutdown).await;
    let wakes::Queues { gateways, groups, clusters, catalogs, proxy_groups } = queues;
    let stop = || shutdown.clone().cancelled_owned();
    if let Some(taints) = settings.leaving_taints {
        let (context, shutdown) = (context.clone(), shutdown.clone());
        tasks.spawn(async move { shutdown.run_until_cancelled(nodes::run(context, taints)).await });
    }
    let sweep = tasks.spawn({
        let (context, shutdown) = (context.clone(), shutdown.clone());
        async move { shutdown.run_until_cancelled(sweep::run(context)).await.unwrap_or_default() }
    });
    tokio::join!(
        drive::<TrinoGateway, _>(&context, gateways, stop(), |object, context| async move {
            gateway::reconcile(object, &context).await
        }),
        drive::<TrinoClusterGroup, _>(&context, groups, stop(), |object, context| async move {
            group::reconcile(object, &context).await
        }),
        drive::<TrinoCluster, _>(&context, clusters, stop(), |object, context| async move {
            cluster::reconcile(object, &context).await
        }),
        drive::<TrinoCatalog, _>(&context, catalogs, stop(), |object, context| async move {
            catalog::reconcile(object, &context).await
        }),
        drive::<ProxyGroup, _>(&context, proxy_groups, stop(), |object, context| async move {
            proxies::reconcile(object, &context).await
        }),
    );
    if let Err(error) = sweep.await {
        warn!(%error, "the orphan sweep ended badly");
    }
    info!("all reconcilers have ended");
}

/// No reconciler decides before everything was seen once: what it does not see it would make again.
async fn wait_for_all(context: &Context, shutdown: &CancellationToken) {
    async fn synced<K: Watched>(context: &Context) {
        // The writer lives as long as its watch, which lives as long as this process.
        if K::store(&context.index).wait_until_ready().await.is_err() {
            warn!(kind = %K::kind(&()), "a watch ended before its objects were listed");
        }
    }
    use k8s_openapi::api::{
        apps::v1 as apps, autoscaling::v2 as autoscaling, core::v1 as core, networking::v1 as networking,
        policy::v1 as policy, rbac::v1 as rbac,
    };
    let own = futures::future::join5(
        synced::<TrinoGateway>(context),
        synced::<TrinoClusterGroup>(context),
        synced::<TrinoCluster>(context),
        synced::<TrinoCatalog>(context),
        synced::<ProxyGroup>(context),
    );
    let workloads = futures::future::join4(
        synced::<core::Pod>(context),
        synced::<apps::Deployment>(context),
        synced::<apps::ControllerRevision>(context),
        synced::<core::ServiceAccount>(context),
    );
    let beside = futures::future::join4(
        synced::<core::Service>(context),
        synced::<core::ConfigMap>(context),
        synced::<networking::NetworkPolicy>(context),
        synced::<policy::PodDisruptionBudget>(context),
    );
    let rest = futures::future::join3(
        synced::<rbac::Role>(context),
        synced::<rbac::RoleBinding>(context),
        synced::<autoscaling::HorizontalPodAutoscaler>(context),
    );
    shutdown.run_until_cancelled(futures::future::join4(own, workloads, beside, rest)).await;
}

/// Reconciles what comes out of `queue` until `stop`, and what asked to be looked at again.
async fn drive<K, Reconciliation>(
    context: &Arc<Context>,
    queue: mpsc::Receiver<ObjectRef<K>>,
    stop: impl Future<Output = ()> + Send + 'static,
    reconcile: impl Fn(Arc<K>, Arc<Context>) -> Reconciliation + Copy + Send + 'static,
) where
    K: HasStatus,
    Reconciliation: Future<Output = Result<Action, Error>> + Send + 'static,
{
    let store = K::store(&context.index).clone();
    let config = Config::default().concurrency(CONCURRENCY);
    let queue = stream(queue).take_until(stop).map(Ok::<_, std::convert::Infallible>);
    let outcomes = applier(
        move |object, context| Box::pin(one(object, context, reconcile)),
        |object: Arc<K>, error: &Error, context: Arc<Context>| retry(&*object, error, &context),
        context.clone(),
        store,
        Box::pin(queue),
        config,
    );
    outcomes.for_each(|outcome| async move { debug!(?outcome, "reconciled") }).await;
}

fn stream<T>(queue: mpsc::Receiver<T>) -> impl Stream<Item = T> {
    futures::stream::unfold(queue, |mut queue| async move { queue.recv().await.map(|item| (item, queue)) })
}

/// One reconciliation: skipped when paused, put off when it has just failed, counted, and its error shown on the object.
async fn one<K, Reconciliation>(
    object: Arc<K>,
    context: Arc<Context>,
    reconcile: impl Fn(Arc<K>, Arc<Context>) -> Reconciliation,
) -> Result<Action, Error>
where
    K: HasStatus,
    Reconciliation: Future<Output = Result<Action, Error>>,
{
    if object.is_paused() && object.meta().deletion_timestamp.is_none() {
        let status = object.status().cloned().unwrap_or_default();
        let conditions = Conditions::Paused { serving: status::serves(&*object) };
        context.write_status(&*object, status, &conditions).await?;
        return Ok(Action::await_change());
    }
    if let Some(remaining) = context.backoff.remaining(&key(&*object), object.meta().generation) {
        return Ok(Action::requeue(remaining));
    }
    let start = Instant::now();
    let outcome = reconcile(object.clone(), context.clone()).await;
    let word = outcome.as_ref().map_or_else(Error::reason, |_| "ok");
    context.metrics.reconciled(&K::kind(&()), word, start.elapsed().as_secs_f64());
    match outcome {
        Ok(action) => {
            context.backoff.succeeded(&key(&*object));
            Ok(action)
        }
        Err(error) => {
            if let Some(conditions) = error.conditions(status::serves(&*object)) {
                // The attempt may have written the status before it failed.
                let latest = K::named(&context.index, &object.namespace().unwrap_or_default(), &object.name_any());
                let latest = latest.filter(|latest| latest.meta().generation == object.meta().generation);
                let object = latest.unwrap_or(object);
                let status = object.status().cloned().unwrap_or_default();
                if let Err(error) = context.write_status(&*object, status, &conditions).await {
                    warn!(%error, "cannot show an error on its object");
                }
            }
            Err(error)
        }
    }
}

fn retry<K: HasStatus>(object: &K, error: &Error, context: &Context) -> Action {
    let (kind, name, namespace) = (K::kind(&()), object.name_any(), object.namespace().unwrap_or_default());
    let failed = |least| context.backoff.failed(&key(object), object.meta().generation, least);
    match error.class() {
        Class::Invalid => {
            warn!(%kind, namespace, name, %error, "waits for an edit");
            // What other objects may mend is looked at when they change; what the API server refuses is not.
            Action::requeue(if matches!(error, Error::Api { .. }) { failed(INVALID_RETRY) } else { INVALID_RETRY })
        }
        Class::Waiting => {
            debug!(%kind, namespace, name, %error, "waits");
            Action::requeue(WAITING_RETRY)
        }
        Class::Gone => {
            debug!(%kind, namespace, name, %error, "nothing to do");
            Action::await_change()
        }
        Class::Transient => {
            let delay = failed(std::time::Duration::ZERO);
            info!(%kind, namespace, name, %error, ?delay, "tried again");
            Action::requeue(delay)
        }
    }
}

fn key<K: HasStatus>(object: &K) -> String {
    format!("{} {}/{}", K::kind(&()), object.namespace().unwrap_or_default(), object.name_any())
}

/// A fresh random value for a Secret: 256 bits in hexadecimal, from the operating system's generator.
fn secret_value() -> String {
    let bytes: [u8; 32] = rand::random();
    hex::encode(bytes)
}
