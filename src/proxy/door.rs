//! Where clients come in: a listener, maybe with TLS, whose certificate is replaced when its files change.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use tokio::net::TcpSocket;
use tokio_util::sync::CancellationToken;

/// How often the files of a certificate are looked at: Kubernetes updates a mounted Secret about once a minute.
const INTERVAL: Duration = Duration::from_secs(5);

/// How many connections may wait in the kernel until they are accepted.
const BACKLOG: u32 = 4096;

/// One listener of one shard.
#[derive(Debug)]
pub struct Door {
    pub(super) listener: std::net::TcpListener,
    pub(super) name: Option<Arc<str>>,
    pub(super) tls: Option<Tls>,
    pub(super) for_events: bool,
}

/// The files of a server's TLS, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, and those between it and its CA.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The CA that clients' certificates must chain up to; none asks no client for one.
    pub client_ca: Option<PathBuf>,
}

/// What a server's TLS connections are set up from; the newest that could be used. Clones share it.
#[derive(Clone, Debug)]
pub struct Tls {
    files: TlsFiles,
    config: Arc<ArcSwap<ServerConfig>>,
}

/// Why a server's TLS cannot be set up. No text holds anything of a key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or holds nothing of the kind.
    #[error("{}: {fault}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        fault: String,
    },
    /// Certificate and key do not fit each other, or cannot be used.
    #[error("certificate {} with key {}: {fault}", certificate.display(), key.display())]
    Unfit {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong with them.
        fault: String,
    },
}

impl Door {
    /// As many doors at `address` as there are shards: the kernel spreads connections over them, and no shard waits
    /// for another.
    ///
    /// # Errors
    /// When the address is taken, or not of this machine.
    pub fn open(address: SocketAddr, shards: usize) -> io::Result<Vec<Self>> {
        if shards == 1 {
            return Ok(vec![Self::on(bind(address, false)?)]);
        }
        // Sockets that share an address share it with another process of the same user, too: this one does not.
        let alone = bind(address, false)?;
        let address = alone.local_addr()?;
        drop(alone);
        (0..shards).map(|_| Ok(Self::on(bind(address, true)?))).collect()
    }

    /// A door at a listener that is there already; it must not block.
    pub fn on(listener: std::net::TcpListener) -> Self {
        Self { listener, name: None, tls: None, for_events: false }
    }

    /// The same, under a name that rules may ask for.
    pub fn named(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The same, with TLS.
    pub fn secured(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// The same, for coordinators' events alone: whatever else is asked there is not found. With `tls` it speaks that to who begins
    /// it, and plain HTTP to all others.
    pub fn for_events(mut self, tls: Option<Tls>) -> Self {
        self.for_events = true;
        self.tls = tls;
        self
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the operating system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Tls {
    /// Reads `files`.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn read(files: TlsFiles) -> Result<Self, TlsError> {
        let config = Arc::new(ArcSwap::from_pointee(server_config(&files)?));
        Ok(Self { files, config })
    }

    /// What the next connection is set up from.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        self.config.load_full()
    }

    /// The same for a server that knows HTTP/1.1 alone.
    pub fn config_of_http1(&self) -> Arc<ServerConfig> {
        let mut config = ServerConfig::clone(&self.config());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Arc::new(config)
    }

    /// Reads the files again whenever they change, until `shutdown`: new connections get the new certificate, open ones
    /// go on. Files that cannot be used are told of, and the last good ones stay in force.
    pub async fn follow(self, shutdown: CancellationToken) {
        let mut seen = self.stamps();
        let mut interval = tokio::time::interval(INTERVAL);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = interval.tick() => {}
            }
            let now = self.stamps();
            if now == seen {
                continue;
            }
            seen = now;
            match server_config(&self.files) {
                Ok(config) => {
                    self.config.store(Arc::new(config));
                    tracing::info!(certificate = %self.files.certificate.display(), "a new certificate is in force");
                }
                Err(error) => {
                    tracing::error!(%error, "the new certificate cannot be used: the last one stays in force");
                }
            }
        }
    }

    fn stamps(&self) -> Vec<Option<(SystemTime, u64)>> {
        let TlsFiles { certificate, key, client_ca } = &self.files;
        let stamp = |file: &PathBuf| {
            let found = std::fs::metadata(file).ok()?;
            Some((found.modified().ok()?, found.len()))
        };
        [certificate, key].into_iter().chain(client_ca).map(stamp).collect()
    }
}

fn bind(address: SocketAddr, shared: bool) -> io::Result<std::net::TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    if shared {
        socket.set_reuseport(true)?;
    }
    socket.bind(address)?;
    // Into the runtime of its shard it goes later.
    socket.listen(BACKLOG)?.into_std()
}

fn server_config(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let TlsFiles { certificate, key, client_ca } = files;
    let unfit = |fault: String| TlsError::Unfit { certificate: certificate.clone(), key: key.clone(), fault };
    let chain = certificates(certificate)?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| file(key, error.to_string()))?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| unfit(error.to_string()))?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            for root in certificates(ca)? {
                roots.add(root).map_err(|error| file(ca, error.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| file(ca, error.to_string()))?)
        }
    };
    let mut config = builder.with_single_cert(chain, private).map_err(|error| unfit(error.to_string()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_file_iter(path).map_err(|error| file(path, error.to_string()))?;
    let found: Vec<_> = found.collect::<Result<_, _>>().map_err(|error| file(path, error.to_string()))?;
    if found.is_empty() { Err(file(path, "it holds no certificate in PEM".to_owned())) } else { Ok(found) }
}

fn file(path: &Path, fault: String) -> TlsError {
    TlsError::File { file: path.to_owned(), fault }
}
