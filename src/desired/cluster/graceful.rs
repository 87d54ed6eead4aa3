//! What lets workers end their tasks before they go: a user that may ask a worker to drain, and a hook that asks whenever a
//! pod is to end, whoever ends it.

use std::time::Duration;

use k8s_openapi::api::core::v1::{
    ExecAction, Lifecycle, LifecycleHandler, PodTemplateSpec, Secret, SecretVolumeSource, Volume, VolumeMount,
};

use super::{
    ClusterIdentity, RenderError,
    tls::{self, Doors},
};
use crate::{
    api::TrinoClusterSpec,
    desired::{CA_KEY, Component, labels::component::COORDINATOR, metadata::object_meta, parse_duration},
    trino::{HTTP_PORT, HTTPS_PORT},
};

/// Key of the user's name in the Secret [`ClusterIdentity::worker_secret_name`].
pub const WORKER_USER_KEY: &str = "user";

const RULES_KEY: &str = "rules.json";
/// Where the Secret is mounted. Trino takes the name of a file from its properties, and replaces `${ENV:…}` in nothing else.
const FOLDER: &str = "/etc/warren";
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);
/// What the process may take to end once nothing is left to do.
const EXIT_SECONDS: u64 = 30;

/// Bash and curl are in the official image: its own health check, the startup probe, needs both. Warren's binary is not, and
/// `httpGet` knows no PUT. Whoever is told to drain and still takes tasks is told again: its process began anew. A version
/// before DRAINING ends by itself after SHUTTING_DOWN, and this hook with it; where the hook did not say so itself, it is how the
/// operator ends the waiting: a kubelet (1.34) lets a hook run on when the grace period is cut short. Without a coordinator there is no query, as
/// when the whole cluster is removed: nothing is waited for.
const HOOK: &str = r#"{prelude}api={worker}/v1/info
tell() {
  curl -fsS --max-time 5 -X PUT -H "X-Trino-User: $(cat {folder}/user)" -H 'Content-Type: application/json' -d "\"$1\"" $api/state
}
deaf=0 alone=0 old=0
while ((SECONDS < {seconds} && deaf < 5 && alone < 5)); do
  case $(curl -fs --max-time 5 $api/state) in
    '"DRAINED"') exit 0 ;;
    '"ACTIVE"') deaf=0; tell DRAINING || { tell SHUTTING_DOWN && old=1; } || exit 1 ;;
    '"SHUTTING_DOWN"') deaf=0; ((old)) || exit 0 ;;
    '') deaf=$((deaf + 1)) ;;
    *) deaf=0 ;;
  esac
  if curl -s --max-time 5 -o /dev/null {coordinator}/v1/info; then alone=0; else alone=$((alone + 1)); fi
  sleep 1
done
"#;

impl ClusterIdentity {
    /// Name of the Secret that lets workers be asked to drain.
    pub fn worker_secret_name(&self) -> String {
        format!("{}-drain", self.name)
    }

    /// That Secret, around a fresh random `value` of hexadecimal digits. Workers have no authentication, so whoever knows the
    /// user's name is the user: it stands here and nowhere else. A Secret of its own, for coordinators need none of it, and a
    /// cluster that an earlier version made has an immutable one without it.
    pub fn worker_secret(&self, value: &str) -> Secret {
        let user = format!("warren-{value}");
        let rules = serde_json::json!({"system_information": [{"user": user, "allow": ["read", "write"]}]});
        Secret {
            metadata: object_meta(self.worker_secret_name(), &self.namespace, &self.labels(None)),
            immutable: Some(true),
            string_data: Some([(WORKER_USER_KEY.to_owned(), user), (RULES_KEY.to_owned(), rules.to_string())].into()),
            ..Secret::default()
        }
    }
}

/// How long a worker may take to end its tasks.
///
/// # Errors
/// When the spec's duration is none.
pub fn shutdown_timeout(spec: &TrinoClusterSpec) -> Result<Duration, RenderError> {
    let workers = spec.workers.as_ref();
    let text = workers.and_then(|workers| workers.graceful_shutdown.as_ref()?.timeout.as_deref());
    text.map_or(Ok(DEFAULT_TIMEOUT), |text| parse_duration(text).map_err(RenderError::Timeout))
}

/// Whether the workers of a revision can be asked to drain: those that an earlier version rendered cannot.
pub fn drains(worker: &Component) -> bool {
    let container = worker.template.spec.as_ref().and_then(|pod| pod.containers.first());
    container.is_some_and(|container| container.lifecycle.is_some())
}

/// Lines of `access-control.properties`. A worker decides by itself who may change its state; what users may query is the
/// coordinator's to say.
pub(super) fn access_control() -> [(String, String); 2] {
    let file = format!("{FOLDER}/{RULES_KEY}");
    [("access-control.name".to_owned(), "file".to_owned()), ("security.config-file".to_owned(), file)]
}

/// Lets the pods of `template`, workers, end their tasks in time.
pub(super) fn fit(
    template: &mut PodTemplateSpec,
    cluster: &ClusterIdentity,
    spec: &TrinoClusterSpec,
) -> Result<(), RenderError> {
    let seconds = shutdown_timeout(spec)?.as_secs();
    let Some(pod) = &mut template.spec else { return Ok(()) };
    pod.termination_grace_period_seconds = Some(i64::try_from(seconds + EXIT_SECONDS).unwrap_or(i64::MAX));
    let source =
        SecretVolumeSource { secret_name: Some(cluster.worker_secret_name()), ..SecretVolumeSource::default() };
    let volume = Volume { name: "drain".into(), secret: Some(source), ..Volume::default() };
    pod.volumes.get_or_insert_default().push(volume);
    let script = script(cluster, spec, seconds);
    let command = vec!["/bin/bash".to_owned(), "-c".to_owned(), script];
    let hook = LifecycleHandler { exec: Some(ExecAction { command: Some(command) }), ..LifecycleHandler::default() };
    for container in &mut pod.containers {
        let mount = VolumeMount {
            name: "drain".into(),
            mount_path: FOLDER.into(),
            read_only: Some(true),
            ..VolumeMount::default()
        };
        container.volume_mounts.get_or_insert_default().push(mount);
        container.lifecycle = Some(Lifecycle { pre_stop: Some(hook.clone()), ..Lifecycle::default() });
    }
    Ok(())
}

/// The hook for a cluster. A worker that speaks HTTPS is asked by a name of its certificate; that its coordinator is there is no
/// secret, whoever says it.
fn script(cluster: &ClusterIdentity, spec: &TrinoClusterSpec, seconds: u64) -> String {
    let (prelude, worker) = if tls::internal(spec) {
        let host = cluster.worker_host();
        let options =
            format!("--cacert {}/{CA_KEY} --connect-to {host}:{HTTPS_PORT}:localhost:{HTTPS_PORT}", tls::FOLDER);
        (format!("curl() {{ command curl {options} \"$@\"; }}\n"), format!("https://{host}:{HTTPS_PORT}"))
    } else {
        (String::new(), format!("http://localhost:{HTTP_PORT}"))
    };
    let coordinator = if Doors::of(COORDINATOR, spec).http {
        format!("http://{}:{HTTP_PORT}", cluster.coordinator_name())
    } else {
        format!("-k https://{}:{HTTPS_PORT}", cluster.coordinator_name())
    };
    HOOK.replace("{prelude}", &prelude)
        .replace("{worker}", &worker)
        .replace("{folder}", FOLDER)
        .replace("{seconds}", &seconds.to_string())
        .replace("{coordinator}", &coordinator)
}
