//! Why a ProxyGroup's spec cannot be rendered. Each message names the field and the mend.

use crate::{
    desired::{InvalidDuration, overlay::OverlayError},
    tuning,
};

/// Why a spec that admission let pass cannot be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// The drain's timeout is no duration.
    #[error("spec.template.spec.drain.timeout: {0}")]
    DrainTimeout(InvalidDuration),
    /// The proxies' settings are refused.
    #[error("spec.template.spec.config: {0}. The last good settings stay in force")]
    Config(tuning::Error),
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
    /// The pods would have one port twice.
    #[error(
        "spec.template.spec.server.ports.{name}: {port} is the port of listener {listener:?} of TrinoGateway \
         {gateway:?}, too; choose another for one of them"
    )]
    PodPort {
        /// `client` or `admin`.
        name: &'static str,
        /// The port.
        port: i32,
        /// Name of the listener.
        listener: String,
        /// Name of the gateway.
        gateway: String,
    },
    /// A volume's source is none that Kubernetes knows.
    #[error("spec.template.spec.volumes[{name}].source: {fault}; give one source as a pod's volume has it")]
    Volume {
        /// Name of the volume.
        name: String,
        /// What is wrong with it.
        fault: String,
    },
    /// The overlay cannot be laid over the pods.
    #[error("{0}")]
    Overlay(#[from] OverlayError),
    /// Two volumes would be mounted at one place.
    #[error("spec.template.spec.volumes[{name}].mountPath: {path} is that of another volume, too; choose another")]
    MountPath {
        /// Name of the volume.
        name: String,
        /// The place.
        path: String,
    },
}
