//! Labels and annotations of pods that run: brought to what the spec says, without a new pod. A Deployment would replace
//! all of them for a label, so its template keeps those that it was made with, and the pods are patched.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    api::{Properties, ProxyGroupSpec, TemplateMetadata},
    desired::labels::{CONFIG, GIVEN_METADATA},
};

/// The names of what a user's spec gave a pod: what is gone from there shall go from the pod, and nothing else, since
/// others label pods as well.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Given {
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    labels: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    annotations: BTreeSet<String>,
}

impl Given {
    fn of(metadata: &TemplateMetadata) -> Self {
        let names = |map: &Properties| map.keys().cloned().collect();
        Self { labels: names(&metadata.labels), annotations: names(&metadata.annotations) }
    }

    fn text(&self) -> String {
        serde_json::to_string(self).expect("names are JSON")
    }
}

/// What the spec gives pods.
fn wanted(spec: &ProxyGroupSpec) -> TemplateMetadata {
    spec.template.as_ref().and_then(|template| template.metadata.clone()).unwrap_or_default()
}

/// The annotation by which a pod says what it was given; none where that is nothing.
pub(super) fn given(metadata: &TemplateMetadata) -> Option<(String, String)> {
    let given = Given::of(metadata);
    (given != Given::default()).then(|| (GIVEN_METADATA.to_owned(), given.text()))
}

/// The merge patch that brings a pod to what `spec` says; none where it is so. The digest of settings that are reloaded
/// goes with it: a pod that changes is looked at by its kubelet at once, which brings the settings sooner.
pub fn metadata_patch(spec: &ProxyGroupSpec, pod: &ObjectMeta) -> Option<Value> {
    let wanted = wanted(spec);
    let (labels, annotations) = (pod.labels.clone().unwrap_or_default(), pod.annotations.clone().unwrap_or_default());
    let before = annotations.get(GIVEN_METADATA);
    let before: Given = before.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let labels = changes(&labels, &wanted.labels, &before.labels);
    let mut own = wanted.annotations.clone();
    own.extend(given(&wanted));
    if super::is_reloaded(spec) {
        own.extend(super::config_hash(spec).map(|hash| (CONFIG.to_owned(), hash)));
    }
    let mut gone = before.annotations;
    gone.extend([GIVEN_METADATA.to_owned(), CONFIG.to_owned()]);
    let annotations = changes(&annotations, &own, &gone);
    (!labels.is_empty() || !annotations.is_empty())
        .then(|| json!({"metadata": {"labels": labels, "annotations": annotations}}))
}

/// What must be set, and what of `given` must go.
fn changes(now: &BTreeMap<String, String>, wanted: &Properties, given: &BTreeSet<String>) -> Map<String, Value> {
    let set = wanted.iter().filter(|(key, value)| now.get(*key) != Some(*value));
    let set = set.map(|(key, value)| (key.clone(), value.clone().into()));
    let gone = given.iter().filter(|key| now.contains_key(*key) && !wanted.contains_key(*key));
    set.chain(gone.map(|key| (key.clone(), Value::Null))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(metadata: &str) -> ProxyGroupSpec {
        serde_saphyr::from_str(&format!("{{gateway: {{name: gw}}, template: {{metadata: {metadata}}}}}"))
            .expect("a spec")
    }

    fn pod(text: &str) -> ObjectMeta {
        serde_saphyr::from_str(text).expect("metadata")
    }

    #[test]
    fn a_pod_gets_what_is_new_and_loses_what_it_was_given_and_nothing_else() {
        let given = r#"{"labels":["team"],"annotations":["a"]}"#;
        let pod = pod(&format!(
            "{{labels: {{team: bi, mesh: x}}, annotations: {{a: '1', b: '2', {GIVEN_METADATA}: '{given}'}}}}"
        ));
        assert_eq!(metadata_patch(&spec("{labels: {team: bi}, annotations: {a: '1'}}"), &pod), None);
        let patch = metadata_patch(&spec("{labels: {cost: low}}"), &pod).expect("a patch");
        assert_eq!(patch["metadata"]["labels"], json!({"cost": "low", "team": null}));
        let annotations = json!({"a": null, GIVEN_METADATA: r#"{"labels":["cost"]}"#});
        assert_eq!(patch["metadata"]["annotations"], annotations);
        let none = metadata_patch(&spec("{}"), &pod).expect("a patch");
        assert_eq!(none["metadata"]["annotations"], json!({"a": null, GIVEN_METADATA: null}));
    }
}
