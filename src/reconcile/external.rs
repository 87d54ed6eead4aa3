//! A group's external clusters: how each stands, when one that takes no new queries has none left, and what their spec refers
//! to and is not there. Nothing is asked of the clusters themselves: others use them, too.

use std::{collections::BTreeSet, sync::Arc};

use k8s_openapi::{api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::Time};
use kube::{ResourceExt, runtime::events::EventType};

use super::{
    context::{Context, whole_second},
    drain::{self, Asked, ask_proxies},
    error::Error,
    events::gateways_before,
    gateway::decoded,
    index::{Index, Watched},
    needed,
};
use crate::{
    api::{
        Conditions, DrainStatus, ExternalCluster, ExternalClusterStatus, ExternalPhase, ExternalServing, ProxyMode,
        TrinoClusterGroup, TrinoGateway,
    },
    desired::{CA_KEY, authorization, external_drain_terms, gateway::config_map_name, labels, removed},
    lifecycle::drain::{Look, State, Terms, Verdict, judge},
};

/// Looks at the external clusters of a group; returns how each stands. One that was removed is left out once it has no queries.
pub(super) async fn look(context: &Context, group: &TrinoClusterGroup) -> Result<Vec<ExternalClusterStatus>, Error> {
    let deleted = group.metadata.deletion_timestamp.is_some();
    let known = group.status.as_ref().map(|status| status.external.as_slice()).unwrap_or_default();
    let mut found = Vec::new();
    for external in group.spec.external.iter().filter(|_| !deleted) {
        let before = known.iter().find(|known| known.name == external.name && known.url == external.url);
        found.push(asked_for(context, group, external, before).await?);
    }
    let elsewhere = elsewhere(&context.index, group);
    for known in removed(group) {
        if elsewhere.contains(&known.name) || labels::is_forced(&group.metadata) {
            continue;
        }
        found.extend(leaving(context, group, known).await?);
    }
    Ok(found)
}

/// One of the spec.
async fn asked_for(
    context: &Context,
    group: &TrinoClusterGroup,
    external: &ExternalCluster,
    before: Option<&ExternalClusterStatus>,
) -> Result<ExternalClusterStatus, Error> {
    let mut found = ExternalClusterStatus {
        name: external.name.clone(),
        url: external.url.clone(),
        client_url: external.client_url.clone(),
        ca_secret_ref: external.ca_secret_ref.clone(),
        phase: ExternalPhase::Active,
        since: before.map_or_else(|| Time(whole_second(context.now())), |before| before.since.clone()),
        draining: None,
    };
    if external.serving.unwrap_or_default() == ExternalServing::Active {
        return Ok(found);
    }
    let drained = before.is_some_and(|before| before.phase == ExternalPhase::Drained);
    if drained || !is_routed(&context.index, group, &external.name) {
        found.phase = ExternalPhase::Drained;
        return Ok(found);
    }
    found.draining = before.and_then(|before| before.draining.clone());
    let (verdict, status) = judged(context, group, &found).await?;
    let proven = verdict.state == State::Proven;
    found.phase = if proven { ExternalPhase::Drained } else { ExternalPhase::Draining };
    found.draining = (!proven).then_some(status);
    Ok(found)
}

/// One that was removed; none once it has no queries, or when the time for them is over.
async fn leaving(
    context: &Context,
    group: &TrinoClusterGroup,
    known: &ExternalClusterStatus,
) -> Result<Option<ExternalClusterStatus>, Error> {
    if known.phase == ExternalPhase::Drained || !is_routed(&context.index, group, &known.name) {
        return Ok(None);
    }
    let (verdict, status) = judged(context, group, known).await?;
    match verdict.state {
        State::Proven => Ok(None),
        State::Overdue => {
            let note = format!("external cluster {:?}: {}", known.name, drain::overdue_message(&verdict, &status));
            context.publish(group, EventType::Warning, "DrainDeadlinePassed", &note).await;
            Ok(None)
        }
        State::GoesOn => {
            let phase = ExternalPhase::Draining;
            Ok(Some(ExternalClusterStatus { phase, draining: Some(status), ..known.clone() }))
        }
    }
}

/// Asks the proxies once, and judges.
async fn judged(
    context: &Context,
    group: &TrinoClusterGroup,
    known: &ExternalClusterStatus,
) -> Result<(Verdict, DrainStatus), Error> {
    let now = whole_second(context.now());
    let asked = external_drain_terms(&group.spec)?;
    let gateways = gateways_of(&context.index, group);
    let first_call = |gateway: &Arc<TrinoGateway>| gateway.spec.proxy_mode == Some(ProxyMode::ProxyFirstCall);
    let before = known.draining.as_ref();
    let terms = Terms {
        since: before.map_or(now, |before| before.since.0),
        timeout: asked.timeout,
        linger: asked.linger,
        abandonment: asked.abandonment,
        direct: known.client_url.is_some() && gateways.iter().any(first_call),
    };
    let (name, namespace) = (group.name_any(), group.namespace().unwrap_or_default());
    let of = Asked { cluster: &known.name, group: &name, namespace: &namespace, served: Some(known.since.0) };
    let mut look = Look::default();
    ask_proxies(context, &of, &gateways, (now, asked.abandonment), &mut look).await?;
    let verdict = judge(&terms, &before.map(drain::progress).unwrap_or_default(), &look, now);
    let status = drain::status_of(&terms, &verdict, &look, before);
    Ok((verdict, status))
}

