//! The proxies' pods, fit for Pod Security `restricted`.

use std::time::Duration;

use k8s_openapi::{
    api::core::v1::{
        ConfigMapVolumeSource, Container, ContainerPort, EnvVar, EnvVarSource, ObjectFieldSelector, PodSpec,
        PodTemplateSpec, SecretKeySelector, SecretVolumeSource, Volume, VolumeMount,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::{
    ListenerPort, ProxyIdentity, RenderError, admin, config, events, listeners, placement, relabel, selector, tls,
};
use crate::{
    api::{Image, ProxyGroupSpec, ProxyPodSpec, Variable},
    desired::{
        Component, Rendered, image,
        labels::component,
        metadata::{container_security, pod_security, resource_requirements},
        overlay::merge_pod,
        parse_duration,
    },
};

/// The port for clients.
pub const CLIENT_PORT: i32 = 8080;
/// The port for probes, metrics and administration; no Service leads to it.
pub const ADMIN_PORT: i32 = 9090;
/// The port for coordinators' events; each cluster has a Service that leads to it.
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
    let given = relabel::given(&user);
    let (mut labels, mut annotations) = (user.labels, user.annotations);
    annotations.extend(given);
    labels.extend(proxies.labels());
    let source = image_source(pod.image.as_ref(), own_image);
    let image_pull_secrets = source.pull_secrets.clone();
    let args = arguments(proxies, spec, listeners, (sleep, timeout));
    let (user_volumes, user_mounts) = placement::volumes(&pod.volumes)?;
    config::check_config(spec)?;
    let mut container = container(&pod, source, args, listeners::pod_ports(spec, listeners));
    let mounts = tls::mounted(spec).into_iter().map(|secret| mount(secret.volume, secret.directory));
    admin::secure_probes(&mut container, spec);
    let admin = admin::volume(proxies, spec).map(|_| mount(admin::VOLUME, admin::DIRECTORY));
    let told = events::volume(proxies, spec, listeners);
    let events = told.as_ref().map(|_| mount(events::VOLUME, events::DIRECTORY));
    let settings = config::volume(proxies, spec).map(|_| mount(config::VOLUME, config::DIRECTORY));
    let mounts = mounts.chain(admin).chain(events).chain(settings).chain(user_mounts);
    container.volume_mounts.get_or_insert_default().extend(mounts);
    let grace = (sleep + timeout).as_secs() + 10;
    let volumes =
        volumes(proxies, spec).into_iter().chain(told).chain(config::volume(proxies, spec)).chain(user_volumes);
    let template = PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels),
            annotations: (!annotations.is_empty()).then_some(annotations),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            image_pull_secrets,
            containers: vec![container],
            service_account_name: Some(proxies.object_name()),
            enable_service_links: Some(false),
            security_context: Some(pod_security(PROXY_USER)),
            termination_grace_period_seconds: i64::try_from(grace).ok(),
            topology_spread_constraints: Some(placement::spread(&spec.schedule_policies, &selector(proxies))),
            volumes: Some(volumes.collect()),
            ..PodSpec::default()
        }),
    };
    let overlay = pod.overlay.as_ref().and_then(|overlay| overlay.pod.as_ref());
    let template = match overlay {
        Some(overlay) => merge_pod(template, overlay, "spec.template.spec.overlay.pod")?,
        None => template,
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

fn arguments(
    proxies: &ProxyIdentity,
    spec: &ProxyGroupSpec,
    listeners: &[ListenerPort],
    (sleep, timeout): (Duration, Duration),
) -> Vec<String> {
    let (client, admin) = listeners::own_ports(spec);
    let fixed = [
        "proxy".to_owned(),
        format!("--routing-config-map={}", proxies.routing_config_map(spec)),
        "--namespace=$(POD_NAMESPACE)".to_owned(),
        format!("--routing-dir={ROUTING_DIR}"),
        format!("--credentials-dir={CREDENTIALS_DIR}"),
        format!("--listen-client=0.0.0.0:{client}"),
        format!("--listen-admin=0.0.0.0:{admin}"),
        format!("--drain-delay={}s", sleep.as_secs()),
        format!("--drain-timeout={}s", timeout.as_secs()),
        "--log-format=json".to_owned(),
    ];
    let listen = |ListenerPort { name, port }: &ListenerPort| format!("--listen={name}=0.0.0.0:{port}");
    let further = listeners
        .iter()
        .map(listen)
        .chain(tls::arguments(spec))
        .chain(admin::arguments(spec))
        .chain(config::argument(spec));
    fixed.into_iter().chain(further).collect()
}

fn container(
    pod: &ProxyPodSpec,
    source: image::ImageSource,
    args: Vec<String>,
    ports: Vec<ContainerPort>,
) -> Container {
    let events = ports.iter().find(|port| port.name.as_deref() == Some(EVENTS));
    let events = events.map(|port| events::variables(port.container_port)).unwrap_or_default();
    let probes = pod.probes.clone().unwrap_or_default();
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
        env: Some(std::iter::once(namespace).chain(events).chain(pod.env.iter().map(variable)).collect()),
        ports: Some(ports),
        resources: Some(resource_requirements(pod.resources.as_ref(), "100m", "256Mi")),
        security_context: Some(container_security()),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        readiness_probe: Some(placement::probe("/readyz", probes.readiness.as_ref(), (1, 2))),
        liveness_probe: Some(placement::probe("/livez", probes.liveness.as_ref(), (10, 6))),
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

fn mount(name: &str, path: &str) -> VolumeMount {
    VolumeMount { name: name.into(), mount_path: path.into(), read_only: Some(true), ..VolumeMount::default() }
}

fn volumes(proxies: &ProxyIdentity, spec: &ProxyGroupSpec) -> Vec<Volume> {
    let own = [
        Volume {
            name: "routing".into(),
            // The copy on disk lets a proxy start while the API server is away. Optional: a proxy may be there first.
            config_map: Some(ConfigMapVolumeSource {
                name: proxies.routing_config_map(spec),
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
    let secrets = tls::mounted(spec).into_iter().map(tls::Mounted::into_volume);
    own.into_iter().chain(secrets).chain(admin::volume(proxies, spec)).collect()
}
