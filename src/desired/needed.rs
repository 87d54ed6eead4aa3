//! The Secrets and ConfigMaps of users that pods do not start without, each with the field that names it. It reads none of them.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value};

use super::catalogs;
use crate::api::{PropertySecret, TrinoClusterSpec};

/// What keeps values for pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Those that nobody else may see.
    Secret,
    /// Others.
    ConfigMap,
}

/// A Secret or ConfigMap without which pods do not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needed {
    /// The field that names it.
    pub field: String,
    /// Which of the two it is.
    pub source: Source,
    /// Its name.
    pub name: String,
    /// The keys that it must have.
    pub keys: Vec<String>,
    /// Whether their values must not be empty.
    pub filled: bool,
}

/// Those that the pods of a cluster need, but for its certificates, which are looked at by what they say.
///
/// The spec is walked as it is written, overlays of pods included: what refers to a Secret or ConfigMap there does so in Kubernetes'
/// own words, which Warren's fields have, too.
pub fn needed_by_cluster(spec: &TrinoClusterSpec) -> Vec<Needed> {
    let mut needed = Vec::new();
    for catalog in catalogs::all(spec) {
        for (property, from) in catalog.secrets.into_iter().flatten() {
            let PropertySecret { name, key } = from.secret_key_ref.clone();
            let field = catalog.path(property);
            needed.push(Needed { field, source: Source::Secret, name, keys: vec![key], filled: false });
        }
    }
    let rest = TrinoClusterSpec { catalogs: None, tls: None, ..spec.clone() };
    needed.extend(needed_by("spec", &rest));
    needed
}

/// All those to which a part of a spec refers, at `path`.
pub(super) fn needed_by(path: &str, part: &impl Serialize) -> Vec<Needed> {
    let mut needed = Vec::new();
    walk(path, &serde_json::to_value(part).expect("a spec is JSON"), &mut needed);
    needed
}

fn walk(path: &str, value: &Value, needed: &mut Vec<Needed>) {
    match value {
        Value::Object(fields) => {
            // The keys of these are properties' names, which hold dots.
            let properties = path.ends_with(".secretProperties");
            for (name, value) in fields {
                let path = if properties { format!("{path}[{name}]") } else { format!("{path}.{name}") };
                match value.as_object().and_then(|fields| reference(name, fields)) {
                    Some((source, name, keys)) => {
                        needed.push(Needed { field: path, source, name, keys, filled: false });
                    }
                    None => walk(&path, value, needed),
                }
            }
        }
        Value::Array(items) => {
            for (position, item) in items.iter().enumerate() {
                let name = item.get("name").or_else(|| item.get("path")).and_then(Value::as_str);
                let name = name.map_or_else(|| position.to_string(), str::to_owned);
                walk(&format!("{path}[{name}]"), item, needed);
            }
        }
        _ => {}
    }
}

/// The Secret or ConfigMap, and the keys of it, to which a field of this name refers: `secretRef`, `caSecretRef`,
/// `configMapKeyRef` and the like, a `passwordFile`, or the `secret` or `configMap` of a volume. None if it refers to none, or to
/// one that may be missing.
fn reference(field: &str, fields: &Map<String, Value>) -> Option<(Source, String, Vec<String>)> {
    let text = |name: &str| Some(fields.get(name)?.as_str()?.to_owned());
    let (source, name) = match field {
        "secret" => (Source::Secret, text("secretName").or_else(|| text("name"))?),
        "configMap" | "configMapRef" | "configMapKeyRef" => (Source::ConfigMap, text("name")?),
        "passwordFile" => (Source::Secret, text("name")?),
        _ if field.to_lowercase().contains("secret") && field.ends_with("Ref") => (Source::Secret, text("name")?),
        _ => return None,
    };
    if fields.get("optional").and_then(Value::as_bool) == Some(true) {
        return None;
    }
    let items = fields.get("items").and_then(Value::as_array).into_iter().flatten();
    let items = items.filter_map(|item| Some(item.get("key")?.as_str()?.to_owned()));
    Some((source, name, text("key").into_iter().chain(items).collect()))
}

