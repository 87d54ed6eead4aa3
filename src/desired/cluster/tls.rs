//! TLS of a cluster: which certificates there are, for which names, in which Secrets, and what Trino and its pods know of it.
//!
//! Between its nodes Trino makes certificates by itself, from the shared secret. That fits pods whose addresses nobody knows
//! before, and nothing of it has to be renewed, whereas its HTTP clients read a trust store once, at their start.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{
    ByteString,
    api::core::v1::{ContainerPort, PodTemplateSpec, Secret, SecretVolumeSource, Volume, VolumeMount},
};
use serde_json::{Value, json};

use super::ClusterIdentity;
use crate::{
    api::{CertManager, Properties, ServerTls, TrinoClusterSpec},
    desired::{
        CA_KEY,
        duration::{InvalidField, duration_field},
        labels::component::{COORDINATOR, WORKER},
        metadata::object_meta,
    },
    trino::{HTTP_PORT, HTTPS_PORT},
};

/// Where a component's Secret is mounted, whole: the kubelet then brings a new certificate into the pod, and Trino reads it.
pub(super) const FOLDER: &str = "/etc/warren-tls";

/// Key of the certificate's chain.
pub const CERTIFICATE_KEY: &str = "tls.crt";
/// Key of its key.
pub const PRIVATE_KEY: &str = "tls.key";
/// Key of both, the key first: Trino wants one file. cert-manager calls it so (`CombinedPEM`).
pub const COMBINED_KEY: &str = "tls-combined.pem";

const DEFAULT_LIFE: Duration = Duration::from_secs(90 * 24 * 3600);

/// A certificate that a cluster's pods show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// `coordinator` or `worker`.
    pub component: &'static str,
    /// The Secret that holds it.
    pub secret: String,
    /// Names that it is for; by the first one the operator and proxies ask.
    pub names: Vec<String>,
    /// How long it is valid.
    pub life: Duration,
    /// Who makes it.
    pub source: Source,
}

/// Who makes a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Warren's own CA.
    Own,
    /// The same, for clients that read what they trust once, at their start ([`Authorities::eldest_signer`]).
    ///
    /// [`Authorities::eldest_signer`]: crate::desired::authority::Authorities::eldest_signer
    OwnEldest,
    /// The user, who keeps the Secret.
    Kept,
    /// cert-manager.
    CertManager(CertManager),
}

/// What the spec says of TLS to the coordinator, if that is on.
pub fn server(spec: &TrinoClusterSpec) -> Option<&ServerTls> {
    spec.tls.as_ref()?.server.as_ref().filter(|server| server.enabled == Some(true))
}

/// Whether the nodes of a cluster speak TLS with each other.
pub fn internal(spec: &TrinoClusterSpec) -> bool {
    let internal = spec.tls.as_ref().and_then(|tls| tls.internal.as_ref());
    internal.is_some_and(|internal| internal.enabled == Some(true))
}

/// The certificates of a cluster.
///
/// # Errors
/// When a duration is none; the message names the field.
pub fn leaves(cluster: &ClusterIdentity, spec: &TrinoClusterSpec) -> Result<Vec<Leaf>, InvalidField> {
    let mut leaves = Vec::new();
    if let Some(server) = server(spec) {
        let (secret, source) = match (&server.secret_ref, &server.cert_manager) {
            (Some(kept), _) => (kept.name.clone(), Source::Kept),
            (None, Some(manager)) => {
                (cluster.certificate_secret_name(COORDINATOR), Source::CertManager(manager.clone()))
            }
            (None, None) => (cluster.certificate_secret_name(COORDINATOR), Source::Own),
        };
        let mut names = cluster.names(&cluster.coordinator_name());
        names.extend(client_host(cluster, spec));
        let life = duration_field("tls.server.duration", server.duration.as_deref(), DEFAULT_LIFE)?;
        leaves.push(Leaf { component: COORDINATOR, secret, names, life, source });
    }
    if internal(spec) {
        let written = spec.tls.as_ref().and_then(|tls| tls.internal.as_ref()?.duration.as_deref());
        leaves.push(Leaf {
            component: WORKER,
            secret: cluster.certificate_secret_name(WORKER),
            names: cluster.names(&cluster.worker_name()),
            life: duration_field("tls.internal.duration", written, DEFAULT_LIFE)?,
            source: Source::Own,
        });
    }
    Ok(leaves)
}

