//! Who owns which field, as server-side apply has it: what a manager applied and no longer applies goes, unless another
//! one applies it too; what another one owns is taken only by force. Lists count as one field, and so do status and
//! whatever is written otherwise.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

type Path = Vec<String>;

/// The fields of one object that were applied, by their managers.
#[derive(Clone, Debug, Default)]
pub struct Owners(BTreeMap<String, BTreeSet<Path>>);

impl Owners {
    /// `live` with what `manager` applies; none when another one owns a field of it, and it is not taken by force.
    pub fn apply(&mut self, live: &Value, patch: &Value, manager: &str, force: bool) -> Option<Value> {
        let mut next = live.clone();
        let mut applied = BTreeSet::new();
        leaves(patch, &mut Vec::new(), &mut applied);
        for path in &applied {
            let value = at(patch, path).expect("one of its leaves");
            if at(live, path) == Some(value) {
                continue;
            }
            let others = self.0.iter().filter(|(other, fields)| *other != manager && fields.contains(path));
            if others.count() > 0 && !force {
                return None;
            }
            self.0.values_mut().for_each(|fields| {
                fields.remove(path);
            });
            set(&mut next, path, value.clone());
        }
        let before = self.0.insert(manager.to_owned(), applied.clone()).unwrap_or_default();
        for path in before.difference(&applied) {
            if !self.0.values().any(|fields| fields.contains(path)) {
                remove(&mut next, path);
            }
        }
        self.0.retain(|_, fields| !fields.is_empty());
        for (key, value) in patch.as_object().into_iter().flatten().filter(|(key, _)| is_head(key)) {
            next[key] = value.clone();
        }
        next["metadata"]["name"] = patch["metadata"]["name"].clone();
        if let Some(namespace) = patch["metadata"].get("namespace") {
            next["metadata"]["namespace"] = namespace.clone();
        }
        Some(next)
    }

    /// Somebody wrote `after` over `before` without applying it: what changed is nobody's any more.
    pub fn update(&mut self, before: &Value, after: &Value) {
        for fields in self.0.values_mut() {
            fields.retain(|path| at(before, path) == at(after, path));
        }
    }
}

fn is_head(key: &str) -> bool {
    matches!(key, "apiVersion" | "kind")
}

fn leaves(value: &Value, path: &mut Path, found: &mut BTreeSet<Path>) {
    match value {
        // An empty map says nothing.
        Value::Object(fields) => {
            for (key, value) in fields {
                let named = path.len() == 1 && path[0] == "metadata" && matches!(key.as_str(), "name" | "namespace");
                if named || (path.is_empty() && is_head(key)) {
                    continue;
                }
                path.push(key.clone());
                leaves(value, path, found);
                path.pop();
            }
        }
        Value::Null => {}
        _ => {
            found.insert(path.clone());
        }
    }
}

fn at<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, key| value.get(key))
}

fn set(value: &mut Value, path: &[String], to: Value) {
    let Some((key, rest)) = path.split_first() else {
        *value = to;
        return;
    };
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    let fields = value.as_object_mut().expect("made one above");
    set(fields.entry(key.clone()).or_insert(Value::Null), rest, to);
}

/// Removes a field, and what holds nothing else.
fn remove(value: &mut Value, path: &[String]) {
    let (Some((key, rest)), Some(fields)) = (path.split_first(), value.as_object_mut()) else { return };
    if rest.is_empty() {
        fields.remove(key);
    } else if let Some(inner) = fields.get_mut(key) {
        remove(inner, rest);
        if inner.as_object().is_some_and(Map::is_empty) {
            fields.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_manager_no_longer_applies_goes_unless_another_one_does() {
        let mut owners = Owners::default();
        let spec = |spec: Value| json!({"apiVersion": "v1", "kind": "K", "metadata": {"name": "a"}, "spec": spec});
        let live = owners.apply(&json!({}), &spec(json!({"a": 1, "b": {"c": 2}})), "one", false).expect("no conflict");
        let live = owners.apply(&live, &spec(json!({"b": {"c": 2}})), "two", false).expect("the same value");
        let live = owners.apply(&live, &spec(json!({})), "one", false).expect("no conflict");
        assert_eq!(live["spec"], json!({"b": {"c": 2}}), "two holds it");
        assert_eq!(owners.apply(&live, &spec(json!({"b": {"c": 3}})), "one", false), None);
        let live = owners.apply(&live, &spec(json!({"b": {"c": 3}})), "one", true).expect("by force");
        let live = owners.apply(&live, &spec(json!({})), "two", true).expect("it owns nothing any more");
        assert_eq!(live["spec"]["b"]["c"], 3);
        let edited = spec(json!({"b": {"c": 4}}));
        owners.update(&live, &edited);
        assert_eq!(owners.apply(&edited, &spec(json!({})), "one", true), Some(edited), "an edit took it");
    }
}
