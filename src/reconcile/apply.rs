//! Writing objects: by server-side apply, only when there is something to write, and only what is Warren's own.

use std::{fmt::Debug, ops::Deref, sync::Arc};

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy},
};
use serde::Serialize;
use serde_json::{Map, Value};
use tracing::info;

use super::{
    context::{Context, FIELD_MANAGER},
    error::Error,
    index::{Watched, label},
};
use crate::desired::{
    labels::{APPLIED, MANAGED_BY, OWNER_UID, WARREN},
    same_quantity,
};

/// An object as it stands at the API server after it was applied.
#[derive(Clone, Debug)]
pub struct Applied<K>(Arc<K>);

impl<K> Deref for Applied<K> {
    type Target = K;

    fn deref(&self) -> &K {
        &self.0
    }
}

impl Context {
    /// Makes `desired` stand at the API server. Writes nothing when it was applied as it is and nobody changed it since.
    ///
    /// # Errors
    /// [`Error::Foreign`] when the name is taken, [`Error::Leftover`] when an earlier owner's object has it,
    /// [`Error::Api`] when the API server refuses.
    pub(super) async fn apply<K: Watched + Serialize>(&self, desired: K) -> Result<Applied<K>, Error> {
        let name = desired.name_any();
        let namespace = desired.namespace().unwrap_or_default();
        let desired = stamped(&desired);
        if let Some(live) = K::named(&self.index, &namespace, &name) {
            owned::<K>(&desired, live.meta().labels.as_ref(), &name)?;
            let standing = serde_json::to_value(&*live).expect("an object is JSON by its type");
            if covers(&standing, &desired, "") {
                return Ok(Applied(live));
            }
        } else {
            let step = format!("look up {} {name:?}", K::kind(&()));
            let found = self.api::<K>(&namespace).get_metadata_opt(&name).await.map_err(Error::api(step))?;
            if let Some(found) = found {
                owned::<K>(&desired, found.metadata.labels.as_ref(), &name)?;
            }
        }
        let step = format!("apply {} {name:?}", K::kind(&()));
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let patched = self.api::<K>(&namespace).patch(&name, &parameters, &Patch::Apply(&desired)).await;
        self.metrics.wrote(&K::kind(&()), "apply");
        info!(kind = %K::kind(&()), namespace, name, "applied");
        patched.map(|live| Applied(Arc::new(live))).map_err(Error::api(step))
    }

    /// Deletes `object`, if it is still that very one.
    pub(super) async fn delete<K: Watched>(&self, object: &K) -> Result<(), Error> {
        self.delete_if(object, None).await
    }

    /// The same, unless the object has changed since it was seen: who decided by what it saw looks again then.
    pub(super) async fn delete_as_seen<K: Watched>(&self, object: &K) -> Result<(), Error> {
        self.delete_if(object, object.resource_version()).await
    }

    async fn delete_if<K: Watched>(&self, object: &K, resource_version: Option<String>) -> Result<(), Error> {
        let (name, namespace) = (object.name_any(), object.namespace().unwrap_or_default());
        if object.meta().deletion_timestamp.is_some() {
            return Ok(());
        }
        let step = format!("delete {} {name:?}", K::kind(&()));
        let parameters = DeleteParams {
            preconditions: Some(Preconditions { uid: object.uid(), resource_version }),
            propagation_policy: Some(PropagationPolicy::Background),
            ..DeleteParams::default()
        };
        let deleted = self.api::<K>(&namespace).delete(&name, &parameters).await;
        self.metrics.wrote(&K::kind(&()), "delete");
        match deleted {
            Ok(_) => {
                info!(kind = %K::kind(&()), namespace, name, "deleted");
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
            Err(error) => Err(Error::api(step)(error)),
        }
    }

    /// Creates `secret` unless it is there. What is there is never changed: pods hold the old value.
    pub(super) async fn create_secret_once(&self, secret: &Secret) -> Result<(), Error> {
        let (name, namespace) = (secret.name_any(), secret.namespace().unwrap_or_default());
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &namespace);
        let step = format!("look up Secret {name:?}");
        if let Some(found) = secrets.get_metadata_opt(&name).await.map_err(Error::api(step))? {
            let desired = serde_json::to_value(secret).expect("a Secret is JSON");
            return owned::<kube::core::PartialObjectMeta<Secret>>(&desired, found.metadata.labels.as_ref(), &name);
        }
        let created =
            secrets.create(&PostParams { field_manager: Some(FIELD_MANAGER.into()), ..<_>::default() }, secret).await;
        self.metrics.wrote("Secret", "create");
        match created {
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
            Err(error) => Err(Error::api(format!("create Secret {name:?}"))(error)),
            Ok(_) => {
                info!(kind = "Secret", namespace, name, "created");
                Ok(())
            }
        }
    }