fn gateways_of(index: &Index, group: &TrinoClusterGroup) -> Vec<Arc<TrinoGateway>> {
    gateways_before(index, &group.namespace().unwrap_or_default(), &group.name_any())
}

/// Whether a table leads to it. One that none does, since its CA was never there or its gateway is gone, has nobody's queries.
fn is_routed(index: &Index, group: &TrinoClusterGroup, cluster: &str) -> bool {
    let namespace = group.namespace().unwrap_or_default();
    gateways_of(index, group).iter().any(|gateway| {
        let published = ConfigMap::named(index, &namespace, &config_map_name(&gateway.name_any()));
        let table = published.and_then(|published| decoded(&published));
        let groups = table.iter().flat_map(|table| &table.groups);
        groups.flat_map(|group| &group.clusters).any(|known| known.name.as_str() == cluster)
    })
}

/// The names that other groups of the namespace have: an entry that was moved goes on there, with its queries.
pub(super) fn elsewhere(index: &Index, group: &TrinoClusterGroup) -> BTreeSet<String> {
    let others = index.groups.state_filter(|other| {
        other.namespace() == group.namespace()
            && other.uid() != group.uid()
            && other.metadata.deletion_timestamp.is_none()
    });
    others.iter().flat_map(|other| &other.spec.external).map(|external| external.name.clone()).collect()
}

/// Whether somebody is to look again soon.
pub(super) fn drains(found: &[ExternalClusterStatus]) -> bool {
    found.iter().any(|external| external.phase == ExternalPhase::Draining)
}

/// The condition while clusters that were removed have queries.
pub(super) fn conditions(group: &TrinoClusterGroup, found: &[ExternalClusterStatus]) -> Option<Conditions> {
    let removed: BTreeSet<_> = removed(group).map(|known| known.name.as_str()).collect();
    let leaving = found.iter().find(|external| removed.contains(external.name.as_str()))?;
    let message = drain::message(leaving.draining.as_ref()?);
    let message = format!("external cluster {:?} was removed; it {message}", leaving.name);
    Some(Conditions::Reconciling { serving: true, reason: "ClustersDraining", message })
}

/// The condition for the first external cluster whose Secrets are not there, or not as they must be.
pub(super) async fn missing_secret(context: &Context, group: &TrinoClusterGroup) -> Result<Option<Conditions>, Error> {
    let namespace = group.namespace().unwrap_or_default();
    for external in &group.spec.external {
        let ca = missing_ca(context, &namespace, external).await?;
        let fault = match ca {
            Some(fault) => {
                Some(format!("{fault}. The cluster is not routed to until then, or with the certificate it had"))
            }
            None => credentials_fault(context, &namespace, external)
                .await?
                .map(|fault| format!("{fault}. It is checked without credentials until then, or with those it had")),
        };
        if let Some(message) = fault {
            return Ok(Some(Conditions::Stalled { serving: true, reason: needed::SECRET_NOT_FOUND, message }));
        }
    }
    Ok(None)
}

async fn missing_ca(context: &Context, namespace: &str, external: &ExternalCluster) -> Result<Option<String>, Error> {
    let Some(reference) = &external.ca_secret_ref else { return Ok(None) };
    let (field, name) = (format!("spec.external[{}].caSecretRef", external.name), &reference.name);
    let key = reference.key.as_deref().unwrap_or(CA_KEY);
    Ok(match context.secret(namespace, name).await? {
        None => Some(format!("{field}: there is no Secret {name:?} in namespace {namespace:?}; create it")),
        Some(secret) if !secret.data.as_ref().is_some_and(|data| data.contains_key(key)) => {
            Some(format!("{field}: Secret {name:?} has no key {key:?}; add the CA certificate there"))
        }
        Some(_) => None,
    })
}

async fn credentials_fault(
    context: &Context,
    namespace: &str,
    external: &ExternalCluster,
) -> Result<Option<String>, Error> {
    let Some(reference) = &external.credentials_secret_ref else { return Ok(None) };
    let (field, name) = (format!("spec.external[{}].credentialsSecretRef", external.name), &reference.name);
    Ok(match context.secret(namespace, name).await? {
        None => Some(format!("{field}: there is no Secret {name:?} in namespace {namespace:?}; create it")),
        Some(secret) => {
            let fault = authorization(&secret.data.unwrap_or_default()).err();
            fault.map(|fault| format!("{field}: Secret {name:?} {fault}"))
        }
    })
}
