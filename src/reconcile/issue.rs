//! Makes keys and certificates of Warren's own CA. Where they go is not for this file; no key is logged.

use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};
use time::OffsetDateTime;

use crate::desired::{
    authority::{Authority, CA_LIFE},
    certificate::{BACKDATED, Certificate, Unreadable},
};

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// It cannot be made.
    #[error("a certificate cannot be made: {0}")]
    Make(#[from] rcgen::Error),
    /// What was made cannot be read.
    #[error("a certificate that was just made is wrong: {0}")]
    Read(#[from] Unreadable),
    /// The clock is beyond what certificates know.
    #[error("it is {0}, and no certificate can be made for that time")]
    Clock(Timestamp),
}

/// A certificate with its key, both in PEM.
pub(super) struct Issued {
    pub(super) certificate: String,
    pub(super) key: String,
}

/// A new CA, valid from now on.
pub(super) fn authority(now: Timestamp) -> Result<Authority, IssueError> {
    let id = hex::encode(rand::random::<[u8; 4]>());
    let mut params = params(Vec::new(), now, CA_LIFE, None)?;
    // Each has a name of its own, so that who reads a certificate sees which one issued it.
    params.distinguished_name.push(DnType::CommonName, format!("Warren CA {id}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = params.self_signed(&key)?.pem();
    let says = Certificate::read(&certificate)?;
    Ok(Authority { id, certificate, key: key.serialize_pem(), says })
}

/// A certificate of a server with these names, signed by `signer`, beyond whose end it does not last.
pub(super) fn leaf(signer: &Authority, names: &[String], life: Duration, now: Timestamp) -> Result<Issued, IssueError> {
    let issuer = Issuer::from_ca_cert_pem(&signer.certificate, KeyPair::from_pem(&signer.key)?)?;
    let mut params = params(names.to_vec(), now, life, Some(signer.says.not_after))?;
    let name = names.first().map(String::as_str).unwrap_or_default();
    // A common name has 64 characters at most; nobody looks at it.
    params.distinguished_name.push(DnType::CommonName, name.chars().take(64).collect::<String>());
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    Ok(Issued { certificate: params.signed_by(&key, &issuer)?.pem(), key: key.serialize_pem() })
}

fn params(
    names: Vec<String>,
    now: Timestamp,
    life: Duration,
    end: Option<Timestamp>,
) -> Result<CertificateParams, IssueError> {
    let time = |timestamp: Timestamp| {
        OffsetDateTime::from_unix_timestamp(timestamp.as_second()).map_err(|_| IssueError::Clock(now))
    };
    let until = now.checked_add(life).map_err(|_| IssueError::Clock(now))?;
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.not_before = time(now.checked_sub(BACKDATED).map_err(|_| IssueError::Clock(now))?)?;
    params.not_after = time(end.map_or(until, |end| until.min(end)))?;
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::certificate::fault;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).expect("in range")
    }

    #[test]
    fn a_certificate_is_trusted_for_its_names_and_its_time_by_its_own_ca_alone() {
        let (ca, other) = (authority(at(0)).expect("a CA"), authority(at(0)).expect("a CA"));
        let names = ["blue-coordinator.trino.svc".to_owned(), "localhost".to_owned()];
        let leaf = leaf(&ca, &names, Duration::from_secs(3600), at(0)).expect("a certificate");
        let fault = |ca: &Authority, name: &str, when| fault(&leaf.certificate, &ca.certificate, name, at(when));
        for name in &names {
            assert_eq!(fault(&ca, name, 1), None);
        }
        let words = |fault: Option<String>| fault.expect("a fault");
        assert!(words(fault(&ca, "green-coordinator.trino.svc", 1)).contains("not valid for name"));
        assert!(words(fault(&ca, "localhost", 3601)).contains("expired"));
        assert!(words(fault(&ca, "localhost", -301)).contains("not valid yet"));
        assert!(words(fault(&other, "localhost", 1)).contains("UnknownIssuer"));
        let says = Certificate::read(&leaf.certificate).expect("readable");
        assert_eq!((says.made_at(), says.renew_at(), says.not_after), (at(0), at(2400), at(3600)));
        assert_eq!(says.issuer, ca.says.subject);
    }

    #[test]
    fn a_certificate_does_not_outlast_its_ca() {
        let ca = authority(at(0)).expect("a CA");
        let late = i64::try_from(CA_LIFE.as_secs()).expect("small") - 60;
        let leaf = leaf(&ca, &["localhost".to_owned()], Duration::from_secs(3600), at(late)).expect("a certificate");
        assert_eq!(Certificate::read(&leaf.certificate).expect("readable").not_after, ca.says.not_after);
    }
}
