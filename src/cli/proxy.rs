//! `warren proxy`: wires a source of routing tables, the proxy and the admin server together.

use std::{
    fs::OpenOptions,
    io,
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroUsize,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use clap::Args;
use tokio::{net::TcpListener, sync::oneshot, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    Failure, certificates,
    signals::Signals,
    traces,
    tuning::{Standing, Tuner},
    units::{parse_duration, parse_header_size, parse_listener, parse_size},
};
use crate::{
    follow::{self, ConfigMapSource, Listen, Publisher, Standalone},
    proxy::{Door, Proxy, Roots, Settings, Shard, Tls},
    routing::Router,
    telemetry::{self, Admin, Exporter, Lines, Metrics, Token, Traces, admin},
};

const CLIENT_PORT: u16 = 8080;
const ADMIN_PORT: u16 = 9090;

/// The file in `--credentials-dir` that holds the token of the admin server's status.
const ADMIN_TOKEN: &str = "admin-token";

/// Runs the gateway that clients of Trino talk to.
///
/// It takes its routing table from a file (--config), and reads it again when it changes; or in Kubernetes from the
/// ConfigMap that the operator writes (--routing-config-map).
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    source: Source,
    /// Namespace of the ConfigMap.
    #[arg(long, requires = "routing_config_map", value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Where the ConfigMap is mounted too: read at the start, so that a restart does not need the Kubernetes API.
    #[arg(long, requires = "routing_config_map", value_name = "DIR")]
    routing_dir: Option<PathBuf>,
    /// Directory with the file `admin-token`, which opens GET /v1/status on the admin port to its bearer, and files
    /// `cluster.<name>` with `user:password`, by which the proxy asks a cluster for what it asks by itself: how many queries
    /// there are, and the query of a health check. Read again when they change.
    #[arg(long, value_name = "DIR")]
    credentials_dir: Option<PathBuf>,
    /// Where clients of Trino connect [default: `listen.client` of --config, else 0.0.0.0:8080].
    #[arg(long, value_name = "ADDR")]
    listen_client: Option<SocketAddr>,
    /// Where probes, metrics and status are served [default: `listen.admin` of --config, else 127.0.0.1:9090 with
    /// --config and 0.0.0.0:9090 without].
    #[arg(long, value_name = "ADDR")]
    listen_admin: Option<SocketAddr>,
    /// A port for coordinators' events alone, in plain HTTP unless --events-tls-cert is given; they are taken where clients connect, too [default: none].
    #[arg(long, value_name = "ADDR", env = "WARREN_LISTEN_EVENTS")]
    listen_events: Option<SocketAddr>,
    #[command(flatten)]
    certificates: certificates::Arguments,
    /// CA certificates, in PEM, by which coordinators that speak https are trusted, besides those of the routing table. Read
    /// again when it changes.
    #[arg(long, value_name = "FILE")]
    backend_ca: Option<PathBuf>,
    /// A further address for clients, under a name that routing rules may ask for; may be repeated. It wins over that of
    /// the same name in `listeners` of --config.
    #[arg(long, value_name = "NAME=ADDR", value_parser = parse_listener)]
    listen: Vec<(String, SocketAddr)>,
    /// A document in YAML with limits, timeouts and health checks (see docs/proxygroup.md); what it says wins over flags.
    /// Read again when it changes: what a running proxy can take comes into force, the rest at the next start.
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Threads that serve clients, each with its own listener and connections [default: one per core].
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Where a line of JSON per request goes: `stderr`, `stdout`, `off`, or a file.
    #[arg(long, value_name = "WHERE", default_value = "stderr")]
    access_log: String,
    /// The most bytes of a request's headers; a request with more gets 431. At most 2MiB.
    #[arg(long, value_name = "SIZE", default_value = "256KiB", value_parser = parse_header_size)]
    max_header_bytes: u32,
    /// The most headers of a request; one with more gets 431. A JDBC client sends one per session property and prepared
    /// statement.
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u16).range(100..=4000))]
    max_headers: u16,
    /// How long connections are still accepted after SIGTERM, so that load balancers notice.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = parse_duration)]
    drain_delay: Duration,
    /// How long running requests may then go on.
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = parse_duration)]
    drain_timeout: Duration,
    /// The largest statement that is kept for a try on another cluster; larger ones are tried once.
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = parse_size)]
    max_statement_kept: usize,
    #[command(flatten)]
    traces: traces::Arguments,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Source {
    /// Standalone: a file with the routing table in YAML (see examples/standalone.yaml).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Kubernetes: the ConfigMap that the operator writes.
    #[arg(long, value_name = "NAME", requires = "namespace")]
    routing_config_map: Option<String>,
}

