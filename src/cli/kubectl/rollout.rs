//! `rollback` and `promote`: what people decide about a group's new revision.

use std::fmt::Write as _;

use anyhow::{Context as _, anyhow, bail};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Map, Value, json};

use super::FIELD_MANAGER;
use crate::{
    api::{TrinoCluster, TrinoClusterGroup, TrinoClusterSpec},
    desired::{
        catalogs,
        cluster::worker_replicas,
        cluster_revision,
        labels::{GROUP, OWNER_UID, PROMOTE, REVISION},
    },
};

/// Puts the template of `group` back to that of the revision before; returns the difference, and what to do next.
///
/// # Errors
/// When there is no group or no earlier revision, or the API server refuses.
pub async fn rollback(client: &Client, namespace: &str, group: &str, dry_run: bool) -> anyhow::Result<String> {
    let api = Api::<TrinoClusterGroup>::namespaced(client.clone(), namespace);
    let found = find(&api, namespace, group).await?;
    let clusters = Api::<TrinoCluster>::namespaced(client.clone(), namespace);
    let clusters = clusters.list(&ListParams::default().labels(&format!("{GROUP}={group}"))).await;
    let Rollback { from, current, previous } =
        earlier(&found, &clusters.context("cannot list the group's TrinoClusters")?.items)?;
    let mut text = format!("trinoclustergroup/{group}: back to the template of trinocluster/{from}\n");
    differences(&current, &previous, "spec.template.spec", &mut text);
    if previous["catalogs"]["selector"].is_object() {
        text.push_str("the TrinoCatalogs that it picks stay as they are now\n");
    }
    if dry_run {
        text.push_str("nothing was changed\n");
        return Ok(text);
    }
    let patch = json!({
        // Nobody else's edit is undone on the way.
        "metadata": {"resourceVersion": found.resource_version()},
        "spec": {"template": {"spec": merge_patch(&current, &previous)}},
    });
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
    let patched = api.patch(group, &parameters, &Patch::Merge(&patch)).await;
    patched.with_context(|| format!("cannot change the template of TrinoClusterGroup {group:?}"))?;
    let _ = writeln!(
        text,
        "done; follow it with: kubectl warren status\nput it back where the group's manifest is kept, too"
    );
    Ok(text)
}

/// Ends the canary of `group` well; returns what to tell.
///
/// # Errors
/// When there is no group or nothing to promote, or the API server refuses.
pub async fn promote(client: &Client, namespace: &str, group: &str) -> anyhow::Result<String> {
    let api = Api::<TrinoClusterGroup>::namespaced(client.clone(), namespace);
    let revision = to_promote(&find(&api, namespace, group).await?)?;
    let patch = json!({"metadata": {"annotations": {PROMOTE: revision}}});
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
    let patched = api.patch(group, &parameters, &Patch::Merge(&patch)).await;
    patched.with_context(|| format!("cannot annotate TrinoClusterGroup {group:?}"))?;
    Ok(format!("trinoclustergroup/{group}: revision {revision} takes over without the remaining steps of its canary"))
}

async fn find(api: &Api<TrinoClusterGroup>, namespace: &str, name: &str) -> anyhow::Result<TrinoClusterGroup> {
    let found = api.get_opt(name).await.with_context(|| format!("cannot read TrinoClusterGroup {name:?}"))?;
    found.ok_or_else(|| {
        anyhow!(
            "there is no TrinoClusterGroup {name:?} in namespace {namespace:?}; kubectl warren status group lists them"
        )
    })
}

fn to_promote(group: &TrinoClusterGroup) -> anyhow::Result<String> {
    let name = group.name_any();
    let status = group.status.as_ref();
    let update = status.and_then(|status| status.update_revision.clone());
    let current = status.and_then(|status| status.current_revision.clone());
    if status.is_some_and(|status| status.observed_generation != group.metadata.generation) {
        bail!("the operator has not yet looked at the last edit of trinoclustergroup/{name}; try again");
    }
    match update {
        Some(update) if current.as_ref() != Some(&update) => Ok(update),
        _ => bail!("trinoclustergroup/{name} has no new revision to promote"),
    }
}

/// A template to go back to.
struct Rollback {
    /// The TrinoCluster that it is from.
    from: String,
    current: Value,
    previous: Value,
}

