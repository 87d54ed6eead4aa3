//! Warren's own CA: what its Secret holds, who of it signs, who is trusted, and when a new one is to be made. Pure; keys are
//! carried from Secret to Secret and looked at by nobody here.
//!
//! A new CA certificate is trusted for some time before it signs anything, and the old one until it ends: whoever learns of the
//! new one late refuses nothing.

use std::{collections::BTreeMap, fmt, time::Duration};

use k8s_openapi::{ByteString, api::core::v1::Secret, jiff::Timestamp};

use super::{
    CA_KEY,
    certificate::{Certificate, Unreadable},
    labels::{COMPONENT, MANAGED_BY, WARREN, component, labels},
    metadata::object_meta,
};

/// Name of the Secret in each namespace that has one.
pub const CA_SECRET: &str = "warren-ca";

/// How long a CA certificate is valid.
pub const CA_LIFE: Duration = Duration::from_secs(2 * 365 * 24 * 3600);

/// How long a CA certificate is trusted before it signs: for proxies that follow the routing table late, and pods that get files
/// late.
const SETTLING: Duration = Duration::from_secs(3600);

const CERTIFICATE: &str = ".crt";
const KEY: &str = ".key";

/// A CA certificate with its key.
#[derive(Clone, PartialEq, Eq)]
pub struct Authority {
    /// Its name among those of the Secret.
    pub id: String,
    /// Its certificate, in PEM.
    pub certificate: String,
    /// The key, in PEM.
    pub key: String,
    /// What the certificate says.
    pub says: Certificate,
}

/// All of a namespace, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authorities(Vec<Authority>);

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("id", &self.id).field("says", &self.says).finish_non_exhaustive()
    }
}

impl Authorities {
    /// Those in a Secret. A certificate without its key is still trusted, and signs nothing.
    ///
    /// # Errors
    /// When a certificate cannot be read.
    pub fn read(secret: &Secret) -> Result<Self, Unreadable> {
        let text = |key: &str| {
            let bytes = secret.data.as_ref()?.get(key)?;
            String::from_utf8(bytes.0.clone()).ok()
        };
        let mut all = Vec::new();
        for key in secret.data.iter().flat_map(BTreeMap::keys).filter(|key| *key != CA_KEY) {
            let Some(id) = key.strip_suffix(CERTIFICATE) else { continue };
            let certificate = text(key).unwrap_or_default();
            let says = Certificate::read(&certificate)?;
            all.push(Authority {
                id: id.to_owned(),
                key: text(&format!("{id}{KEY}")).unwrap_or_default(),
                certificate,
                says,
            });
        }
        all.sort_by(|one, other| (one.says.not_before, &one.id).cmp(&(other.says.not_before, &other.id)));
        Ok(Self(all))
    }

