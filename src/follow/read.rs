//! Files, read whole and bounded, and watched by what they hold: a mount is swapped by symbolic links, and an editor
//! may leave size and time as they were, so only the bytes themselves tell a change.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use super::Error;

/// The most bytes that are read of one file: 64 MiB of JSON is far more than any table.
const LIMIT: u64 = 64 * 1024 * 1024;

/// Files that were read, by what they held then.
#[derive(Debug)]
pub(super) struct Seen {
    files: Vec<(PathBuf, Option<[u8; 32]>)>,
    limit: u64,
}

impl Default for Seen {
    fn default() -> Self {
        Self::up_to(LIMIT)
    }
}

impl Seen {
    /// None yet; of each, so many bytes are read at most.
    pub(super) fn up_to(limit: u64) -> Self {
        Self { files: Vec::new(), limit }
    }

    /// Reads `file` and remembers what it held.
    ///
    /// # Errors
    /// When it cannot be read, or is too long.
    pub(super) fn read(&mut self, file: &Path) -> Result<Vec<u8>, Error> {
        let content = read(file, self.limit);
        let digest = content.as_ref().ok().map(|bytes| Sha256::digest(bytes).into());
        self.files.push((file.to_owned(), digest));
        content
    }

    /// As [`Seen::read`], but an absent file is `None`.
    ///
    /// # Errors
    /// When it is there and cannot be read, or is too long.
    pub(super) fn read_if_there(&mut self, file: &Path) -> Result<Option<Vec<u8>>, Error> {
        match self.read(file) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Error::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a file now holds something else than when it was read; true before anything was read.
    pub(super) fn changed(&self) -> bool {
        self.files.is_empty()
            || self.files.iter().any(|(file, digest)| {
                let now: Option<[u8; 32]> = read(file, self.limit).ok().map(|bytes| Sha256::digest(bytes).into());
                now != *digest
            })
    }
}

fn read(file: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::Read { file: file.to_owned(), source };
    let mut bytes = Vec::new();
    File::open(file).map_err(failed)?.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(Error::TooLong { file: file.to_owned(), limit });
    }
    Ok(bytes)
}
