//! Lays what a user wrote over a pod template that Warren made: a strategic merge, as Kubernetes does it, and then a look at
//! whether all that Warren needs still stands.
//!
//! By a table of merge keys over JSON, not by k8s-openapi's `DeepMerge`: that knows no null, cannot tell a port that was left
//! out from port 0, and would leave two sources in one volume. Pure.

use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::{Map, Value};

use super::strict::{self, Misfit};

/// Why an overlay cannot be laid over a pod template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OverlayError {
    /// A pod template has no such field.
    #[error("{path}: a pod template has no such field; remove or correct it")]
    Unknown {
        /// The field's path.
        path: String,
    },
    /// A field has another type.
    #[error("{path}: {fault}")]
    Type {
        /// The field's path.
        path: String,
        /// What was found and what is wanted.
        fault: String,
    },
    /// An item of a list that is merged by a key has none.
    #[error("{path}: each item needs {key}, by which it is merged with what Warren sets")]
    Key {
        /// The list's path.
        path: String,
        /// The key.
        key: &'static str,
    },
    /// A directive of kubectl's patches.
    #[error("{path}: directives such as {directive} are not known here; null takes a field away")]
    Directive {
        /// The path of the object that it stands in.
        path: String,
        /// The directive.
        directive: String,
    },
    /// It would change what Warren needs as it is.
    #[error("{path} cannot be changed by an overlay: {mend}")]
    Owned {
        /// The path of what it would change.
        path: String,
        /// What to do instead.
        mend: &'static str,
    },
}

/// `base` with `overlay`, a pod template of which everything may be left out, laid over it. `field` is the path of the overlay
/// in the user's object, for messages: `spec.coordinator.template`.
///
/// Objects are merged field by field, and null takes a field away. Lists are merged by the keys that Kubernetes merges them by:
/// containers, volumes, environment and the like by `name`, mounts by `mountPath`, ports by `containerPort`; what is new comes
/// after what was there. All other lists (tolerations, arguments, …) are replaced. A variable or a volume that gets another
/// source loses the one that it had.
///
/// # Errors
/// When the overlay is no pod template, or when it would change what Warren needs as it is: labels and annotations that Warren set;
/// of the first container image, command, ports, mounts, variables, resources that were set, and hooks; init containers; volumes of
/// ConfigMaps and Secrets; the time in which pods end. Each names the field and the mend.
pub fn merge_pod(
    base: PodTemplateSpec,
    overlay: &Map<String, Value>,
    field: &str,
) -> Result<PodTemplateSpec, OverlayError> {
    if overlay.is_empty() {
        return Ok(base);
    }
    let before = serde_json::to_value(&base).expect("a pod template is JSON by its type");
    let mut after = before.clone();
    let place = Place { names: Vec::new(), text: field.to_owned() };
    merge(&mut after, &Value::Object(overlay.clone()), &place)?;
    let merged = strict::read(&after).map_err(|misfit| match misfit {
        Misfit::Unknown { path } => OverlayError::Unknown { path: format!("{field}.{path}") },
        Misfit::Type { path, fault } => OverlayError::Type { path: format!("{field}.{path}"), fault },
    })?;
    metadata(overlay, field)?;
    match owned(&before, &after) {
        Some((path, mend)) => Err(OverlayError::Owned { path: format!("{field}.{path}"), mend }),
        None => Ok(merged),
    }
}

/// Where the merge is: the names of the fields that led there, and the path that people read.
struct Place {
    names: Vec<String>,
    text: String,
}

impl Place {
    fn field(&self, key: &str) -> Self {
        let mut names = self.names.clone();
        names.push(key.to_owned());
        Self { names, text: format!("{}.{key}", self.text) }
    }

    fn item(&self, key: &Value) -> Self {
        let key = key.as_str().map_or_else(|| key.to_string(), str::to_owned);
        Self { names: self.names.clone(), text: format!("{}[{key}]", self.text) }
    }

