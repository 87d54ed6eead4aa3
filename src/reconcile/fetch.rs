//! What the operator asks by HTTP: the admin ports of proxies, and Trino's nodes. Each answer has a deadline and a bound.

use std::{fmt::Display, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, StatusCode, uri::Scheme};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{Connect, HttpConnector},
    },
    rt::TokioExecutor,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};

use crate::telemetry::chain;

const DEADLINE: Duration = Duration::from_secs(5);
/// A coordinator lists a hundred ended queries by default, each with the head of its text.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// Why nothing was read: one line, without secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// There is no answer, or it cannot be read.
    #[error("{0}")]
    Failed(String),
    /// There is one, with another status.
    #[error("it answers {0}")]
    Status(StatusCode),
}

/// The URL of `path` at a port of a pod, by plain HTTP; the address may be one of IPv6.
pub(super) fn pod_url(address: &str, port: impl Display, path: &str) -> String {
    url("http", address, port, path)
}

/// The same by HTTPS. Certificates are for no address: the request's [`Trust`] names a host.
pub(super) fn secure_pod_url(address: &str, port: impl Display, path: &str) -> String {
    url("https", address, port, path)
}

fn url(scheme: &str, address: &str, port: impl Display, path: &str) -> String {
    let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    format!("{scheme}://{host}:{port}{path}")
}

/// Who is believed by HTTPS: an extension of the request. Without it nobody is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// CA certificates, in PEM.
    pub ca: String,
    /// The name that the certificate is for, where it is not the URL's host.
    pub name: Option<String>,
}

/// Sends a request and reads the body of its answer, whose status must be a success. Headers may carry secrets.
pub type Fetch = Arc<dyn Fn(Request<Bytes>) -> BoxFuture<'static, Result<Bytes, FetchError>> + Send + Sync>;

/// Asks over the network, by plain HTTP or by HTTPS, as the URL says.
pub fn over_http() -> Fetch {
    let client: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    Arc::new(move |request| {
        let client = client.clone();
        Box::pin(async move {
            let asked = async {
                if request.uri().scheme() != Some(&Scheme::HTTPS) {
                    return read(client, request).await;
                }
                // No connection is kept: each request sees the certificate of now, and is rare.
                let client = Client::builder(TokioExecutor::new()).build(connector(request.extensions().get())?);
                read(client, request).await
            };
            let read = tokio::time::timeout(DEADLINE, asked).await;
            read.unwrap_or_else(|_| Err(FetchError::Failed(format!("no answer within {} s", DEADLINE.as_secs()))))
        })
    })
}

fn connector(trust: Option<&Trust>) -> Result<HttpsConnector<HttpConnector>, FetchError> {
    let trust = trust.filter(|trust| !trust.ca.is_empty());
    let trust = trust.ok_or_else(|| FetchError::Failed("no CA certificate is known for it".to_owned()))?;
    let unusable = |error: &dyn Display| FetchError::Failed(format!("its CA certificate cannot be used: {error}"));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(trust.ca.as_bytes()) {
        roots.add(certificate.map_err(|error| unusable(&error))?).map_err(|error| unusable(&error))?;
    }
    // The provider is named: which one is the process's default is nobody's business here.
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().map_err(|error| unusable(&error))?;
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let builder = HttpsConnectorBuilder::new().with_tls_config(config).https_only();
    let builder = match &trust.name {
        None => builder.enable_http1(),
        Some(name) => {
            let name = ServerName::try_from(name.clone()).map_err(|error| unusable(&error))?;
            builder.with_server_name_resolver(FixedServerNameResolver::new(name)).enable_http1()
        }
    };
    Ok(builder.build())
}

async fn read(
    client: Client<impl Connect + Clone + Send + Sync + 'static, Full<Bytes>>,
    request: Request<Bytes>,
) -> Result<Bytes, FetchError> {
    let answer = client.request(request.map(Full::new)).await.map_err(|error| FetchError::Failed(chain(&error)))?;
    if !answer.status().is_success() {
        return Err(FetchError::Status(answer.status()));
    }
    let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
    body.map(http_body_util::Collected::to_bytes).map_err(|error| FetchError::Failed(chain(&*error)))
}