    /// Whether a new one is to be made: there is none, or the newest is past two thirds of its life.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.able(now).next_back().is_none_or(|newest| newest.says.renew_at() <= now)
    }

    /// Who signs: the newest that was trusted for long enough. Where none was, the oldest: nobody trusts another one longer.
    pub fn signer(&self, now: Timestamp) -> Option<&Authority> {
        let settled = |authority: &&Authority| authority.says.made_at() <= now.checked_sub(SETTLING).unwrap_or(now);
        self.able(now).rfind(settled).or_else(|| self.able(now).next())
    }

    /// Who signs for those who read what they trust once, at their start: the oldest that is not in the last twentieth of its
    /// life, for it is trusted by most of them. Where there is none, [`Self::signer`].
    pub fn eldest_signer(&self, now: Timestamp) -> Option<&Authority> {
        self.able(now).find(|authority| authority.says.leaves_at() > now).or_else(|| self.signer(now))
    }

    /// What is trusted, in PEM: all that have not ended.
    pub fn bundle(&self, now: Timestamp) -> String {
        self.valid(now).map(|authority| authority.certificate.as_str()).collect()
    }

    /// With a new one, and without those that have ended.
    pub fn with(self, new: Authority, now: Timestamp) -> Self {
        let mut all: Vec<_> = self.0.into_iter().filter(|authority| authority.says.not_after > now).collect();
        all.push(new);
        Self(all)
    }

    /// When something of this changes by itself: a new one signs, another one is to be made, or one ends.
    pub fn changes_at(&self, now: Timestamp) -> Option<Timestamp> {
        let signs = |authority: &Authority| authority.says.made_at().checked_add(SETTLING).ok();
        let times = self
            .valid(now)
            .flat_map(|authority| [signs(authority), Some(authority.says.renew_at()), Some(authority.says.not_after)]);
        times.flatten().filter(|time| *time > now).min()
    }

    /// The Secret that holds them.
    pub fn secret(&self, namespace: &str, now: Timestamp) -> Secret {
        let labels = labels([
            ("app.kubernetes.io/name", "warren"),
            ("app.kubernetes.io/part-of", "trino"),
            (MANAGED_BY, WARREN),
            (COMPONENT, component::CA),
        ]);
        let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
        let mut data = BTreeMap::from([(CA_KEY.to_owned(), bytes(&self.bundle(now)))]);
        for authority in &self.0 {
            data.insert(format!("{}{CERTIFICATE}", authority.id), bytes(&authority.certificate));
            data.insert(format!("{}{KEY}", authority.id), bytes(&authority.key));
        }
        Secret {
            metadata: object_meta(CA_SECRET.to_owned(), namespace, &labels),
            data: Some(data),
            ..Secret::default()
        }
    }

    fn valid(&self, now: Timestamp) -> impl DoubleEndedIterator<Item = &Authority> {
        self.0.iter().filter(move |authority| authority.says.not_after > now)
    }

    fn able(&self, now: Timestamp) -> impl DoubleEndedIterator<Item = &Authority> {
        self.valid(now).filter(|authority| !authority.key.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3600;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).expect("in range")
    }

    fn authority(id: &str, made: i64) -> Authority {
        let says = Certificate {
            serial: id.to_owned(),
            subject: format!("CN={id}"),
            issuer: format!("CN={id}"),
            not_before: at(made - 300),
            not_after: at(made + 90 * DAY),
        };
        Authority { id: id.to_owned(), certificate: format!("<{id}>"), key: "key".to_owned(), says }
    }

    fn signer(authorities: &Authorities, now: i64) -> String {
        authorities.signer(at(now)).map(|authority| authority.id.clone()).unwrap_or_default()
    }

    #[test]
    fn a_new_one_is_made_at_two_thirds_and_is_trusted_for_an_hour_before_it_signs() {
        let none = Authorities::default();
        assert!(none.is_due(at(0)) && none.signer(at(0)).is_none());
        let one = none.with(authority("a", 0), at(0));
        assert_eq!((one.is_due(at(60 * DAY - 1)), one.is_due(at(60 * DAY))), (false, true));
        assert_eq!(signer(&one, 1), "a");
        let two = one.with(authority("b", 60 * DAY), at(60 * DAY));
        assert_eq!(two.bundle(at(60 * DAY)), "<a><b>");
        assert_eq!((signer(&two, 60 * DAY), signer(&two, 60 * DAY + 3599)), ("a".into(), "a".into()));
        assert_eq!(two.changes_at(at(60 * DAY)), Some(at(60 * DAY + 3600)));
        assert_eq!(signer(&two, 60 * DAY + 3600), "b");
        assert_eq!(two.bundle(at(90 * DAY)), "<b>");
        let three = two.with(authority("c", 120 * DAY), at(120 * DAY));
        assert_eq!(three.0.len(), 2);
    }

    #[test]
    fn one_without_its_key_is_trusted_and_signs_nothing() {
        let lost = Authority { key: String::new(), ..authority("a", 0) };
        let authorities = Authorities::default().with(lost, at(0));
        assert!(authorities.is_due(at(DAY)) && authorities.signer(at(DAY)).is_none());
        let authorities = authorities.with(authority("b", DAY), at(DAY));
        assert_eq!((signer(&authorities, DAY), authorities.bundle(at(DAY)).as_str()), ("b".into(), "<a><b>"));
    }

    #[test]
    fn a_key_is_in_no_debug_text() {
        let text = format!("{:?}", Authority { key: "the key".to_owned(), ..authority("a", 0) });
        assert!(!text.contains("the key") && text.contains("CN=a"), "{text}");
    }
}