/// The template of the revision before: that of the newest cluster of another revision that ever took queries.
fn earlier(group: &TrinoClusterGroup, clusters: &[TrinoCluster]) -> anyhow::Result<Rollback> {
    let name = group.name_any();
    let Some(template) = &group.spec.template else { bail!("trinoclustergroup/{name} has no template") };
    let current = match catalogs::selector(&template.spec) {
        // What it picks is the operator's to say.
        Some(_) => group.status.as_ref().and_then(|status| status.update_revision.clone()).unwrap_or_default(),
        None => cluster_revision(&template.spec).to_string(),
    };
    let mut candidates: Vec<_> = clusters
        .iter()
        .filter(|cluster| cluster.labels().get(OWNER_UID) == group.metadata.uid.as_ref())
        .filter(|cluster| revision(cluster) != current)
        .filter(|cluster| cluster.status.as_ref().is_some_and(|status| status.serving_since.is_some()))
        .collect();
    candidates.sort_by_key(|cluster| cluster.status.as_ref().and_then(|status| status.serving_since.clone()));
    let Some(cluster) = candidates.last() else {
        bail!(
            "no TrinoCluster of an earlier revision of trinoclustergroup/{name} is left, and with it its template: put the \
             earlier spec.template back from where you keep the group's manifest, and apply it"
        );
    };
    let from = cluster.name_any();
    let mut previous = template_of(&cluster.spec, &template.spec);
    if cluster_revision(&previous).as_str() != revision(cluster) {
        bail!(
            "trinocluster/{from} was changed since the group made it, or this kubectl-warren is older than the operator: it \
             does not hold the template of revision {} as it was; edit spec.template by hand",
            revision(cluster)
        );
    }
    if let Some(catalogs) = &mut previous.catalogs {
        catalogs.resolved = None;
    }
    // What picks them stands in the template alone.
    if let Some(selector) = catalogs::selector(&template.spec) {
        previous.catalogs.get_or_insert_default().selector = Some(selector.clone());
    }
    if cluster_revision(&previous) == cluster_revision(&template.spec) {
        bail!(
            "revision {} of trinocluster/{from} differs in what its TrinoCatalogs held alone; edit these back: \
             kubectl get trinocluster {from} -o yaml shows them in spec.catalogs.resolved",
            revision(cluster)
        );
    }
    let json = |spec| serde_json::to_value(spec).context("a spec as JSON");
    Ok(Rollback { from, current: json(&template.spec)?, previous: json(&previous)? })
}

fn revision(cluster: &TrinoCluster) -> &str {
    cluster.labels().get(REVISION).map_or("", String::as_str)
}

/// What made the revision of a cluster, with all that makes none as the template has it now: how many workers there are, and
/// what the group itself puts into its clusters.
fn template_of(cluster: &TrinoClusterSpec, now: &TrinoClusterSpec) -> TrinoClusterSpec {
    let mut spec = cluster.clone();
    spec.paused = now.paused;
    spec.serving = None;
    spec.drain.clone_from(&now.drain);
    spec.verify.clone_from(&now.verify);
    spec.client_url.clone_from(&now.client_url);
    spec.service.clone_from(&now.service);
    if spec.workers.is_some() || now.workers.is_some() {
        let workers = spec.workers.get_or_insert_default();
        let current = now.workers.clone().unwrap_or_default();
        workers.autoscaling = current.autoscaling;
        workers.graceful_shutdown = current.graceful_shutdown;
        // From none or to none is another revision.
        if worker_replicas(cluster) > 0 && worker_replicas(now) > 0 {
            workers.replicas = current.replicas;
        }
    }
    spec
}

/// One line for each field that differs.
fn differences(from: &Value, to: &Value, path: &str, text: &mut String) {
    if let (Value::Object(from), Value::Object(to)) = (from, to) {
        for key in keys(from, to) {
            let side = |side: &Map<String, Value>| side.get(key).cloned().unwrap_or_default();
            differences(&side(from), &side(to), &format!("{path}.{key}"), text);
        }
    } else if from != to {
        for (sign, value) in [('-', from), ('+', to)] {
            if !value.is_null() {
                let _ = writeln!(text, "{sign} {path}: {value}");
            }
        }
    }
}

