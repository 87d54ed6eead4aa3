//! Objects that are stored but do not fit Warren's types (written under another version's CRD): one user's such object must
//! not stop the watch of everyone's.

use kube::{
    Api, Client,
    api::{DynamicObject, ObjectMeta, Patch, PatchParams},
    core::{DeserializeGuard, error_boundary::InvalidObject},
    runtime::watcher,
};
use serde_json::json;
use tracing::warn;

use super::index::Watched;

/// An object, or why it is none.
pub(super) type Guarded<K> = DeserializeGuard<K>;

/// The event without its guard; none, with a condition on the object, when the object is malformed. The last good state of
/// the object stays in the index.
pub(super) async fn set_aside<K: Watched>(
    client: Client,
    event: watcher::Event<Guarded<K>>,
) -> Result<Option<watcher::Event<K>>, watcher::Error> {
    let good = match event {
        watcher::Event::Apply(object) => object.0.map(watcher::Event::Apply),
        watcher::Event::InitApply(object) => object.0.map(watcher::Event::InitApply),
        watcher::Event::Delete(object) => object.0.map(watcher::Event::Delete),
        watcher::Event::Init => Ok(watcher::Event::Init),
        watcher::Event::InitDone => Ok(watcher::Event::InitDone),
    };
    if let Err(invalid) = &good {
        tell::<K>(client, invalid).await;
    }
    Ok(good.ok())
}

async fn tell<K: Watched>(client: Client, invalid: &InvalidObject) {
    let ObjectMeta { name: Some(name), namespace: Some(namespace), generation, .. } = &invalid.metadata else { return };
    let (kind, error) = (K::kind(&()), &invalid.error);
    warn!(%kind, namespace, name, %error, "malformed object set aside");
    let resource = kube::api::ApiResource::erase::<K>(&());
    let objects: Api<DynamicObject> = Api::namespaced_with(client, namespace, &resource);
    let now = jiff::Timestamp::now().to_string();
    let condition = |type_: &str, status: &str| {
        json!({
            "type": type_, "status": status, "reason": "Malformed", "lastTransitionTime": now,
            "observedGeneration": generation,
            "message": format!("this object does not fit the installed version of Warren: {error}; correct it"),
        })
    };
    let status = json!({"status": {"conditions": [
        condition("Ready", "False"), condition("Reconciling", "False"), condition("Stalled", "True"),
    ]}});
    let known =
        objects.get(name).await.is_ok_and(|object| object.data["status"]["conditions"][0]["reason"] == "Malformed");
    if !known && let Err(error) = objects.patch_status(name, &PatchParams::default(), &Patch::Merge(&status)).await {
        warn!(%kind, namespace, name, %error, "cannot tell that the object is malformed");
    }
}
