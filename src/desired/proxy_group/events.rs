//! HTTPS of the port for coordinators' events: its certificate, and how it comes into the pods. The port speaks plain HTTP, too:
//! a coordinator that was started before goes on telling as it began.

use k8s_openapi::api::core::v1::{EnvVar, Volume};

use super::{
    ListenerPort, ProxyIdentity,
    admin::{LIFE, secret_volume},
    listeners,
};
use crate::{
    api::ProxyGroupSpec,
    desired::{
        cluster::{CERTIFICATE_KEY, Leaf, PRIVATE_KEY, Source, events_host},
        labels::component,
    },
};

/// Name of the volume.
pub(super) const VOLUME: &str = "events-tls";
/// Where it is mounted.
pub(super) const DIRECTORY: &str = "/etc/warren/events-tls";

/// The certificate of the port for events, where there is one. It is for the events of every cluster of the namespace, for a gateway
/// may get any of them at any time, and for nothing else that has a name there. Trino's JVM takes a name with a part that stands
/// for any (JDK 25), and reads what it trusts once.
pub fn events_leaf(proxies: &ProxyIdentity, spec: &ProxyGroupSpec, listeners: &[ListenerPort]) -> Option<Leaf> {
    listeners::takes_events(spec, listeners).then(|| Leaf {
        component: component::PROXY,
        secret: proxies.events_secret_name(),
        names: vec![proxies.admin_host(), events_host("*", &proxies.namespace)],
        life: LIFE,
        source: Source::OwnEldest,
    })
}

impl ProxyIdentity {
    /// Name of the Secret with the certificate of the port for events.
    pub fn events_secret_name(&self) -> String {
        format!("{}-events-tls", self.object_name())
    }
}

/// The volume, where there is the port.
pub(super) fn volume(proxies: &ProxyIdentity, spec: &ProxyGroupSpec, listeners: &[ListenerPort]) -> Option<Volume> {
    listeners::takes_events(spec, listeners).then(|| secret_volume(VOLUME, proxies.events_secret_name()))
}

/// The variables that name the address and the files. Not arguments: an image of an earlier version would not start for them.
pub(super) fn variables(port: i32) -> Vec<EnvVar> {
    let variable = |name: &str, value: String| EnvVar { name: name.to_owned(), value: Some(value), value_from: None };
    vec![
        variable("WARREN_LISTEN_EVENTS", format!("0.0.0.0:{port}")),
        variable("WARREN_EVENTS_TLS_CERT", format!("{DIRECTORY}/{CERTIFICATE_KEY}")),
        variable("WARREN_EVENTS_TLS_KEY", format!("{DIRECTORY}/{PRIVATE_KEY}")),
    ]
}
