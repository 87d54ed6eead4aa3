//! By what a proxy asks clusters: files `cluster.<name>` of a directory, read when one of them changed. What they hold is in no
//! message.

use std::{
    collections::{BTreeSet, HashMap},
    fs, io,
    path::{Path, PathBuf},
};

use tokio_util::sync::CancellationToken;

use super::{Error, each, read::Seen};
use crate::{routing::Credential, trino::ClusterName};

/// The most bytes of a file: a token may be long, and no server takes one of this length in a header.
const LIMIT: u64 = 64 * 1024;

/// By what each cluster is asked.
pub type Credentials = HashMap<ClusterName, Credential>;

/// Gives `take` what the files of `directory` hold, at once and each time that it changed, until `shutdown`. A file that cannot
/// be used is told once; its cluster keeps what it had.
pub async fn follow_credentials(directory: PathBuf, mut take: impl FnMut(Credentials), shutdown: CancellationToken) {
    let mut files = Files::new(directory);
    let take = move |Found { known, faults }: Found| {
        for error in faults {
            tracing::warn!(error = error.chain(), "a credential cannot be used; its cluster keeps what it had");
        }
        if let Some(known) = known {
            tracing::info!(clusters = known.len(), "credentials for clusters were read");
            take(known);
        }
    };
    each::second(move || files.look(), take, shutdown).await;
}

/// The directory, as it was seen.
struct Files {
    directory: PathBuf,
    /// Whose files there were; none before the first look.
    names: Option<Result<BTreeSet<ClusterName>, io::ErrorKind>>,
    seen: Seen,
    known: Credentials,
}

/// What a look found.
struct Found {
    /// What is known now, if that is something else than before.
    known: Option<Credentials>,
    /// What cannot be used.
    faults: Vec<Error>,
}

impl Files {
    fn new(directory: PathBuf) -> Self {
        Self { directory, names: None, seen: Seen::up_to(LIMIT), known: Credentials::new() }
    }

    /// What is there; none if that is what was there the last time.
    fn look(&mut self) -> Option<Found> {
        let listed = names(&self.directory);
        let names = listed.as_ref().map(Clone::clone).map_err(io::Error::kind);
        let same = self.names.as_ref() == Some(&names);
        if same && (names.as_ref().map_or(true, BTreeSet::is_empty) || !self.seen.changed()) {
            return None;
        }
        let (mut seen, mut known, mut faults) = (Seen::up_to(LIMIT), Credentials::new(), Vec::new());
        match listed {
            Ok(clusters) => {
                for cluster in clusters {
                    let read = read(&self.directory.join(Credential::file_name(&cluster)), &mut seen);
                    let credential = read.map_err(|fault| faults.push(fault)).ok();
                    if let Some(credential) = credential.or_else(|| self.known.get(&cluster).cloned()) {
                        known.insert(cluster, credential);
                    }
                }
            }
            // A directory that cannot be read changes nothing.
            Err(source) => {
                faults.push(Error::Read { file: self.directory.clone(), source });
                known.clone_from(&self.known);
            }
        }
        (self.names, self.seen) = (Some(names), seen);
        let changed = known != self.known;
        self.known.clone_from(&known);
        Some(Found { known: changed.then_some(known), faults })
    }
}

/// The clusters that have a file.
fn names(directory: &Path) -> io::Result<BTreeSet<ClusterName>> {
    let mut clusters = BTreeSet::new();
    for entry in fs::read_dir(directory)? {
        clusters.extend(entry?.file_name().to_str().and_then(Credential::cluster_of));
    }
    Ok(clusters)
}

fn read(file: &Path, seen: &mut Seen) -> Result<Credential, Error> {
    let bytes = seen.read(file)?;
    Credential::read(&bytes).ok_or_else(|| Error::NoCredential { file: file.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of its own, removed at the end.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("warren-credentials-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.0.join(name), text).unwrap();
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// What a look found: the files of what is known, by cluster, and the faults.
    fn looked(files: &mut Files) -> Option<(Vec<String>, Vec<String>)> {
        let Found { known, faults } = files.look()?;
        let mut known: Vec<_> = known
            .into_iter()
            .flatten()
            .map(|(cluster, credential)| format!("{cluster}={}", credential.to_file()))
            .collect();
        known.sort_unstable();
        Some((known, faults.iter().map(Error::chain).collect()))
    }

    #[test]
    fn files_are_read_when_one_changed_comes_or_goes() {
        let directory = Directory::new("changes");
        let mut files = Files::new(directory.0.clone());
        assert_eq!(looked(&mut files), Some((vec![], vec![])));
        assert_eq!(looked(&mut files), None);
        directory.write("admin-token", "a:b");
        directory.write("cluster.Not A Name", "a:b");
        assert_eq!(looked(&mut files), None, "only clusters' files count");
        let token = format!(r#"{{"url":"https://b","authorization":"Bearer {}"}}"#, "x".repeat(20_000));
        directory.write("cluster.blue", "warren:one\n");
        directory.write("cluster.green", &token);
        let both = |blue: &str| vec![format!("blue={blue}"), format!("green={token}")];
        assert_eq!(looked(&mut files), Some((both("warren:one"), vec![])));
        assert_eq!(looked(&mut files), None);
        directory.write("cluster.blue", "warren:two\n");
        assert_eq!(looked(&mut files), Some((both("warren:two"), vec![])));
        fs::remove_file(directory.0.join("cluster.green")).unwrap();
        assert_eq!(looked(&mut files), Some((vec!["blue=warren:two".to_owned()], vec![])));
    }

    #[test]
    fn what_cannot_be_used_is_told_once_and_changes_nothing() {
        let directory = Directory::new("faults");
        let mut files = Files::new(directory.0.clone());
        directory.write("cluster.blue", "warren:one");
        assert_eq!(looked(&mut files).unwrap().0, ["blue=warren:one"]);
        for (text, fault) in [
            ("no credential".to_owned(), "write user:password into it, or JSON with url and authorization"),
            ("x".repeat(70_000), "cluster.blue: it is over 65536 bytes"),
        ] {
            directory.write("cluster.blue", &text);
            let (known, faults) = looked(&mut files).unwrap();
            assert!(known.is_empty() && faults.len() == 1, "{known:?} {faults:?}");
            assert!(faults[0].contains(fault) && faults[0].contains("cluster.blue"), "{faults:?}");
            assert_eq!(looked(&mut files), None);
        }
        directory.write("cluster.blue", "warren:two");
        assert_eq!(looked(&mut files).unwrap().0, ["blue=warren:two"]);
        fs::rename(&directory.0, directory.0.with_extension("away")).unwrap();
        let (known, faults) = looked(&mut files).unwrap();
        assert!(known.is_empty() && faults[0].contains("it cannot be read"), "{faults:?}");
        assert_eq!(looked(&mut files), None);
        fs::rename(directory.0.with_extension("away"), &directory.0).unwrap();
        assert_eq!(looked(&mut files), Some((vec![], vec![])), "it is what was known");
    }
}
