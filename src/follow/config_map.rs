//! The operator's ConfigMap: its mounted directory first, so that a restart survives an outage of the API, then a watch
//! of that one object, which is faster. Once the watch has delivered a good table, the mount is not looked at again:
//! which of the two is newer cannot be told, and the mount is fed by the same API.

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
    let read = tokio::task::spawn_blocking(move || reading.read()).await;
    // If the reading itself panicked, nothing is known of the files: all are read at the next turn.
    let (read, table) = read.unwrap_or_else(|_| (Mount::new(directory), None));
    *mount = Some(read);
    table
}

fn decode(origin: &str, object: &ConfigMap) -> Result<RoutingTable, Error> {
    let json = object.data.as_ref().and_then(|data| data.get(TABLE_KEY));
    let gzip = object.binary_data.as_ref().and_then(|data| data.get(TABLE_GZIP_KEY));
    RoutingTable::decode(json.map(String::as_bytes), gzip.map(|bytes| bytes.0.as_slice()))
        .map_err(|fault| Error::Table { origin: origin.to_owned(), fault })
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::{
            Arc, Mutex,
            atomic::{AtomicBool, Ordering},
        },
    };

    use bytes::Bytes;
    use futures::channel::mpsc;
    use http::{Request, Response, StatusCode};
    use http_body::Frame;
    use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
    use serde_json::{Value, json};

    use super::*;
    use crate::follow::{Tables, channel};

    type Events = mpsc::UnboundedSender<Result<Frame<Bytes>, Infallible>>;

    /// An API server with one ConfigMap in it, that is down at first.
    #[derive(Clone, Default)]
    struct Api {
        up: Arc<AtomicBool>,
        object: Arc<Mutex<Value>>,
        watches: Arc<Mutex<Vec<Events>>>,
        asked: Arc<Mutex<Vec<String>>>,
    }

    impl Api {
        fn client(&self) -> Client {
            let api = self.clone();
            let service = tower::service_fn(move |request: Request<kube::client::Body>| {
                let answer = api.answer(&request);
                async move { Ok::<_, Infallible>(answer) }
            });
            Client::new(service, "trino")
        }

        fn answer(&self, request: &Request<kube::client::Body>) -> Response<BoxBody<Bytes, Infallible>> {
            let text = |status, text: String| {
                Response::builder().status(status).body(Full::new(Bytes::from(text)).boxed()).unwrap()
            };
            self.asked.lock().unwrap().push(request.uri().to_string());
            if !self.up.load(Ordering::SeqCst) {
                return text(StatusCode::INTERNAL_SERVER_ERROR, "down".to_owned());
            }
            if request.uri().query().unwrap_or_default().contains("watch=true") {
                let (events, stream) = mpsc::unbounded();
                self.watches.lock().unwrap().push(events);
                return Response::new(BodyExt::boxed(StreamBody::new(stream)));
            }
            let items = [self.object.lock().unwrap().clone()];
            let list = json!({"kind": "ConfigMapList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items});
            text(StatusCode::OK, list.to_string())
        }

        fn modify(&self, object: &Value) {
            self.object.lock().unwrap().clone_from(object);
            let event = format!("{}\n", json!({"type": "MODIFIED", "object": object}));
            let watches = self.watches.lock().unwrap();
            watches.last().unwrap().unbounded_send(Ok(Frame::data(Bytes::from(event)))).unwrap();
        }
    }

    fn table(group: &str) -> String {
        json!({"groups": [{"name": group}], "routing": {"default": {"group": group}}}).to_string()
    }

    fn object(version: u32, table: &str) -> Value {
        json!({
            "kind": "ConfigMap", "apiVersion": "v1", "data": {TABLE_KEY: table},
            "metadata": {"name": "prod", "namespace": "trino", "resourceVersion": version.to_string()},
        })
    }

    async fn until(tables: &mut Tables, group: &str) {
        let is_it = |now: &Option<Arc<crate::routing::Router>>| {
            now.as_ref().is_some_and(|router| router.table().groups[0].name == group)
        };
        let _ = tables.wait_for(is_it).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn the_mount_serves_until_the_watch_delivers_and_a_bad_update_changes_nothing() {
        let directory = std::env::temp_dir().join(format!("warren-config-map-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join(TABLE_KEY), table("mounted")).unwrap();
        let api = Api::default();
        let (refused, mut refusals) = tokio::sync::mpsc::unbounded_channel();
        let (publisher, mut tables) = channel(move |error| drop(refused.send(error.to_string())));
        let shutdown = CancellationToken::new();
        let source =
            ConfigMapSource { namespace: "trino".into(), name: "prod".into(), directory: Some(directory.clone()) };
        let follower = tokio::spawn(follow_config_map(source, api.client(), publisher, shutdown.clone()));

        // The API is down: the mount counts, and goes on to count when it changes.
        until(&mut tables, "mounted").await;
        std::fs::write(directory.join(TABLE_KEY), table("mounted-again")).unwrap();
        until(&mut tables, "mounted-again").await;

        *api.object.lock().unwrap() = object(1, &table("watched"));
        api.up.store(true, Ordering::SeqCst);
        until(&mut tables, "watched").await;
        assert!(api.asked.lock().unwrap().iter().all(|uri| uri.contains("fieldSelector=metadata.name%3Dprod")));

        // From now on the mount is not looked at.
        std::fs::write(directory.join(TABLE_KEY), table("mounted-late")).unwrap();
        while api.watches.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        api.modify(&object(2, r#"{"routing": {"default": {"group": "none"}}}"#));
        let refusal = refusals.recv().await.unwrap();
        assert!(refusal.starts_with("ConfigMap trino/prod: routing.default.group: there is no group"), "{refusal}");
        assert_eq!(tables.borrow().as_ref().unwrap().table().groups[0].name, "watched");
        api.modify(&object(3, &table("watched-again")));
        until(&mut tables, "watched-again").await;

        shutdown.cancel();
        follower.await.unwrap();
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn a_gzipped_table_is_read_from_binary_data() {
        use std::io::Write as _;
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(table("adhoc").as_bytes()).unwrap();
        let bytes = k8s_openapi::ByteString(gzip.finish().unwrap());
        let object =
            ConfigMap { binary_data: Some([(TABLE_GZIP_KEY.to_owned(), bytes)].into()), ..ConfigMap::default() };
        assert_eq!(decode("test", &object).unwrap().groups[0].name, "adhoc");
        assert!(decode("test", &ConfigMap::default()).unwrap_err().to_string().starts_with("test: neither "));
    }
}
