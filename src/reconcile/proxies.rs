//! Reconciles a ProxyGroup: the proxies' Deployment and all that stands beside it.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::{
    apps::v1::{ControllerRevision, Deployment},
    core::v1::{ConfigMap, Pod},
};
use kube::{Resource, ResourceExt, runtime::controller::Action};

use super::{
    apply::Applied,
    assess::{self, Trouble},
    context::Context,
    credentials,
    error::Error,
    index::{Index, Watched, label},
    needed, proxy_certificates, references, rendered,
    status::{self, HasStatus},
    tuning::{self, Found},
};
use crate::{
    api::{CONFIG_ACCEPTED, Conditions, ListenerStatus, ProxyGroup, ProxyGroupStatus, TrinoGateway},
    desired::{
        Revision,
        labels::{PROXY_GROUP, REVISION, selector_text},
        proxy_group::{self, ListenerPort, ProxyIdentity, ProxyObjects, RenderError},
        proxy_revision,
    },
};

const RESYNC: Duration = Duration::from_mins(10);
/// While proxies are to take other settings, they are asked again.
const CONFIG_RETRY: Duration = Duration::from_secs(5);

/// Brings the proxies to what the spec asks for. A ProxyGroup that is deleted needs no help: its objects go with it.
pub(super) async fn reconcile(proxies: Arc<ProxyGroup>, context: &Context) -> Result<Action, Error> {
    if proxies.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let identity = identity(&proxies);
    let listeners = listeners(&identity, &context.index);
    proxy_group::check_ports(&proxies.spec, &listeners)?;
    if let Err(error) = proxy_group::check_config(&proxies.spec) {
        return refuse_config(context, &proxies, &error).await;
    }
    let revision = proxy_revision(&proxies.spec, &listeners);
    // What proxies that run live by is kept up, whatever new ones lack; and new ones may refer to it.
    let has_credentials = credentials::settle(context, &proxies, &identity).await?;
    let certificates = proxy_certificates::settle(context, &proxies, &identity, &listeners).await?;
    let missing = missing(context, &proxies, &identity).await?;
    if let Some(missing) = &missing
        && !stands(&identity, &revision, &context.index)
    {
        // New proxies could not start: those that run stay as they are.
        context.write_status(&*proxies, proxies.status.clone().unwrap_or_default(), missing).await?;
        return Ok(Action::requeue(needed::RETRY));
    }
    let name = identity.revision_name(&revision);
    let rendered = match rendered::kept(&context.index, &identity.namespace, &name)? {
        Some(rendered) => rendered,
        None => proxy_group::render(&identity, &proxies.spec, &listeners, &context.own_image)?,
    };
    let objects =
        proxy_group::objects(&identity, &proxies.spec, &revision, &rendered).ok_or(Error::Incomplete(name))?;
    let own_table = identity.routing_config_map(&proxies.spec);
    let config_maps: Vec<_> = objects.config.iter().map(ResourceExt::name_any).chain([own_table]).collect();
    let deployment = apply(context, objects).await?;
    tuning::relabel(context, &proxies, &identity).await?;
    let found = tuning::look(context, &proxies, &identity, assess::is_complete(&deployment)).await?;
    let resync = match &found {
        Some(found) if !found.is_settled() => CONFIG_RETRY,
        _ if missing.is_some() => needed::RETRY,
        _ if has_credentials => credentials::INTERVAL,
        _ => RESYNC,
    };
    let resync = certificates.again.map_or(resync, |renewal| renewal.min(resync));
    let conditions = missing.unwrap_or_else(|| conditions(&proxies, &deployment, &context.index, &identity.namespace));
    let settled = matches!(conditions, Conditions::Ready { .. });
    let [admin_certificate, events_certificate] = certificates.kept(context, &proxies, &identity, settled).await?;
    let status = ProxyGroupStatus {
        admin_certificate,
        events_certificate,
        listeners: listeners.iter().map(|listener| listener_status(&identity, &proxies, listener)).collect(),
        ..status_of(&proxies, &identity, &deployment, proxy_group::image(&rendered), &context.own_image)
    };
    let status = with_config(status, &proxies, found);
    context.write_status(&*proxies, status, &conditions).await?;
    if settled {
        prune(context, &identity, &revision, &config_maps).await?;
    }
    Ok(Action::requeue(resync))
}