/// The host at which clients reach the coordinator themselves.
fn client_host(cluster: &ClusterIdentity, spec: &TrinoClusterSpec) -> Option<String> {
    let url = spec.client_url.as_ref()?.replace("{name}", &cluster.name);
    let address: crate::routing::Address = url.parse().ok()?;
    Some(address.host().trim_matches(['[', ']']).to_owned())
}

impl ClusterIdentity {
    /// Name of the Secret with the certificate that the pods of `component` show, where Warren or cert-manager makes it.
    pub fn certificate_secret_name(&self, component: &str) -> String {
        format!("{}-{component}-tls", self.name)
    }

    /// Name of the Service by which nodes find the coordinator's own address, where they speak TLS: the certificates that Trino
    /// makes are for the addresses of pods.
    pub fn discovery_name(&self) -> String {
        format!("{}-discovery", self.name)
    }

    /// By which name the operator asks workers, whose certificate is for no address.
    pub fn worker_host(&self) -> String {
        format!("{}.{}.svc", self.worker_name(), self.namespace)
    }

    fn names(&self, service: &str) -> Vec<String> {
        let namespace = &self.namespace;
        let domains = [".svc", "", ".svc.cluster.local"].map(|domain| format!("{service}.{namespace}{domain}"));
        domains.into_iter().chain([service.to_owned(), "localhost".to_owned()]).collect()
    }

    /// A leaf's Secret. `bundle` is what it is trusted by; `certificate` and `key` are in PEM.
    pub fn certificate_secret(&self, leaf: &Leaf, bundle: &str, certificate: &str, key: &str) -> Secret {
        Secret {
            metadata: object_meta(leaf.secret.clone(), &self.namespace, &self.labels(Some(leaf.component))),
            type_: Some("kubernetes.io/tls".to_owned()),
            data: Some(certificate_data(bundle, certificate, key)),
            ..Secret::default()
        }
    }

    /// The Certificate by which cert-manager (1.15 and newer, `cert-manager.io/v1`) makes a leaf's Secret.
    pub fn certificate_request(&self, leaf: &Leaf, manager: &CertManager) -> Value {
        let (issuer, labels) = (&manager.issuer_ref, self.labels(Some(leaf.component)));
        json!({
            "apiVersion": "cert-manager.io/v1",
            "kind": "Certificate",
            "metadata": {
                "name": leaf.secret,
                "namespace": self.namespace,
                "labels": labels,
                // It goes with its cluster; its Secret is removed by name, as all others are.
                "ownerReferences": [{
                    "apiVersion": "trinowarren.io/v1alpha1", "kind": "TrinoCluster", "name": self.name, "uid": self.uid,
                }],
            },
            "spec": {
                "secretName": leaf.secret,
                "secretTemplate": {"labels": labels},
                "dnsNames": leaf.names,
                "duration": go_duration(leaf.life.as_secs()),
                "renewBefore": go_duration(leaf.life.as_secs() / 3),
                "usages": ["digital signature", "key encipherment", "server auth"],
                "privateKey": {"algorithm": "ECDSA", "size": 256, "encoding": "PKCS8", "rotationPolicy": "Always"},
                "additionalOutputFormats": [{"type": "CombinedPEM"}],
                "issuerRef": {
                    "name": issuer.name,
                    "kind": issuer.kind.as_deref().unwrap_or("Issuer"),
                    "group": issuer.group.as_deref().unwrap_or("cert-manager.io"),
                },
            },
        })
    }
}

/// So many seconds as Go writes them: cert-manager's webhook writes them anew, and what differs would be applied again and again.
fn go_duration(seconds: u64) -> String {
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds}s"),
        (hours, minutes, seconds) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// What a Secret with a certificate holds.
pub(in crate::desired) fn certificate_data(bundle: &str, certificate: &str, key: &str) -> BTreeMap<String, ByteString> {
    let data = [
        (CA_KEY, bundle.to_owned()),
        (CERTIFICATE_KEY, certificate.to_owned()),
        (PRIVATE_KEY, key.to_owned()),
        (COMBINED_KEY, format!("{key}{certificate}")),
    ];
    data.into_iter().map(|(key, text)| (key.to_owned(), ByteString(text.into_bytes()))).collect()
}

