//! The certificates that a proxy shows: one to clients, one at the admin port, one at the port for events.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use crate::proxy::{Tls, TlsFiles};

/// Where they are. Each is read again when it changes.
#[derive(Debug, Args)]
#[group(id = "certificates")]
pub(super) struct Arguments {
    /// Certificate for clients, in PEM, with those between it and its CA: clients then connect by https, with HTTP/1.1
    /// or HTTP/2. Read again when it changes.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key of --tls-cert, in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// CA that clients' certificates must chain up to; clients without one are refused.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_client_ca: Option<PathBuf>,
    /// Certificate of the admin port, in PEM, with those between it and its CA: it then speaks HTTPS alone. Read again when it
    /// changes.
    #[arg(long, value_name = "FILE", requires = "admin_tls_key")]
    admin_tls_cert: Option<PathBuf>,
    /// Private key of --admin-tls-cert, in PEM.
    #[arg(long, value_name = "FILE", requires = "admin_tls_cert")]
    admin_tls_key: Option<PathBuf>,
    /// Certificate of --listen-events, in PEM, with those between it and its CA: coordinators may then tell by https, or go on in
    /// plain HTTP. Read again when it changes.
    #[arg(long, value_name = "FILE", requires = "events_tls_key", env = "WARREN_EVENTS_TLS_CERT")]
    events_tls_cert: Option<PathBuf>,
    /// Private key of --events-tls-cert, in PEM.
    #[arg(long, value_name = "FILE", requires = "events_tls_cert", env = "WARREN_EVENTS_TLS_KEY")]
    events_tls_key: Option<PathBuf>,
}

impl Arguments {
    /// What clients are shown.
    ///
    /// # Errors
    /// When the files cannot be used, as with the next two.
    pub(super) fn for_clients(&self) -> anyhow::Result<Option<Tls>> {
        let tls = read(self.tls_cert.as_ref(), self.tls_key.as_ref(), self.tls_client_ca.as_ref());
        tls.context("TLS for clients cannot be set up")
    }

    /// What the admin port shows.
    pub(super) fn for_admins(&self) -> anyhow::Result<Option<Tls>> {
        let tls = read(self.admin_tls_cert.as_ref(), self.admin_tls_key.as_ref(), None);
        tls.context("TLS of the admin port cannot be set up")
    }

    /// What the port for events shows.
    pub(super) fn for_events(&self) -> anyhow::Result<Option<Tls>> {
        let tls = read(self.events_tls_cert.as_ref(), self.events_tls_key.as_ref(), None);
        tls.context("TLS of the port for events cannot be set up")
    }
}

fn read(
    certificate: Option<&PathBuf>,
    key: Option<&PathBuf>,
    client_ca: Option<&PathBuf>,
) -> anyhow::Result<Option<Tls>> {
    let (Some(certificate), Some(key)) = (certificate.cloned(), key.cloned()) else { return Ok(None) };
    Ok(Some(Tls::read(TlsFiles { certificate, key, client_ca: client_ca.cloned() })?))
}