    /// How the list here is merged, from the `patchMergeKey` of Kubernetes' types (core/v1, 1.34); none: it is replaced.
    fn merge_key(&self) -> Option<&'static str> {
        let names: Vec<_> = self.names.iter().map(String::as_str).collect();
        match names.as_slice() {
            [
                "spec",
                "containers" | "initContainers" | "volumes" | "imagePullSecrets" | "resourceClaims" | "schedulingGates",
            ]
            | ["spec", "containers" | "initContainers", "env"] => Some("name"),
            ["spec", "hostAliases"] => Some("ip"),
            ["spec", "topologySpreadConstraints"] => Some("topologyKey"),
            ["spec", "containers" | "initContainers", "ports"] => Some("containerPort"),
            ["spec", "containers" | "initContainers", "volumeMounts"] => Some("mountPath"),
            ["spec", "containers" | "initContainers", "volumeDevices"] => Some("devicePath"),
            _ => None,
        }
    }

    /// Whether an item here is one of several kinds, of which it may be one only: Kubernetes' `retainKeys`.
    fn is_union(&self) -> bool {
        matches!(self.names.last().map(String::as_str), Some("volumes" | "env" | "resourceClaims"))
    }
}

fn merge(base: &mut Value, overlay: &Value, place: &Place) -> Result<(), OverlayError> {
    match (base, overlay) {
        (Value::Object(base), Value::Object(overlay)) => {
            for (key, value) in overlay {
                if key.starts_with('$') {
                    return Err(OverlayError::Directive { path: place.text.clone(), directive: key.clone() });
                }
                if value.is_null() {
                    base.remove(key);
                    continue;
                }
                let empty = if value.is_array() { Value::Array(Vec::new()) } else { Value::Object(Map::new()) };
                merge(base.entry(key.clone()).or_insert(empty), value, &place.field(key))?;
            }
            Ok(())
        }
        (Value::Array(base), Value::Array(overlay)) if let Some(key) = place.merge_key() => {
            overlay.iter().try_for_each(|item| merge_item(base, item, key, place))
        }
        (base, overlay) => {
            *base = overlay.clone();
            Ok(())
        }
    }
}

fn merge_item(base: &mut Vec<Value>, item: &Value, key: &'static str, place: &Place) -> Result<(), OverlayError> {
    let Some(id) = item.get(key).filter(|id| !id.is_null()) else {
        return Err(OverlayError::Key { path: place.text.clone(), key });
    };
    let below = place.item(id);
    let Some(standing) = base.iter_mut().find(|standing| standing.get(key) == Some(id)) else {
        let mut fresh = Value::Object(Map::new());
        merge(&mut fresh, item, &below)?;
        base.push(fresh);
        return Ok(());
    };
    if let (true, Some(standing), Some(item)) = (place.is_union(), standing.as_object_mut(), item.as_object())
        && item.len() > 1
    {
        standing.retain(|field, _| item.contains_key(field));
    }
    merge(standing, item, &below)
}

/// What a pod gets by its template of metadata: labels and annotations, none of Warren's own.
fn metadata(overlay: &Map<String, Value>, field: &str) -> Result<(), OverlayError> {
    const PREFIXES: [&str; 2] = ["trinowarren.io/", "app.kubernetes.io/"];
    let Some(metadata) = overlay.get("metadata").and_then(Value::as_object) else { return Ok(()) };
    let owned = |path: String, mend| Err(OverlayError::Owned { path: format!("{field}.metadata.{path}"), mend });
    for (kind, entries) in metadata {
        if kind != "labels" && kind != "annotations" {
            return owned(kind.clone(), "pods have their names and owners from their Deployment; remove it here");
        }
        let keys = entries.as_object().into_iter().flatten().map(|(key, _)| key);
        for key in keys {
            if PREFIXES.iter().any(|prefix| key.starts_with(prefix)) {
                return owned(format!("{kind}[{key}]"), "names under this prefix are Warren's; use one of your own");
            }
        }
    }
    Ok(())
}

const NEEDED: &str = "Warren needs it as it is; remove it here";
const SELECTED: &str = "Services, policies and Warren itself find the pods by it; remove it here";
const IMAGE: &str = "the version and the image in the spec say what runs";
const RESOURCES: &str = "give it in the resources in the spec, from which other settings follow";
const FILES: &str = "Warren's files come from there; choose another name for a volume of your own";
const MOUNTS: &str = "Warren mounts a volume there; choose another path, or give its volume another source";
const ENDING: &str = "it follows from other fields of the spec, such as the timeout of a drain or of gracefulShutdown";

