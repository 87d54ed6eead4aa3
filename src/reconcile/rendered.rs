//! What was rendered for a revision, read back from the ControllerRevision that keeps it.

use k8s_openapi::api::apps::v1::ControllerRevision;

use super::{
    error::Error,
    index::{Index, Watched},
};
use crate::desired::Rendered;

/// What an earlier reconciliation, maybe of an earlier version of Warren, rendered and kept under `name`; none when there
/// is none.
///
/// # Errors
/// When what is kept cannot be read.
pub(super) fn kept(index: &Index, namespace: &str, name: &str) -> Result<Option<Rendered>, Error> {
    let kept = ControllerRevision::named(index, namespace, name);
    let Some(data) = kept.and_then(|kept| kept.data.clone()) else { return Ok(None) };
    serde_json::from_value(data.0).map(Some).map_err(|error| Error::Rendered(name.to_owned(), error))
}
