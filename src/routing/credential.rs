//! By what a proxy shows a cluster who asks, for what it asks by itself: a file beside the routing table, which never holds a
//! secret. The operator writes it, the proxy reads it.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderValue, uri::Scheme};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Address;
use crate::trino::ClusterName;

/// By what a cluster is asked.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// A user of Warren's own, with a password.
    Own {
        /// Visible ASCII without `:`.
        user: String,
        /// Visible ASCII.
        password: String,
    },
    /// What a user of Warren's gave for a cluster of his own.
    Given(Given),
}

/// What is sent to one address.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Given {
    /// The cluster's address for which it is. Table and Secret come to a proxy at different times: at another address it is
    /// not used.
    pub url: String,
    /// The value of the `Authorization` header.
    pub authorization: String,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own { user, .. } => f.debug_struct("Own").field("user", user).finish_non_exhaustive(),
            Self::Given(given) => f.debug_struct("Given").field("url", &given.url).finish_non_exhaustive(),
        }
    }
}

impl Credential {
    /// The credential of `user`, visible ASCII without `:`, and `password`, visible ASCII; none if they are not.
    pub fn new(user: &str, password: &str) -> Option<Self> {
        let visible = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        let usable = visible(user) && !user.contains(':') && visible(password);
        usable.then(|| Self::Own { user: user.to_owned(), password: password.to_owned() })
    }

    /// The same password of another user; none if it is not Warren's own.
    pub fn of(&self, user: &str) -> Option<Self> {
        match self {
            Self::Own { password, .. } => Self::new(user, password),
            Self::Given(_) => None,
        }
    }

    /// The name of the file, and of the Secret's key, with the credential for `cluster`.
    pub fn file_name(cluster: &ClusterName) -> String {
        format!("cluster.{cluster}")
    }

    /// The cluster of a file; none for a file of another name.
    pub fn cluster_of(file: &str) -> Option<ClusterName> {
        file.strip_prefix("cluster.")?.parse().ok()
    }

    /// Whether a file of that name is there for some cluster.
    pub fn is_file_name(name: &str) -> bool {
        name.starts_with("cluster.")
    }

    /// Reads what a file holds: `user:password`, or JSON with `url` and `authorization`, with space around it ignored; none if it is
    /// neither.
    pub fn read(file: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(file).ok()?.trim();
        if text.starts_with('{') {
            let given: Given = serde_json::from_str(text).ok()?;
            return HeaderValue::try_from(&given.authorization).is_ok().then_some(Self::Given(given));
        }
        let (user, password) = text.split_once(':')?;
        Self::new(user, password)
    }

    /// What its file holds.
    pub fn to_file(&self) -> String {
        match self {
            Self::Own { user, password } => format!("{user}:{password}"),
            Self::Given(given) => serde_json::to_string(given).expect("texts are JSON"),
        }
    }

    /// SHA-256 of what its file holds, in hexadecimal. Of 256 random bits nothing can be found from that.
    pub fn digest(&self) -> String {
        hex::encode(Sha256::digest(self.to_file()))
    }

    /// Whether it may be sent to `address`: what was given for one goes there alone, and not where all could read it on its way.
    pub fn is_for(&self, address: &Address) -> bool {
        match self {
            Self::Own { .. } => true,
            Self::Given(given) => {
                *address.scheme() == Scheme::HTTPS && given.url.parse::<Address>().is_ok_and(|given| given == *address)
            }
        }
    }

    /// Who asks, for `X-Trino-User`; none where the coordinator takes that from the credential.
    pub fn user(&self) -> Option<HeaderValue> {
        match self {
            Self::Own { user, .. } => Some(HeaderValue::try_from(user).expect("a credential's user is visible ASCII")),
            Self::Given(_) => None,
        }
    }

    /// What is sent for `Authorization`; it shows itself in no log.
    pub fn authorization(&self) -> HeaderValue {
        let text = match self {
            Self::Own { .. } => format!("Basic {}", STANDARD.encode(self.to_file())),
            Self::Given(given) => given.authorization.clone(),
        };
        let mut value =
            HeaderValue::try_from(text).expect("it was looked at when it was read, and base64 is visible ASCII");
        value.set_sensitive(true);
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_a_user_and_a_password_that_nothing_shows() {
        let credential = Credential::read(b" warren:s3cr:et\n").expect("one");
        assert_eq!(credential.to_file(), "warren:s3cr:et");
        // RFC 7617: the first ':' ends the user.
        assert_eq!(credential.authorization().to_str().ok(), Some("Basic d2FycmVuOnMzY3I6ZXQ="));
        assert_eq!(credential.user().unwrap(), "warren");
        let shown = format!("{credential:?} {:?}", credential.authorization());
        assert!(!shown.contains("s3cr") && !shown.contains("d2Fy"), "{shown}");
        for file in [&b"warren"[..], b":a", b"a:", b"a b:c", b"a:b\nc:d", "ä:b".as_bytes(), b"\xff:b"] {
            assert_eq!(Credential::read(file), None, "{file:?}");
        }
    }

    #[test]
    fn what_was_given_for_one_address_goes_to_no_other() {
        let file = br#"{"url":"https://a:8443","authorization":"Bearer t0ken"}"#;
        let given = Credential::read(file).expect("one");
        assert_eq!((given.to_file().as_bytes(), given.user()), (&file[..], None));
        assert!(!format!("{given:?}").contains("t0ken"));
        for (address, is_for) in
            [("https://a:8443", true), ("https://a", false), ("https://b:8443", false), ("http://a:8443", false)]
        {
            assert_eq!(given.is_for(&address.parse().expect("an address")), is_for, "{address}");
        }
        assert_eq!(Credential::read(b"{\"url\":\"https://a\",\"authorization\":\"a\nb\"}"), None);
    }
}
