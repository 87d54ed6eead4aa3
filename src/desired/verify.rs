//! What a cluster shows before it takes queries, read from its spec.

use std::time::Duration;

use super::{
    catalogs,
    cluster::worker_replicas,
    duration::{InvalidField, duration_field},
};
use crate::api::{TrinoClusterSpec, Verify};

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(120);

/// Who runs verification queries where the spec names nobody.
pub const DEFAULT_USER: &str = "warren-verify";

/// The verification of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyTerms {
    /// Number of workers that are to join.
    pub workers: usize,
    /// Catalogs that are to be there.
    pub catalogs: Vec<String>,
    /// After this time, what is wrong needs somebody's help.
    pub timeout: Duration,
    /// What must be answered besides.
    pub queries: Vec<String>,
    /// Who asks.
    pub user: String,
}

/// What the cluster shows before it takes queries.
///
/// # Errors
/// When the duration is none; the message names the field.
pub fn verify_terms(spec: &TrinoClusterSpec) -> Result<VerifyTerms, InvalidField> {
    let Verify { queries, user, timeout } = spec.verify.clone().unwrap_or_default();
    let timeout = duration_field("verify.timeout", timeout.as_deref(), DEFAULT_TIMEOUT)?;
    let catalogs = catalogs::all(spec).iter().map(|catalog| catalog.name.to_owned()).collect();
    let workers = usize::try_from(worker_replicas(spec)).unwrap_or(0);
    let user = user.unwrap_or_else(|| DEFAULT_USER.to_owned());
    Ok(VerifyTerms { workers, catalogs, timeout, queries, user })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_terms_are_what_the_spec_says_or_the_defaults() {
        let spec = "{version: '476', workers: {replicas: 3}, catalogs: {inline: {tpch: {connector.name: tpch}}}}";
        let terms = verify_terms(&serde_saphyr::from_str(spec).expect("a spec")).expect("no duration is wrong");
        let VerifyTerms { workers, catalogs, timeout, queries, user } = terms;
        assert_eq!((workers, catalogs, timeout.as_secs()), (3, vec!["tpch".to_owned()], 120));
        assert_eq!((queries.len(), user.as_str()), (0, "warren-verify"));
        let own = "{version: '476', verify: {queries: [SELECT 1], user: ann, timeout: 5m}}";
        let terms = verify_terms(&serde_saphyr::from_str(own).expect("a spec")).expect("no duration is wrong");
        assert_eq!(
            (terms.queries, terms.user.as_str(), terms.timeout.as_secs()),
            (vec!["SELECT 1".into()], "ann", 300)
        );
    }
}
