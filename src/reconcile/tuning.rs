//! Which settings the proxies of a ProxyGroup applied, as they say themselves; and their labels, which are brought to what
//! the spec says while they run.

use futures::StreamExt as _;
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::Condition};
use kube::{
    ResourceExt,
    api::{Patch, PatchParams},
};
use serde::Deserialize;

use super::{
    admin::{self, AT_ONCE, AdminPort, has_ended},
    context::Context,
    error::Error,
    index::Watched,
};
use crate::{
    api::{AppliedConfig, CONFIG_ACCEPTED, ProxyGroup},
    desired::{
        labels::PROXY_GROUP,
        proxy_group::{self, ProxyIdentity, RenderError},
    },
};

/// What the proxies say.
pub(super) struct Found {
    /// One by one, by the names of their pods.
    pub applied: Vec<AppliedConfig>,
    /// `ConfigAccepted`.
    pub condition: Condition,
}

impl Found {
    /// Whether nothing is waited for.
    pub(super) fn is_settled(&self) -> bool {
        self.condition.status == "True"
    }
}

/// What a proxy says of itself, as far as it is about its settings.
#[derive(Default, Deserialize)]
struct Status {
    #[serde(default)]
    settings: Option<Settings>,
}

#[derive(Default, Deserialize)]
struct Settings {
    hash: Option<String>,
    fault: Option<String>,
}

/// Asks every proxy which settings it applied; none where the spec gives none. `replaced`: no proxy of another template
/// runs any more.
pub(super) async fn look(
    context: &Context,
    proxies: &ProxyGroup,
    identity: &ProxyIdentity,
    replaced: bool,
) -> Result<Option<Found>, Error> {
    let Some(hash) = proxy_group::config_hash(&proxies.spec) else { return Ok(None) };
    let pods = running(context, identity);
    let access = admin::access(context, &identity.namespace, proxies, &pods).await?;
    let asked = pods.iter().map(|pod| {
        let (access, hash) = (access.clone(), &hash);
        async move {
            let answer = match AdminPort::of(pod) {
                None => Err("it has no address yet".to_owned()),
                Some(port) => port.get(context, access, "/v1/status").await,
            };
            applied(pod.name_any(), answer, hash)
        }
    });
    // To a vector first: borrowed closures in a stream of futures are no `Send` that the compiler could tell.
    let asked: Vec<_> = asked.collect();
    let mut applied: Vec<_> = futures::stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;
    applied.sort_by(|a, b| a.pod.cmp(&b.pod));
    let wanted = usize::try_from(proxy_group::replicas(&proxies.spec)).unwrap_or(0);
    let judged = judge(&applied, &hash, replaced && applied.len() >= wanted);
    Ok(Some(Found { condition: condition(context, proxies, judged), applied }))
}

/// The condition when the operator itself refuses the settings.
pub(super) fn refused(context: &Context, proxies: &ProxyGroup, error: &RenderError) -> Condition {
    condition(context, proxies, (false, "ConfigRefused", error.to_string()))
}

fn condition(context: &Context, proxies: &ProxyGroup, judged: (bool, &str, String)) -> Condition {
    let previous = proxies.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    CONFIG_ACCEPTED.judged(judged, previous, proxies.metadata.generation, context.now())
}

fn applied(pod: String, answer: Result<bytes::Bytes, String>, wanted: &str) -> AppliedConfig {
    let read = answer.and_then(|body| {
        let read: Result<Status, _> = serde_json::from_slice(&body);
        read.map_err(|_| "its status cannot be read; is it of another version?".to_owned())
    });
    match read {
        Err(fault) => AppliedConfig { pod, hash: None, fault: Some(fault) },
        Ok(Status { settings: None }) => {
            let fault = "it knows no settings; is it of an older version?".to_owned();
            AppliedConfig { pod, hash: None, fault: Some(fault) }
        }
        Ok(Status { settings: Some(Settings { hash, fault }) }) => {
            let has_it = hash.as_deref() == Some(wanted);
            AppliedConfig { pod, hash, fault: fault.filter(|_| !has_it) }
        }
    }
}

/// Whether all have them, with a reason in one word, and a sentence.
fn judge(applied: &[AppliedConfig], hash: &str, replaced: bool) -> (bool, &'static str, String) {
    let lacking: Vec<_> = applied.iter().filter(|one| one.hash.as_deref() != Some(hash)).collect();
    let having = applied.len() - lacking.len();
    let counts = format!("{having} of {} proxies applied {hash}", applied.len());
    if let Some((pod, fault, kept)) = lacking.iter().find_map(|one| Some((&one.pod, one.fault.as_ref()?, &one.hash))) {
        let kept = kept.as_ref().map_or("its defaults".to_owned(), |hash| format!("the last good ones, {hash}"));
        return (false, "ConfigRefused", format!("{counts}; proxy {pod} goes on with {kept}: {fault}"));
    }
    match (lacking.is_empty(), replaced) {
        (true, true) => (true, "ConfigApplied", counts),
        (true, false) => (false, "ConfigPending", format!("{counts}; proxies are being replaced or made")),
        (false, _) => (false, "ConfigPending", format!("{counts}; the others take it within some two minutes")),
    }
}

fn running(context: &Context, identity: &ProxyIdentity) -> Vec<std::sync::Arc<Pod>> {
    let mut pods = Pod::labelled(&context.index, &identity.namespace, PROXY_GROUP, &identity.owner.name);
    pods.retain(|pod| pod.metadata.deletion_timestamp.is_none() && !has_ended(pod));
    pods
}

/// Brings labels and annotations of the proxies that run to what the spec says.
pub(super) async fn relabel(context: &Context, proxies: &ProxyGroup, identity: &ProxyIdentity) -> Result<(), Error> {
    let api = context.api::<Pod>(&identity.namespace);
    for pod in running(context, identity) {
        let Some(patch) = proxy_group::metadata_patch(&proxies.spec, &pod.metadata) else { continue };
        let name = pod.name_any();
        let patched = api.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await;
        context.metrics.wrote("Pod", "patch");
        match patched {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            Err(error) => return Err(Error::api(format!("label Pod {name:?}"))(error)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(pod: &str, hash: Option<&str>, fault: Option<&str>) -> AppliedConfig {
        AppliedConfig { pod: pod.into(), hash: hash.map(str::to_owned), fault: fault.map(str::to_owned) }
    }

    #[test]
    fn all_must_have_it_and_none_be_left_of_another_template() {
        let both = [one("a", Some("new"), None), one("b", Some("new"), None)];
        assert!(judge(&both, "new", true).0);
        assert_eq!(judge(&both, "new", false).1, "ConfigPending");
        let half = [one("a", Some("new"), None), one("b", Some("old"), None)];
        assert_eq!(judge(&half, "new", true).1, "ConfigPending");
    }

    #[test]
    fn why_one_refuses_is_told() {
        let found = [one("a", Some("new"), None), one("b", Some("old"), Some("threads: no"))];
        let (holds, reason, message) = judge(&found, "new", true);
        assert_eq!((holds, reason), (false, "ConfigRefused"));
        assert_eq!(message, "1 of 2 proxies applied new; proxy b goes on with the last good ones, old: threads: no");
    }
}
