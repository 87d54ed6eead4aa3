//! The proxies' TLS to clients and coordinators: which Secrets it takes, and how they come into the pods. It reads none of them.

use k8s_openapi::api::core::v1::{KeyToPath, SecretVolumeSource, Volume};

use super::admin;
use crate::{
    api::{BackendTls, ClientAuthentication, ClientTls, ProxyGroupSpec, ProxyPodSpec},
    desired::{
        CA_KEY,
        needed::{Needed, Source, needed_by},
    },
};

const SECRET_REF: &str = "spec.template.spec.security.tls.client.secretRef";
const BACKEND_REF: &str = "spec.template.spec.security.tls.backend.caSecretRef";
const CA_SECRET_REF: &str = "spec.template.spec.security.tls.client.clientAuth.caSecretRef";

/// Read by the group that the volumes belong to, and by nobody else.
pub(super) const MODE: i32 = 0o440;

/// A Secret in the pods.
pub(super) struct Mounted {
    /// Name of the volume.
    pub volume: &'static str,
    /// Where it is mounted.
    pub directory: &'static str,
    field: &'static str,
    secret: String,
    files: Vec<File>,
}

/// A key of a Secret, the file that it becomes, and the flag that names the file to the proxy.
struct File {
    key: String,
    name: &'static str,
    flag: &'static str,
}

impl File {
    fn new(key: &str, name: &'static str, flag: &'static str) -> Self {
        Self { key: key.to_owned(), name, flag }
    }
}

/// What the spec says of TLS to clients.
pub(super) fn client(spec: &ProxyGroupSpec) -> Option<&ClientTls> {
    admin::security(spec)?.client.as_ref()
}

/// The Secrets and ConfigMaps of users that the proxies need.
pub fn needed_by_proxies(spec: &ProxyGroupSpec) -> Vec<Needed> {
    let needed = |Mounted { field, secret, files, .. }: Mounted| Needed {
        field: field.to_owned(),
        source: Source::Secret,
        name: secret,
        keys: files.into_iter().map(|file| file.key).collect(),
        // An empty file is no certificate.
        filled: true,
    };
    let pods = spec.template.as_ref().and_then(|template| template.spec.clone()).unwrap_or_default();
    let rest = ProxyPodSpec { security: None, ..pods };
    mounted(spec).into_iter().map(needed).chain(needed_by("spec.template.spec", &rest)).collect()
}

/// What is mounted.
pub(super) fn mounted(spec: &ProxyGroupSpec) -> Vec<Mounted> {
    let backend = admin::security(spec).and_then(|tls| tls.backend.as_ref());
    let backend = backend.map(|BackendTls { ca_secret_ref }| Mounted {
        volume: "backend-ca",
        directory: "/etc/warren/backend-ca",
        field: BACKEND_REF,
        secret: ca_secret_ref.name.clone(),
        files: vec![File::new(ca_secret_ref.key.as_deref().unwrap_or(CA_KEY), "ca.crt", "--backend-ca")],
    });
    client(spec).map(to_clients).unwrap_or_default().into_iter().chain(backend).collect()
}

fn to_clients(ClientTls { secret_ref, client_auth }: &ClientTls) -> Vec<Mounted> {
    let own = Mounted {
        volume: "client-tls",
        directory: "/etc/warren/client-tls",
        field: SECRET_REF,
        secret: secret_ref.name.clone(),
        files: vec![File::new("tls.crt", "tls.crt", "--tls-cert"), File::new("tls.key", "tls.key", "--tls-key")],
    };
    let ca = client_auth.as_ref().map(|ClientAuthentication { ca_secret_ref }| Mounted {
        volume: "client-ca",
        directory: "/etc/warren/client-ca",
        field: CA_SECRET_REF,
        secret: ca_secret_ref.name.clone(),
        files: vec![File::new(ca_secret_ref.key.as_deref().unwrap_or(CA_KEY), "ca.crt", "--tls-client-ca")],
    });
    std::iter::once(own).chain(ca).collect()
}

/// The flags that name the files.
pub(super) fn arguments(spec: &ProxyGroupSpec) -> Vec<String> {
    let flags = |Mounted { directory, files, .. }: Mounted| {
        files.into_iter().map(move |File { name, flag, .. }| format!("{flag}={directory}/{name}"))
    };
    mounted(spec).into_iter().flat_map(flags).collect()
}

impl Mounted {
    /// The volume; without the Secret a pod does not start. The kubelet brings a changed Secret into it.
    pub(super) fn into_volume(self) -> Volume {
        let item = |File { key, name, .. }: File| KeyToPath { key, path: name.to_owned(), mode: None };
        Volume {
            name: self.volume.to_owned(),
            secret: Some(SecretVolumeSource {
                secret_name: Some(self.secret),
                items: Some(self.files.into_iter().map(item).collect()),
                default_mode: Some(MODE),
                optional: None,
            }),
            ..Volume::default()
        }
    }
}
