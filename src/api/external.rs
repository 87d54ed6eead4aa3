//! The clusters of a group that Warren did not make, and only routes to.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{draining::DrainStatus, gateway::ADDRESS_RULE, group::SecretKeyReference, proxy_group::SecretReference};

/// A cluster that Warren only routes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.credentialsSecretRef) || self.url.startsWith('https://')").message("spec.external: credentialsSecretRef is for https URLs, since what it holds would be sent in clear text; use https:// or remove credentialsSecretRef"))]
#[x_kube(validation = Rule::new("!has(self.caSecretRef) || self.url.startsWith('https://')").message("spec.external: caSecretRef is for https URLs; use https:// or remove caSecretRef"))]
pub struct ExternalCluster {
    /// Name of the cluster, unique among all clusters behind a gateway; it stands in the URLs of its queries.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')").message("spec.external: name must be 1 to 63 characters of a-z, 0-9 and '-', and neither begin nor end with '-'"))]
    pub name: String,
    /// Address of the coordinator, `http://host:port` or `https://host:port`. It must process forwarded headers
    /// (`http-server.process-forwarded=true`).
    #[schemars(length(min = 1, max = 300))]
    #[x_kube(validation = Rule::new(ADDRESS_RULE).message("spec.external: url must be http://host[:port] or https://host[:port], with a port from 1 to 65535 and nothing after it, not even a slash"))]
    pub url: String,
    /// Where clients reach the coordinator themselves, as `url`: for a gateway whose `proxyMode` is `ProxyFirstCall`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 300))]
    #[x_kube(validation = Rule::new(ADDRESS_RULE).message("spec.external: clientUrl must be http://host[:port] or https://host[:port], with a port from 1 to 65535 and nothing after it, not even a slash"))]
    pub client_url: Option<String>,
    /// Whether it takes new queries: `Active`, or `Drained`, which takes none and has the polls of the running ones served to
    /// their end, however long that takes. Default: `Active`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serving: Option<ExternalServing>,
    /// Its share of new queries beside the other clusters, 0 to 1000, for the strategies that look at it; 0: it takes no
    /// new query, and the running ones go on. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub weight: Option<i32>,
    /// The CA certificate that the coordinator's certificate chains up to. Default: the public roots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<SecretKeyReference>,
    /// The Secret by whose credentials the proxies check the cluster, for `healthCheck` and the count of its queries; those of
    /// clients pass through, and never count here. It has `username` and `password`, as those of type
    /// `kubernetes.io/basic-auth` have, or `token`, a bearer token. The query of `healthCheck` then runs as who it is that these
    /// stand for, and not as `healthCheck.user`. A changed Secret comes to the proxies within some three minutes, and restarts
    /// nothing. Default: no credentials are sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<SecretReference>,
}

/// Whether an external cluster takes new queries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ExternalServing {
    /// It takes new queries while it is healthy.
    #[default]
    Active,
    /// It takes none; the polls of running ones are served.
    Drained,
}

/// How an external cluster stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalClusterStatus {
    /// Its name.
    pub name: String,
    /// Where its coordinator is.
    pub url: String,
    /// Where clients reach the coordinator themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_url: Option<String>,
    /// The CA certificate that its coordinator's certificate chains up to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Known>")]
    pub ca_secret_ref: Option<SecretKeyReference>,
    /// `Active`: new queries go there while it is healthy. `Draining`: none do, and some may still run. `Drained`: no query
    /// is left that came through Warren's proxies.
    pub phase: ExternalPhase,
    /// Since when Warren knows it.
    pub since: Time,
    /// How its drain stands. What runs at the `deadline` is cut off from its clients if the entry was removed, and not if it
    /// says `serving: Drained`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draining: Option<DrainStatus>,
}

/// A [`SecretKeyReference`] without its rules: it was looked at in the spec, and the API server bounds what rules may cost.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "it is a schema")]
struct Known {
    /// Name of the Secret.
    name: String,
    /// Key in the Secret.
    key: Option<String>,
}

/// How an external cluster stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ExternalPhase {
    /// New queries go there while it is healthy.
    Active,
    /// No new queries go there, and some may still run.
    Draining,
    /// No query is left that came through Warren's proxies.
    Drained,
}
