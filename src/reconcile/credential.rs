//! Keeps the credentials by which Warren asks clusters with authentication: makes and renews them. When what is to happen is decided in `desired::credential`. No password is logged, nor in any object but Secrets.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    context::{Context, whole_second},
    error::Error,
    statement::{self, Coordinator},
};
use crate::{
    api::{CredentialStatus, TrinoCluster},
    desired::{
        cluster::{ClusterIdentity, asking_users},
        credential::{Passwords, Random, renewal},
    },
    lifecycle::passed,
    routing::Credential,
    trino::work,
};

/// How often a coordinator is asked whether it takes a new password.
const AGAIN: Duration = Duration::from_secs(15);
/// The longest time to the next look, whatever is to happen later.
const LONGEST: Duration = Duration::from_secs(600);
/// Tries when others write the same Secret.
const TRIES: usize = 5;

/// How a cluster's credential stands.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// For the cluster's status; none where nobody is asked who he is.
    pub(super) status: Option<CredentialStatus>,
    /// When to look again.
    pub(super) again: Option<Duration>,
}

/// Makes or renews the credential of `cluster`.
pub(super) async fn settle(
    context: &Context,
    cluster: &TrinoCluster,
    identity: &ClusterIdentity,
) -> Result<Standing, Error> {
    if cluster.spec.authentication.is_none() {
        return Ok(Standing::default());
    }
    let (renewal, now) = (renewal(&cluster.spec)?, whole_second(context.now()));
    let name = identity.credential_secret_name();
    for _ in 0..TRIES {
        let found = context.secret(&identity.namespace, &name).await?;
        let random = Random { password: rand::random(), salt: rand::random() };
        let passwords = match found.as_ref().and_then(Passwords::read) {
            Some(known) => {
                let taken = takes(context, cluster, known.coming()).await;
                known.next(renewal, now, taken, random)
            }
            None => Passwords::first(random, now),
        };
        let wanted = passwords.secret(identity, &asking_users(&cluster.spec));
        let stands = found.as_ref().is_some_and(|found| found.data == wanted.data);
        if stands || context.write_secret(found.as_ref(), wanted).await? {
            let asked = passwords.coming().is_some();
            let next = if asked { AGAIN } else { passed(now, passwords.changes_at(renewal)) };
            return Ok(Standing { status: status(name, &passwords, renewal), again: Some(next.min(LONGEST)) });
        }
    }
    Err(Error::Contended(name))
}

fn status(secret: String, passwords: &Passwords, renewal: Duration) -> Option<CredentialStatus> {
    let (used, since) = (passwords.used()?, passwords.since()?);
    let renew_at = since.checked_add(renewal).unwrap_or(since);
    Some(CredentialStatus { secret, digest: used.digest(), since: Time(since), renew_at: Time(renew_at) })
}

/// Whether the coordinator takes a credential that nobody uses yet.
async fn takes(context: &Context, cluster: &TrinoCluster, coming: Option<Credential>) -> bool {
    let Some(coming) = coming else { return false };
    let at = Coordinator::asked_by(cluster, Some(coming));
    statement::read(context, &at, work::QUERIES).await.is_ok()
}

/// By what the coordinator of `cluster` is asked; none where it asks nobody who he is, or where there is nothing yet.
pub(super) async fn used(context: &Context, cluster: &TrinoCluster) -> Result<Option<Credential>, Error> {
    if cluster.spec.authentication.is_none() {
        return Ok(None);
    }
    let identity = super::cluster::identity(cluster);
    let secret = context.secret(&identity.namespace, &identity.credential_secret_name()).await?;
    Ok(secret.as_ref().and_then(Passwords::read).and_then(|passwords| passwords.used()))
}
