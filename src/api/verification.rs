//! What a cluster shows before it takes queries, and how that stands.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a cluster shows before it takes queries, besides that all its workers have joined and its catalogs are there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Verify {
    /// Statements that must be answered, in this order, each within a minute: for example one for each data source,
    /// `SELECT 1 FROM hive.sales.orders LIMIT 1`. Each is one statement without a semicolon at its end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(min = 1, max = 4096)))]
    #[x_kube(validation = Rule::new("self.all(sql, !sql.matches(';[[:space:]]*$') && sql.matches('[^[:space:]]'))").message("verify.queries: each must be one statement, such as SELECT 1, without a semicolon at its end"))]
    pub queries: Vec<String>,
    /// The user that runs them. No password is sent. Default: `warren-verify`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = Rule::new("self.matches('^[!-~]+$')").message("verify.user must be the name of a user: visible ASCII characters"))]
    pub user: Option<String>,
    /// How long it may take from when the pods are ready. After that the cluster is `Failed` with the reason, and is looked
    /// at again every 15 s. A number and a unit: `90s`, `10m`, `1h`. Default: `2m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 8))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9]{1,6}(s|m|h)$')").message("verify.timeout must be a number and a unit, such as 90s, 10m or 1h"))]
    pub timeout: Option<String>,
}

/// How a cluster's verification stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerificationStatus {
    /// When it began.
    pub since: Time,
    /// Since when nothing was found to be wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub good_since: Option<Time>,
    /// When it was passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passed_at: Option<Time>,
    /// Whether the list of queries that Warren is shown holds those of other users. Without that, a drain is not proven, and
    /// takes its whole time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sees_queries: Option<bool>,
}
