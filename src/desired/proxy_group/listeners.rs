//! The ports that a gateway's listeners add to its proxies. What they preset is none of this: it travels in the table.

use k8s_openapi::api::core::v1::{ContainerPort, Pod, PodTemplateSpec};
use serde::Serialize;

use super::{ADMIN_PORT, CLIENT_PORT, EVENTS, EVENTS_PORT, RenderError, pods, service_port};
use crate::api::{ProxyGroupSpec, TrinoGatewaySpec};

/// A port of the proxies beside those for clients and for administration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ListenerPort {
    /// Name of the listener and of the port.
    pub name: String,
    /// The port, of the proxies and of their Service.
    pub port: i32,
}

/// The ports of a gateway's listeners, by name: their order in the spec shall restart nothing.
pub fn listener_ports(gateway: &TrinoGatewaySpec) -> Vec<ListenerPort> {
    let port = |listener: &crate::api::Listener| ListenerPort { name: listener.name.clone(), port: listener.port };
    let mut ports: Vec<_> = gateway.listeners.iter().map(port).collect();
    ports.sort();
    ports
}

/// The ports of listeners that proxies made from `template` have.
pub fn ports_of(template: &PodTemplateSpec) -> Vec<ListenerPort> {
    let containers = template.spec.iter().flat_map(|pod| &pod.containers);
    let ports = containers.flat_map(|container| container.ports.iter().flatten()).filter_map(|port| {
        let name = port.name.clone()?;
        (![pods::CLIENT, pods::ADMIN, pods::EVENTS].contains(&&*name))
            .then_some(ListenerPort { name, port: port.container_port })
    });
    ports.collect()
}

/// The proxies' ports for clients and for administration.
pub(super) fn own_ports(spec: &ProxyGroupSpec) -> (i32, i32) {
    let pod = spec.template.as_ref().and_then(|template| template.spec.as_ref());
    let ports = pod.and_then(|pod| pod.server.as_ref()?.ports.clone()).unwrap_or_default();
    (ports.client.unwrap_or(CLIENT_PORT), ports.admin.unwrap_or(ADMIN_PORT))
}

/// All ports of the proxies' container.
pub(super) fn pod_ports(spec: &ProxyGroupSpec, listeners: &[ListenerPort]) -> Vec<ContainerPort> {
    let port = |name: &str, number| ContainerPort {
        name: Some(name.into()),
        container_port: number,
        ..ContainerPort::default()
    };
    let (client, admin) = own_ports(spec);
    let further = listeners.iter().map(|listener| port(&listener.name, listener.port));
    let events = takes_events(spec, listeners).then(|| port(EVENTS, EVENTS_PORT));
    [port(pods::CLIENT, client), port(pods::ADMIN, admin)].into_iter().chain(events).chain(further).collect()
}

/// Whether the proxies have a port for events.
pub(super) fn takes_events(spec: &ProxyGroupSpec, listeners: &[ListenerPort]) -> bool {
    // An earlier version let listeners have this port and this name: then there are no events. Proxies that serve some groups only
    // do not know the clusters of the others, whose events would end there.
    let taken = spec.groups.is_some()
        || listeners.iter().any(|listener| listener.port == EVENTS_PORT || listener.name == EVENTS);
    let (client, admin) = own_ports(spec);
    !taken && ![client, admin].contains(&EVENTS_PORT)
}

/// The port for administration of a proxy that runs; while the proxies are replaced it may be another than the spec's.
pub fn admin_port(pod: &Pod) -> i32 {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let mut ports = containers.flat_map(|container| container.ports.iter().flatten());
    ports.find(|port| port.name.as_deref() == Some(pods::ADMIN)).map_or(ADMIN_PORT, |port| port.container_port)
}

/// Checks that one Service, and one pod, can have the ports of `listeners` and their own.
///
/// # Errors
/// When it cannot; the message names the fields.
pub fn check_ports(spec: &ProxyGroupSpec, listeners: &[ListenerPort]) -> Result<(), RenderError> {
    let (client, admin) = own_ports(spec);
    for (name, port) in [("client", client), ("admin", admin)] {
        if let Some(listener) = listeners.iter().find(|listener| listener.port == port) {
            let (gateway, listener) = (spec.gateway.name.clone(), listener.name.clone());
            return Err(RenderError::PodPort { name, port, listener, gateway });
        }
    }
    let port = service_port(spec);
    match listeners.iter().find(|listener| listener.port == port) {
        None => Ok(()),
        Some(listener) => {
            let (gateway, listener) = (spec.gateway.name.clone(), listener.name.clone());
            Err(RenderError::ServicePort { port, listener, gateway })
        }
    }
}
