//! A group's external clusters: which of them stand in the routing table, and the credentials by which proxies check them.

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use k8s_openapi::ByteString;

use super::{
    DrainTerms,
    duration::{InvalidField, duration_field},
};
use crate::{
    api::{ExternalCluster, ExternalClusterStatus, ExternalServing, TrinoClusterGroup, TrinoClusterGroupSpec},
    routing::Credential,
};

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(3600);
/// Nobody knows whether it spools: clients may fetch segments of a result after the query has ended.
const LINGER: Duration = Duration::from_secs(60);
/// Nobody knows its `query.client.timeout`, either: this is Trino's own default (476).
const ABANDONMENT: Duration = Duration::from_secs(300);

const USERNAME: &str = "username";
const PASSWORD: &str = "password";
const TOKEN: &str = "token";

/// The external clusters that have a place in the routing table: those of the spec; and those that were removed from it, or
/// whose group is being deleted, until their drain is over: these take no new queries.
pub fn external_clusters(group: &TrinoClusterGroup) -> Vec<ExternalCluster> {
    let asked = if group.metadata.deletion_timestamp.is_some() { &[][..] } else { &group.spec.external };
    asked.iter().cloned().chain(removed(group).map(leftover)).collect()
}

/// Those that are known and not asked for any more.
pub fn removed(group: &TrinoClusterGroup) -> impl Iterator<Item = &ExternalClusterStatus> {
    let deleted = group.metadata.deletion_timestamp.is_some();
    let asked = move |name: &str| !deleted && group.spec.external.iter().any(|external| external.name == name);
    group.status.iter().flat_map(|status| &status.external).filter(move |known| !asked(&known.name))
}

/// Such a one, as it was.
fn leftover(known: &ExternalClusterStatus) -> ExternalCluster {
    ExternalCluster {
        name: known.name.clone(),
        url: known.url.clone(),
        client_url: known.client_url.clone(),
        serving: Some(ExternalServing::Drained),
        weight: None,
        ca_secret_ref: known.ca_secret_ref.clone(),
        credentials_secret_ref: None,
    }
}

/// What the drain of a group's external clusters keeps to.
///
/// # Errors
/// When a duration is none; the message names the field.
pub fn external_drain_terms(spec: &TrinoClusterGroupSpec) -> Result<DrainTerms, InvalidField> {
    let timeout = spec.rollout.as_ref().and_then(|rollout| rollout.drain_timeout.as_deref());
    let timeout = duration_field("rollout.drainTimeout", timeout, DEFAULT_TIMEOUT)?;
    Ok(DrainTerms { timeout, linger: LINGER, abandonment: ABANDONMENT })
}

/// What is wrong with a Secret that holds credentials for checks: which of its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCredentials {
    /// There is nothing to send.
    #[error("has neither {TOKEN:?} nor {USERNAME:?} and {PASSWORD:?}; add the one or the others there")]
    Nothing,
    /// Trino would not know which counts.
    #[error("has {TOKEN:?} and {PASSWORD:?}; remove one of them there")]
    Both,
    /// It fits into no header.
    #[error("has a {0:?} that fits into no header; it must be visible ASCII, in one line")]
    Unfit(&'static str),
    /// The first colon ends the user's name (RFC 7617, section 2).
    #[error("has a {USERNAME:?} with a colon, which HTTP Basic has no place for; take another user")]
    Colon,
}

/// The value of `Authorization` that a Secret's `data` stands for.
///
/// # Errors
/// When it stands for none. The message holds nothing of the values.
pub fn authorization(data: &BTreeMap<String, ByteString>) -> Result<String, InvalidCredentials> {
    let value = |key: &str| data.get(key).map(|value| line(&value.0)).filter(|value| !value.is_empty());
    match (value(TOKEN), value(USERNAME), value(PASSWORD)) {
        (Some(_), _, Some(_)) => Err(InvalidCredentials::Both),
        (Some(token), _, None) => {
            let token = token.trim_ascii();
            let fits = !token.is_empty() && token.iter().all(u8::is_ascii_graphic);
            let text = std::str::from_utf8(token).ok().filter(|_| fits);
            Ok(format!("Bearer {}", text.ok_or(InvalidCredentials::Unfit(TOKEN))?))
        }
        (None, Some(user), Some(_)) if user.contains(&b':') => Err(InvalidCredentials::Colon),
        (None, Some(user), Some(password)) => Ok(format!("Basic {}", STANDARD.encode([user, b":", password].concat()))),
        (None, ..) => Err(InvalidCredentials::Nothing),
    }
}

