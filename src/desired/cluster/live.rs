//! Files that Trino reads again by itself. They stand in a ConfigMap whose name stays, which is changed in place; no revision knows
//! their texts, so an edit of them restarts nothing.

use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Map, Value, json};

use super::{ClusterIdentity, authentication::asking_users, files::Files, pods::key_of};
use crate::{
    api::{AccessControl, ExtraFile, Nodes, TrinoClusterSpec},
    desired::{labels::component::COORDINATOR, metadata::object_meta},
};

/// Where the groups of users stand.
pub(super) const GROUPS: &str = "group-provider.txt";

/// Where the rules of an access control stand.
pub(super) fn rules_path(control: &AccessControl) -> String {
    format!("access-control/{}.json", control.name)
}

/// Whether a file is there for `component`.
pub(super) fn is_on(file: &ExtraFile, component: &str) -> bool {
    match file.on.unwrap_or_default() {
        Nodes::All => true,
        Nodes::Coordinator => component == COORDINATOR,
        Nodes::Workers => component != COORDINATOR,
    }
}

/// The files of `component` that change in place, by their path.
pub(super) fn files(spec: &TrinoClusterSpec, component: &str) -> Files {
    let Some(typed) = &spec.files else { return Files::new() };
    let mut files = Files::new();
    if component == COORDINATOR {
        for control in &typed.access_control {
            if let Some(rules) = &control.rules {
                let rules = Value::Object(with_warrens_user(rules, &patterns(&asking_users(spec))));
                files.insert(rules_path(control), format!("{rules:#}\n"));
            }
        }
        if let Some(groups) = typed.group_provider.as_ref().and_then(|provider| provider.groups.as_ref()) {
            let line = |(group, users): (&String, &Vec<String>)| format!("{group}:{}\n", users.join(","));
            files.insert(GROUPS.to_owned(), groups.iter().map(line).collect());
        }
    }
    for file in typed.extra.iter().filter(|file| file.reload == Some(true) && is_on(file, component)) {
        files.insert(file.path.clone(), file.text.clone().unwrap_or_default());
    }
    files
}

/// The ConfigMap of those files; none where there are none.
pub(super) fn config_map(cluster: &ClusterIdentity, spec: &TrinoClusterSpec, component: &str) -> Option<ConfigMap> {
    let files = files(spec, component);
    (!files.is_empty()).then(|| ConfigMap {
        metadata: object_meta(
            config_map_name(cluster, component),
            &cluster.namespace,
            &cluster.labels(Some(component)),
        ),
        data: Some(files.into_iter().map(|(path, text)| (key_of(&path), text)).collect()),
        ..ConfigMap::default()
    })
}

/// Its name, which stays.
pub(super) fn config_map_name(cluster: &ClusterIdentity, component: &str) -> String {
    format!("{}-{component}-live", cluster.name)
}

/// Takes those texts out of a spec, and leaves that there are some: what remains is what a revision is made of.
pub(in crate::desired) fn forget(spec: &mut TrinoClusterSpec) {
    let Some(files) = &mut spec.files else { return };
    for control in &mut files.access_control {
        if let Some(rules) = &mut control.rules {
            *rules = Map::from_iter([("live".to_owned(), Value::Bool(true))]);
        }
    }
    if let Some(groups) = files.group_provider.as_mut().and_then(|provider| provider.groups.as_mut()) {
        *groups = [("live".to_owned(), Vec::new())].into();
    }
    for file in files.extra.iter_mut().filter(|file| file.reload == Some(true)) {
        file.text = Some(String::new());
    }
}

/// A pattern that matches these names and nothing else.
fn patterns(names: &[String]) -> String {
    names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join("|")
}

/// A pattern that matches `name` and nothing else: rules hold patterns of Java.
fn quoted(name: &str) -> String {
    let plain = |character: char| character.is_alphanumeric() || matches!(character, '-' | '_');
    name.chars().flat_map(|character| (!plain(character)).then_some('\\').into_iter().chain([character])).collect()
}

/// The rules, with what Warren's users need in front of each kind that is there: a kind without any rule allows all, but for
/// system information, which is then forbidden.
fn with_warrens_user(rules: &Map<String, Value>, users: &str) -> Map<String, Value> {
    let mut rules = rules.clone();
    rules.entry("system_information").or_insert_with(|| json!([]));
    let needed = [
        ("principals", json!({"principal": users, "user": users, "allow": true})),
        ("system_information", json!({"user": users, "allow": ["read"]})),
        ("queries", json!({"user": users, "allow": ["execute", "view"]})),
        ("catalogs", json!({"user": users, "allow": "read-only"})),
        ("tables", json!({"user": users, "catalog": "system", "privileges": ["SELECT"]})),
    ];
    for (kind, rule) in needed {
        if let Some(Value::Array(list)) = rules.get_mut(kind) {
            list.insert(0, rule);
        }
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trino::work;

    fn spec(yaml: &str) -> TrinoClusterSpec {
        serde_saphyr::from_str(yaml).expect("a spec")
    }

    #[test]
    fn warrens_users_come_first_where_there_are_rules() {
        let spec = spec(
            "{version: '476', verify: {user: a.b}, files: {accessControl: [{name: x, rules: {queries: [{allow: [execute]}]}}]}}",
        );
        let files = files(&spec, COORDINATOR);
        let rules: Value = serde_json::from_str(&files["access-control/x.json"]).expect("JSON");
        let users = format!("{}|a\\.b", quoted(work::USER));
        let wanted = json!({
            "queries": [{"user": users, "allow": ["execute", "view"]}, {"allow": ["execute"]}],
            "system_information": [{"user": users, "allow": ["read"]}],
        });
        assert_eq!(rules, wanted);
    }

    #[test]
    fn workers_have_what_is_said_to_be_on_them() {
        let spec = spec(
            "{version: '476', files: {groupProvider: {groups: {g: [a, b]}}, extra: [{path: a, text: x, reload: true, on: Workers}, {path: b, text: y, reload: true}, {path: c, text: z}]}}",
        );
        let paths = |component| files(&spec, component).into_iter().collect::<Vec<_>>();
        let file = |path: &str, text: &str| (path.to_owned(), text.to_owned());
        assert_eq!(paths("worker"), [file("a", "x"), file("b", "y")]);
        assert_eq!(paths(COORDINATOR), [file("b", "y"), file(GROUPS, "g:a,b\n")]);
    }
}
