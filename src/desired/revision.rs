//! Revisions: the hash of what a user wrote, and what was rendered from it once and for all.

use std::{collections::BTreeMap, fmt};

use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::proxy_group::{ListenerPort, revised};
use crate::api::{ProxyGroupSpec, TrinoClusterSpec};

/// The first 10 hexadecimal digits of the SHA-256 of what the user wrote, defaults left out.
///
/// A newer version of Warren with other defaults computes the same revision, finds what the older one rendered for it,
/// and restarts nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Revision(String);

/// What was rendered for a revision. It is kept beside the workload, in an immutable ControllerRevision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rendered {
    /// The version of Warren that rendered it.
    pub rendered_by: String,
    /// The parts by their name, for example `coordinator`.
    pub components: BTreeMap<String, Component>,
}

/// One workload of a revision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Component {
    /// Configuration files by name; empty when the workload has none.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// The pods.
    pub template: PodTemplateSpec,
}

impl Revision {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn of(written: Value) -> Self {
        Self(digest(&without_nulls(written), 10))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<String> for Revision {
    fn from(digits: String) -> Self {
        Self(digits)
    }
}

/// The first `digits` hexadecimal digits of the SHA-256 of a value's JSON, whatever the order of its keys.
pub(crate) fn digest(value: &Value, digits: usize) -> String {
    let mut text = hex::encode(Sha256::digest(value.to_string().as_bytes()));
    text.truncate(digits);
    text
}

/// The revision of a cluster's spec: all of it but what changes without a restart.
pub fn cluster_revision(spec: &TrinoClusterSpec) -> Revision {
    let mut spec = spec.clone();
    spec.paused = None;
    spec.serving = None;
    spec.client_url = None;
    spec.service = None;
    spec.drain = None;
    spec.verify = None;
    super::cluster::forget(&mut spec);
    if let Some(catalogs) = &mut spec.catalogs
        && let Some(resolved) = &mut catalogs.resolved
    {
        // What was picked counts, not how it was found.
        for catalog in resolved.values_mut() {
            catalog.trino_catalog = None;
        }
    }
    if let Some(tls) = &mut spec.tls {
        // What is off is as if it were not there; how long a certificate lasts restarts nothing.
        tls.server = tls.server.take().filter(|server| server.enabled == Some(true));
        tls.internal = tls.internal.take().filter(|internal| internal.enabled == Some(true));
        tls.server.iter_mut().for_each(|server| server.duration = None);
        tls.internal.iter_mut().for_each(|internal| internal.duration = None);
    }
    if let Some(authentication) = &mut spec.authentication {
        authentication.credential = None;
    }
    if let Some(workers) = &mut spec.workers {
        // Without workers the coordinator runs the queries, so the step from or to 0 is another configuration.
        workers.replicas = workers.replicas.filter(|replicas| *replicas == 0);
        workers.autoscaling = None;
        workers.graceful_shutdown = None;
    }
    Revision::of(serde_json::to_value(spec).expect("a spec is JSON by its type"))
}

/// The revision of a ProxyGroup: its pods alone, with the ports of its gateway's listeners, and without what running pods
/// are given: labels, annotations, and settings that they reload.
pub fn proxy_revision(spec: &ProxyGroupSpec, listeners: &[ListenerPort]) -> Revision {
    // No listeners are none that the user wrote: what is null is left out.
    let listeners = (!listeners.is_empty()).then_some(listeners);
    let mut template = spec.template.clone();
    if let Some(template) = &mut template {
        template.metadata = None;
        if let Some(pod) = &mut template.spec {
            (pod.config, pod.update_strategy) = (None, None);
        }
    }
    let policies = (!spec.schedule_policies.is_empty()).then_some(&spec.schedule_policies);
    Revision::of(serde_json::json!({
        "gateway": spec.gateway,
        "template": template,
        "listeners": listeners,
        "schedulePolicies": policies,
        "settings": revised(spec),
        // Which table is followed; what stands in it changes without a restart.
        "table": spec.groups.as_ref().map(|_| "own"),
    }))
}

/// Drops nulls and empty objects, so that `coordinator: {}` and no coordinator are one revision.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .map(|(key, value)| (key, without_nulls(value)))
            .filter(|(_, value)| !(value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty)))
            .collect::<BTreeMap<_, _>>()
            .into_iter()
            .collect(),
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revision(yaml: &str) -> Revision {
        cluster_revision(&serde_saphyr::from_str(yaml).expect("a spec"))
    }

