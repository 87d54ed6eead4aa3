//! The credentials by which proxies ask a cluster questions of their own: a file of a Secret, which the operator writes and
//! proxies read. They are no part of the routing table.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::trino::ClusterName;

/// What one file holds.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckCredentials {
    /// The cluster's address for which they are. Table and Secret come to a proxy at different times: at another address they
    /// are not used.
    pub url: String,
    /// The value of the `Authorization` header.
    pub authorization: String,
}

impl CheckCredentials {
    /// Name of the file, and the key in the Secret.
    pub fn file_name(cluster: &ClusterName) -> String {
        format!("{FILE_PREFIX}{cluster}")
    }
}

/// How the names of all of these files begin.
pub const FILE_PREFIX: &str = "cluster.";

impl fmt::Debug for CheckCredentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("CheckCredentials").field("url", &self.url).finish_non_exhaustive()
    }
}
