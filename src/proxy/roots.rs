//! A CA of the proxy's own, by which it trusts coordinators besides those that the table names; replaced when its file changes.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use tokio_util::sync::CancellationToken;

use super::TlsError;

/// How often the file is looked at: Kubernetes updates a mounted Secret about once a minute.
const INTERVAL: Duration = Duration::from_secs(5);

/// CA certificates in a file, the newest that could be used. Clones share them.
#[derive(Clone, Debug)]
pub struct Roots {
    file: PathBuf,
    pem: Arc<ArcSwap<String>>,
}

impl Roots {
    /// Reads `file`, which is in PEM.
    ///
    /// # Errors
    /// When it cannot be read, or holds no certificate.
    pub fn read(file: PathBuf) -> Result<Self, TlsError> {
        let pem = Arc::new(ArcSwap::from_pointee(read(&file)?));
        Ok(Self { file, pem })
    }

    /// The certificates, in PEM.
    pub(super) fn pem(&self) -> Arc<String> {
        self.pem.load_full()
    }

    /// Reads the file again and again until `shutdown`: new connections trust what stands there then. A file that cannot be
    /// used is told of, and the last good one counts.
    pub async fn follow(self, shutdown: CancellationToken) {
        let mut interval = tokio::time::interval(INTERVAL);
        let mut told = String::new();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = interval.tick() => {}
            }
            match read(&self.file) {
                Ok(pem) if pem == **self.pem.load() => told.clear(),
                Ok(pem) => {
                    self.pem.store(Arc::new(pem));
                    tracing::info!(ca = %self.file.display(), "coordinators are trusted by a new CA");
                    told.clear();
                }
                Err(error) if error.to_string() == told => {}
                Err(error) => {
                    tracing::error!(%error, "the CA for coordinators cannot be used: the last one stays in force");
                    told = error.to_string();
                }
            }
        }
    }
}

fn read(file: &Path) -> Result<String, TlsError> {
    let fault = |fault: String| TlsError::File { file: file.to_owned(), fault };
    let pem = std::fs::read_to_string(file).map_err(|error| fault(error.to_string()))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match found {
        Err(error) => Err(fault(error.to_string())),
        Ok(found) if found.is_empty() => Err(fault("it holds no certificate in PEM".to_owned())),
        Ok(_) => Ok(pem),
    }
}