/// Runs the proxy until SIGTERM or SIGINT and through its drain. A second signal ends the drain.
pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    // Clients have threads of their own: this one follows the table, checks clusters and answers the admin port.
    runtime().map_err(Failure::Runtime)?.block_on(serve(arguments))
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("a runtime could not be started")
}

/// A source of tables that is ready to be followed.
enum Followed {
    File(PathBuf, Box<Standalone>),
    ConfigMap(ConfigMapSource, kube::Client),
}

async fn serve(arguments: Arguments) -> Result<(), Failure> {
    let followed = open(&arguments).await?;
    let standalone = match &followed {
        Followed::File(_, standalone) => Some(standalone.listen.clone()),
        Followed::ConfigMap(..) => None,
    };
    let further = further(&arguments, standalone.as_ref());
    let (client, admin_address) = addresses(&arguments, standalone);
    let (settings, tuner) = tuned(&arguments).map_err(Failure::Usage)?;
    let roots = settings.backend_roots.clone();
    let certificates = &arguments.certificates;
    let tls = certificates.for_clients().map_err(Failure::Usage)?;
    let admin_tls = certificates.for_admins().map_err(Failure::Usage)?;
    let events_tls = certificates.for_events().map_err(Failure::Usage)?;
    let mut doors = doors(client, &further, tls.as_ref(), settings.shards)?;
    add_events(&mut doors, arguments.listen_events, events_tls.as_ref(), settings.shards)?;
    let admins = TcpListener::bind(admin_address)
        .await
        .with_context(|| format!("{admin_address} cannot be listened on; choose another with --listen-admin"))
        .map_err(Failure::Usage)?;
    let threads = settings.shards;
    tracing::info!(%client, admin = %admin_address, threads, version = env!("CARGO_PKG_VERSION"), "warren proxy");

    let mut metrics = Metrics::new();
    let place = tuner.as_ref().and_then(Tuner::access_log).unwrap_or(&arguments.access_log);
    let access = access_log(place).map_err(Failure::Usage)?;
    let (traces, exporter) = traces(&arguments.traces, &mut metrics).map_err(Failure::Usage)?.unzip();
    let proxy = Proxy::traced(settings, metrics.registry(), access, traces);
    let standing = tuner.as_ref().map(Tuner::standing);
    let mut admin = admin_of(&proxy, metrics, standing, arguments.credentials_dir.clone());
    if let Some(tls) = admin_tls.clone() {
        admin = admin.secured(move || tls.config_of_http1());
    }
    let refusals = proxy.clone();
    let (publisher, tables) = follow::channel(move |_| refusals.table_refused());

    let stop = CancellationToken::new();
    // What the proxy leans on while it drains goes on until it is done.
    let done = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(follow_tables(followed, publisher, done.clone()));
    tasks.spawn(admin::serve(admins, admin, done.clone()));
    if let Some(exporter) = exporter {
        tasks.spawn(exporter.run(done.clone()));
    }
    if let Some(directory) = arguments.credentials_dir.clone() {
        let (proxy, over) = (proxy.clone(), done.clone());
        let take = move |known| proxy.set_credentials(known);
        tasks.spawn(follow::follow_credentials(directory, take, over));
    }
    let overseer = proxy.clone();
    let over = done.clone();
    tasks.spawn(async move { overseer.oversee(tables, over).await });
    for tls in [tls, admin_tls, events_tls].into_iter().flatten() {
        tasks.spawn(tls.follow(done.clone()));
    }
    if let Some(roots) = roots {
        tasks.spawn(roots.follow(done.clone()));
    }
    if let Some(tuner) = tuner {
        tasks.spawn(tuner.follow(proxy.clone(), done.clone()));
    }
    let mut signals = Signals::new().map_err(Failure::Runtime)?;
    let shards = start_shards(&proxy, doors, &stop).map_err(Failure::Runtime)?;
    signals.run_to_the_end(shards, &stop).await;
    done.cancel();
    while tasks.join_next().await.is_some() {}
    tracing::info!("done");
    Ok(())
}

