//! What lets a coordinator tell the gateway of its queries: its event listener, the token it shows, and an address that
//! stays while gateways and proxies come and go.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{
            EnvVar, EnvVarSource, KeyToPath, PodTemplateSpec, Secret, SecretKeySelector, SecretVolumeSource, Service,
            ServicePort, ServiceSpec,
        },
    },
    apimachinery::pkg::util::intstr::IntOrString,
};
use sha2::{Digest as _, Sha256};

use super::{ClusterIdentity, files::Files, tls::mount_secret};
use crate::{
    api::{Properties, TrinoClusterSpec},
    desired::{
        CA_KEY, Component,
        authority::CA_SECRET,
        labels::{self, COMPONENT, GATEWAY, MANAGED_BY, WARREN, component},
        metadata::object_meta,
        proxy_group::{EVENTS, EVENTS_PORT},
    },
    trino::{event::EVENTS_PATH, properties},
};

/// Key of the token in the Secret [`ClusterIdentity::events_name`].
pub const EVENT_TOKEN_KEY: &str = "token";

/// The environment variable through which Trino reads it.
pub const EVENT_TOKEN_ENV: &str = "WARREN_EVENTS_TOKEN";

/// Warren's own file below `/etc/trino`: a name that no user's listener has, for Trino can have several.
const FILE: &str = "warren-event-listener.properties";

/// Where what the proxies are trusted by is mounted.
const FOLDER: &str = "/etc/warren-events";
const VOLUME: &str = "events-ca";

const CONFIG_FILES: &str = "event-listener.config-files";

/// The file that Trino reads without being told.
const UNLISTED: &str = "event-listener.properties";

impl ClusterIdentity {
    /// Name of the Secret with the token by which the coordinator tells of its queries, and of the Service where it does.
    pub fn events_name(&self) -> String {
        events_name(&self.name)
    }

    /// That Secret, around a fresh random `token`.
    pub fn events_secret(&self, token: String) -> Secret {
        Secret {
            metadata: object_meta(self.events_name(), &self.namespace, &self.labels(None)),
            immutable: Some(true),
            string_data: Some([(EVENT_TOKEN_KEY.to_owned(), token)].into()),
            ..Secret::default()
        }
    }
}

/// What the proxies know of the token in `secret`: its SHA-256. Of 256 random bits nothing can be found from that, so it may
/// stand in a status and in a routing table.
pub fn event_token_hash(secret: &Secret) -> Option<String> {
    let token = secret.data.as_ref()?.get(EVENT_TOKEN_KEY)?.0.trim_ascii();
    (!token.is_empty()).then(|| hex::encode(Sha256::digest(token)))
}