    /// The same, for whoever needs to know what is in it; none if somebody deleted it at once.
    pub(super) async fn secret_once(&self, secret: &Secret) -> Result<Option<Secret>, Error> {
        let (name, namespace) = (secret.name_any(), secret.namespace().unwrap_or_default());
        let desired = serde_json::to_value(secret).expect("a Secret is JSON");
        let mut found = self.secret(&namespace, &name).await?;
        if found.is_none() {
            self.create_secret_once(secret).await?;
            // Another operator's may have been first.
            found = self.secret(&namespace, &name).await?;
        }
        let labels = found.as_ref().and_then(|found| found.metadata.labels.as_ref());
        if found.is_none() {
            return Ok(None);
        }
        owned::<kube::core::PartialObjectMeta<Secret>>(&desired, labels, &name)?;
        Ok(found)
    }

    /// Writes `next` in the place of `found`, or anew where there is none. Whether it stands: it does not when somebody else
    /// wrote since `found` was read, who then is to be read first.
    ///
    /// # Errors
    /// [`Error::Foreign`] when the name is taken, [`Error::Leftover`] when an earlier owner's object has it,
    /// [`Error::Api`] when the API server refuses.
    pub(super) async fn write_secret(&self, found: Option<&Secret>, mut next: Secret) -> Result<bool, Error> {
        let (name, namespace) = (next.name_any(), next.namespace().unwrap_or_default());
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &namespace);
        let parameters = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        let (verb, written) = if let Some(found) = found {
            let desired = serde_json::to_value(&next).expect("a Secret is JSON");
            owned::<Secret>(&desired, found.metadata.labels.as_ref(), &name)?;
            let labels = next.metadata.labels.take().unwrap_or_default();
            next.metadata = found.metadata.clone();
            next.metadata.managed_fields = None;
            next.metadata.labels.get_or_insert_default().extend(labels);
            ("update", secrets.replace(&name, &parameters, &next).await)
        } else {
            ("create", secrets.create(&parameters, &next).await)
        };
        self.metrics.wrote("Secret", verb);
        match written {
            Ok(_) => {
                info!(kind = "Secret", namespace, name, verb, "written");
                Ok(true)
            }
            Err(kube::Error::Api(status))
                if status.is_conflict() || status.is_already_exists() || status.is_not_found() =>
            {
                Ok(false)
            }
            Err(error) => Err(Error::api(format!("{verb} Secret {name:?}"))(error)),
        }
    }

    /// Deletes a Secret of Warren's own by its name, if it is there.
    pub(super) async fn delete_secret(&self, namespace: &str, name: &str) -> Result<(), Error> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let found = secrets.get_metadata_opt(name).await.map_err(Error::api(format!("look up Secret {name:?}")))?;
        let Some(found) = found.filter(|found| label(found, MANAGED_BY) == Some(WARREN)) else { return Ok(()) };
        let parameters = DeleteParams {
            preconditions: Some(Preconditions { uid: found.uid(), resource_version: None }),
            ..DeleteParams::default()
        };
        self.metrics.wrote("Secret", "delete");
        match secrets.delete(name, &parameters).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
            Err(error) => Err(Error::api(format!("delete Secret {name:?}"))(error)),
        }
    }
}

/// The object as JSON, with the hash of itself in an annotation.
fn stamped<K: Serialize>(object: &K) -> Value {
    let mut value = serde_json::to_value(object).expect("an object is JSON by its type");
    if let Some(fields) = value.as_object_mut() {
        fields.remove("status");
    }
    let hash = crate::desired::digest(&value, 16);
    let annotations = value["metadata"].as_object_mut().expect("every object has metadata").entry("annotations");
    let annotations = annotations.or_insert_with(|| Value::Object(Map::new()));
    if let Some(annotations) = annotations.as_object_mut() {
        annotations.insert(APPLIED.to_owned(), Value::String(hash));
    }
    value
}

fn owned<K: kube::Resource<DynamicType = ()>>(
    desired: &Value,
    labels: Option<&std::collections::BTreeMap<String, String>>,
    name: &str,
) -> Result<(), Error> {
    let (kind, name) = (K::kind(&()).into_owned(), name.to_owned());
    let live = |key: &str| labels.and_then(|labels| labels.get(key)).map(String::as_str);
    if live(MANAGED_BY) != Some(WARREN) {
        return Err(Error::Foreign { kind, name });
    }
    let owner = desired["metadata"]["labels"][OWNER_UID].as_str();
    if owner.is_some() && live(OWNER_UID).is_some() && live(OWNER_UID) != owner {
        return Err(Error::Leftover { kind, name });
    }
    Ok(())
}

