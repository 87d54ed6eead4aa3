//! `drain` and `undrain`: `spec.serving` of a TrinoCluster, applied under a field manager of their own, so that neither a
//! group nor another user takes it back by applying something else.

use anyhow::{Context as _, anyhow, bail};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::json;

use super::FIELD_MANAGER;
use crate::{
    api::{ClusterPhase, READY, ServingIntent, TrinoCluster},
    desired::labels::{DRAINING_SINCE, GROUP},
};

/// How a drain stands, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Queries are left, or may be.
    GoesOn(String),
    /// None is left, or their time is over.
    Done(String),
}

/// Asks that no new query goes to `cluster`; returns what to tell.
///
/// # Errors
/// When there is no such cluster, or the API server refuses.
pub async fn drain(client: &Client, namespace: &str, cluster: &str) -> anyhow::Result<String> {
    let api = Api::<TrinoCluster>::namespaced(client.clone(), namespace);
    if find(&api, namespace, cluster).await?.spec.serving == Some(ServingIntent::Hibernated) {
        bail!("trinocluster/{cluster} hibernates: it has no queries, and takes none");
    }
    let drained = apply(&api, cluster, &json!({"serving": ServingIntent::Drained})).await?;
    let others = api.list(&ListParams::default()).await.context("cannot list the TrinoClusters")?;
    Ok(drained_words(&drained, &others.items))
}

/// Takes back what [`drain`] asked for; returns what to tell.
///
/// # Errors
/// When there is no such cluster, the API server refuses, or somebody else drains it too.
pub async fn undrain(client: &Client, namespace: &str, cluster: &str) -> anyhow::Result<String> {
    let api = Api::<TrinoCluster>::namespaced(client.clone(), namespace);
    find(&api, namespace, cluster).await?;
    undrained_words(&apply(&api, cluster, &json!({})).await?)
}

/// How the drain of `cluster` stands.
///
/// # Errors
/// When the API server does not answer, or nobody asks for the drain any more.
pub async fn progress(client: &Client, namespace: &str, cluster: &str) -> anyhow::Result<Progress> {
    let api = Api::<TrinoCluster>::namespaced(client.clone(), namespace);
    let found = api.get_opt(cluster).await.with_context(|| format!("cannot read TrinoCluster {cluster:?}"))?;
    progress_of(found.as_ref(), cluster)
}

pub(super) async fn find(api: &Api<TrinoCluster>, namespace: &str, name: &str) -> anyhow::Result<TrinoCluster> {
    let found = api.get_opt(name).await.with_context(|| format!("cannot read TrinoCluster {name:?}"))?;
    found.ok_or_else(|| {
        anyhow!(
            "there is no TrinoCluster {name:?} in namespace {namespace:?}; kubectl warren status cluster lists them"
        )
    })
}

async fn apply(api: &Api<TrinoCluster>, name: &str, spec: &serde_json::Value) -> anyhow::Result<TrinoCluster> {
    let patch = json!({
        "apiVersion": format!("{}/{}", crate::api::GROUP, crate::api::VERSION), "kind": "TrinoCluster",
        "metadata": {"name": name}, "spec": spec,
    });
    // By force: whoever applied `serving: Active` before would hold it otherwise.
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    let applied = api.patch(name, &parameters, &Patch::Apply(&patch)).await;
    applied.with_context(|| format!("cannot change spec.serving of TrinoCluster {name:?}"))
}

fn drained_words(drained: &TrinoCluster, all: &[TrinoCluster]) -> String {
    let name = drained.name_any();
    let mut words = format!(
        "trinocluster/{name} takes no new queries from now on; those that run go on\n\
         take it back with: kubectl warren undrain {name}"
    );
    let group = |cluster: &TrinoCluster| cluster.labels().get(GROUP).cloned();
    if let Some(of_group) = group(drained)
        && !all.iter().any(|other| group(other).as_ref() == Some(&of_group) && takes_queries(other))
    {
        let warning =
            format!("\nwarning: no other cluster of group {of_group} takes queries: its new queries are refused");
        words.push_str(&warning);
    }
    words
}

fn takes_queries(cluster: &TrinoCluster) -> bool {
    let ready = cluster.status.as_ref().is_some_and(|status| READY.holds(&status.conditions));
    ready && is_open(cluster) && cluster.metadata.deletion_timestamp.is_none()
}

fn is_open(cluster: &TrinoCluster) -> bool {
    cluster.spec.serving.unwrap_or_default() == ServingIntent::Active
}

