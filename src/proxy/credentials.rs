//! By what the proxy asks clusters, for what it asks by itself: files of a directory, read again and again. No request of a client
//! ever gets one of them.

use std::{collections::HashMap, fs, io, path::Path, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{fleet::Fleet, gateway::Gateway};
use crate::{routing::Credential, trino::ClusterName};

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// The most bytes of a file.
const LONGEST: u64 = 4096;

/// What is known, by the name of the file.
pub(super) type Known = HashMap<String, Credential>;

/// Gives each cluster its own.
pub(super) fn hand_out(known: &Known, fleet: &Fleet) {
    for backend in fleet.backends() {
        let own = known.get(&Credential::file_name(&backend.name));
        backend.set_credential(own.filter(|own| own.is_for(backend.address())));
    }
}

/// Reads `directory` again and again until `shutdown`. One that cannot be read changes nothing.
pub(super) async fn follow(gateway: &Gateway, directory: &Path, shutdown: CancellationToken) {
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = interval.tick() => {}
        }
        match read(directory) {
            Ok(known) if known != **gateway.credentials.load() => {
                tracing::info!(clusters = known.len(), "credentials for clusters were read");
                gateway.credentials.store(known.into());
                if let Some(fleet) = gateway.fleet() {
                    hand_out(&gateway.credentials.load(), &fleet);
                }
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(directory = %directory.display(), %error, "no credentials can be read"),
        }
    }
}

fn read(directory: &Path) -> io::Result<Known> {
    let mut known = Known::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let Some(name) = entry.file_name().to_str().and_then(cluster_file) else { continue };
        // A mount's files are symbolic links.
        let file = entry.path();
        if fs::metadata(&file)?.len() > LONGEST {
            continue;
        }
        if let Some(credential) = Credential::read(&fs::read(&file)?) {
            known.insert(name, credential);
        } else {
            tracing::warn!(file = %file.display(), "this is no credential: write user:password into it");
        }
    }
    Ok(known)
}

/// The name of a cluster's file; none for other files.
fn cluster_file(name: &str) -> Option<String> {
    let cluster: ClusterName = name.strip_prefix("cluster.")?.parse().ok()?;
    Some(Credential::file_name(&cluster))
}
