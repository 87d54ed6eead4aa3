//! The name of a Trino cluster, which is also the segment `/c/<name>` of every URI that the cluster hands out.

use std::{borrow::Borrow, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The name of a cluster: an RFC 1123 label of 1 to 63 characters (`a-z`, `0-9`, `-`; no `-` at either end).
///
/// It stands unescaped in a URL path, in Kubernetes object names and in label values, so nothing else is let in. A name
/// is never an address: the routing table alone says where a cluster is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClusterName(String);

/// Why a text is no [`ClusterName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cluster name {0:?} must be 1 to 63 characters of a-z, 0-9 and '-', and neither begin nor end with '-'")]
pub struct InvalidClusterName(String);

impl ClusterName {
    /// The name as it stands in a URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ClusterName {
    type Err = InvalidClusterName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let ends_well = !name.starts_with('-') && !name.ends_with('-');
        if (1..=63).contains(&name.len()) && name.bytes().all(legal) && ends_well {
            Ok(Self(name.to_owned()))
        } else {
            Err(InvalidClusterName(name.to_owned()))
        }
    }
}

impl TryFrom<String> for ClusterName {
    type Error = InvalidClusterName;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        name.parse()
    }
}

impl From<ClusterName> for String {
    fn from(name: ClusterName) -> Self {
        name.0
    }
}

impl Borrow<str> for ClusterName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dns_label_is_a_name() {
        for name in ["a", "blue", "adhoc-x7k2-12", "0", &"a".repeat(63)] {
            assert_eq!(name.parse::<ClusterName>().map(String::from).as_deref(), Ok(name));
        }
    }

    #[test]
    fn what_could_leave_its_path_segment_is_no_name() {
        for name in ["", "-a", "a-", "A", "a/b", "a.b", "..", "a%2fb", "a b", "ä", &"a".repeat(64)] {
            assert!(name.parse::<ClusterName>().is_err(), "{name:?}");
        }
    }
}
