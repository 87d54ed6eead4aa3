//! Warren's own credential at a cluster with authentication: one user, and a password that is renewed with both valid until
//! everybody has the new one. Pure: when what is to happen, and what the Secret then holds.
//!
//! There are two places for a password, each a password file of its own, since Trino takes one password per user and file. A
//! password stays in its place from first to last, so no moment in which Trino has read one file anew and not yet the other
//! refuses it.

use std::{fmt, time::Duration};

use k8s_openapi::{ByteString, api::core::v1::Secret, jiff::Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    cluster::{ClusterIdentity, USERS_KEYS},
    duration::{InvalidField, duration_field},
    metadata::object_meta,
};
use crate::{
    api::TrinoClusterSpec,
    routing::Credential,
    trino::{password, work},
};

const DEFAULT_RENEWAL: Duration = Duration::from_secs(30 * 24 * 3600);

/// How long an old password is valid beside the one that took its place: a kubelet brings the new one to each proxy within about
/// two minutes.
const OVERLAP: Duration = Duration::from_secs(3600);

/// Key of what [`Passwords`] are.
const KEY: &str = "passwords.json";

/// A password with its history.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Password {
    text: String,
    hash: String,
    /// Since when it is what it is.
    since: Timestamp,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Stage {
    /// The coordinator is to learn of it; nobody uses it.
    Coming,
    /// Operator and proxies use it.
    Used,
    /// Another one is used; some proxies may not know that yet.
    Going,
}

/// Random bytes for a password.
#[derive(Clone, Copy)]
pub struct Random {
    /// The password itself.
    pub password: [u8; 32],
    /// What its hash is salted with.
    pub salt: [u8; 16],
}

/// The passwords of Warren's user at one cluster, each in its place.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passwords([Option<Password>; 2]);

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stages = self.0.iter().map(|place| place.as_ref().map(|password| password.stage));
        f.debug_list().entries(stages).finish()
    }
}

impl Password {
    fn new(random: Random, stage: Stage, now: Timestamp) -> Self {
        let text = hex::encode(random.password);
        Self { hash: password::hash(&text, random.salt), text, since: now, stage }
    }

    fn credential(&self) -> Option<Credential> {
        Credential::new(work::USER, &self.text)
    }

    fn is_older(&self, than: Duration, now: Timestamp) -> bool {
        after(self.since, than) <= now
    }
}

fn after(since: Timestamp, time: Duration) -> Timestamp {
    since.checked_add(time).unwrap_or(Timestamp::MAX)
}

/// After what time the password is renewed.
///
/// # Errors
/// When the spec's duration is none.
pub fn renewal(spec: &TrinoClusterSpec) -> Result<Duration, InvalidField> {
    let written = spec.authentication.as_ref().and_then(|asked| asked.credential.as_ref()?.renew_after.as_deref());
    duration_field("authentication.credential.renewAfter", written, DEFAULT_RENEWAL)
}

impl Passwords {
    /// The first one. It is used at once: the coordinator starts with it.
    pub fn first(random: Random, now: Timestamp) -> Self {
        Self([Some(Password::new(random, Stage::Used, now)), None])
    }

    /// Those in a Secret; none if it holds none that can be used.
    pub fn read(secret: &Secret) -> Option<Self> {
        let known: Self = serde_json::from_slice(&secret.data.as_ref()?.get(KEY)?.0).ok()?;
        known.at(Stage::Used)?.credential()?;
        Some(known)
    }

    fn at(&self, stage: Stage) -> Option<&Password> {
        self.0.iter().flatten().find(|password| password.stage == stage)
    }

    /// By what operator and proxies ask.
    pub fn used(&self) -> Option<Credential> {
        self.at(Stage::Used)?.credential()
    }

    /// Since when it is used.
    pub fn since(&self) -> Option<Timestamp> {
        Some(self.at(Stage::Used)?.since)
    }

    /// The one that is used as soon as the coordinator takes it.
    pub fn coming(&self) -> Option<Credential> {
        self.at(Stage::Coming)?.credential()
    }

