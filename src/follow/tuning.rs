//! The document with a proxy's settings: read at the start, and again when its file changes. What it says is judged by
//! `tuning`; whoever takes it keeps the last good one.

use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::{Error, each, read::Seen};
use crate::tuning::{Tuning, digest};

/// A document as it was read.
#[derive(Clone, Debug)]
pub struct Document {
    /// Digest of its text.
    pub digest: String,
    /// What it says.
    pub tuning: Tuning,
}

/// A file with such a document.
#[derive(Debug)]
pub struct DocumentFile {
    file: PathBuf,
    seen: Seen,
}

impl DocumentFile {
    /// The file; nothing was read of it yet.
    pub fn new(file: PathBuf) -> Self {
        Self { file, seen: Seen::default() }
    }

    /// Reads it.
    ///
    /// # Errors
    /// When it cannot be read, or says what cannot be; the message names file and key.
    pub fn read(&mut self) -> Result<Document, Error> {
        self.seen = Seen::default();
        let bytes = self.seen.read(&self.file)?;
        document(&self.file, &bytes)
    }

    /// Gives `take` what the file says each time that it changed, until `shutdown`.
    pub async fn follow(mut self, take: impl FnMut(Result<Document, Error>), shutdown: CancellationToken) {
        each::second(move || self.seen.changed().then(|| self.read()), take, shutdown).await;
    }
}

fn document(file: &Path, bytes: &[u8]) -> Result<Document, Error> {
    let text = String::from_utf8_lossy(bytes);
    let tuning = Tuning::read(&text).map_err(|fault| Error::Tuning { file: file.to_owned(), fault })?;
    Ok(Document { digest: digest(&text), tuning })
}
