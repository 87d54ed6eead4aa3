//! By what a proxy shows a cluster who asks, for what it asks by itself: a file beside the routing table, which never holds a
//! secret. The operator writes it, the proxy reads it.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::HeaderValue;
use sha2::{Digest as _, Sha256};

use crate::trino::ClusterName;

/// A user with a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    user: String,
    password: String,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Credential {
    /// The credential of `user`, visible ASCII without `:`, and `password`, visible ASCII; none if they are not.
    pub fn new(user: &str, password: &str) -> Option<Self> {
        let visible = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        let usable = visible(user) && !user.contains(':') && visible(password);
        usable.then(|| Self { user: user.to_owned(), password: password.to_owned() })
    }

    /// The same password of another user.
    pub fn of(&self, user: &str) -> Option<Self> {
        Self::new(user, &self.password)
    }

    /// The name of the file, and of the Secret's key, with the credential for `cluster`.
    pub fn file_name(cluster: &ClusterName) -> String {
        format!("cluster.{cluster}")
    }

    /// Whether a file of that name is there for some cluster.
    pub fn is_file_name(name: &str) -> bool {
        name.starts_with("cluster.")
    }

    /// Reads what a file holds: `user:password`, with space around it ignored; none if it is not that.
    pub fn read(file: &[u8]) -> Option<Self> {
        let (user, password) = std::str::from_utf8(file).ok()?.trim().split_once(':')?;
        Self::new(user, password)
    }

    /// What its file holds.
    pub fn to_file(&self) -> String {
        format!("{}:{}", self.user, self.password)
    }

    /// SHA-256 of what its file holds, in hexadecimal. Of 256 random bits nothing can be found from that.
    pub fn digest(&self) -> String {
        hex::encode(Sha256::digest(self.to_file()))
    }

    /// Who asks, for `X-Trino-User`.
    pub fn user(&self) -> HeaderValue {
        HeaderValue::try_from(&self.user).expect("a credential's user is visible ASCII")
    }

    /// The same with the password, for `Authorization`; it shows itself in no log.
    pub fn authorization(&self) -> HeaderValue {
        let basic = format!("Basic {}", STANDARD.encode(self.to_file()));
        let mut value = HeaderValue::try_from(basic).expect("base64 is visible ASCII");
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
        assert_eq!(credential.user(), "warren");
        let shown = format!("{credential:?} {:?}", credential.authorization());
        assert!(!shown.contains("s3cr") && !shown.contains("d2Fy"), "{shown}");
        for file in [&b"warren"[..], b":a", b"a:", b"a b:c", b"a:b\nc:d", "ä:b".as_bytes(), b"\xff:b"] {
            assert_eq!(Credential::read(file), None, "{file:?}");
        }
    }
}