    /// What they are from now on. `taken`: the coordinator takes the one that comes.
    #[must_use]
    pub fn next(mut self, renewal: Duration, now: Timestamp, taken: bool, random: Random) -> Self {
        let overlap = OVERLAP.min(renewal / 4);
        let due = self.at(Stage::Used).is_some_and(|used| used.is_older(renewal, now));
        let coming = self.at(Stage::Coming).is_some();
        for place in &mut self.0 {
            match place {
                Some(password) if password.stage == Stage::Going && password.is_older(overlap, now) => *place = None,
                None if due => *place = Some(Password::new(random, Stage::Coming, now)),
                Some(password) if coming && taken && password.stage != Stage::Going => {
                    password.stage = if password.stage == Stage::Coming { Stage::Used } else { Stage::Going };
                    password.since = now;
                }
                Some(_) | None => {}
            }
        }
        self
    }

    /// When something is to happen next, if the coordinator is not asked before.
    pub fn changes_at(&self, renewal: Duration) -> Timestamp {
        let changes = self.0.iter().flatten().map(|password| match password.stage {
            Stage::Coming => password.since,
            Stage::Used => after(password.since, renewal),
            Stage::Going => after(password.since, OVERLAP.min(renewal / 4)),
        });
        changes.min().unwrap_or(Timestamp::MAX)
    }

    /// The Secret that holds them, with the password files in which each of `users` has them.
    pub fn secret(&self, cluster: &ClusterIdentity, users: &[String]) -> Secret {
        let file = |place: &Option<Password>| -> String {
            place.iter().flat_map(|password| users.iter().map(|user| format!("{user}:{}\n", password.hash))).collect()
        };
        let state = serde_json::to_string(self).expect("passwords are JSON by their type");
        let files = USERS_KEYS.into_iter().zip(self.0.iter().map(file));
        let data = files.chain([(KEY, state)]).map(|(key, text)| (key.to_owned(), ByteString(text.into_bytes())));
        Secret {
            metadata: object_meta(cluster.credential_secret_name(), &cluster.namespace, &cluster.labels(None)),
            data: Some(data.collect()),
            ..Secret::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + hours * 3600).expect("in range")
    }

    fn random(byte: u8) -> Random {
        Random { password: [byte; 32], salt: [byte; 16] }
    }

    fn files(passwords: &Passwords) -> [usize; 2] {
        let users = ["warren", "warren-verify"].map(str::to_owned);
        let data = passwords.secret(&ClusterIdentity::named("c", "n"), &users).data.expect("data");
        USERS_KEYS.map(|key| String::from_utf8(data[key].0.clone()).expect("text").lines().count())
    }

    #[test]
    fn a_password_is_valid_before_it_is_used_and_until_everybody_has_the_next_one() {
        let renewal = 100 * HOUR;
        let first = Passwords::first(random(1), at(0));
        let used = |passwords: &Passwords| passwords.used().expect("one");
        assert_eq!((files(&first), first.changes_at(renewal)), ([2, 0], at(100)));
        assert_eq!(first.clone().next(renewal, at(99), true, random(2)), first);
        let both = first.clone().next(renewal, at(100), true, random(2));
        assert_eq!((files(&both), used(&both)), ([2, 2], used(&first)), "nobody asked the coordinator yet");
        assert_eq!(both.clone().next(renewal, at(200), false, random(3)), both, "it has not taken it yet");
        let coming = both.coming().expect("one");
        let after = both.next(renewal, at(200), true, random(3));
        assert_eq!((files(&after), used(&after), after.coming()), ([2, 2], coming, None));
        let secret = after.secret(&ClusterIdentity::named("c", "n"), &[]);
        assert_eq!(Passwords::read(&secret).as_ref(), Some(&after));
        let alone = after.clone().next(renewal, at(201), false, random(3));
        assert_eq!((files(&alone), used(&alone), alone.changes_at(renewal)), ([0, 2], used(&after), at(300)));
        let again = alone.next(renewal, at(300), false, random(4));
        assert_eq!(files(&again), [2, 2]);
        assert_ne!(again.coming(), Some(used(&first)));
        assert!(!format!("{again:?}").contains("0101"));
    }

    #[test]
    fn what_holds_no_password_is_made_anew() {
        let mut secret = Passwords::first(random(1), at(0)).secret(&ClusterIdentity::named("c", "n"), &[]);
        assert!(Passwords::read(&secret).is_some());
        secret.data = Some([(KEY.to_owned(), ByteString(b"[null,null]".to_vec()))].into());
        assert!(Passwords::read(&secret).is_none() && Passwords::read(&Secret::default()).is_none());
    }
}