/// Lines of an event listener that tells `url` of queries. It tries again for some seconds, and then drops an event: what was
/// lost is mended by the next count, and a coordinator shall not hoard what nobody takes.
pub fn event_listener(url: &str) -> Properties {
    let token = format!("Authorization: Bearer ${{ENV:{EVENT_TOKEN_ENV}}}");
    [
        ("event-listener.name", "http"),
        ("http-event-listener.connect-ingest-uri", &format!("{url}{EVENTS_PATH}")),
        ("http-event-listener.connect-http-headers", &token),
        ("http-event-listener.log-created", "true"),
        ("http-event-listener.log-completed", "true"),
        ("http-event-listener.connect-retry-count", "3"),
        ("http-event-listener.connect-retry-delay", "1s"),
        ("http-event-listener.connect-backoff-base", "2"),
        ("http-event-listener.connect-max-delay", "5s"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

/// The host where the coordinator of a cluster tells of its queries.
pub fn events_host(cluster: &str, namespace: &str) -> String {
    format!("{}.{namespace}.svc", events_name(cluster))
}

fn events_name(cluster: &str) -> String {
    format!("{cluster}-events")
}

/// Whether it tells by HTTPS.
fn is_secure(spec: &TrinoClusterSpec) -> bool {
    let events = spec.tls.as_ref().and_then(|tls| tls.events.as_ref());
    events.and_then(|events| events.enabled).unwrap_or(true)
}

/// Whether a cluster of this spec tells of its queries, if it stands behind gateways.
fn tells(spec: &TrinoClusterSpec) -> bool {
    spec.event_listener.as_ref().and_then(|listener| listener.enabled).unwrap_or(true)
}

/// Adds Warren's event listener to the coordinator's `config`, beside those that the user lists there, and its file.
pub(super) fn listen(cluster: &ClusterIdentity, spec: &TrinoClusterSpec, config: &mut Properties) -> Files {
    if !cluster.in_group || !tells(spec) {
        return BTreeMap::new();
    }
    // Where a list is given, Trino does not look for the file of this name (476).
    let has_file = spec.files.iter().flat_map(|files| &files.extra).any(|file| file.path == UNLISTED);
    let unlisted = has_file.then(|| format!("/etc/trino/{UNLISTED}"));
    let users = config.get(CONFIG_FILES).cloned().or(unlisted);
    let users = users.map(|files| format!(",{files}")).unwrap_or_default();
    config.insert(CONFIG_FILES.to_owned(), format!("/etc/trino/{FILE}{users}"));
    let scheme = if is_secure(spec) { "https" } else { "http" };
    let host = events_host(&cluster.name, &cluster.namespace);
    let mut lines = event_listener(&format!("{scheme}://{host}:{EVENTS_PORT}"));
    if is_secure(spec) {
        lines.insert("http-event-listener.http-client.trust-store-path".to_owned(), format!("{FOLDER}/{CA_KEY}"));
    }
    [(FILE.to_owned(), properties::render(&lines))].into()
}

/// Whether the coordinators of a revision tell of their queries: those that an earlier version rendered do not.
pub fn tells_events(coordinator: &Component) -> bool {
    coordinator.files.contains_key(FILE)
}

/// Gives the token, and what proxies are trusted by, to the pods of `template`, coordinators.
pub(super) fn fit(template: &mut PodTemplateSpec, cluster: &ClusterIdentity, spec: &TrinoClusterSpec) {
    if is_secure(spec) {
        trust(template);
    }
    let selector = SecretKeySelector { name: cluster.events_name(), key: EVENT_TOKEN_KEY.into(), optional: None };
    let token = EnvVar {
        name: EVENT_TOKEN_ENV.into(),
        value_from: Some(EnvVarSource { secret_key_ref: Some(selector), ..EnvVarSource::default() }),
        ..EnvVar::default()
    };
    for container in template.spec.iter_mut().flat_map(|pod| &mut pod.containers) {
        container.env.get_or_insert_default().push(token.clone());
    }
}

/// Of the CA's Secret its certificates alone: a file in PEM, as the HTTP client of Trino takes it, too (470 and 476).
fn trust(template: &mut PodTemplateSpec) {
    let item = KeyToPath { key: CA_KEY.to_owned(), path: CA_KEY.to_owned(), mode: None };
    let source = SecretVolumeSource {
        secret_name: Some(CA_SECRET.to_owned()),
        items: Some(vec![item]),
        ..SecretVolumeSource::default()
    };
    mount_secret(template, VOLUME, FOLDER, source);
}

/// Whether coordinators tell of their queries to whom the CA of the namespace has signed a certificate for.
pub fn trusts_for_events(coordinator: &Deployment) -> bool {
    let pod = coordinator.spec.iter().filter_map(|spec| spec.template.spec.as_ref());
    pod.flat_map(|pod| pod.volumes.iter().flatten()).any(|volume| volume.name == VOLUME)
}

/// Where the coordinator tells of its queries: the proxies of `gateway`. Its name is in the coordinator's configuration, so
/// another gateway changes the selector alone. Without one nobody listens.
pub(super) fn service(cluster: &ClusterIdentity, gateway: Option<&str>) -> Service {
    let selector = [(MANAGED_BY, WARREN), (COMPONENT, component::PROXY), (GATEWAY, gateway.unwrap_or_default())];
    Service {
        metadata: object_meta(cluster.events_name(), &cluster.namespace, &cluster.labels(Some(component::EVENTS))),
        spec: Some(ServiceSpec {
            selector: Some(labels::labels(selector)),
            ports: Some(vec![ServicePort {
                name: Some(EVENTS.into()),
                port: EVENTS_PORT,
                target_port: Some(IntOrString::String(EVENTS.into())),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

/// Name of the gateway to whose proxies `service` leads; none if it is another Service, or leads nowhere.
pub fn events_lead_to(service: &Service) -> Option<&str> {
    let gateway = service.spec.as_ref()?.selector.as_ref()?.get(GATEWAY)?;
    (!gateway.is_empty()).then_some(gateway)
}
