//! The credentials by which the proxy asks a cluster questions of its own: its query, and how many it has. What clients send
//! is none of this, and nothing of it is sent for them.

use std::path::Path;

use http::HeaderValue;
use http::uri::Scheme;

use super::{Settings, backend::Backend};
use crate::routing::{Address, CheckCredentials};

/// The most bytes of a file that are looked at.
const MAX_FILE: usize = 64 * 1024;

/// The `Authorization` of questions to `backend`; none if it has no credentials. Read each time, so that renewed ones take
/// effect by themselves.
pub(super) async fn of(backend: &Backend, settings: &Settings) -> Option<HeaderValue> {
    let directory = settings.credentials_dir.as_deref()?;
    // They would be there for all to read on their way.
    if *backend.address().scheme() != Scheme::HTTPS {
        return None;
    }
    let found = read(&directory.join(CheckCredentials::file_name(&backend.name))).await?;
    let at: Address = found.url.parse().ok()?;
    if at != *backend.address() {
        return None;
    }
    let mut value = HeaderValue::try_from(found.authorization).ok()?;
    value.set_sensitive(true);
    Some(value)
}

async fn read(file: &Path) -> Option<CheckCredentials> {
    let bytes = tokio::fs::read(file).await.ok().filter(|bytes| bytes.len() <= MAX_FILE)?;
    let found = serde_json::from_slice(&bytes);
    if found.is_err() {
        // Of what stands there nothing is told.
        tracing::warn!(file = %file.display(), "credentials for checks cannot be read");
    }
    found.ok()
}
