//! Keeps a cluster's certificates: makes those of Warren's own CA and renews them, and looks at those that others keep. When
//! and for whom is decided in `desired::{authority, certificate, cluster}`.
//!
//! Each write names the version of the Secret that was read, so neither a stale read nor another operator undoes a renewal.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::{api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::Time};

use super::{cert_manager, context::Context, error::Error, issue};
use crate::{
    api::{CertificateStatus, TlsStatus, TrinoCluster},
    desired::{
        CA_KEY,
        authority::{Authorities, Authority, CA_SECRET},
        certificate::{Certificate, fault},
        cluster::{CERTIFICATE_KEY, COMBINED_KEY, ClusterIdentity, Leaf, PRIVATE_KEY, Source, leaves},
        labels::component::COORDINATOR,
    },
    lifecycle::passed,
};

/// Secrets of others are not watched, so they are looked at again.
const OTHERS: Duration = Duration::from_secs(60);
/// What is being made is looked at soon.
const MAKING: Duration = Duration::from_secs(5);
/// The longest time to the next look, whatever is to happen later.
const LONGEST: Duration = Duration::from_secs(600);
/// Tries when others write the same Secret.
const TRIES: usize = 5;

/// How a cluster's certificates stand.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// For the cluster's status; none where TLS is off.
    pub(super) status: Option<TlsStatus>,
    /// What is wrong with a certificate that somebody else keeps.
    pub(super) fault: Option<String>,
    /// When to look again.
    pub(super) again: Option<Duration>,
}

/// Makes, renews or looks at the certificates of `cluster`.
pub(super) async fn settle(
    context: &Context,
    cluster: &TrinoCluster,
    identity: &ClusterIdentity,
) -> Result<Standing, Error> {
    let leaves = leaves(identity, &cluster.spec)?;
    if leaves.is_empty() {
        return Ok(Standing::default());
    }
    let now = context.now();
    let known = cluster.status.as_ref().and_then(|status| status.tls.clone()).unwrap_or_default();
    let mut standing = Standing { again: Some(LONGEST), ..Standing::default() };
    let mut status = TlsStatus::default();
    for leaf in &leaves {
        let (place, before) = if leaf.component == COORDINATOR {
            (&mut status.server, known.server.clone())
        } else {
            (&mut status.internal, known.internal.clone())
        };
        *place = match &leaf.source {
            Source::Own | Source::OwnEldest => {
                // Until now somebody else has kept it: two would write one Secret.
                if before.is_some_and(|before| before.renew_at.is_none()) {
                    cert_manager::remove(context, identity).await?;
                }
                let around = |bundle: &str, certificate: &str, key: &str| {
                    identity.certificate_secret(leaf, bundle, certificate, key)
                };
                let (found, next) = own(context, &identity.namespace, leaf, around).await?;
                standing.sooner(passed(now, next));
                Some(found)
            }
            Source::Kept => {
                let found = kept(context, identity, leaf).await?.map(Some);
                standing.take(found, before, "spec.tls.server.secretRef")
            }
            Source::CertManager(manager) => {
                let found = cert_manager::settle(context, identity, leaf, manager).await?;
                standing.take(found, before, "spec.tls.server.certManager")
            }
        };
    }
    standing.status = Some(status);
    Ok(standing)
}

impl Standing {
    fn sooner(&mut self, again: Duration) {
        self.again = self.again.map(|before| before.min(again));
    }

    /// Takes in what was found of a certificate that somebody else keeps. One that is wrong changes nothing of what is trusted:
    /// pods may still show the last one.
    fn take(
        &mut self,
        found: Result<Option<CertificateStatus>, String>,
        before: Option<CertificateStatus>,
        field: &str,
    ) -> Option<CertificateStatus> {
        self.sooner(OTHERS);
        match found {
            Ok(Some(found)) => Some(found),
            Ok(None) => {
                self.sooner(MAKING);
                before
            }
            Err(fault) => {
                self.fault = Some(format!("{field}: {fault}"));
                before
            }
        }
    }
}

/// A certificate of Warren's own CA, and when to look again.
///
/// `around` makes the Secret around what it is trusted by, the certificate and the key.
pub(super) async fn own(
    context: &Context,
    namespace: &str,
    leaf: &Leaf,
    around: impl Fn(&str, &str, &str) -> Secret,
) -> Result<(CertificateStatus, Timestamp), Error> {
    let now = context.now();
    for _ in 0..TRIES {
        let authorities = authorities(context, namespace).await?;
        let bundle = authorities.bundle(now);
        let signer = match leaf.source {
            Source::OwnEldest => authorities.eldest_signer(now),
            _ => authorities.signer(now),
        };
        let signer = signer.expect("one that is not due for a new one has one that signs");
        let found = context.secret(namespace, &leaf.secret).await?;
        let standing = found.as_ref().and_then(|secret| good(secret, leaf, signer, &bundle, now));
        let (certificate, key) = match standing {
            Some(Good { certificate, key, complete: false }) => (certificate, key),
            Some(Good { certificate, .. }) => return status(leaf, &bundle, &certificate, &authorities, now),
            None => {
                let issued = issue::leaf(signer, &leaf.names, leaf.life, now)?;
                (issued.certificate, issued.key)
            }
        };
        let next = around(&bundle, &certificate, &key);
        if context.write_secret(found.as_ref(), next).await? {
            return status(leaf, &bundle, &certificate, &authorities, now);
        }
    }
    Err(Error::Contended(leaf.secret.clone()))
}