/// The first thing in `after` that is not as `before` has it, of those that must be.
fn owned(before: &Value, after: &Value) -> Option<(String, &'static str)> {
    for kind in ["labels", "annotations"] {
        for (key, _) in before["metadata"][kind].as_object().into_iter().flatten() {
            if changed(&before["metadata"][kind], after.get("metadata").and_then(|metadata| metadata.get(kind)), key) {
                return Some((format!("metadata.{kind}[{key}]"), SELECTED));
            }
        }
    }
    let (before, after) = (&before["spec"], after.get("spec"));
    let ending = "terminationGracePeriodSeconds";
    if changed(before, after, ending) {
        return Some((format!("spec.{ending}"), ENDING));
    }
    let volume = items(before, after, ("volumes", "name"), is_of_files).map(|path| (path, FILES));
    let standing = volume.or_else(|| Some((items(before, after, ("initContainers", "name"), |_| true)?, NEEDED)));
    let standing = standing.or_else(|| container(before, after));
    standing.map(|(path, mend)| (format!("spec.{path}"), mend))
}

/// What the first container, Warren's own, must keep.
fn container(before: &Value, after: Option<&Value>) -> Option<(String, &'static str)> {
    let before = before["containers"].get(0)?;
    let name = before["name"].as_str()?;
    let list = after.and_then(|spec| spec.get("containers")?.as_array());
    let at = |path: String| format!("containers[{name}]{path}");
    let Some(after) = list.and_then(|list| list.iter().find(|container| container["name"] == before["name"])) else {
        return Some((at(String::new()), NEEDED));
    };
    let fields =
        [("image", IMAGE), ("imagePullPolicy", IMAGE), ("command", NEEDED), ("terminationMessagePolicy", NEEDED)];
    let field = fields.into_iter().find(|(field, _)| changed(before, Some(after), field));
    if let Some((field, mend)) = field {
        return Some((at(format!(".{field}")), mend));
    }
    let lists = [("ports", "containerPort", NEEDED), ("env", "name", NEEDED), ("volumeMounts", "mountPath", MOUNTS)];
    for (list, key, mend) in lists {
        if let Some(path) = items(before, Some(after), (list, key), |_| true) {
            return Some((at(format!(".{path}")), mend));
        }
    }
    for kind in ["requests", "limits"] {
        for (resource, _) in before["resources"][kind].as_object().into_iter().flatten() {
            if changed(&before["resources"][kind], after.get("resources").and_then(|all| all.get(kind)), resource) {
                return Some((at(format!(".resources.{kind}.{resource}")), RESOURCES));
            }
        }
    }
    let hooks = before["lifecycle"].as_object().into_iter().flatten();
    hooks.into_iter().find_map(|(hook, _)| {
        changed(&before["lifecycle"], after.get("lifecycle"), hook).then(|| (at(format!(".lifecycle.{hook}")), NEEDED))
    })
}

/// Whether `field`, where `before` has it, is another one in `after`.
fn changed(before: &Value, after: Option<&Value>, field: &str) -> bool {
    before.get(field).is_some_and(|value| after.and_then(|after| after.get(field)) != Some(value))
}

/// The path of the first item of a list that is `kept`, and that `after` has not as it was.
fn items(
    before: &Value,
    after: Option<&Value>,
    (list, key): (&str, &str),
    kept: impl Fn(&Value) -> bool,
) -> Option<String> {
    let after = after.and_then(|after| after.get(list)?.as_array());
    let mut items = before.get(list)?.as_array()?.iter().filter(|item| kept(item));
    let gone = items.find(|item| !after.is_some_and(|after| after.contains(item)))?;
    let id = gone[key].as_str().map_or_else(|| gone[key].to_string(), str::to_owned);
    Some(format!("{list}[{id}]"))
}

