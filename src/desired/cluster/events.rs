//! What lets a coordinator tell the gateway of its queries: its event listener, the token it shows, and an address that
//! stays while gateways and proxies come and go.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{
        EnvVar, EnvVarSource, PodTemplateSpec, Secret, SecretKeySelector, Service, ServicePort, ServiceSpec,
    },
    apimachinery::pkg::util::intstr::IntOrString,
};
use sha2::{Digest as _, Sha256};

use super::{ClusterIdentity, files::Files};
use crate::{
    api::{Properties, TrinoClusterSpec},
    desired::{
        Component,
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

const CONFIG_FILES: &str = "event-listener.config-files";

/// The file that Trino reads without being told.
const UNLISTED: &str = "event-listener.properties";

impl ClusterIdentity {
    /// Name of the Secret with the token by which the coordinator tells of its queries, and of the Service where it does.
    pub fn events_name(&self) -> String {
        format!("{}-events", self.name)
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
    let url = format!("http://{}.{}.svc:{EVENTS_PORT}", cluster.events_name(), cluster.namespace);
    [(FILE.to_owned(), properties::render(&event_listener(&url)))].into()
}

/// Whether the coordinators of a revision tell of their queries: those that an earlier version rendered do not.
pub fn tells_events(coordinator: &Component) -> bool {
    coordinator.files.contains_key(FILE)
}

/// Gives the token to the pods of `template`, coordinators.
pub(super) fn fit(template: &mut PodTemplateSpec, cluster: &ClusterIdentity) {
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
