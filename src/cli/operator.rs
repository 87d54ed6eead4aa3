//! `warren operator`: waits for the lease, then runs the reconcilers until it is told to stop.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use clap::Args;
use kube::Client;
use kube_lease_manager::LeaseManagerBuilder;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::Failure;
use crate::{
    reconcile::{self, Readiness, Scope},
    telemetry::{self, Admin, admin},
};

/// A leader that does not renew for this long is replaced.
const LEASE_SECONDS: u64 = 15;
/// It renews this long before the end.
const LEASE_GRACE_SECONDS: u64 = 7;

/// Runs the operator: reconciles TrinoGateways, TrinoClusterGroups, TrinoClusters and ProxyGroups.
///
/// It talks to the cluster that it runs in, or to the one that KUBECONFIG names. Of several operators one works, by a
/// Lease; the others wait for it to end.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The image of this operator; proxies run it where their ProxyGroup names no other.
    #[arg(long, env = "WARREN_IMAGE", value_name = "IMAGE")]
    image: String,
    /// Look at this namespace alone [default: at all].
    #[arg(long, env = "WARREN_WATCH_NAMESPACE", value_name = "NAMESPACE")]
    watch_namespace: Option<String>,
    /// Taints that say, as a cordon does, that a node is to go: clusters whose coordinators run there are replaced. Nodes are
    /// watched only without --watch-namespace.
    #[arg(long, env = "WARREN_LEAVING_TAINTS", value_name = "KEYS", value_delimiter = ',', default_values = reconcile::TAINTS)]
    leaving_taints: Vec<String>,
    /// Where /livez, /readyz and /metrics are served.
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// Namespace of the Lease by which one of several operators is chosen [default: that of the kubeconfig's context].
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE")]
    lease_namespace: Option<String>,
    /// Name of the Lease.
    #[arg(long, value_name = "NAME", default_value = "warren-operator")]
    lease_name: String,
    /// Name of this operator in the Lease and in Events.
    #[arg(long, env = "HOSTNAME", value_name = "NAME", default_value = "warren")]
    identity: String,
}

/// Runs the operator until SIGTERM or SIGINT.
pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    // Two threads: reconciling waits for the API server most of the time.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.context("cannot start the runtime").map_err(Failure::Runtime)?;
    runtime.block_on(serve(arguments)).map_err(Failure::Runtime)
}

async fn serve(arguments: Arguments) -> anyhow::Result<()> {
    let client = Client::try_default().await.context(
        "cannot find the API server: run inside Kubernetes, or let KUBECONFIG name a file with a reachable cluster",
    )?;
    let listener = TcpListener::bind(arguments.listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {}", arguments.listen))?;
    let mut metrics = telemetry::Metrics::new();
    let counters = reconcile::Metrics::register(metrics.registry().sub_registry_with_prefix("operator"));
    let readiness = Readiness::default();
    let shown = readiness.clone();
    let admin = Admin::new(Arc::new(metrics)).ready_when(move || shown.missing().map_or(Ok(()), Err));
    let shutdown = CancellationToken::new();
    let admin = tokio::spawn(admin::serve(listener, admin, shutdown.clone()));
    let stopping = tokio::spawn(stop_on_signal(shutdown.clone()));
    let outcome = lead(client, arguments, counters, readiness, &shutdown).await;
    shutdown.cancel();
    admin.await.context("the admin server ended badly")?;
    stopping.await.context("the signal handler ended badly")??;
    outcome
}

/// Waits for the lease, runs while it is held, and gives it back.
async fn lead(
    client: Client,
    arguments: Arguments,
    metrics: reconcile::Metrics,
    readiness: Readiness,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let mut lease = LeaseManagerBuilder::new(client.clone(), &arguments.lease_name)
        .with_identity(&arguments.identity)
        .with_duration(LEASE_SECONDS)
        .with_grace(LEASE_GRACE_SECONDS);
    if let Some(namespace) = &arguments.lease_namespace {
        lease = lease.with_namespace(namespace);
    }
    let lease = lease.build().await.with_context(|| format!("cannot create the Lease {:?}", arguments.lease_name))?;
    let (mut held, renewal) = lease.watch().await;
    let leads = shutdown.run_until_cancelled(held.wait_for(|held| *held)).await.map(|leads| leads.map(|_| ()));
    if let Some(leads) = leads {
        leads.context("the Lease's renewal ended")?;
        info!(identity = arguments.identity, "leads");
        let sees_nodes = arguments.watch_namespace.is_none();
        let settings = reconcile::Settings {
            leaving_taints: sees_nodes.then_some(arguments.leaving_taints),
            scope: arguments.watch_namespace.map_or(Scope::All, Scope::Namespace),
            own_image: arguments.image,
            instance: arguments.identity,
            clock: Arc::new(jiff::Timestamp::now),
            fetch: reconcile::over_http(),
            namespace: arguments.lease_namespace,
        };
        let run = shutdown.child_token();
        let reconcilers = tokio::spawn(reconcile::run(client, settings, metrics, readiness, run.clone()));
        let lost = shutdown.run_until_cancelled(held.wait_for(|held| !*held)).await.is_some();
        run.cancel();
        reconcilers.await.context("the reconcilers ended badly")?;
        anyhow::ensure!(!lost, "the Lease was lost to another operator: this one ends, and starts again as a follower");
    }
    drop(held);
    renewal.await.context("the Lease's renewal ended badly")?.context("cannot give the Lease back")?;
    Ok(())
}

async fn stop_on_signal(shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    tokio::select! {
        _ = terminate.recv() => info!("SIGTERM: ending"),
        _ = interrupt.recv() => info!("SIGINT: ending"),
        () = shutdown.cancelled() => {}
    }
    shutdown.cancel();
    Ok(())
}
