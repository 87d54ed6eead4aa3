//! The files below `/etc/trino` of coordinator and workers.
//!
//! Precedence, least first: Warren's defaults, `spec.config`, the component's own `config`, and the keys that Warren owns
//! (which admission refuses from users).

use std::{collections::BTreeMap, ops::RangeInclusive};

use super::{ClusterIdentity, RenderError};
use crate::{
    api::{Properties, Resources, TrinoClusterSpec},
    desired::{catalogs, quantity},
    trino::{HTTP_PORT, properties, release},
};

/// Memory of a pod whose spec leaves it out.
pub(super) const DEFAULT_MEMORY: &str = "2Gi";
/// CPU of a pod whose spec leaves it out.
pub(super) const DEFAULT_CPU: &str = "500m";

/// The versions known to distrust a worker for `failure-detector.warmup-interval` (5 s) after it has joined: as long as no
/// query runs there, that only delays the first one. Others may not know the property, and would not start.
const WARMED_UP: RangeInclusive<u32> = 470..=476;

const ACCESS_CONTROL_FILES: &str = "access-control.config-files";

/// A worker that drains waits for this long, so that the coordinator, which asks for states every 5 s, gives it no more
/// tasks, and once more after the last task, so that the coordinator sees how that ended (Trino 476: 2 min by default).
const GRACE_PERIOD: &str = "30s";

/// Files by their path below `/etc/trino`.
pub(super) type Files = BTreeMap<String, String>;

/// The coordinator's files.
pub(super) fn coordinator(cluster: &ClusterIdentity, spec: &TrinoClusterSpec) -> Result<Files, RenderError> {
    let own = spec.coordinator.clone().unwrap_or_default();
    let runs_queries = super::worker_replicas(spec) == 0;
    let mut owned = owned_keys(cluster);
    owned.insert("coordinator".into(), "true".into());
    let mut config = Properties::from([("node-scheduler.include-coordinator".into(), runs_queries.to_string())]);
    if release(&spec.version).is_some_and(|release| WARMED_UP.contains(&release)) {
        config.insert("failure-detector.warmup-interval".into(), "0s".into());
    }
    config.extend(layered(spec, &own.config, owned));
    files("coordinator", spec, own.resources.as_ref(), &config)
}

/// The workers' files, the same for all of them.
pub(super) fn worker(cluster: &ClusterIdentity, spec: &TrinoClusterSpec) -> Result<Files, RenderError> {
    let own = spec.workers.clone().unwrap_or_default();
    let mut owned = owned_keys(cluster);
    owned.insert("coordinator".into(), "false".into());
    let mut config = Properties::from([("shutdown.grace-period".into(), GRACE_PERIOD.into())]);
    config.extend(layered(spec, &own.config, owned));
    // Who may query what is the coordinator's to say; a worker has rules of its own.
    if !own.config.contains_key(ACCESS_CONTROL_FILES) {
        config.remove(ACCESS_CONTROL_FILES);
    }
    let mut files = files("workers", spec, own.resources.as_ref(), &config)?;
    let access_control = properties::render(&super::graceful::access_control().into());
    files.insert("access-control.properties".to_owned(), access_control);
    Ok(files)
}

fn layered(spec: &TrinoClusterSpec, own: &Properties, owned: Properties) -> Properties {
    // Warren's proxies log requests; a second log on a disk that nobody reads only fills it.
    let mut config = Properties::from([("http-server.log.enabled".into(), "false".into())]);
    config.extend(spec.config.clone());
    config.extend(own.clone());
    config.extend(owned);
    config
}

fn owned_keys(cluster: &ClusterIdentity) -> Properties {
    [
        ("http-server.http.port", HTTP_PORT.to_string()),
        // Every URI that Trino hands out is built from X-Forwarded-*: this is what routing by URL stands on.
        ("http-server.process-forwarded", "true".to_owned()),
        ("discovery.uri", format!("http://{}:{HTTP_PORT}", cluster.coordinator_name())),
        ("internal-communication.shared-secret", format!("${{ENV:{}}}", super::pods::SHARED_SECRET_ENV)),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}

fn files(
    component: &'static str,
    spec: &TrinoClusterSpec,
    resources: Option<&Resources>,
    config: &Properties,
) -> Result<Files, RenderError> {
    // `node.id` is left out: the image's start script makes it the pod's name.
    let node = Properties::from([
        ("node.environment".to_owned(), "warren".to_owned()),
        ("node.data-dir".to_owned(), "/data/trino".to_owned()),
    ]);
    let mut files = Files::from([
        ("config.properties".to_owned(), properties::render(config)),
        ("node.properties".to_owned(), properties::render(&node)),
        ("jvm.config".to_owned(), jvm_config(component, resources)?),
    ]);
    for catalog in catalogs::all(spec) {
        files.insert(format!("catalog/{}.properties", catalog.name), properties::render(&catalog.file()));
    }
    Ok(files)
}

/// The JVM's flags: those of Trino's deployment guide (476), fitted to small heaps.
fn jvm_config(component: &'static str, resources: Option<&Resources>) -> Result<String, RenderError> {
    let memory = resources.and_then(|resources| resources.memory.as_deref()).unwrap_or(DEFAULT_MEMORY);
    let bytes = quantity::bytes(memory).map_err(|fault| RenderError::Memory { component, fault })?;
    let heap_mib = bytes / 10 * 7 / (1 << 20);
    let mut flags = vec!["-server".to_owned(), format!("-Xmx{heap_mib}M")];
    let for_size: &[&str] = if heap_mib < 4096 {
        &["-XX:+UseSerialGC", "-XX:ReservedCodeCacheSize=150M"]
    } else {
        &[
            "-XX:+UseG1GC",
            "-XX:G1HeapRegionSize=32M",
            "-XX:+ExplicitGCInvokesConcurrent",
            "-XX:ReservedCodeCacheSize=512M",
        ]
    };
    let for_all = [
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:-OmitStackTraceInFastThrow",
        "-XX:PerMethodRecompilationCutoff=10000",
        "-XX:PerBytecodeRecompilationCutoff=10000",
        "-Djdk.attach.allowAttachSelf=true",
        "-Djdk.nio.maxCachedBufferSize=2000000",
        "-Dfile.encoding=UTF-8",
        "-XX:+EnableDynamicAgentLoading",
    ];
    flags.extend(for_size.iter().chain(&for_all).map(|&flag| flag.to_owned()));
    Ok(flags.join("\n") + "\n")
}