/// A value without the end of its line: an editor ends a file with one, and neither a user nor a password has any (RFC 7617, section
/// 2).
fn line(value: &[u8]) -> &[u8] {
    let line = value.strip_suffix(b"\n").unwrap_or(value);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// What the proxies' Secret is to hold: all that it holds but credentials for checks, and `wanted` of these.
pub fn with_credentials(
    held: &BTreeMap<String, ByteString>,
    wanted: &BTreeMap<String, Credential>,
) -> BTreeMap<String, ByteString> {
    let file = |credential: &Credential| ByteString(credential.to_file().into_bytes());
    let others = held.iter().filter(|(key, _)| !Credential::is_file_name(key));
    let others = others.map(|(key, value)| (key.clone(), value.clone()));
    others.chain(wanted.iter().map(|(key, credential)| (key.clone(), file(credential)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::Given;

    fn data(yaml: &str) -> BTreeMap<String, ByteString> {
        let texts: BTreeMap<String, String> = serde_saphyr::from_str(yaml).expect("texts");
        texts.into_iter().map(|(key, value)| (key, ByteString(value.into_bytes()))).collect()
    }

    #[test]
    fn a_secret_stands_for_a_user_with_a_password_or_for_a_token() {
        // RFC 7617, section 2.
        let basic = data("{username: Aladdin, password: 'open sesame'}");
        assert_eq!(authorization(&basic).as_deref(), Ok("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
        for end in ["\\n", "\\r\\n"] {
            let from_file = data(&format!("{{username: \"Aladdin{end}\", password: \"open sesame{end}\"}}"));
            assert_eq!(authorization(&from_file), authorization(&basic));
        }
        assert_eq!(authorization(&data("{token: \"eyJ.a.b\\n\"}")).as_deref(), Ok("Bearer eyJ.a.b"));
        assert_eq!(authorization(&data("{username: ann, token: abc}")).as_deref(), Ok("Bearer abc"));
        for (yaml, fault) in [
            ("{}", InvalidCredentials::Nothing),
            ("{username: ann}", InvalidCredentials::Nothing),
            ("{password: secret}", InvalidCredentials::Nothing),
            ("{username: ann, password: \"\\n\"}", InvalidCredentials::Nothing),
            ("{username: ann, password: secret, token: abc}", InvalidCredentials::Both),
            ("{token: 'a b'}", InvalidCredentials::Unfit("token")),
            ("{username: 'a:b', password: secret}", InvalidCredentials::Colon),
        ] {
            let found = authorization(&data(yaml)).expect_err("a fault");
            assert_eq!(found, fault, "{yaml}");
            assert!(!found.to_string().contains("secret"), "{found}");
        }
    }

    #[test]
    fn credentials_come_and_go_and_leave_all_else_as_it_is() {
        let held = data("{admin-token: t, cluster.old: '{}', cluster.a: '{}'}");
        let wanted = Credential::Given(Given { url: "https://a".into(), authorization: "Bearer x".into() });
        let next = with_credentials(&held, &[("cluster.a".to_owned(), wanted)].into());
        let text = |key: &str| String::from_utf8(next[key].0.clone()).expect("text");
        assert_eq!(next.keys().collect::<Vec<_>>(), ["admin-token", "cluster.a"]);
        assert_eq!(text("cluster.a"), r#"{"url":"https://a","authorization":"Bearer x"}"#);
        assert_eq!(with_credentials(&held, &[].into()), data("{admin-token: t}"));
    }

    #[test]
    fn what_was_removed_stays_in_the_table_without_new_queries() {
        let group = r#"
apiVersion: trinowarren.io/v1alpha1
kind: TrinoClusterGroup
metadata: {name: adhoc}
spec: {external: [{name: a, url: "http://a", weight: 2}]}
status:
  external:
  - {name: a, url: "http://a", phase: Active, since: "2026-09-21T12:00:00Z"}
  - {name: b, url: "https://b", caSecretRef: {name: ca}, phase: Draining, since: "2026-09-21T12:00:00Z"}
"#;
        let mut group: TrinoClusterGroup = serde_saphyr::from_str(group).expect("a group");
        let seen = |group: &TrinoClusterGroup| -> Vec<_> {
            let drained = |external: &ExternalCluster| external.serving == Some(ExternalServing::Drained);
            external_clusters(group).iter().map(|external| (external.name.clone(), drained(external))).collect()
        };
        assert_eq!(seen(&group), [("a".to_owned(), false), ("b".to_owned(), true)]);
        group.metadata.deletion_timestamp = Some(serde_json::from_str("\"2026-09-21T12:30:00Z\"").expect("a time"));
        assert_eq!(seen(&group), [("a".to_owned(), true), ("b".to_owned(), true)]);
    }
}