/// The merge patch (RFC 7386) that makes `to` of `from`.
fn merge_patch(from: &Value, to: &Value) -> Value {
    let (Value::Object(from), Value::Object(to)) = (from, to) else { return to.clone() };
    let changed = keys(from, to).into_iter().filter(|key| from.get(*key) != to.get(*key));
    let of = |side: &Map<String, Value>, key: &String| side.get(key).cloned().unwrap_or_default();
    changed.map(|key| (key.clone(), merge_patch(&of(from, key), &of(to, key)))).collect()
}

fn keys<'a>(from: &'a Map<String, Value>, to: &'a Map<String, Value>) -> std::collections::BTreeSet<&'a String> {
    from.keys().chain(to.keys()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(template: &Value, status: &Value) -> TrinoClusterGroup {
        serde_json::from_value(json!({
            "apiVersion": "trinowarren.io/v1alpha1", "kind": "TrinoClusterGroup",
            "metadata": {"name": "adhoc", "uid": "u", "generation": 3},
            "spec": {"template": {"spec": template}}, "status": status,
        }))
        .unwrap()
    }

    fn cluster(name: &str, spec: &Value, since: Option<&str>) -> TrinoCluster {
        let mut made: TrinoCluster = serde_json::from_value(json!({
            "apiVersion": "trinowarren.io/v1alpha1", "kind": "TrinoCluster",
            "metadata": {"name": name, "labels": {GROUP: "adhoc", OWNER_UID: "u"}},
            "spec": spec, "status": {"servingSince": since},
        }))
        .unwrap();
        let revision = cluster_revision(&made.spec).to_string();
        made.labels_mut().insert(REVISION.into(), revision);
        made
    }

    #[test]
    fn what_made_the_earlier_revision_comes_back_and_what_makes_none_stays() {
        let now = json!({"version": "477", "workers": {"replicas": 5}, "config": {"a": "1", "b": "2"}, "drain": {"linger": "1m"}});
        let before = json!({"version": "476", "workers": {"replicas": 2, "resources": {"cpu": "1"}}, "config": {"a": "1"},
            "serving": "Drained", "paused": true, "drain": {"timeout": "5m"}});
        let clusters = [
            cluster("adhoc-1", &json!({"version": "475"}), Some("2026-01-01T00:00:00Z")),
            cluster("adhoc-2", &before, Some("2026-02-01T00:00:00Z")),
            cluster("adhoc-3", &json!({"version": "bad"}), None),
            cluster("adhoc-4", &now, Some("2026-03-01T00:00:00Z")),
        ];
        let Rollback { from, current, previous } = earlier(&group(&now, &json!({})), &clusters).unwrap();
        assert_eq!(from, "adhoc-2");
        let mut text = String::new();
        differences(&current, &previous, "spec", &mut text);
        let expected = "\
- spec.config.b: \"2\"
- spec.version: \"477\"
+ spec.version: \"476\"
+ spec.workers.resources: {\"cpu\":\"1\"}
";
        assert_eq!(text, expected);
        let patch = merge_patch(&current, &previous);
        let expected = json!({"config": {"b": null}, "version": "476", "workers": {"resources": {"cpu": "1"}}});
        assert_eq!(patch, expected);
    }

    #[test]
    fn without_an_earlier_revision_it_says_what_to_do() {
        let now = json!({"version": "477"});
        let clusters = [cluster("adhoc-4", &now, Some("2026-03-01T00:00:00Z"))];
        let error = earlier(&group(&now, &json!({})), &clusters).err().unwrap().to_string();
        assert!(error.contains("put the earlier spec.template back"), "{error}");
        let mut changed = cluster("adhoc-1", &json!({"version": "476"}), Some("2026-01-01T00:00:00Z"));
        changed.spec.version = "475".into();
        let error = earlier(&group(&now, &json!({})), &[changed]).err().unwrap().to_string();
        assert!(error.starts_with("trinocluster/adhoc-1 was changed since"), "{error}");
    }

    #[test]
    fn only_a_new_revision_can_be_promoted() {
        let spec = json!({"version": "477"});
        let of = |current: &str, update: &str, generation: i64| {
            let status =
                json!({"currentRevision": current, "updateRevision": update, "observedGeneration": generation});
            to_promote(&group(&spec, &status)).map_err(|error| error.to_string())
        };
        assert_eq!(of("a", "b", 3), Ok("b".to_owned()));
        assert!(of("b", "b", 3).unwrap_err().ends_with("has no new revision to promote"));
        assert!(of("a", "b", 2).unwrap_err().ends_with("try again"));
    }
}