impl Needed {
    /// What is wrong with it, given the keys that it has, none if it is not there; and the mend.
    pub fn fault(&self, namespace: &str, found: Option<&BTreeSet<String>>) -> Option<String> {
        let Self { field, source, name, keys, .. } = self;
        let Some(found) = found else {
            let with = match keys.as_slice() {
                [] => String::new(),
                [key] => format!(" with a key {key:?}"),
                keys => format!(
                    " with the keys {}",
                    keys.iter().map(|key| format!("{key:?}")).collect::<Vec<_>>().join(", ")
                ),
            };
            return Some(format!(
                "{field}: there is no {source:?} {name:?} in namespace {namespace:?}; create it{with}"
            ));
        };
        let lacks = keys.iter().find(|key| !found.contains(*key))?;
        Some(format!("{field}: {source:?} {name:?} has no key {lacks:?}; add it there"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needed(yaml: &str) -> Vec<String> {
        let spec: TrinoClusterSpec = serde_saphyr::from_str(yaml).expect("a spec");
        let said = |Needed { field, source, name, keys, .. }| {
            let of = if source == Source::ConfigMap { "ConfigMap " } else { "" };
            format!("{field}: {of}{name} {}", keys.join(","))
        };
        needed_by_cluster(&spec).into_iter().map(said).collect()
    }

    #[test]
    fn each_field_that_names_a_secret_or_config_map_is_found() {
        let spec = "
version: '476'
image: {pullSecrets: [{name: registry}]}
tls: {server: {enabled: true, secretRef: {name: looked-at-elsewhere}}}
authentication:
  passwordFile: {secretRef: {name: staff, key: users}}
  ldap:
    url: ldaps://ldap
    caSecretRef: {name: ldap-ca, key: ca.crt}
    userBindPattern: uid=${USER}
    bindPassword: {secretKeyRef: {name: ldap, key: password}}
  oauth2: {issuer: https://id, clientId: trino, clientSecret: {secretKeyRef: {name: oauth2, key: secret}}}
  jwt: {keySecretRef: {name: jwt, key: key}}
  certificate: {caSecretRef: {name: clients, key: ca.crt}}
catalogs:
  inline: {shop: {connector.name: postgresql}}
  secretProperties: {shop: {connection-password: {secretKeyRef: {name: db, key: pw}}}}
  resolved:
    sales: {trinoCatalog: sales, connector: mysql, secretProperties: {connection-password: {secretKeyRef: {name: my, key: pw}}}}
files:
  groupProvider: {groupFile: {secretKeyRef: {name: groups, key: txt}}}
  passwordAuthenticators: [{name: own, passwordFile: {name: more, key: users}}]
  eventListeners: [{name: x, properties: {event-listener.name: x}, secretProperties: {x.y: {secretKeyRef: {name: listener, key: y}}}}]
  extra:
  - {path: a/b.json, secretKeyRef: {name: extra, key: b}}
  - {path: c.json, configMapKeyRef: {name: plain, key: c}}
spooling: {location: 's3://a', secretProperties: {s3.key: {secretKeyRef: {name: s3, key: k}}}}
coordinator:
  template:
    spec:
      containers:
      - name: trino
        env: [{name: A, valueFrom: {secretKeyRef: {name: env, key: a}}}, {name: B, valueFrom: {secretKeyRef: {name: b, key: b, optional: true}}}]
        envFrom: [{secretRef: {name: all}}, {configMapRef: {name: some}}, {configMapRef: {name: none, optional: true}}]
      volumes:
      - {name: v, secret: {secretName: volume, items: [{key: one, path: p}]}}
      - {name: w, projected: {sources: [{secret: {name: projected}}, {configMap: {name: both}}]}}
      - {name: x, configMap: {name: site, items: [{key: two, path: p}]}}
";
        let mut found = needed(spec);
        found.sort();
        let trino = "spec.coordinator.template.spec.containers[trino]";
        let volumes = "spec.coordinator.template.spec.volumes";
        let mut expected = [
            "spec.authentication.passwordFile.secretRef: staff users",
            "spec.authentication.ldap.caSecretRef: ldap-ca ca.crt",
            "spec.authentication.ldap.bindPassword.secretKeyRef: ldap password",
            "spec.authentication.oauth2.clientSecret.secretKeyRef: oauth2 secret",
            "spec.authentication.jwt.keySecretRef: jwt key",
            "spec.authentication.certificate.caSecretRef: clients ca.crt",
            "spec.catalogs.secretProperties.shop[connection-password]: db pw",
            "spec.secretProperties[connection-password] of TrinoCatalog \"sales\": my pw",
            "spec.files.groupProvider.groupFile.secretKeyRef: groups txt",
            "spec.files.passwordAuthenticators[own].passwordFile: more users",
            "spec.files.eventListeners[x].secretProperties[x.y].secretKeyRef: listener y",
            "spec.files.extra[a/b.json].secretKeyRef: extra b",
            "spec.files.extra[c.json].configMapKeyRef: ConfigMap plain c",
            "spec.spooling.secretProperties[s3.key].secretKeyRef: s3 k",
            &format!("{trino}.env[A].valueFrom.secretKeyRef: env a"),
            &format!("{trino}.envFrom[0].secretRef: all "),
            &format!("{trino}.envFrom[1].configMapRef: ConfigMap some "),
            &format!("{volumes}[v].secret: volume one"),
            &format!("{volumes}[w].projected.sources[1].configMap: ConfigMap both "),
            &format!("{volumes}[x].configMap: ConfigMap site two"),
            &format!("{volumes}[w].projected.sources[0].secret: projected "),
        ]
        .map(str::to_owned);
        expected.sort();
        assert_eq!(found, expected);
        assert_eq!(needed("version: '476'"), [""; 0]);
    }

    #[test]
    fn a_fault_names_field_object_and_mend() {
        let needed = |keys: &[&str]| Needed {
            field: "spec.a".into(),
            source: Source::Secret,
            name: "s".into(),
            keys: keys.iter().map(|&key| key.to_owned()).collect(),
            filled: false,
        };
        let found = BTreeSet::from(["a".to_owned()]);
        for (keys, found, said) in [
            (&["a"][..], None, Some("spec.a: there is no Secret \"s\" in namespace \"n\"; create it with a key \"a\"")),
            (
                &["a", "b"],
                None,
                Some("spec.a: there is no Secret \"s\" in namespace \"n\"; create it with the keys \"a\", \"b\""),
            ),
            (&[], None, Some("spec.a: there is no Secret \"s\" in namespace \"n\"; create it")),
            (&["a", "b"], Some(&found), Some("spec.a: Secret \"s\" has no key \"b\"; add it there")),
            (&["a"], Some(&found), None),
        ] {
            assert_eq!(needed(keys).fault("n", found).as_deref(), said, "{keys:?}");
            let of_config_map = Needed { source: Source::ConfigMap, ..needed(keys) }.fault("n", found);
            assert_eq!(of_config_map, said.map(|said| said.replace("Secret", "ConfigMap")), "{keys:?}");
        }
    }
}
