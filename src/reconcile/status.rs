//! Writing status: only when it changed, and with an Event for each transition.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{ResourceExt, api::PostParams, runtime::events::EventType};
use serde::Serialize;

use super::{
    context::{Context, FIELD_MANAGER},
    error::Error,
    index::Watched,
};
use crate::api::{
    Conditions, ProxyGroup, ProxyGroupStatus, READY, STALLED, TrinoCatalog, TrinoCatalogStatus, TrinoCluster,
    TrinoClusterGroup, TrinoClusterGroupStatus, TrinoClusterStatus, TrinoGateway, TrinoGatewayStatus,
};

/// A kind whose status Warren keeps.
pub trait HasStatus: Watched + Serialize {
    /// Its status.
    type Status: Clone + Default + PartialEq + Send + Sync;

    /// The status as it was last seen.
    fn status(&self) -> Option<&Self::Status>;
    /// Where the status goes.
    fn status_mut(&mut self) -> &mut Option<Self::Status>;
    /// The conditions in a status.
    fn conditions(status: &Self::Status) -> &[Condition];
    /// Puts conditions and the generation they speak of into a status.
    fn set_conditions(status: &mut Self::Status, conditions: Vec<Condition>, generation: Option<i64>);
    /// Whether `spec.paused` asks to leave the object alone.
    fn is_paused(&self) -> bool;
}

macro_rules! has_status {
    ($($kind:ty => $status:ty),* $(,)?) => {$(
        impl HasStatus for $kind {
            type Status = $status;

            fn status(&self) -> Option<&$status> {
                self.status.as_ref()
            }

            fn status_mut(&mut self) -> &mut Option<$status> {
                &mut self.status
            }

            fn conditions(status: &$status) -> &[Condition] {
                &status.conditions
            }

            fn set_conditions(status: &mut $status, conditions: Vec<Condition>, generation: Option<i64>) {
                status.conditions = conditions;
                status.observed_generation = generation;
            }

            fn is_paused(&self) -> bool {
                self.spec.paused.unwrap_or(false)
            }
        }
    )*};
}

has_status! {
    TrinoGateway => TrinoGatewayStatus,
    TrinoClusterGroup => TrinoClusterGroupStatus,
    TrinoCluster => TrinoClusterStatus,
    TrinoCatalog => TrinoCatalogStatus,
    ProxyGroup => ProxyGroupStatus,
}

/// Whether the object was last seen to serve.
pub(super) fn serves<K: HasStatus>(object: &K) -> bool {
    object.status().is_some_and(|status| READY.holds(K::conditions(status)))
}

impl Context {
    /// Writes `status` with `conditions` unless it stands so already.
    ///
    /// # Errors
    /// When the API server refuses; a conflict (the object changed meanwhile) is one, and is tried again.
    pub(super) async fn write_status<K: HasStatus>(
        &self,
        object: &K,
        mut status: K::Status,
        conditions: &Conditions,
    ) -> Result<Arc<K>, Error> {
        let previous = object.status().map(K::conditions).unwrap_or_default();
        let mut list = conditions.to_list(previous, object.meta().generation, self.now());
        let transition = is_transition(previous, &list);
        // Those that a kind has beside the three are its reconciler's.
        let own = |known: &Condition| list.iter().all(|condition| condition.type_ != known.type_);
        let further: Vec<_> = K::conditions(&status).iter().filter(|known| own(known)).cloned().collect();
        list.extend(further);
        K::set_conditions(&mut status, list, object.meta().generation);
        if object.status() == Some(&status) {
            return Ok(Arc::new(object.clone()));
        }
        let written = self.replace_status(object, status).await?;
        if transition {
            let stalled = matches!(conditions, Conditions::Stalled { .. });
            let type_ = if stalled { EventType::Warning } else { EventType::Normal };
            self.publish(object, type_, conditions.reason(), conditions.message()).await;
        }
        Ok(Arc::new(written))
    }

    /// Replaces the status, if the object is still the one that was seen.
    pub(super) async fn replace_status<K: HasStatus>(&self, object: &K, status: K::Status) -> Result<K, Error> {
        let mut next = object.clone();
        *next.status_mut() = Some(status);
        let (name, namespace) = (object.name_any(), object.namespace().unwrap_or_default());
        let parameters = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        let written = self.api::<K>(&namespace).replace_status(&name, &parameters, &next).await;
        self.metrics.wrote(&K::kind(&()), "status");
        written.map_err(|error| match error {
            kube::Error::Api(status) if status.is_not_found() => Error::Gone,
            error => Error::api(format!("write the status of {} {name:?}", K::kind(&())))(error),
        })
    }
}

/// Whether people should be told: another state, another reason, or another message about what they must mend.
fn is_transition(previous: &[Condition], next: &[Condition]) -> bool {
    next.iter().any(|condition| {
        let before = previous.iter().find(|before| before.type_ == condition.type_);
        let news = condition.type_ == STALLED.0 && condition.status == "True";
        before.is_none_or(|before| {
            before.status != condition.status
                || before.reason != condition.reason
                || (news && before.message != condition.message)
        })
    })
}