    #[test]
    fn a_revision_is_what_the_user_wrote() {
        // A literal: were it to change, every cluster would restart at the next upgrade of the operator.
        assert_eq!(revision("version: '476'").as_str(), "22540423fa");
        assert_eq!(revision("{version: '476', coordinator: {}, config: {}}"), revision("version: '476'"));
        assert_ne!(revision("version: '477'"), revision("version: '476'"));
        assert_ne!(revision("{version: '476', config: {a: b}}"), revision("version: '476'"));
    }

    #[test]
    fn what_proxies_take_while_they_run_makes_no_revision_of_theirs() {
        let proxies = |yaml: &str| {
            let spec = serde_saphyr::from_str(&format!("{{gateway: {{name: gw}}, {yaml}}}")).expect(yaml);
            proxy_revision(&spec, &[])
        };
        // A literal: were it to change, all proxies would be replaced at the next upgrade of the operator.
        let base = proxies("replicas: 2");
        assert_eq!(base.as_str(), "063c4e2161");
        for same in [
            "rollout: {maxSurge: 2}, minReadySeconds: 5, paused: true",
            "template: {metadata: {labels: {team: bi}, annotations: {a: b}}}",
            "template: {spec: {updateStrategy: {config: Restart}}}",
        ] {
            assert_eq!(proxies(same), base, "{same}");
        }
        let first = proxies("template: {spec: {config: 'polls: {tries: 3}'}}");
        assert_ne!(first, base, "the first settings must be mounted");
        assert_eq!(proxies("template: {spec: {config: 'health: {failures: 3}'}}"), first);
        assert_ne!(proxies("template: {spec: {config: 'threads: 3'}}"), first);
        let restart = |config: &str| {
            proxies(&format!("template: {{spec: {{updateStrategy: {{config: Restart}}, config: '{config}'}}}}"))
        };
        assert_ne!(restart("polls: {tries: 3}"), restart("polls: {tries: 4}"));
        let groups = proxies("groups: {names: [a]}");
        assert_ne!(groups, base);
        assert_eq!(proxies("groups: {names: [b]}"), groups);
        assert_ne!(proxies("template: {spec: {server: {ports: {client: 8081}}}}"), base);
    }

    #[test]
    fn what_restarts_nothing_makes_no_revision() {
        let base = revision("{version: '476', workers: {replicas: 2}}");
        for same in [
            "{version: '476', workers: {replicas: 5}}",
            "{version: '476', workers: {}}",
            "{version: '476', paused: true, serving: Drained, clientUrl: 'https://{name}', service: {type: NodePort}, drain: {timeout: 1m}, verify: {timeout: 1m}}",
            "{version: '476', workers: {autoscaling: {maxReplicas: 3}, gracefulShutdown: {timeout: 1m}}}",
            "{version: '476', tls: {server: {enabled: false, duration: 24h}, internal: {}}}",
        ] {
            assert_eq!(revision(same), base, "{same}");
        }
        assert_ne!(revision("{version: '476', workers: {replicas: 0}}"), base);
        assert_ne!(revision("{version: '476', workers: {template: {spec: {priorityClassName: high}}}}"), base);
        let server = revision("{version: '476', tls: {server: {enabled: true}}}");
        assert_ne!(server, base);
        assert_eq!(revision("{version: '476', tls: {server: {enabled: true, duration: 24h}}}"), server);
        assert_ne!(revision("{version: '476', tls: {server: {enabled: true}, internal: {enabled: true}}}"), server);
    }

    #[test]
    fn what_trino_reads_again_makes_no_revision_and_that_it_is_there_does() {
        let files = |files: &str| revision(&format!("{{version: '476', files: {{{files}}}}}"));
        for (one, other) in [
            ("accessControl: [{name: a, rules: {}}]", "accessControl: [{name: a, rules: {queries: []}}]"),
            ("groupProvider: {groups: {}}", "groupProvider: {groups: {admins: [ann]}}"),
            ("extra: [{path: a, text: b, reload: true}]", "extra: [{path: a, text: c, reload: true}]"),
        ] {
            assert_eq!(files(one), files(other), "{one}");
            assert_ne!(files(one), revision("version: '476'"), "{one}");
        }
        for (one, other) in [
            ("resourceGroups: {rules: {}}", "resourceGroups: {rules: {rootGroups: []}}"),
            ("sessionProperties: {rules: []}", "sessionProperties: {rules: [{}]}"),
            ("accessControl: [{name: a, rules: {}}]", "accessControl: [{name: b, rules: {}}]"),
            ("extra: [{path: a, text: b}]", "extra: [{path: a, text: c}]"),
            ("logLevels: {a: INFO}", "logLevels: {a: DEBUG}"),
        ] {
            assert_ne!(files(one), files(other), "{one}");
        }
    }
}