/// Whether all that `desired` says stands in `live`: what others added does not matter, what they changed does. Empty maps
/// and lists stand for nothing, and the API server may write a quantity in another way.
pub(super) fn covers(live: &Value, desired: &Value, key: &str) -> bool {
    match (live, desired) {
        (Value::Object(live), Value::Object(desired)) => desired.iter().all(|(key, desired)| match live.get(key) {
            Some(live) => covers(live, desired, key),
            None => is_empty(desired) || is_dropped(key, desired),
        }),
        (Value::Array(live), Value::Array(desired)) => {
            live.len() == desired.len() && live.iter().zip(desired).all(|(live, desired)| covers(live, desired, key))
        }
        (Value::String(live), Value::String(desired)) if is_quantity(key) => same_quantity(live, desired),
        _ => live == desired,
    }
}

fn is_quantity(key: &str) -> bool {
    matches!(key, "cpu" | "memory" | "averageValue" | "ephemeral-storage" | "storage" | "sizeLimit")
}

/// Whether the API server stores no such value, since it is what the field is without one (no pointer in core/v1).
fn is_dropped(key: &str, value: &Value) -> bool {
    match value {
        Value::Bool(set) => {
            !set && matches!(key, "readOnly" | "hostNetwork" | "hostPID" | "hostIPC" | "stdin" | "stdinOnce" | "tty")
        }
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_i64() == Some(0) && key == "initialDelaySeconds",
        _ => false,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.values().all(is_empty),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_others_added_is_covered_and_what_they_changed_is_not() {
        let live = json!({"spec": {"replicas": 2, "paused": false, "ports": [{"port": 1, "protocol": "TCP"}]}});
        assert!(covers(&live, &json!({"spec": {"replicas": 2, "ports": [{"port": 1}]}}), ""));
        assert!(covers(&live, &json!({"spec": {"strategy": {}, "volumes": [], "x": {"y": null}}}), ""));
        assert!(!covers(&live, &json!({"spec": {"replicas": 3}}), ""));
        assert!(!covers(&live, &json!({"spec": {"ports": []}}), ""));
        assert!(!covers(&live, &json!({"spec": {"minReadySeconds": 1}}), ""));
    }

    #[test]
    fn quantities_may_be_written_in_another_way() {
        assert!(covers(&json!({"cpu": "1"}), &json!({"cpu": "1000m"}), ""));
        assert!(!covers(&json!({"name": "1"}), &json!({"name": "1000m"}), ""));
        assert!(covers(&json!({"sizeLimit": "1Gi"}), &json!({"sizeLimit": "1024Mi"}), ""));
    }

    #[test]
    fn what_the_api_server_stores_as_nothing_stands() {
        let written = json!({"env": [{"name": "A", "value": ""}], "readOnly": false, "initialDelaySeconds": 0});
        assert!(covers(&json!({"env": [{"name": "A"}]}), &written, ""));
        assert!(!covers(&json!({}), &json!({"allowPrivilegeEscalation": false}), ""), "a pointer is stored");
    }

    #[test]
    fn an_object_of_someone_else_is_left_alone() {
        let desired = json!({"metadata": {"labels": {OWNER_UID: "new"}}});
        let check = |labels: &[(&str, &str)]| {
            let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            owned::<k8s_openapi::api::core::v1::Service>(&desired, Some(&labels), "a")
        };
        assert!(matches!(check(&[]), Err(Error::Foreign { .. })));
        assert!(matches!(check(&[(MANAGED_BY, "helm")]), Err(Error::Foreign { .. })));
        assert!(matches!(check(&[(MANAGED_BY, WARREN), (OWNER_UID, "old")]), Err(Error::Leftover { .. })));
        assert!(check(&[(MANAGED_BY, WARREN), (OWNER_UID, "new")]).is_ok());
    }

    #[test]
    fn the_stamp_changes_with_the_object() {
        let stamp = |replicas: i32| {
            stamped(&json!({"metadata": {"name": "a"}, "spec": {"replicas": replicas}}))["metadata"]["annotations"]
                [APPLIED]
                .clone()
        };
        assert_eq!(stamp(1), stamp(1));
        assert_ne!(stamp(1), stamp(2));
    }
}