fn is_of_files(volume: &Value) -> bool {
    ["configMap", "secret", "projected"].iter().any(|source| volume.get(source).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELD: &str = "spec.workers.template";

    fn base() -> PodTemplateSpec {
        parse(
            r"
metadata: {labels: {app.kubernetes.io/component: worker}}
spec:
  containers:
  - name: trino
    image: trino:476
    command: [run-trino]
    env: [{name: SECRET, valueFrom: {secretKeyRef: {name: internal, key: secret}}}]
    ports: [{name: http, containerPort: 8080}]
    resources: {requests: {cpu: '1', memory: 2Gi}, limits: {memory: 2Gi}}
    readinessProbe: {httpGet: {path: /v1/info, port: http}, periodSeconds: 5}
    lifecycle: {preStop: {exec: {command: [drain]}}}
    volumeMounts: [{name: config, mountPath: /etc/trino}, {name: data, mountPath: /data/trino}]
  initContainers: [{name: plugin-a, image: a}]
  tolerations: [{key: old}]
  terminationGracePeriodSeconds: 30
  volumes: [{name: config, configMap: {name: files}}, {name: data, emptyDir: {}}]
",
        )
    }

    fn parse<T: serde::de::DeserializeOwned>(yaml: &str) -> T {
        serde_saphyr::from_str(yaml).expect(yaml)
    }

    fn merged(overlay: &str) -> Result<PodTemplateSpec, OverlayError> {
        merge_pod(base(), &parse(overlay), FIELD)
    }

    #[test]
    fn an_overlay_is_merged_as_kubernetes_merges() {
        let overlay = r"
metadata: {labels: {team: data}, annotations: {example.com/scrape: 'true'}}
spec:
  nodeSelector: {pool: trino}
  tolerations: [{key: new, operator: Exists}]
  securityContext: {fsGroup: 1000}
  containers:
  - name: trino
    env: [{name: REGION, value: eu}]
    ports: [{name: jmx, containerPort: 9080}]
    resources: {requests: {ephemeral-storage: 10Gi}, limits: {cpu: 4}}
    readinessProbe: {periodSeconds: 9}
    lifecycle: {postStart: {exec: {command: [warm]}}}
    volumeMounts: [{name: spill, mountPath: /spill}]
  - {name: sidecar, image: envoy}
  initContainers: [{name: fetch, image: curl, command: [fetch]}]
  volumes: [{name: data, hostPath: {path: /fast}}, {name: spill, emptyDir: {sizeLimit: 1Gi}}]
";
        let expected: PodTemplateSpec = parse(
            r"
metadata:
  labels: {app.kubernetes.io/component: worker, team: data}
  annotations: {example.com/scrape: 'true'}
spec:
  nodeSelector: {pool: trino}
  securityContext: {fsGroup: 1000}
  containers:
  - name: trino
    image: trino:476
    command: [run-trino]
    env: [{name: SECRET, valueFrom: {secretKeyRef: {name: internal, key: secret}}}, {name: REGION, value: eu}]
    ports: [{name: http, containerPort: 8080}, {name: jmx, containerPort: 9080}]
    resources: {requests: {cpu: '1', memory: 2Gi, ephemeral-storage: 10Gi}, limits: {memory: 2Gi, cpu: 4}}
    readinessProbe: {httpGet: {path: /v1/info, port: http}, periodSeconds: 9}
    lifecycle: {preStop: {exec: {command: [drain]}}, postStart: {exec: {command: [warm]}}}
    volumeMounts: [{name: config, mountPath: /etc/trino}, {name: data, mountPath: /data/trino}, {name: spill, mountPath: /spill}]
  - {name: sidecar, image: envoy}
  initContainers: [{name: plugin-a, image: a}, {name: fetch, image: curl, command: [fetch]}]
  tolerations: [{key: new, operator: Exists}]
  terminationGracePeriodSeconds: 30
  volumes: [{name: config, configMap: {name: files}}, {name: data, hostPath: {path: /fast}}, {name: spill, emptyDir: {sizeLimit: 1Gi}}]
",
        );
        assert_eq!(merged(overlay).expect("an overlay"), expected);
    }

    #[test]
    fn null_takes_away_and_nothing_changes_nothing() {
        let without = merged(
            "{spec: {tolerations: null, affinity: null, containers: [{name: trino, readinessProbe: {periodSeconds: null}}]}}",
        );
        let mut expected = base();
        let pod = expected.spec.as_mut().expect("a spec");
        pod.tolerations = None;
        pod.containers[0].readiness_probe.as_mut().expect("a probe").period_seconds = None;
        assert_eq!(without.expect("an overlay"), expected);
        assert_eq!(merged("{}").expect("nothing"), base());
    }

    #[test]
    fn what_warren_needs_is_refused_by_name() {
        for (overlay, path) in [
            ("{metadata: {labels: {app.kubernetes.io/component: x}}}", "metadata.labels[app.kubernetes.io/component]"),
            ("{metadata: {annotations: {trinowarren.io/x: x}}}", "metadata.annotations[trinowarren.io/x]"),
            ("{metadata: {labels: null}}", "metadata.labels[app.kubernetes.io/component]"),
            ("{metadata: {name: x}}", "metadata.name"),
            ("{spec: {containers: [{name: trino, image: x}]}}", "spec.containers[trino].image"),
            ("{spec: {containers: [{name: trino, command: [x]}]}}", "spec.containers[trino].command"),
            (
                "{spec: {containers: [{name: trino, ports: [{containerPort: 8080, name: x}]}]}}",
                "spec.containers[trino].ports[8080]",
            ),
            ("{spec: {containers: [{name: trino, ports: null}]}}", "spec.containers[trino].ports[8080]"),
            (
                "{spec: {containers: [{name: trino, env: [{name: SECRET, value: x}]}]}}",
                "spec.containers[trino].env[SECRET]",
            ),
            (
                "{spec: {containers: [{name: trino, volumeMounts: [{mountPath: /etc/trino, name: x}]}]}}",
                "spec.containers[trino].volumeMounts[/etc/trino]",
            ),
            (
                "{spec: {containers: [{name: trino, resources: {limits: {memory: 9Gi}}}]}}",
                "spec.containers[trino].resources.limits.memory",
            ),
            (
                "{spec: {containers: [{name: trino, lifecycle: {preStop: null}}]}}",
                "spec.containers[trino].lifecycle.preStop",
            ),
            ("{spec: {initContainers: [{name: plugin-a, image: b}]}}", "spec.initContainers[plugin-a]"),
            ("{spec: {volumes: [{name: config, emptyDir: {}}]}}", "spec.volumes[config]"),
            ("{spec: {volumes: null}}", "spec.volumes[config]"),
            ("{spec: {terminationGracePeriodSeconds: 5}}", "spec.terminationGracePeriodSeconds"),
        ] {
            let fault = merged(overlay).expect_err(overlay).to_string();
            assert!(fault.starts_with(&format!("{FIELD}.{path} cannot be changed by an overlay: ")), "{fault}");
        }
    }

    #[test]
    fn what_is_no_pod_template_is_refused_with_its_path() {
        for (overlay, message) in [
            ("{spec: {nodeSelektor: {}}}", "spec.workers.template.spec.nodeSelektor: a pod template has no such field"),
            ("{specs: {}}", "spec.workers.template.specs: a pod template"),
            (
                "{spec: {containers: [{name: trino, env: [{name: A, valu: x}]}]}}",
                "spec.workers.template.spec.containers[trino].env[A].valu: a pod",
            ),
            (
                "{spec: {containers: [{name: trino, env: [{name: A, value: 1}]}]}}",
                "spec.workers.template.spec.containers[trino].env[A].value: invalid type: integer `1`, expected",
            ),
            ("{spec: {containers: {trino: {}}}}", "spec.workers.template.spec.containers: invalid type: map"),
            ("{spec: {volumes: [{emptyDir: {}}]}}", "spec.workers.template.spec.volumes: each item needs name"),
            ("{spec: {$patch: replace}}", "spec.workers.template.spec: directives such as $patch"),
        ] {
            let fault = merged(overlay).expect_err(overlay).to_string();
            assert!(fault.starts_with(message), "{fault}");
        }
    }
}