/// The settings to start with, and who follows their document.
fn tuned(arguments: &Arguments) -> anyhow::Result<(Settings, Option<Tuner>)> {
    let settings = settings(arguments)?;
    let Some(file) = arguments.settings.clone() else { return Ok((settings, None)) };
    // In Kubernetes a proxy that does not start helps nobody: the operator has checked the document, and is told.
    let waits = arguments.source.config.is_some();
    let tuner = Tuner::read(file, &settings, waits).context("--settings")?;
    Ok((tuner.settings(), Some(tuner)))
}

fn settings(arguments: &Arguments) -> anyhow::Result<Settings> {
    let cores = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let backend_roots = arguments.backend_ca.clone().map(Roots::read).transpose().context("--backend-ca")?;
    let default = Settings::default();
    Ok(Settings {
        drain_delay: arguments.drain_delay,
        drain_timeout: arguments.drain_timeout,
        max_statement_kept: arguments.max_statement_kept,
        max_header_bytes: arguments.max_header_bytes,
        max_headers: arguments.max_headers.into(),
        shards: arguments.threads.map_or_else(cores, NonZeroUsize::get),
        backend_roots,
        ..default
    })
}

/// The doors of each shard.
fn doors(
    client: SocketAddr,
    further: &[(String, SocketAddr)],
    tls: Option<&Tls>,
    shards: usize,
) -> Result<Vec<Vec<Door>>, Failure> {
    let mut of_shards: Vec<Vec<Door>> = (0..shards).map(|_| Vec::new()).collect();
    let named = further.iter().map(|(name, address)| (Some(name), *address));
    for (name, address) in std::iter::once((None, client)).chain(named) {
        let flag = if name.is_some() { "--listen" } else { "--listen-client" };
        for (doors, door) in of_shards.iter_mut().zip(open_doors(address, flag, shards)?) {
            let door = if let Some(name) = name { door.named(name.as_str()) } else { door };
            let door = if let Some(tls) = tls { door.secured(tls.clone()) } else { door };
            doors.push(door);
        }
    }
    Ok(of_shards)
}

/// Adds a door for events to those of each shard, where there is to be one.
fn add_events(
    of_shards: &mut [Vec<Door>],
    address: Option<SocketAddr>,
    tls: Option<&Tls>,
    shards: usize,
) -> Result<(), Failure> {
    let Some(address) = address else { return Ok(()) };
    for (doors, door) in of_shards.iter_mut().zip(open_doors(address, "--listen-events", shards)?) {
        doors.push(door.for_events(tls.cloned()));
    }
    Ok(())
}

/// A door at `address` for each shard; `flag` is where another one may be given.
fn open_doors(address: SocketAddr, flag: &str, shards: usize) -> Result<Vec<Door>, Failure> {
    Door::open(address, shards)
        .with_context(|| format!("{address} cannot be listened on; choose another with {flag}"))
        .map_err(Failure::Usage)
}

fn access_log(place: &str) -> anyhow::Result<Option<Lines>> {
    let sink: Box<dyn io::Write + Send> = match place {
        "off" => return Ok(None),
        "stderr" => Box::new(io::stderr()),
        "stdout" => Box::new(io::stdout()),
        file => {
            let opened = OpenOptions::new().create(true).append(true).open(file);
            Box::new(opened.with_context(|| format!("--access-log: {file} cannot be written"))?)
        }
    };
    Lines::new(sink).context("the access log's thread could not be started").map(Some)
}

fn traces(arguments: &traces::Arguments, metrics: &mut Metrics) -> anyhow::Result<Option<(Traces, Exporter)>> {
    let Some(settings) = arguments.settings(|name| std::env::var(name).ok())? else { return Ok(None) };
    tracing::info!(collector = %settings.endpoint, sampling = ?settings.sampling, "requests are traced");
    Ok(Some(telemetry::traces(settings, metrics.registry()).context("traces cannot be sent")?))
}

