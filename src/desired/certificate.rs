//! What a certificate says, and whether it is to be trusted: pure, the time is given. Keys are looked at by nobody here.

use std::{sync::Arc, time::Duration};

use k8s_openapi::jiff::Timestamp;
use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    crypto::ring,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
};
use x509_parser::parse_x509_certificate;

/// Certificates of Warren's own begin so long before they are made: clocks differ.
pub const BACKDATED: Duration = Duration::from_secs(300);

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Serial number, in hexadecimal digits.
    pub serial: String,
    /// Whose it is.
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
}

/// The text is no certificate in PEM.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it holds no certificate in PEM: {0}")]
pub struct Unreadable(String);

impl Certificate {
    /// The first certificate of a text in PEM.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn read(pem: &str) -> Result<Self, Unreadable> {
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| Unreadable(error.to_string()))?;
        let (_, parsed) = parse_x509_certificate(&der).map_err(|error| Unreadable(error.to_string()))?;
        let time = |seconds: i64| Timestamp::from_second(seconds).map_err(|error| Unreadable(error.to_string()));
        Ok(Self {
            serial: hex::encode(parsed.raw_serial()),
            subject: parsed.subject().to_string(),
            issuer: parsed.issuer().to_string(),
            not_before: time(parsed.validity().not_before.timestamp())?,
            not_after: time(parsed.validity().not_after.timestamp())?,
        })
    }

    /// When one that Warren made is renewed: at two thirds of its life.
    pub fn renew_at(&self) -> Timestamp {
        let made = self.made_at();
        let life = self.not_after.as_second() - made.as_second();
        Timestamp::from_second(made.as_second() + life / 3 * 2).unwrap_or(made)
    }

    /// When one of a CA begins its last twentieth, in which it signs for nobody who could do with a newer one.
    pub fn leaves_at(&self) -> Timestamp {
        let life = self.not_after.as_second() - self.made_at().as_second();
        Timestamp::from_second(self.not_after.as_second() - life / 20).unwrap_or(self.not_after)
    }

    /// When one that Warren made was made.
    pub fn made_at(&self) -> Timestamp {
        self.not_before.checked_add(BACKDATED).unwrap_or(self.not_before)
    }
}

/// Why a client that trusts `ca` and asks for `name` would refuse `chain` now, both in PEM; none if it would not. In the words
/// that clients get.
pub fn fault(chain: &str, ca: &str, name: &str, now: Timestamp) -> Option<String> {
    verify(chain, ca, name, now).err()
}

fn verify(chain: &str, ca: &str, name: &str, now: Timestamp) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    for root in certificates(ca)? {
        roots.add(root).map_err(|error| format!("the CA certificate cannot be used: {error}"))?;
    }
    if roots.is_empty() {
        return Err("there is no CA certificate".to_owned());
    }
    let chain = certificates(chain)?;
    let Some((leaf, intermediates)) = chain.split_first() else { return Err("there is no certificate".to_owned()) };
    let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(ring::default_provider()));
    let verifier = builder.build().map_err(|error| format!("the CA certificate cannot be used: {error}"))?;
    let name = ServerName::try_from(name).map_err(|_| format!("{name:?} is no name of a host"))?;
    let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now.as_second()).unwrap_or(0)));
    let outcome = verifier.verify_server_cert(leaf, intermediates, &name, &[], now);
    outcome.map(|_| ()).map_err(|error| error.to_string())
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    read.map_err(|error| format!("a certificate cannot be read: {error}"))
}
