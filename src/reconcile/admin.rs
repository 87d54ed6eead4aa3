//! Asks proxies at their admin ports, as their Secret lets the operator do.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request, header::AUTHORIZATION};
use k8s_openapi::api::core::v1::Pod;

use super::{
    context::Context,
    error::Error,
    fetch::{Trust, pod_url, secure_pod_url},
    proxies,
};
use crate::{
    api::ProxyGroup,
    desired::{
        CA_KEY,
        proxy_group::{ADMIN_TOKEN_KEY, admin_port, is_admin_secure},
    },
};

/// Proxies that are asked at the same time.
pub(super) const AT_ONCE: usize = 16;

/// Where a proxy is asked.
#[derive(Clone, Debug)]
pub(super) struct AdminPort {
    address: String,
    port: i32,
    secure: bool,
}

/// What opens the admin ports of a ProxyGroup's proxies, and by what they are trusted.
#[derive(Clone, Debug, Default)]
pub(super) struct Access {
    /// None while the Secret is missing.
    token: Option<HeaderValue>,
    trust: Trust,
}

impl AdminPort {
    /// That of a pod; none while it has no address.
    pub(super) fn of(pod: &Pod) -> Option<Self> {
        let address = pod.status.as_ref()?.pod_ip.clone()?;
        Some(Self { address, port: admin_port(pod), secure: is_admin_secure(pod) })
    }

    /// What the proxy answers to a `GET` of `path`.
    ///
    /// # Errors
    /// With why there is no answer, in one line.
    pub(super) async fn get(&self, context: &Context, access: Access, path: &str) -> Result<Bytes, String> {
        let token = access.token.ok_or("the Secret with its admin token is missing")?;
        let url = if self.secure {
            secure_pod_url(&self.address, self.port, path)
        } else {
            pod_url(&self.address, self.port, path)
        };
        let request = Request::get(url).header(AUTHORIZATION, token).extension(access.trust);
        let request = request.body(Bytes::new()).map_err(|error| error.to_string())?;
        (context.fetch)(request).await.map_err(|error| error.to_string())
    }
}

/// Whether the pod's containers are no more, and will not start again.
pub(super) fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// What opens the admin ports of a ProxyGroup's proxies, which are `pods`.
pub(super) async fn access(
    context: &Context,
    namespace: &str,
    group: &ProxyGroup,
    pods: &[Arc<Pod>],
) -> Result<Access, Error> {
    if pods.is_empty() {
        return Ok(Access::default());
    }
    let identity = proxies::identity(group);
    let of = async |name: String, key: &str| {
        let secret = context.secret(namespace, &name).await?;
        Ok::<_, Error>(secret.and_then(|secret| secret.data?.remove(key)))
    };
    let token = of(identity.object_name(), ADMIN_TOKEN_KEY).await?;
    let token = token.and_then(|bytes| HeaderValue::try_from([b"Bearer ", &*bytes.0].concat()).ok());
    let token = token.map(|mut token| {
        token.set_sensitive(true);
        token
    });
    let mut trust = Trust { ca: String::new(), name: Some(identity.admin_host()) };
    if pods.iter().any(|pod| is_admin_secure(pod)) {
        let ca = of(identity.admin_secret_name(), CA_KEY).await?;
        trust.ca = ca.and_then(|ca| String::from_utf8(ca.0).ok()).unwrap_or_default();
    }
    Ok(Access { token, trust })
}