/// A certificate that needs no renewal.
struct Good {
    certificate: String,
    key: String,
    /// Whether all else of its Secret is right, too.
    complete: bool,
}

/// What a Secret holds, if its certificate may stay: `signer` issued it, it is for all of its names, and it is not yet at two
/// thirds of its life.
fn good(secret: &Secret, leaf: &Leaf, signer: &Authority, bundle: &str, now: Timestamp) -> Option<Good> {
    let (certificate, key) = (text(secret, CERTIFICATE_KEY)?, text(secret, PRIVATE_KEY)?);
    let says = Certificate::read(&certificate).ok()?;
    let lasts = passed(says.made_at(), says.not_after);
    // A life that was made shorter counts from now on, and a longer one from the next time on.
    if says.issuer != signer.says.subject || says.renew_at() <= now || lasts > leaf.life {
        return None;
    }
    // Names with a part that stands for any are not what this could ask for.
    let mut asked = leaf.names.iter().filter(|name| !name.contains('*'));
    asked.all(|name| fault(&certificate, bundle, name, now).is_none()).then(|| {
        let combined = text(secret, COMBINED_KEY) == Some(format!("{key}{certificate}"));
        let complete = combined && text(secret, CA_KEY).as_deref() == Some(bundle);
        Good { certificate, key, complete }
    })
}

fn status(
    leaf: &Leaf,
    bundle: &str,
    certificate: &str,
    authorities: &Authorities,
    now: Timestamp,
) -> Result<(CertificateStatus, Timestamp), Error> {
    let says = Certificate::read(certificate).map_err(issue::IssueError::from)?;
    let renewed = says.renew_at();
    let status = status_of(leaf, bundle, says, Some(renewed));
    Ok((status, authorities.changes_at(now).map_or(renewed, |change| change.min(renewed))))
}

fn status_of(leaf: &Leaf, ca: &str, says: Certificate, renew_at: Option<Timestamp>) -> CertificateStatus {
    CertificateStatus {
        secret: leaf.secret.clone(),
        ca: ca.to_owned(),
        serial: says.serial,
        issuer: says.issuer,
        not_after: Time(says.not_after),
        renew_at: renew_at.map(Time),
    }
}

/// The CA of a namespace, with a new one if it is time.
pub(super) async fn authorities(context: &Context, namespace: &str) -> Result<Authorities, Error> {
    let now = context.now();
    for _ in 0..TRIES {
        let found = context.secret(namespace, CA_SECRET).await?;
        let known = found.as_ref().map_or(Ok(Authorities::default()), Authorities::read);
        let known = known.map_err(|fault| Error::AuthorityUnreadable(namespace.to_owned(), fault))?;
        if !known.is_due(now) {
            return Ok(known);
        }
        let next = known.with(issue::authority(now)?, now);
        if context.write_secret(found.as_ref(), next.secret(namespace, now)).await? {
            return Ok(next);
        }
    }
    Err(Error::Contended(CA_SECRET.to_owned()))
}

/// A certificate that somebody else keeps, or what is wrong with it.
pub(super) async fn kept(
    context: &Context,
    identity: &ClusterIdentity,
    leaf: &Leaf,
) -> Result<Result<CertificateStatus, String>, Error> {
    let namespace = &identity.namespace;
    let Some(secret) = context.secret(namespace, &leaf.secret).await? else {
        return Ok(Err(format!("there is no Secret {:?} in namespace {namespace:?}", leaf.secret)));
    };
    Ok(judged(&secret, leaf, context.now()))
}

fn judged(secret: &Secret, leaf: &Leaf, now: Timestamp) -> Result<CertificateStatus, String> {
    let part = |key: &str| text(secret, key).ok_or_else(|| format!("Secret {:?} has no key {key:?}", leaf.secret));
    let (ca, certificate, combined) = (part(CA_KEY)?, part(CERTIFICATE_KEY)?, part(COMBINED_KEY)?);
    let says = Certificate::read(&certificate).map_err(|fault| format!("Secret {:?}: {fault}", leaf.secret))?;
    let served =
        Certificate::read(&combined).map_err(|fault| format!("{COMBINED_KEY} of {:?}: {fault}", leaf.secret))?;
    if served != says {
        return Err(format!("{COMBINED_KEY} and {CERTIFICATE_KEY} of Secret {:?} hold two certificates", leaf.secret));
    }
    let name = leaf.names.first().map(String::as_str).unwrap_or_default();
    match fault(&certificate, &ca, name, now) {
        Some(fault) => Err(format!("Secret {:?}: a client that asks for {name} refuses it: {fault}", leaf.secret)),
        None => Ok(status_of(leaf, &ca, says, None)),
    }
}

/// Removes what was made for a cluster that goes. The CA stays: whoever trusts it trusts the next cluster, too.
pub(super) async fn remove(context: &Context, identity: &ClusterIdentity) -> Result<(), Error> {
    cert_manager::remove(context, identity).await?;
    for component in [COORDINATOR, crate::desired::labels::component::WORKER] {
        context.delete_secret(&identity.namespace, &identity.certificate_secret_name(component)).await?;
    }
    Ok(())
}

fn text(secret: &Secret, key: &str) -> Option<String> {
    String::from_utf8(secret.data.as_ref()?.get(key)?.0.clone()).ok()
}
