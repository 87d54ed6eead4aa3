//! The files below `/etc/trino` of coordinator and workers.
//!
//! Precedence, least first: Warren's defaults, what follows from typed fields, `spec.config`, the component's own `config`, and the
//! keys that Warren owns (which admission or a condition refuses from users).

use std::{collections::BTreeMap, ops::RangeInclusive};

use super::{ClusterIdentity, FilesError, RenderError, etc::Etc, jvm, typed};
use crate::{
    api::{Jvm, Properties, Resources, TrinoClusterSpec},
    desired::{
        catalogs,
        labels::component::{self, COORDINATOR, WORKER},
    },
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
pub(super) fn coordinator(cluster: &ClusterIdentity, spec: &TrinoClusterSpec) -> Result<Etc, RenderError> {
    let own = spec.coordinator.clone().unwrap_or_default();
    let runs_queries = super::worker_replicas(spec) == 0;
    let mut owned = owned_keys(cluster);
    owned.extend(super::tls::properties(cluster, COORDINATOR, spec));
    owned.insert("coordinator".into(), "true".into());
    let mut config = Properties::from([("node-scheduler.include-coordinator".into(), runs_queries.to_string())]);
    if release(&spec.version).is_some_and(|release| WARMED_UP.contains(&release)) {
        config.insert("failure-detector.warmup-interval".into(), "0s".into());
    }
    let mut etc = files("coordinator", spec, own.resources.as_ref(), own.jvm.as_ref())?;
    typed::of_all(&mut etc, cluster, spec)?;
    typed::of_coordinator(&mut etc, cluster, spec)?;
    config.extend(layered(spec, ("coordinator", &own.config), &etc, owned)?);
    for (path, text) in super::events::listen(cluster, spec, &mut config) {
        etc.write(path, text)?;
    }
    etc.write("config.properties", properties::render(&config))?;
    typed::extra(&mut etc, spec, component::COORDINATOR)?;
    Ok(etc)
}

/// The workers' files, the same for all of them.
pub(super) fn worker(cluster: &ClusterIdentity, spec: &TrinoClusterSpec) -> Result<Etc, RenderError> {
    let own = spec.workers.clone().unwrap_or_default();
    let mut owned = owned_keys(cluster);
    owned.extend(super::tls::properties(cluster, WORKER, spec));
    owned.insert("coordinator".into(), "false".into());
    let mut config = Properties::from([("shutdown.grace-period".into(), GRACE_PERIOD.into())]);
    let mut etc = files("workers", spec, own.resources.as_ref(), own.jvm.as_ref())?;
    typed::of_all(&mut etc, cluster, spec)?;
    config.extend(layered(spec, ("workers", &own.config), &etc, owned)?);
    // Who may query what is the coordinator's to say; a worker has rules of its own.
    if !own.config.contains_key(ACCESS_CONTROL_FILES) {
        config.remove(ACCESS_CONTROL_FILES);
    }
    etc.write("config.properties", properties::render(&config))?;
    let access_control = properties::render(&super::graceful::access_control().into());
    etc.write("access-control.properties", access_control)?;
    typed::extra(&mut etc, spec, component::WORKER)?;
    Ok(etc)
}

fn layered(
    spec: &TrinoClusterSpec,
    (component, own): (&str, &Properties),
    etc: &Etc,
    owned: Properties,
) -> Result<Properties, RenderError> {
    // Warren's proxies log requests; a second log on a disk that nobody reads only fills it.
    let mut config = Properties::from([("http-server.log.enabled".into(), "false".into())]);
    config.extend(etc.typed.clone());
    config.extend(spec.config.clone());
    config.extend(own.clone());
    for (key, (value, by)) in &etc.owned {
        let of = [("spec.config".to_owned(), &spec.config), (format!("spec.{component}.config"), own)];
        if let Some((field, _)) = of.into_iter().find(|(_, lines)| lines.contains_key(*key)) {
            return Err(FilesError::Owned { field, key: (*key).to_owned(), by }.into());
        }
        config.insert((*key).to_owned(), value.clone());
    }
    config.extend(owned);
    Ok(config)
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
    jvm: Option<&Jvm>,
) -> Result<Etc, RenderError> {
    // `node.id` is left out: the image's start script makes it the pod's name.
    let mut node = Properties::from([("node.environment".to_owned(), "warren".to_owned())]);
    node.extend(spec.files.iter().flat_map(|files| files.node.clone()));
    node.insert("node.data-dir".to_owned(), "/data/trino".to_owned());
    let memory = resources.and_then(|resources| resources.memory.as_deref()).unwrap_or(DEFAULT_MEMORY);
    let mut etc = Etc::default();
    etc.write("node.properties", properties::render(&node))?;
    etc.write("jvm.config", jvm::config(component, &spec.version, memory, jvm)?)?;
    for catalog in catalogs::all(spec) {
        etc.write(format!("catalog/{}.properties", catalog.name), properties::render(&catalog.file()))?;
    }
    Ok(etc)
}
