//! The operator's ConfigMap: its mounted directory first, so that a restart survives an outage of the API, then a watch of
//! that one object, which is faster. Once the watch has delivered a good table, the mount is not looked at again: which of the
//! two is newer cannot be told, and the mount is fed by the same API.

use std::{path::PathBuf, pin::Pin, time::Duration};

use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client, runtime::watcher};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Error, Publisher, read::Seen};
use crate::routing::{
    RoutingTable,
    codec::{TABLE_GZIP_KEY, TABLE_KEY},
};

/// How often the mount is compared with what it held, until the watch has delivered.
const MOUNT_INTERVAL: Duration = Duration::from_secs(1);

/// The first pause after a failure of the watch; it doubles up to [`MAX_PAUSE`], each with up to half of it on top.
const MIN_PAUSE: Duration = Duration::from_millis(500);

/// The longest pause after a failure of the watch.
const MAX_PAUSE: Duration = Duration::from_secs(20);

/// Where the operator's table is.
#[derive(Clone, Debug)]
pub struct ConfigMapSource {
    /// Namespace of the ConfigMap.
    pub namespace: String,
    /// Name of the ConfigMap. The reader needs `list` and `watch` of this one.
    pub name: String,
    /// Where it is mounted too, if it is.
    pub directory: Option<PathBuf>,
}

/// A client of the Kubernetes API, by the pod's service account or a kubeconfig. It does not talk to the API yet.
///
/// # Errors
/// When there is neither.
pub async fn connect() -> Result<Client, Error> {
    Client::try_default().await.map_err(|error| Error::Kubernetes(Box::new(error)))
}

/// Puts the table of `source` into force through `publisher`, and each later one, until `shutdown`.
pub async fn follow_config_map(
    source: ConfigMapSource,
    client: Client,
    mut publisher: Publisher,
    shutdown: CancellationToken,
) {
    let origin = format!("ConfigMap {}/{}", source.namespace, source.name);
    let api = Api::<ConfigMap>::namespaced(client, &source.namespace);
    let mut watch = Watch::new(watcher::watch_object(api, &source.name));
    let mut mount = source.directory.map(Mount::new);
    let mut interval = tokio::time::interval(MOUNT_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            // In this order: the first tick comes at once, and the mount is to be read before the API is asked.
            biased;
            () = shutdown.cancelled() => return,
            _ = interval.tick(), if mount.is_some() => {
                if let Some(table) = read_again(&mut mount).await {
                    let origin = mount.as_ref().map(|mount| mount.directory.display().to_string());
                    publisher.offer(&origin.unwrap_or_default(), table);
                }
            }
            event = watch.next() => match event {
                Some(Ok(Some(object))) => {
                    watch.works();
                    if publisher.offer(&origin, decode(&origin, &object)) {
                        mount = None;
                    }
                }
                Some(Ok(None)) => {
                    watch.works();
                    tracing::warn!(origin, "it does not exist; the routing table in force stays");
                }
                Some(Err(error)) => watch.failed(&origin, &error),
                // A watch begins again by itself; should it ever end, nothing is left to follow.
                None => return shutdown.cancelled().await,
            }
        }
    }
}

/// The watch of one object, with pauses after its failures.
struct Watch<S> {
    events: Pin<Box<S>>,
    pause: Duration,
    not_before: Option<Instant>,
}

impl<S: Stream<Item = watcher::Result<Option<ConfigMap>>>> Watch<S> {
    fn new(events: S) -> Self {
        Self { events: Box::pin(events), pause: MIN_PAUSE, not_before: None }
    }

    /// The next event, not before the pause is over. Dropping it loses nothing.
    async fn next(&mut self) -> Option<S::Item> {
        if let Some(instant) = self.not_before {
            tokio::time::sleep_until(instant).await;
        }
        self.events.next().await
    }

    fn works(&mut self) {
        self.pause = MIN_PAUSE;
        self.not_before = None;
    }

    fn failed(&mut self, origin: &str, error: &watcher::Error) {
        let pause = self.pause.mul_f64(1.0 + rand::random::<f64>() / 2.0);
        tracing::warn!(origin, %error, ?pause, "the watch failed; the routing table in force stays");
        self.not_before = Some(Instant::now() + pause);
        self.pause = (self.pause * 2).min(MAX_PAUSE);
    }
}

/// The ConfigMap as the kubelet mounts it.
struct Mount {
    directory: PathBuf,
    seen: Seen,
}

impl Mount {
    fn new(directory: PathBuf) -> Self {
        Self { directory, seen: Seen::default() }
    }

    /// The table, if a file changed since the last time; in a blocking thread.
    fn read(mut self) -> (Self, Option<Result<RoutingTable, Error>>) {
        if !self.seen.changed() {
            return (self, None);
        }
        self.seen = Seen::default();
        let json = self.seen.read_if_there(&self.directory.join(TABLE_KEY));
        let gzip = self.seen.read_if_there(&self.directory.join(TABLE_GZIP_KEY));
        let table = json.and_then(|json| {
            let gzip = gzip?;
            RoutingTable::decode(json.as_deref(), gzip.as_deref())
                .map_err(|fault| Error::Table { origin: self.directory.display().to_string(), fault })
        });
        (self, Some(table))
    }
}

async fn read_again(mount: &mut Option<Mount>) -> Option<Result<RoutingTable, Error>> {
    let reading = mount.take()?;
    let directory = reading.directory.clone();
    match tokio::task::spawn_blocking(move || reading.read()).await {
        Ok((read, table)) => {
            *mount = Some(read);
            table
        }
        // The reading itself panicked: nothing is known of the files, so all are read at the next turn.
        Err(_) => {
            *mount = Some(Mount::new(directory));
            None
        }
    }
}

fn decode(origin: &str, object: &ConfigMap) -> Result<RoutingTable, Error> {
    let json = object.data.as_ref().and_then(|data| data.get(TABLE_KEY));
    let gzip = object.binary_data.as_ref().and_then(|data| data.get(TABLE_GZIP_KEY));
    RoutingTable::decode(json.map(String::as_bytes), gzip.map(|bytes| bytes.0.as_slice()))
        .map_err(|fault| Error::Table { origin: origin.to_owned(), fault })
}
