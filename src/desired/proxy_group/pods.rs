//! The proxies' pods, fit for Pod Security `restricted`.

use std::time::Duration;

use k8s_openapi::{
    api::core::v1::{
        ConfigMapVolumeSource, Container, ContainerPort, EnvVar, EnvVarSource, HTTPGetAction, ObjectFieldSelector,
        PodSpec, PodTemplateSpec, Probe, SecretKeySelector, SecretVolumeSource, TopologySpreadConstraint, Volume,
        VolumeMount,
    },
    apimachinery::pkg::{apis::meta::v1::ObjectMeta, util::intstr::IntOrString},
};

use super::{ListenerPort, ProxyIdentity, selector, tls};
use crate::{
    api::{Image, ProxyGroupSpec, ProxyPodSpec, Variable},
    desired::{
        Component, InvalidDuration, Rendered, gateway, image,
        labels::component,
        metadata::{container_security, pod_security, resource_requirements},
        parse_duration,
    },
};

/// The port for clients.
pub const CLIENT_PORT: i32 = 8080;
/// The port for probes, metrics and administration; no Service leads to it.
pub const ADMIN_PORT: i32 = 9090;
/// The port for coordinators' events, in plain HTTP whatever clients speak; each cluster has a Service that leads to it.
pub const EVENTS_PORT: i32 = 9091;
/// Name of that port.
pub const EVENTS: &str = "events";
/// Key of the admin token in the proxies' Secret, and its file's name.
pub const ADMIN_TOKEN_KEY: &str = "admin-token";

/// Name of the port for clients.
pub(super) const CLIENT: &str = "client";
/// Name of the port for administration.
pub(super) const ADMIN: &str = "admin";

const ROUTING_DIR: &str = "/etc/warren/routing";
const CREDENTIALS_DIR: &str = "/etc/warren/credentials";
/// User and group of Warren's image.
const PROXY_USER: i64 = 65532;

/// Why a spec that admission let pass cannot be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// The drain's timeout is no duration.
    #[error("spec.template.spec.drain.timeout: {0}")]
    DrainTimeout(InvalidDuration),
    /// The Service would have one port twice.
    #[error(
        "spec.service.port: {port} is the port of listener {listener:?} of TrinoGateway {gateway:?}, too; choose another \
         for one of them"
    )]
    ServicePort {
        /// The port.
        port: i32,
        /// Name of the listener.
        listener: String,
        /// Name of the gateway.
        gateway: String,
    },
}

/// The proxies' pods, with the ports of their gateway's `listeners`. `own_image` is the operator's own image; it is what
/// runs where the user names none.
///
/// # Errors
/// When the spec cannot be rendered; the message names the field.
pub fn render(
    proxies: &ProxyIdentity,
    spec: &ProxyGroupSpec,
    listeners: &[ListenerPort],
    own_image: &str,
) -> Result<Rendered, RenderError> {
    let pod = spec.template.as_ref().and_then(|template| template.spec.clone()).unwrap_or_default();
    let timeout = pod.drain.as_ref().and_then(|drain| drain.timeout.as_deref()).unwrap_or("2m");
    let timeout = parse_duration(timeout).map_err(RenderError::DrainTimeout)?;
    let sleep = pod.pre_stop.as_ref().and_then(|pre_stop| pre_stop.sleep_seconds).unwrap_or(5);
    let sleep = Duration::from_secs(u64::try_from(sleep).unwrap_or(0));
    let user = spec.template.as_ref().and_then(|template| template.metadata.clone()).unwrap_or_default();
    let mut labels = user.labels;
    labels.extend(proxies.labels());
    let source = image_source(pod.image.as_ref(), own_image);
    let image_pull_secrets = source.pull_secrets.clone();
    let args = arguments(proxies, listeners, sleep, timeout).into_iter().chain(tls::arguments(spec)).collect();
    let mut container = container(&pod, source, args, listeners);
    let mounts = tls::mounted(spec).into_iter().map(|secret| mount(secret.volume, secret.directory));
    container.volume_mounts.get_or_insert_default().extend(mounts);
    let grace = (sleep + timeout).as_secs() + 10;
    let template = PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels),
            annotations: (!user.annotations.is_empty()).then_some(user.annotations),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            image_pull_secrets,
            containers: vec![container],
            service_account_name: Some(proxies.object_name()),
            enable_service_links: Some(false),
            security_context: Some(pod_security(PROXY_USER)),
            termination_grace_period_seconds: i64::try_from(grace).ok(),
            topology_spread_constraints: Some(vec![TopologySpreadConstraint {
                max_skew: 1,
                topology_key: "kubernetes.io/hostname".into(),
                when_unsatisfiable: "ScheduleAnyway".into(),
                label_selector: Some(selector(proxies)),
                ..TopologySpreadConstraint::default()
            }]),
            volumes: Some(volumes(proxies, spec)),
            ..PodSpec::default()
        }),
    };
    Ok(Rendered {
        rendered_by: env!("CARGO_PKG_VERSION").to_owned(),
        components: [(component::PROXY.to_owned(), Component { files: <_>::default(), template })].into(),
    })
}