/// Starts a thread per shard; each receiver ends with its thread.
fn start_shards(
    proxy: &Proxy,
    doors: Vec<Vec<Door>>,
    stop: &CancellationToken,
) -> anyhow::Result<Vec<oneshot::Receiver<()>>> {
    let start = |(index, doors): (usize, Vec<Door>)| {
        let (proxy, stop, runtime) = (proxy.clone(), stop.clone(), runtime()?);
        let (ended, end) = oneshot::channel();
        std::thread::Builder::new()
            .name(format!("shard-{index}"))
            .spawn(move || {
                runtime.block_on(proxy.serve(Shard::new(index), doors, stop));
                // Connections to coordinators are let go with the runtime.
                drop(runtime);
                drop(ended);
            })
            .context("a thread could not be started")?;
        Ok(end)
    };
    doors.into_iter().enumerate().map(start).collect()
}

async fn open(arguments: &Arguments) -> Result<Followed, Failure> {
    let usage = |error: follow::Error| Failure::Usage(error.into());
    if let Some(file) = &arguments.source.config {
        let standalone = Standalone::read(file).map_err(usage)?;
        // A later bad table is refused and the good one stays; at the start there is none, and whoever typed this
        // waits.
        Router::compile(standalone.table.clone())
            .map_err(|fault| Failure::Usage(anyhow!("{}: {fault}", file.display())))?;
        return Ok(Followed::File(file.clone(), Box::new(standalone)));
    }
    let (Some(name), Some(namespace)) = (&arguments.source.routing_config_map, &arguments.namespace) else {
        return Err(Failure::Usage(anyhow!("--config, or --routing-config-map with --namespace, is needed")));
    };
    let source =
        ConfigMapSource { namespace: namespace.clone(), name: name.clone(), directory: arguments.routing_dir.clone() };
    Ok(Followed::ConfigMap(source, follow::connect().await.map_err(usage)?))
}

async fn follow_tables(followed: Followed, publisher: Publisher, done: CancellationToken) {
    match followed {
        Followed::File(file, standalone) => follow::follow_file(file, *standalone, publisher, done).await,
        Followed::ConfigMap(source, client) => follow::follow_config_map(source, client, publisher, done).await,
    }
}

/// Where to listen: a flag wins over the file, the file over the default. Alone on a machine, the admin port is local.
fn addresses(arguments: &Arguments, standalone: Option<Listen>) -> (SocketAddr, SocketAddr) {
    let admin_host = if standalone.is_some() { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED };
    let Listen { client, admin, further: _ } = standalone.unwrap_or_default();
    (
        arguments.listen_client.or(client).unwrap_or_else(|| (Ipv4Addr::UNSPECIFIED, CLIENT_PORT).into()),
        arguments.listen_admin.or(admin).unwrap_or_else(|| (admin_host, ADMIN_PORT).into()),
    )
}

/// The further listeners: those of the flags, and those of the file whose names no flag has.
fn further(arguments: &Arguments, standalone: Option<&Listen>) -> Vec<(String, SocketAddr)> {
    let flags = &arguments.listen;
    let of_file = standalone.iter().flat_map(|listen| &listen.further);
    let unnamed = of_file.filter(|(name, _)| !flags.iter().any(|(flag, _)| flag == name));
    flags.iter().chain(unnamed).cloned().collect()
}

fn admin_of(proxy: &Proxy, metrics: Metrics, settings: Option<Standing>, credentials: Option<PathBuf>) -> Admin {
    let [ready, status, queries, drain, undrain, explain] = [(); 6].map(|()| proxy.clone());
    let admin = Admin::new(Arc::new(metrics)).ready_when(move || ready.readiness());
    let Some(directory) = credentials else { return admin };
    admin
        .opened_by(Token::in_file(directory.join(ADMIN_TOKEN)))
        .page("/v1/status", move || match &settings {
            Some(settings) => settings.add_to(status.status()),
            None => status.status(),
        })
        .page("/v1/queries", move || serde_json::json!(queries.queries()))
        .action("/v1/drain", move |_| Ok(drain.set_aside(true)))
        .action("/v1/undrain", move |_| Ok(undrain.set_aside(false)))
        .action("/v1/explain", move |sent| explain.explain(sent))
}
