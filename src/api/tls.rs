//! TLS within a cluster and to its coordinator, and what is known of its certificates.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pod::SECRET_NAME_RULE;

/// TLS to the coordinator, between the nodes of the cluster, and from the coordinator to the gateway. Default: none but the last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterTls {
    /// From the proxies, the operator and clients to the coordinator. Default: plain HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerTls>,
    /// Between coordinator and workers, and from the operator to the workers. Default: plain HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub internal: Option<InternalTls>,
    /// From the coordinator to the gateway's proxies, which it tells of its queries. Default: on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<EventsTls>,
}

/// TLS from the coordinator to the port 9091 of the gateway's proxies. They show a certificate of Warren's own CA of the namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventsTls {
    /// Whether it is on. Default: `true`. In a group, changing it makes a new cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// TLS from the proxies, the operator and clients to the coordinator, on port 8443. The certificate is issued by Warren's own CA
/// of the namespace (Secret `warren-ca`), unless `secretRef` or `certManager` says otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.secretRef) && has(self.certManager))").message("spec.tls.server: give secretRef or certManager, not both: one certificate is served"))]
#[x_kube(validation = Rule::new("!has(self.secretRef) || !has(self.duration)").message("spec.tls.server.duration does not go with secretRef: who keeps the Secret renews its certificate"))]
pub struct ServerTls {
    /// Whether it is on. Default: `false`. In a group, changing it makes a new cluster; in a cluster made by hand it restarts
    /// coordinator and workers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// How long a certificate is valid, a number and a unit, `10m` at least: after two thirds of it a new one takes its place,
    /// without a restart. Example: `720h`. Default: `2160h`, that is 90 days. Changing it restarts nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 8))]
    #[x_kube(validation = Rule::new(DURATION_RULE).message("spec.tls.server.duration must be a number and a unit, such as 720h, from 10m to 87600h: a renewed certificate takes some minutes to reach Trino"))]
    pub duration: Option<String>,
    /// A certificate that you keep. Changing which Secret it is has the effect of a new version; changing what is in it restarts
    /// nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<CertificateSecret>,
    /// Lets cert-manager issue the certificate: Warren makes a Certificate object. Changing it from or to none has the effect
    /// of a new version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert_manager: Option<CertManager>,
}

/// TLS between coordinator and workers, and from the operator to the workers, on port 8443. Trino makes the certificates of the
/// nodes by itself, from the cluster's shared secret; the operator trusts workers by certificates of Warren's own CA.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct InternalTls {
    /// Whether it is on. Default: `false`. In a group, changing it makes a new cluster; in a cluster made by hand it restarts
    /// coordinator and workers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// How long the workers' certificates of Warren's own CA are valid, as `spec.tls.server.duration`. Default: `2160h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 8))]
    #[x_kube(validation = Rule::new(DURATION_RULE).message("spec.tls.internal.duration must be a number and a unit, such as 720h, from 10m to 87600h: a renewed certificate takes some minutes to reach Trino"))]
    pub duration: Option<String>,
}

const DURATION_RULE: &str =
    "self.matches('^[0-9]{1,6}(s|m|h)$') && duration(self) >= duration('10m') && duration(self) <= duration('87600h')";

/// A Secret with a certificate that you keep, in the namespace of the cluster. It has `tls-combined.pem`, the key and then the
/// chain of certificates, as Trino wants it; `tls.crt`, the chain alone; and `ca.crt`, what it is trusted by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct CertificateSecret {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(SECRET_NAME_RULE).message("spec.tls.server.secretRef.name must be the name of a Secret: 1 to 253 characters of a-z, 0-9, '-' and '.', with a letter or digit at both ends"))]
    pub name: String,
}

/// How cert-manager issues the certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertManager {
    /// Who issues it.
    pub issuer_ref: IssuerReference,
}

/// An issuer of cert-manager.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct IssuerReference {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its kind, `Issuer` or `ClusterIssuer` for those of cert-manager itself. Default: `Issuer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub kind: Option<String>,
    /// Its API group. Default: `cert-manager.io`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub group: Option<String>,
}

/// What is known of a cluster's certificates.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TlsStatus {
    /// The coordinator's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<CertificateStatus>,
    /// The workers' certificate of Warren's own CA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub internal: Option<CertificateStatus>,
}

/// What is known of a certificate. Nothing of it is secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertificateStatus {
    /// The Secret that holds it.
    pub secret: String,
    /// What it is trusted by, in PEM. While a CA is renewed, the old one and the new one.
    pub ca: String,
    /// Its serial number, in hexadecimal digits.
    pub serial: String,
    /// Who issued it.
    pub issuer: String,
    /// When it ends.
    pub not_after: Time,
    /// When Warren puts a new one in its place. None for one that somebody else keeps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_at: Option<Time>,
}
