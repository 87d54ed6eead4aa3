//! The ports that a gateway's listeners add to its proxies. What they preset is none of this: it travels in the table.

use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde::Serialize;

use super::{RenderError, pods, service_port};
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

/// Checks that one Service can have the ports of `listeners` and its own.
///
/// # Errors
/// When it cannot; the message names the fields.
pub fn check_ports(spec: &ProxyGroupSpec, listeners: &[ListenerPort]) -> Result<(), RenderError> {
    let port = service_port(spec);
    match listeners.iter().find(|listener| listener.port == port) {
        None => Ok(()),
        Some(listener) => {
            let (gateway, listener) = (spec.gateway.name.clone(), listener.name.clone());
            Err(RenderError::ServicePort { port, listener, gateway })
        }
    }
}
