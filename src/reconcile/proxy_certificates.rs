//! Keeps the certificates of Warren's own CA that proxies show: at the admin port, where that speaks HTTPS, and at the port for
//! events.

use std::time::Duration;

use super::{certificates, context::Context, error::Error};
use crate::{
    api::{CertificateStatus, ProxyGroup},
    desired::{
        cluster::Leaf,
        proxy_group::{ListenerPort, ProxyIdentity, admin_leaf, events_leaf},
    },
    lifecycle::passed,
};

/// How they stand.
#[derive(Debug, Default)]
pub(super) struct Standing {
    admin: Option<CertificateStatus>,
    events: Option<CertificateStatus>,
    /// After what time to look again; none for never.
    pub(super) again: Option<Duration>,
}

/// Makes and renews those that the spec asks for, before the proxies that show them.
pub(super) async fn settle(
    context: &Context,
    group: &ProxyGroup,
    identity: &ProxyIdentity,
    listeners: &[ListenerPort],
) -> Result<Standing, Error> {
    let mut standing = Standing::default();
    if let Some(leaf) = admin_leaf(identity, &group.spec) {
        standing.admin = Some(standing.own(context, identity, &leaf).await?);
    }
    if let Some(leaf) = events_leaf(identity, &group.spec, listeners) {
        standing.events = Some(standing.own(context, identity, &leaf).await?);
    }
    Ok(standing)
}

impl Standing {
    async fn own(
        &mut self,
        context: &Context,
        identity: &ProxyIdentity,
        leaf: &Leaf,
    ) -> Result<CertificateStatus, Error> {
        let around =
            |bundle: &str, certificate: &str, key: &str| identity.certificate_secret(leaf, bundle, certificate, key);
        let (status, next) = certificates::own(context, &identity.namespace, leaf, around).await?;
        let next = passed(context.now(), next);
        self.again = Some(self.again.map_or(next, |again| again.min(next)));
        Ok(status)
    }

    /// The certificates that the status is to tell, of the admin port and of that for events. One that is not asked for any more
    /// stays until all proxies are `settled`, and then goes.
    pub(super) async fn kept(
        self,
        context: &Context,
        group: &ProxyGroup,
        identity: &ProxyIdentity,
        settled: bool,
    ) -> Result<[Option<CertificateStatus>; 2], Error> {
        let before = group.status.clone().unwrap_or_default();
        let places = [
            (self.admin, before.admin_certificate, identity.admin_secret_name()),
            (self.events, before.events_certificate, identity.events_secret_name()),
        ];
        let mut told = [None, None];
        for (place, (now, before, secret)) in told.iter_mut().zip(places) {
            if now.is_none() && before.is_some() && settled {
                context.delete_secret(&identity.namespace, &secret).await?;
            } else {
                *place = now.or(before);
            }
        }
        Ok(told)
    }
}