fn undrained_words(cluster: &TrinoCluster) -> anyhow::Result<String> {
    let name = cluster.name_any();
    if is_open(cluster) {
        return Ok(format!("trinocluster/{name} takes new queries again"));
    }
    if let Some(since) = cluster.annotations().get(DRAINING_SINCE) {
        bail!(
            "its group drains trinocluster/{name} since {since}, because it was replaced or scaled in: undrain takes back \
             only what drain asked for. To keep its revision: kubectl warren rollback"
        );
    }
    bail!(
        "spec.serving of trinocluster/{name} was not set to Drained by kubectl warren drain, and stays; this tells by whom: \
         kubectl get tcl {name} --show-managed-fields -o yaml"
    )
}

fn progress_of(cluster: Option<&TrinoCluster>, name: &str) -> anyhow::Result<Progress> {
    let Some(cluster) = cluster else { return Ok(Progress::Done(format!("trinocluster/{name} is gone"))) };
    if is_open(cluster) && cluster.metadata.deletion_timestamp.is_none() {
        bail!("trinocluster/{name} was told to take queries again");
    }
    let status = cluster.status.clone().unwrap_or_default();
    if status.observed_generation != cluster.metadata.generation {
        return Ok(Progress::GoesOn("waiting for the operator to look at it".to_owned()));
    }
    Ok(match (status.phase, status.draining) {
        (Some(ClusterPhase::Drained | ClusterPhase::Hibernated | ClusterPhase::Terminating), _) => {
            let ready = status.conditions.iter().find(|condition| condition.type_ == READY.0);
            let message = ready.map(|ready| format!(": {}", ready.message)).unwrap_or_default();
            Progress::Done(format!("trinocluster/{name} is drained{message}"))
        }
        (_, _) if status.was_ready != Some(true) => {
            Progress::Done(format!("trinocluster/{name} never took queries: there is nothing to wait for"))
        }
        (_, Some(drain)) => Progress::GoesOn(super::text::drain(&drain)),
        (_, None) => Progress::GoesOn("waiting for the first look at its queries".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn cluster(change: &Value) -> TrinoCluster {
        let mut object = json!({
            "apiVersion": "trinowarren.io/v1alpha1", "kind": "TrinoCluster",
            "metadata": {"name": "a-1", "generation": 2, "labels": {GROUP: "a"}},
            "spec": {"version": "476", "serving": "Drained"},
            "status": {"observedGeneration": 2, "wasReady": true, "phase": "Draining"},
        });
        for (field, value) in change.as_object().cloned().unwrap_or_default() {
            *object.pointer_mut(&field).unwrap() = value;
        }
        serde_json::from_value(object).unwrap()
    }

    fn told(change: &Value) -> String {
        match progress_of(Some(&cluster(change)), "a-1") {
            Ok(Progress::Done(line)) => format!("done: {line}"),
            Ok(Progress::GoesOn(line)) => line,
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn a_drain_is_over_when_the_operator_says_so_of_this_spec() {
        assert_eq!(told(&json!({})), "waiting for the first look at its queries");
        assert_eq!(told(&json!({"/status/observedGeneration": 1})), "waiting for the operator to look at it");
        assert_eq!(told(&json!({"/status/phase": "Drained"})), "done: trinocluster/a-1 is drained");
        assert!(told(&json!({"/status/wasReady": false})).starts_with("done: trinocluster/a-1 never took queries"));
        assert_eq!(told(&json!({"/spec/serving": "Active"})), "error: trinocluster/a-1 was told to take queries again");
        assert_eq!(progress_of(None, "a-1").unwrap(), Progress::Done("trinocluster/a-1 is gone".into()));
    }

    #[test]
    fn who_drains_the_last_cluster_of_a_group_is_warned() {
        let drained = cluster(&json!({}));
        assert!(drained_words(&drained, &[]).contains("warning: no other cluster of group a takes queries"));
        let mut other = cluster(&json!({"/metadata/name": "a-2", "/spec/serving": "Active"}));
        let conditions = crate::api::Conditions::Ready { reason: "Available", message: String::new() };
        let list = conditions.to_list(&[], None, jiff::Timestamp::UNIX_EPOCH);
        other.status.as_mut().unwrap().conditions = list;
        assert!(!drained_words(&drained, &[drained.clone(), other]).contains("warning"));
    }

    #[test]
    fn undrain_says_who_else_drains_it() {
        let mut by_group = cluster(&json!({}));
        let by_someone = undrained_words(&by_group).unwrap_err().to_string();
        assert!(by_someone.contains("--show-managed-fields"), "{by_someone}");
        by_group.annotations_mut().insert(DRAINING_SINCE.into(), "2026-09-21T12:00:00Z".into());
        let words = undrained_words(&by_group).unwrap_err().to_string();
        assert!(words.starts_with("its group drains trinocluster/a-1 since 2026-09-21T12:00:00Z"), "{words}");
    }
}
