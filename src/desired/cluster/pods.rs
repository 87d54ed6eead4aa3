//! The pods of coordinator and workers, fit for Pod Security `restricted` and for the official image.

use k8s_openapi::{
    api::core::v1::{
        ConfigMapVolumeSource, Container, EmptyDirVolumeSource, EnvVar, EnvVarSource, ExecAction, HTTPGetAction,
        KeyToPath, PodSpec, PodTemplateSpec, Probe, SecretKeySelector, Volume, VolumeMount,
    },
    apimachinery::pkg::{apis::meta::v1::ObjectMeta, util::intstr::IntOrString},
};

use super::{
    ClusterIdentity, SHARED_SECRET_KEY,
    files::{DEFAULT_CPU, DEFAULT_MEMORY, Files},
    tls::Doors,
};
use crate::{
    api::TrinoClusterSpec,
    desired::{
        Component, catalogs, image,
        labels::component::COORDINATOR,
        metadata::{container_security, pod_security, resource_requirements},
    },
};

/// The environment variable through which Trino reads the internal shared secret.
pub(super) const SHARED_SECRET_ENV: &str = "WARREN_SHARED_SECRET";

/// The volume of the files below `/etc/trino`.
pub(super) const FILES: &str = "config";

const REPOSITORY: &str = "docker.io/trinodb/trino";
/// User and group of the official image.
const TRINO_USER: i64 = 1000;

/// One component of a revision: its files, and pods that mount them.
pub(super) fn component(
    cluster: &ClusterIdentity,
    spec: &TrinoClusterSpec,
    component: &str,
    files: Files,
) -> Component {
    let mut part = Component { files, template: PodTemplateSpec::default() };
    let config_map = super::config_map_name(cluster, component, &part);
    let source = image::source(spec.image.as_ref(), REPOSITORY, &spec.version);
    let mut labels = cluster.labels(Some(component));
    labels.insert("app.kubernetes.io/version".into(), spec.version.clone());
    let resources = if component == COORDINATOR {
        spec.coordinator.as_ref().and_then(|coordinator| coordinator.resources.as_ref())
    } else {
        spec.workers.as_ref().and_then(|workers| workers.resources.as_ref())
    };
    let doors = Doors::of(component, spec);
    let container = Container {
        name: "trino".into(),
        image: Some(source.reference),
        image_pull_policy: Some(source.pull_policy),
        command: Some(vec!["/usr/lib/trino/bin/run-trino".into()]),
        ports: Some(doors.container_ports()),
        env: Some(std::iter::once(shared_secret(cluster)).chain(catalogs::variables(spec)).collect()),
        resources: Some(resource_requirements(resources, DEFAULT_CPU, DEFAULT_MEMORY)),
        security_context: Some(container_security()),
        // Why Trino did not start stands at the end of its log: the kubelet copies that into the pod's status.
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        startup_probe: Some(startup_probe()),
        readiness_probe: Some(http_probe(doors, 5, 3)),
        liveness_probe: Some(http_probe(doors, 30, 10)),
        volume_mounts: Some(vec![
            mount(FILES, "/etc/trino", true),
            mount("data", "/data/trino", false),
            mount("tmp", "/tmp", false),
        ]),
        ..Container::default()
    };
    part.template = PodTemplateSpec {
        metadata: Some(ObjectMeta { labels: Some(labels), ..ObjectMeta::default() }),
        spec: Some(PodSpec {
            containers: vec![container],
            service_account_name: Some(cluster.name.clone()),
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            security_context: Some(pod_security(TRINO_USER)),
            image_pull_secrets: source.pull_secrets,
            termination_grace_period_seconds: Some(30),
            volumes: Some(vec![files_volume(config_map, &part.files), empty_dir("data"), empty_dir("tmp")]),
            ..PodSpec::default()
        }),
    };
    part
}

fn shared_secret(cluster: &ClusterIdentity) -> EnvVar {
    let selector = SecretKeySelector { name: cluster.secret_name(), key: SHARED_SECRET_KEY.into(), optional: None };
    EnvVar {
        name: SHARED_SECRET_ENV.into(),
        value_from: Some(EnvVarSource { secret_key_ref: Some(selector), ..EnvVarSource::default() }),
        ..EnvVar::default()
    }
}

/// Trino answers `/v1/info` some seconds before it serves queries; the image's own check looks at `starting` in it.
/// It is given as long as it takes: a server whose configuration is wrong ends by itself.
fn startup_probe() -> Probe {
    Probe {
        exec: Some(ExecAction { command: Some(vec!["/usr/lib/trino/bin/health-check".into()]) }),
        period_seconds: Some(1),
        timeout_seconds: Some(5),
        failure_threshold: Some(900),
        ..Probe::default()
    }
}

/// By HTTPS a kubelet looks at no certificate.
fn http_probe(doors: Doors, period: i32, failures: i32) -> Probe {
    let (port, scheme) = doors.probed();
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some("/v1/info".into()),
            port: IntOrString::String(port.into()),
            scheme,
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        timeout_seconds: Some(5),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.into(),
        mount_path: path.into(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

fn files_volume(config_map: String, files: &Files) -> Volume {
    let items = files.keys().map(|path| KeyToPath { key: key_of(path), path: path.clone(), mode: None }).collect();
    Volume {
        name: FILES.into(),
        config_map: Some(ConfigMapVolumeSource { name: config_map, items: Some(items), ..<_>::default() }),
        ..Volume::default()
    }
}

/// The ConfigMap's key for a file: keys know no `/`, and no catalog's name holds a `.`.
pub(super) fn key_of(path: &str) -> String {
    path.replace('/', "..")
}

fn empty_dir(name: &str) -> Volume {
    Volume { name: name.into(), empty_dir: Some(EmptyDirVolumeSource::default()), ..Volume::default() }
}
