//! Connections to coordinators: TCP, and TLS for `https`, under one deadline.

use std::{
    fmt, io,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use tokio::net::TcpStream;
use tower_service::Service;

use super::error::Cause;

/// How long a connection may be silent before the kernel asks whether the other end is still there: a coordinator whose
/// node vanished says nothing, and a result that streams has no deadline of its own.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Why `https` coordinators cannot be connected to.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Error {
    #[error("its CA certificate cannot be used: {0}")]
    Ca(String),
    #[error("the operating system has no root certificates, and the cluster names no CA: {0}")]
    NoRoots(String),
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
}

/// What `https` coordinators are trusted by, in PEM.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trusted<'a> {
    /// The cluster's own CA; none: the operating system's roots.
    pub ca: Option<&'a str>,
    /// A CA that counts besides.
    pub further: Option<&'a str>,
}

/// Opens connections; one that is not there within the deadline has failed.
#[derive(Clone)]
pub(super) struct Connector {
    inner: HttpsConnector<HttpConnector>,
    deadline: Duration,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

impl Connector {
    /// A connector that trusts those for `https`.
    ///
    /// # Errors
    /// When `secure` is set and no certificate can be trusted.
    pub(super) fn new(secure: bool, trusted: Trusted<'_>, deadline: Duration) -> Result<Self, Error> {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(deadline));
        http.set_keepalive(Some(KEEPALIVE));
        http.set_keepalive_interval(Some(KEEPALIVE));
        http.set_keepalive_retries(Some(3));
        let config = match trusted.ca {
            // Never asked for: the address is plain http.
            _ if !secure => Arc::new(builder()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth()),
            None if trusted.further.is_none() => system_config()?,
            _ => Arc::new(trusting(trusted)?),
        };
        Ok(Self { inner: HttpsConnector::from((http, config)), deadline })
    }
}

fn builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, Error> {
    // The provider is named: which one is the process's default is nobody's business here.
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Setup(error.to_string()))
}

fn trusting(Trusted { ca, further }: Trusted<'_>) -> Result<ClientConfig, Error> {
    let mut roots = match ca {
        Some(_) => RootCertStore::empty(),
        // With a further CA, an operating system without roots is as good as any.
        None => system_roots().unwrap_or_else(|_| RootCertStore::empty()),
    };
    for pem in ca.into_iter().chain(further) {
        let before = roots.len();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate = certificate.map_err(|error| Error::Ca(error.to_string()))?;
            roots.add(certificate).map_err(|error| Error::Ca(error.to_string()))?;
        }
        if roots.len() == before {
            return Err(Error::Ca("it holds no certificate".to_owned()));
        }
    }
    Ok(builder()?.with_root_certificates(roots).with_no_client_auth())
}

/// The roots are read once: there may be hundreds of them, and as many clusters.
fn system_config() -> Result<Arc<ClientConfig>, Error> {
    static CONFIG: OnceLock<Result<Arc<ClientConfig>, Error>> = OnceLock::new();
    let make = || Ok(Arc::new(builder()?.with_root_certificates(system_roots()?).with_no_client_auth()));
    CONFIG.get_or_init(make).clone()
}

fn system_roots() -> Result<RootCertStore, Error> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (taken, _) = roots.add_parsable_certificates(found.certs);
    if taken == 0 {
        let first = found.errors.first().map_or_else(|| "there are none".to_owned(), ToString::to_string);
        return Err(Error::NoRoots(first));
    }
    Ok(roots)
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = Cause;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Cause>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Cause>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.inner.call(uri);
        let deadline = self.deadline;
        Box::pin(async move {
            tokio::time::timeout(deadline, connecting).await.unwrap_or_else(|_| {
                Err(io::Error::new(io::ErrorKind::TimedOut, "no connection within the deadline").into())
            })
        })
    }
}