/// The settings cannot be used: proxies keep those that they have, and nothing else is changed either.
async fn refuse_config(context: &Context, proxies: &ProxyGroup, error: &RenderError) -> Result<Action, Error> {
    let mut status = proxies.status.clone().unwrap_or_default();
    status.conditions.retain(|condition| condition.type_ != CONFIG_ACCEPTED.0);
    status.conditions.push(tuning::refused(context, proxies, error));
    let message = error.to_string();
    let conditions = Conditions::Stalled { serving: status::serves(proxies), reason: "ConfigRefused", message };
    context.write_status(proxies, status, &conditions).await?;
    Ok(Action::requeue(RESYNC))
}

fn with_config(mut status: ProxyGroupStatus, proxies: &ProxyGroup, found: Option<Found>) -> ProxyGroupStatus {
    status.conditions.retain(|condition| condition.type_ != CONFIG_ACCEPTED.0);
    status.config_hash = proxy_group::config_hash(&proxies.spec);
    let (applied, condition) = found.map(|Found { applied, condition }| (applied, condition)).unzip();
    status.applied_by = applied.unwrap_or_default();
    status.conditions.extend(condition);
    status
}

/// Who `proxies` is.
pub(super) fn identity(proxies: &ProxyGroup) -> ProxyIdentity {
    ProxyIdentity {
        namespace: proxies.namespace().unwrap_or_default(),
        gateway: proxies.spec.gateway.name.clone(),
        owner: proxies.controller_owner_ref(&()).expect("an object from the API server has a name and a UID"),
    }
}

/// The ports of the gateway's listeners; of one that is gone or paused, those that the proxies have.
fn listeners(identity: &ProxyIdentity, index: &Index) -> Vec<ListenerPort> {
    let gateway = TrinoGateway::named(index, &identity.namespace, &identity.gateway);
    if let Some(gateway) = gateway.filter(|gateway| !gateway.is_paused()) {
        return proxy_group::listener_ports(&gateway.spec);
    }
    let deployment = deployed(identity, index);
    let template = deployment.as_ref().and_then(|deployment| Some(&deployment.spec.as_ref()?.template));
    template.map(proxy_group::ports_of).unwrap_or_default()
}

fn listener_status(identity: &ProxyIdentity, proxies: &ProxyGroup, listener: &ListenerPort) -> ListenerStatus {
    ListenerStatus { name: listener.name.clone(), address: identity.listener_address(&proxies.spec, listener) }
}

/// The condition for the first Secret or ConfigMap that the proxies need and that is not there, or lacks a key. Of what it holds
/// nothing is looked at.
async fn missing(
    context: &Context,
    proxies: &ProxyGroup,
    identity: &ProxyIdentity,
) -> Result<Option<Conditions>, Error> {
    let needed = proxy_group::needed_by_proxies(&proxies.spec);
    let missing = needed::missing(context, &identity.namespace, &needed).await?;
    Ok(missing.map(|Trouble { reason, message }| {
        let message = format!("{message}. The proxies that run stay as they are until then, and none can start");
        let serving = deployed(identity, &context.index).is_some_and(|deployment| ready(&deployment) > 0);
        Conditions::Stalled { serving, reason, message }
    }))
}

/// Whether the proxies' Deployment is of `revision`.
fn stands(identity: &ProxyIdentity, revision: &Revision, index: &Index) -> bool {
    let deployment = deployed(identity, index);
    deployment.is_some_and(|deployment| label(&*deployment, REVISION) == Some(revision.as_str()))
}

fn deployed(identity: &ProxyIdentity, index: &Index) -> Option<Arc<Deployment>> {
    Deployment::named(index, &identity.namespace, &identity.object_name())
}

fn ready(deployment: &Deployment) -> i32 {
    deployment.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0)
}

/// Applies all objects; what pods need comes before them.
async fn apply(context: &Context, objects: ProxyObjects) -> Result<Applied<Deployment>, Error> {
    let ProxyObjects { revision, service_account, role, role_binding, config, service, disruption_budget, deployment } =
        objects;
    context.apply(revision).await?;
    context.apply(service_account).await?;
    context.apply(role).await?;
    context.apply(role_binding).await?;
    if let Some(config) = config {
        context.apply(config).await?;
    }
    context.apply(service).await?;
    context.apply(disruption_budget).await?;
    context.apply(deployment).await
}

