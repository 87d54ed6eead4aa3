//! HTTPS of the proxies' admin port: the certificate of Warren's own CA, how it comes into the pods, and which pods show it.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod, Secret, SecretVolumeSource, Volume};

use super::{ProxyIdentity, tls::MODE};
use crate::{
    api::{ProxyGroupSpec, ProxyTls},
    desired::{
        cluster::{CERTIFICATE_KEY, Leaf, PRIVATE_KEY, Source, certificate_data},
        labels::component,
        metadata::owned_meta,
    },
};

/// Name of the volume.
pub(super) const VOLUME: &str = "admin-tls";
/// Where it is mounted.
pub(super) const DIRECTORY: &str = "/etc/warren/admin-tls";
const FLAG: &str = "--admin-tls-cert=";
/// How long a certificate that the proxies show is valid.
pub(super) const LIFE: Duration = Duration::from_secs(90 * 24 * 3600);

/// What the spec says of the proxies' TLS.
pub(super) fn security(spec: &ProxyGroupSpec) -> Option<&ProxyTls> {
    spec.template.as_ref()?.spec.as_ref()?.security.as_ref()?.tls.as_ref()
}

/// Whether the admin port is to speak HTTPS.
pub(super) fn is_on(spec: &ProxyGroupSpec) -> bool {
    let admin = security(spec).and_then(|tls| tls.admin.as_ref());
    admin.is_some_and(|admin| admin.enabled == Some(true))
}

/// The certificate of the admin port, if it is to speak HTTPS.
pub fn admin_leaf(proxies: &ProxyIdentity, spec: &ProxyGroupSpec) -> Option<Leaf> {
    is_on(spec).then(|| {
        let (name, namespace) = (proxies.object_name(), &proxies.namespace);
        let names = [proxies.admin_host(), format!("{name}.{namespace}.svc.cluster.local"), "localhost".to_owned()];
        Leaf {
            component: component::PROXY,
            secret: proxies.admin_secret_name(),
            names: names.into(),
            life: LIFE,
            source: Source::Own,
        }
    })
}

impl ProxyIdentity {
    /// Name of the Secret with the certificate of the admin port.
    pub fn admin_secret_name(&self) -> String {
        format!("{}-admin-tls", self.object_name())
    }

    /// The name that the certificate is for: pods are asked by their addresses.
    pub fn admin_host(&self) -> String {
        format!("{}.{}.svc", self.object_name(), self.namespace)
    }

    /// The Secret of a certificate that the proxies show. `bundle` is what it is trusted by; all is in PEM.
    pub fn certificate_secret(&self, leaf: &Leaf, bundle: &str, certificate: &str, key: &str) -> Secret {
        Secret {
            metadata: owned_meta(leaf.secret.clone(), &self.namespace, &self.labels(), &self.owner),
            type_: Some("kubernetes.io/tls".to_owned()),
            data: Some(certificate_data(bundle, certificate, key)),
            ..Secret::default()
        }
    }
}

/// The volume.
pub(super) fn volume(proxies: &ProxyIdentity, spec: &ProxyGroupSpec) -> Option<Volume> {
    is_on(spec).then(|| secret_volume(VOLUME, proxies.admin_secret_name()))
}

/// The volume of a Secret as a whole, so that the kubelet brings a new certificate into it.
pub(super) fn secret_volume(name: &str, secret: String) -> Volume {
    Volume {
        name: name.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret),
            default_mode: Some(MODE),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// The flags that name the files.
pub(super) fn arguments(spec: &ProxyGroupSpec) -> Vec<String> {
    if !is_on(spec) {
        return Vec::new();
    }
    vec![format!("{FLAG}{DIRECTORY}/{CERTIFICATE_KEY}"), format!("--admin-tls-key={DIRECTORY}/{PRIVATE_KEY}")]
}

/// Has the probes ask by HTTPS, which the kubelet does without looking at the certificate.
pub(super) fn secure_probes(container: &mut Container, spec: &ProxyGroupSpec) {
    if is_on(spec) {
        let probes = [&mut container.readiness_probe, &mut container.liveness_probe];
        for probe in probes.into_iter().flatten().filter_map(|probe| probe.http_get.as_mut()) {
            probe.scheme = Some("HTTPS".to_owned());
        }
    }
}

/// Whether the admin port of a proxy that runs speaks HTTPS; while the proxies are replaced it may be other than the spec says.
pub fn is_admin_secure(pod: &Pod) -> bool {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let mut arguments = containers.flat_map(|container| container.args.iter().flatten());
    arguments.any(|argument| argument.starts_with(FLAG))
}