/// The operator's own image where the user names neither repository, tag nor digest.
fn image_source(user: Option<&Image>, own_image: &str) -> image::ImageSource {
    let (repository, tag) = own_image.rsplit_once(':').unwrap_or((own_image, "latest"));
    let names_none =
        user.is_none_or(|image| image.repository.is_none() && image.tag.is_none() && image.digest.is_none());
    let mut source = image::source(user, repository, tag);
    if names_none {
        own_image.clone_into(&mut source.reference);
    }
    source
}

fn arguments(proxies: &ProxyIdentity, listeners: &[ListenerPort], sleep: Duration, timeout: Duration) -> Vec<String> {
    let fixed = [
        "proxy".to_owned(),
        format!("--routing-config-map={}", gateway::config_map_name(&proxies.gateway)),
        "--namespace=$(POD_NAMESPACE)".to_owned(),
        format!("--routing-dir={ROUTING_DIR}"),
        format!("--credentials-dir={CREDENTIALS_DIR}"),
        format!("--listen-client=0.0.0.0:{CLIENT_PORT}"),
        format!("--listen-admin=0.0.0.0:{ADMIN_PORT}"),
        format!("--drain-delay={}s", sleep.as_secs()),
        format!("--drain-timeout={}s", timeout.as_secs()),
        "--log-format=json".to_owned(),
    ];
    let listen = |ListenerPort { name, port }: &ListenerPort| format!("--listen={name}=0.0.0.0:{port}");
    fixed.into_iter().chain(listeners.iter().map(listen)).collect()
}

fn container(
    pod: &ProxyPodSpec,
    source: image::ImageSource,
    args: Vec<String>,
    listeners: &[ListenerPort],
) -> Container {
    // An earlier version let listeners have this port and this name: then there are no events.
    let free = !listeners.iter().any(|listener| listener.port == EVENTS_PORT || listener.name == EVENTS);
    let events = free.then(|| port(EVENTS, EVENTS_PORT));
    let own = [port(CLIENT, CLIENT_PORT), port(ADMIN, ADMIN_PORT)].into_iter().chain(events);
    // Not an argument: an image of an earlier version would not start for it.
    let listen = free.then(|| EnvVar {
        name: "WARREN_LISTEN_EVENTS".into(),
        value: Some(format!("0.0.0.0:{EVENTS_PORT}")),
        value_from: None,
    });
    let further = listeners.iter().map(|listener| port(&listener.name, listener.port));
    let namespace = ObjectFieldSelector { field_path: "metadata.namespace".into(), api_version: None };
    let namespace = EnvVar {
        name: "POD_NAMESPACE".into(),
        value_from: Some(EnvVarSource { field_ref: Some(namespace), ..EnvVarSource::default() }),
        ..EnvVar::default()
    };
    Container {
        name: "proxy".into(),
        image: Some(source.reference),
        image_pull_policy: Some(source.pull_policy),
        args: Some(args),
        env: Some(std::iter::once(namespace).chain(listen).chain(pod.env.iter().map(variable)).collect()),
        ports: Some(own.chain(further).collect()),
        resources: Some(resource_requirements(pod.resources.as_ref(), "100m", "256Mi")),
        security_context: Some(container_security()),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        readiness_probe: Some(probe("/readyz", 1, 2)),
        liveness_probe: Some(probe("/livez", 10, 6)),
        volume_mounts: Some(vec![mount("routing", ROUTING_DIR), mount("credentials", CREDENTIALS_DIR)]),
        ..Container::default()
    }
}

fn variable(variable: &Variable) -> EnvVar {
    let Variable { name, value, secret_key_ref } = variable;
    let source = secret_key_ref.as_ref().map(|source| EnvVarSource {
        secret_key_ref: Some(SecretKeySelector { name: source.name.clone(), key: source.key.clone(), optional: None }),
        ..EnvVarSource::default()
    });
    EnvVar { name: name.clone(), value: value.clone(), value_from: source }
}

fn port(name: &str, number: i32) -> ContainerPort {
    ContainerPort { name: Some(name.into()), container_port: number, ..ContainerPort::default() }
}

fn probe(path: &str, period: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.into()),
            port: IntOrString::String(ADMIN.into()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        timeout_seconds: Some(5),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

fn mount(name: &str, path: &str) -> VolumeMount {
    VolumeMount { name: name.into(), mount_path: path.into(), read_only: Some(true), ..VolumeMount::default() }
}

fn volumes(proxies: &ProxyIdentity, spec: &ProxyGroupSpec) -> Vec<Volume> {
    let own = [
        Volume {
            name: "routing".into(),
            // The copy on disk lets a proxy start while the API server is away. Optional: a proxy may be there first.
            config_map: Some(ConfigMapVolumeSource {
                name: gateway::config_map_name(&proxies.gateway),
                optional: Some(true),
                ..ConfigMapVolumeSource::default()
            }),
            ..Volume::default()
        },
        Volume {
            name: "credentials".into(),
            secret: Some(SecretVolumeSource {
                secret_name: Some(proxies.object_name()),
                ..SecretVolumeSource::default()
            }),
            ..Volume::default()
        },
    ];
    own.into_iter().chain(tls::mounted(spec).into_iter().map(tls::Mounted::into_volume)).collect()
}
