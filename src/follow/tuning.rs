//! The document with a proxy's settings: read at the start, and again when its file changes. What it says is judged by
//! `tuning`; whoever takes it keeps the last good one.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::{Error, read::Seen};
use crate::tuning::{Tuning, digest};

/// How often the file is compared with what it held.
const INTERVAL: Duration = Duration::from_secs(1);

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
    pub async fn follow(mut self, mut take: impl FnMut(Result<Document, Error>), shutdown: CancellationToken) {
        let mut interval = tokio::time::interval(INTERVAL);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = interval.tick() => {}
            }
            let file = self.file.clone();
            let looked = tokio::task::spawn_blocking(move || {
                let read = self.seen.changed().then(|| self.read());
                (self, read)
            });
            let read;
            // If the looking itself panicked, nothing is known of the file: it is read at the next turn.
            (self, read) = looked.await.unwrap_or_else(|_| (Self::new(file), None));
            if let Some(read) = read {
                take(read);
            }
        }
    }
}

fn document(file: &Path, bytes: &[u8]) -> Result<Document, Error> {
    let text = String::from_utf8_lossy(bytes);
    let tuning = Tuning::read(&text).map_err(|fault| Error::Tuning { file: file.to_owned(), fault })?;
    Ok(Document { digest: digest(&text), tuning })
}