/// How the pods of a component are spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Doors {
    /// They listen for HTTP.
    pub http: bool,
    /// They listen for HTTPS.
    pub https: bool,
    /// They show a certificate from a Secret.
    pub certificate: bool,
}

impl Doors {
    pub(super) fn of(component: &str, spec: &TrinoClusterSpec) -> Self {
        let (server, internal) = (server(spec).is_some(), internal(spec));
        if component == COORDINATOR {
            // Proxies come by HTTP unless TLS is on for them, and workers unless it is on between nodes.
            Self { http: !(server && internal), https: server || internal, certificate: server }
        } else {
            Self { http: !internal, https: internal, certificate: internal }
        }
    }

    /// Name, port and scheme of the one for probes.
    pub(super) fn probed(self) -> (&'static str, Option<String>) {
        if self.http { ("http", None) } else { ("https", Some("HTTPS".to_owned())) }
    }

    /// The container's ports.
    pub(super) fn container_ports(self) -> Vec<ContainerPort> {
        self.ports().into_iter().map(|(name, port)| container_port(name, port)).collect()
    }

    /// Names and numbers of the ports.
    pub(super) fn ports(self) -> Vec<(&'static str, i32)> {
        let all = [(self.http, ("http", HTTP_PORT)), (self.https, ("https", HTTPS_PORT))];
        all.into_iter().filter(|(open, _)| *open).map(|(_, port)| port).collect()
    }
}

fn container_port(name: &str, port: i32) -> ContainerPort {
    ContainerPort { name: Some(name.to_owned()), container_port: port, ..ContainerPort::default() }
}

/// The keys of `config.properties` that Warren owns where TLS is on.
pub(super) fn properties(cluster: &ClusterIdentity, component: &str, spec: &TrinoClusterSpec) -> Properties {
    let doors = Doors::of(component, spec);
    let mut owned = Properties::new();
    let mut set = |key: &str, value: String| owned.insert(key.to_owned(), value);
    if !doors.http {
        set("http-server.http.enabled", "false".to_owned());
    }
    if doors.https {
        set("http-server.https.enabled", "true".to_owned());
        set("http-server.https.port", HTTPS_PORT.to_string());
    }
    if doors.certificate {
        set("http-server.https.keystore.path", format!("{FOLDER}/{COMBINED_KEY}"));
    }
    if internal(spec) {
        set("internal-communication.https.required", "true".to_owned());
        set("discovery.uri", format!("https://{}:{HTTPS_PORT}", cluster.discovery_name()));
    }
    owned
}

/// Mounts the certificate of a component's pods.
pub(super) fn mount(template: &mut PodTemplateSpec, component: &str, leaves: &[Leaf]) {
    if let Some(leaf) = leaves.iter().find(|leaf| leaf.component == component) {
        let source = SecretVolumeSource { secret_name: Some(leaf.secret.clone()), ..SecretVolumeSource::default() };
        mount_secret(template, "tls", FOLDER, source);
    }
}

/// Mounts what `source` names into each container of the pods, at `path`.
pub(super) fn mount_secret(template: &mut PodTemplateSpec, name: &str, path: &str, source: SecretVolumeSource) {
    let Some(pod) = &mut template.spec else { return };
    let source = SecretVolumeSource { default_mode: Some(0o440), ..source };
    let volume = Volume { name: name.to_owned(), secret: Some(source), ..Volume::default() };
    pod.volumes.get_or_insert_default().push(volume);
    for container in &mut pod.containers {
        let mount = VolumeMount {
            name: name.to_owned(),
            mount_path: path.to_owned(),
            read_only: Some(true),
            ..VolumeMount::default()
        };
        container.volume_mounts.get_or_insert_default().push(mount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `time.Duration.String` of Go prints.
    #[test]
    fn durations_are_written_as_go_writes_them() {
        for (seconds, written) in
            [(30, "30s"), (600, "10m0s"), (3600, "1h0m0s"), (7_776_000, "2160h0m0s"), (3_661, "1h1m1s")]
        {
            assert_eq!(go_duration(seconds), written);
        }
    }
}
