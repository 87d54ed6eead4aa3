//! What every reconciler needs: the client, the index, and the books that are kept over reconciliations.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, Resource,
    runtime::events::{Event, EventType, Recorder},
};
use tracing::warn;

use super::{
    Clock,
    backoff::Backoff,
    error::Error,
    fetch::Fetch,
    index::{Index, Watched},
    metrics::Metrics,
};

/// The field manager under which Warren applies.
pub(super) const FIELD_MANAGER: &str = "warren";

/// Shared by all reconcilers.
pub struct Context {
    pub(super) client: Client,
    pub(super) index: Arc<Index>,
    pub(super) recorder: Recorder,
    pub(super) backoff: Backoff,
    pub(super) metrics: Metrics,
    /// The image that this operator runs, and that proxies run where nothing else is asked for.
    pub(super) own_image: String,
    pub(super) clock: Clock,
    /// Reads what proxies and coordinators tell.
    pub(super) fetch: Fetch,
    /// The namespace of the operator's own pods; none where it runs outside.
    pub(super) namespace: Option<String>,
}

/// As statuses and annotations write times.
pub(super) fn whole_second(timestamp: Timestamp) -> Timestamp {
    Timestamp::from_second(timestamp.as_second()).unwrap_or(timestamp)
}

impl Context {
    /// What time it is.
    pub(super) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// The API of a kind in a namespace.
    pub(super) fn api<K: Watched>(&self, namespace: &str) -> Api<K> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// The Secret of that name, read from the API server: Secrets are not watched.
    pub(super) async fn secret(&self, namespace: &str, name: &str) -> Result<Option<Secret>, Error> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        secrets.get_opt(name).await.map_err(Error::api(format!("read Secret {name:?}")))
    }

    /// Publishes an Event on `object`. That it cannot be published is no reason to stop.
    pub(super) async fn publish<K: Resource<DynamicType = ()>>(
        &self,
        object: &K,
        type_: EventType,
        reason: &str,
        note: &str,
    ) {
        let event = Event {
            type_,
            reason: reason.to_owned(),
            // The API server refuses notes over 1 kB.
            note: Some(note.chars().take(900).collect()),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, &object.object_ref(&())).await {
            warn!(reason, %error, "cannot publish an event");
        }
    }
}
