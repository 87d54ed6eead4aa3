//! Asks proxies at their admin ports, as their Secret lets the operator do. It changes nothing there.

use bytes::Bytes;
use http::{HeaderValue, Request, header::AUTHORIZATION};
use k8s_openapi::api::core::v1::Pod;

use super::{context::Context, error::Error, fetch::pod_url, proxies};
use crate::{
    api::ProxyGroup,
    desired::proxy_group::{ADMIN_TOKEN_KEY, admin_port},
};

/// Proxies that are asked at the same time.
pub(super) const AT_ONCE: usize = 16;

/// Where a proxy is asked.
#[derive(Clone, Debug)]
pub(super) struct AdminPort {
    address: String,
    port: i32,
}

impl AdminPort {
    /// That of a pod; none while it has no address.
    pub(super) fn of(pod: &Pod) -> Option<Self> {
        let address = pod.status.as_ref()?.pod_ip.clone()?;
        Some(Self { address, port: admin_port(pod) })
    }

    /// What the proxy answers to a `GET` of `path`.
    ///
    /// # Errors
    /// With why there is no answer, in one line.
    pub(super) async fn get(&self, context: &Context, token: Option<HeaderValue>, path: &str) -> Result<Bytes, String> {
        let token = token.ok_or("the Secret with its admin token is missing")?;
        let request = Request::get(pod_url(&self.address, self.port, path)).header(AUTHORIZATION, token);
        let request = request.body(Bytes::new()).map_err(|error| error.to_string())?;
        (context.fetch)(request).await.map_err(|error| error.to_string())
    }
}

/// Whether the pod's containers are no more, and will not start again.
pub(super) fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// What opens the admin ports of a ProxyGroup's proxies; none while its Secret is missing.
pub(super) async fn token(
    context: &Context,
    namespace: &str,
    group: &ProxyGroup,
) -> Result<Option<HeaderValue>, Error> {
    let name = proxies::identity(group).object_name();
    let bytes = context.secret(namespace, &name).await?.and_then(|secret| secret.data?.remove(ADMIN_TOKEN_KEY));
    let value = bytes.and_then(|bytes| HeaderValue::try_from([b"Bearer ", &*bytes.0].concat()).ok());
    Ok(value.map(|mut value| {
        value.set_sensitive(true);
        value
    }))
}