/// Removes the revisions and the settings that no proxy uses any more.
async fn prune(
    context: &Context,
    identity: &ProxyIdentity,
    revision: &Revision,
    config_maps: &[String],
) -> Result<(), Error> {
    for kept in ConfigMap::labelled(&context.index, &identity.namespace, PROXY_GROUP, &identity.owner.name) {
        let name = kept.name_any();
        if !config_maps.contains(&name) {
            context.delete(&*kept).await?;
        }
    }
    let current = identity.revision_name(revision);
    for kept in ControllerRevision::labelled(&context.index, &identity.namespace, PROXY_GROUP, &identity.owner.name) {
        if kept.name_any() != current {
            context.delete(&*kept).await?;
        }
    }
    Ok(())
}

fn status_of(
    proxies: &ProxyGroup,
    identity: &ProxyIdentity,
    deployment: &Deployment,
    image: Option<&str>,
    own_image: &str,
) -> ProxyGroupStatus {
    let seen = deployment.status.clone().unwrap_or_default();
    let named = proxies.spec.template.as_ref().and_then(|template| template.spec.as_ref());
    let named = named.is_some_and(|pod| pod.image.is_some());
    ProxyGroupStatus {
        replicas: seen.replicas.unwrap_or(0),
        ready_replicas: seen.ready_replicas.unwrap_or(0),
        updated_replicas: seen.updated_replicas.unwrap_or(0),
        selector: Some(selector_text(&identity.selector())),
        address: Some(identity.address(&proxies.spec)),
        image: image.map(str::to_owned),
        update_available: (!named && image != Some(own_image)).then(|| own_image.to_owned()),
        ..proxies.status.clone().unwrap_or_default()
    }
}

fn conditions(proxies: &ProxyGroup, deployment: &Deployment, index: &Index, namespace: &str) -> Conditions {
    let asked = proxy_group::replicas(&proxies.spec);
    let ready = ready(deployment);
    let serving = ready > 0;
    let gateway = &proxies.spec.gateway.name;
    if TrinoGateway::named(index, namespace, gateway).is_none() {
        let message = format!(
            "spec.gateway.name: there is no TrinoGateway {gateway:?} in namespace {namespace:?}; create it, or make a \
             ProxyGroup for another one"
        );
        return Conditions::Stalled { serving, reason: "GatewayNotFound", message };
    }
    if let Some(message) = references::missing_group_of(proxies, index, namespace) {
        return Conditions::Stalled { serving, reason: "GroupNotFound", message };
    }
    if let Some(Trouble { reason, message }) = trouble(deployment, index, namespace, &proxies.name_any()) {
        return Conditions::Stalled { serving, reason, message };
    }
    if assess::is_complete(deployment) {
        return Conditions::Ready { reason: "ProxiesReady", message: format!("{asked} proxies are ready") };
    }
    // What was ready once stays so while a proxy is replaced: the others serve.
    let serving = serving && status::serves(proxies);
    let message = format!("waiting for proxies: {ready} of {asked} are ready");
    Conditions::Reconciling { serving, reason: "ProxiesStarting", message }
}

fn trouble(deployment: &Deployment, index: &Index, namespace: &str, name: &str) -> Option<Trouble> {
    let pods = Pod::labelled(index, namespace, PROXY_GROUP, name);
    let stay = pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
    assess::pods_refused(deployment).or_else(|| stay.into_iter().find_map(|pod| pod_trouble(pod)))
}

fn pod_trouble(pod: &Pod) -> Option<Trouble> {
    if let Some(message) = assess::unschedulable(pod) {
        let message = format!("no node takes a proxy: {message}; lower spec.template.spec.resources or add nodes");
        return Some(Trouble { reason: "Unschedulable", message });
    }
    let container = pod.status.as_ref()?.container_statuses.as_ref()?.first()?;
    let held_up = assess::held_up(container, "spec.template.spec.image", "a proxy");
    if held_up.is_some() {
        return held_up;
    }
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    if waiting.reason.as_deref() != Some("CrashLoopBackOff") {
        return None;
    }
    let ended = container.last_state.as_ref()?.terminated.as_ref()?;
    let log = ended.message.as_deref().unwrap_or_default();
    let last = log.lines().last().unwrap_or("see its log");
    Some(Trouble { reason: "ProxyDoesNotStart", message: format!("a proxy does not start: {last}") })
}
