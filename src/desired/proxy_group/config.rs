//! The proxies' own settings: the ConfigMap that brings them into the pods, and what of them makes a new revision.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, ConfigMapVolumeSource, Volume};
use serde_json::{Value, json};

use super::{ProxyIdentity, RenderError};
use crate::{
    api::{ConfigUpdate, ProxyGroupSpec, ProxyPodSpec},
    desired::metadata::owned_meta,
    tuning::{self, Tuning},
};

/// Name of the volume.
pub(super) const VOLUME: &str = "config";
/// Where it is mounted.
pub(super) const DIRECTORY: &str = "/etc/warren/config";
const FILE: &str = "proxy.yaml";

fn pod(spec: &ProxyGroupSpec) -> Option<&ProxyPodSpec> {
    spec.template.as_ref()?.spec.as_ref()
}

/// The document, if the spec gives one.
fn document(spec: &ProxyGroupSpec) -> Option<&str> {
    pod(spec)?.config.as_deref()
}

fn update(spec: &ProxyGroupSpec) -> ConfigUpdate {
    let strategy = pod(spec).and_then(|pod| pod.update_strategy.as_ref());
    strategy.and_then(|strategy| strategy.config).unwrap_or_default()
}

/// Digest of the settings that the spec gives; none where it gives none.
pub fn config_hash(spec: &ProxyGroupSpec) -> Option<String> {
    document(spec).map(tuning::digest)
}

/// Whether running proxies take the settings by themselves.
pub fn is_reloaded(spec: &ProxyGroupSpec) -> bool {
    document(spec).is_some() && update(spec) == ConfigUpdate::HotReload
}

/// Checks the settings.
///
/// # Errors
/// When proxies would refuse them; the message names the key.
pub fn check_config(spec: &ProxyGroupSpec) -> Result<(), RenderError> {
    document(spec).map_or(Ok(()), |document| Tuning::read(document).map(|_| ()).map_err(RenderError::Config))
}

/// What of the settings makes a new revision: all of them, or those that only a new process takes.
pub(in crate::desired) fn revised(spec: &ProxyGroupSpec) -> Option<Value> {
    let document = document(spec)?;
    Some(match (update(spec), Tuning::read(document)) {
        (ConfigUpdate::HotReload, Ok(tuning)) => json!({"config": "HotReload", "atStart": tuning.at_start()}),
        (ConfigUpdate::HotReload, Err(_)) | (ConfigUpdate::Restart, _) => json!({"config": document}),
    })
}

/// Where the settings are to be found: of its content's name where only new pods shall take them.
fn name(proxies: &ProxyIdentity, spec: &ProxyGroupSpec, document: &str) -> String {
    let stable = format!("{}-config", proxies.object_name());
    match update(spec) {
        ConfigUpdate::HotReload => stable,
        ConfigUpdate::Restart => format!("{stable}-{}", tuning::digest(document)),
    }
}

/// The ConfigMap with the settings.
pub(super) fn config_map(proxies: &ProxyIdentity, spec: &ProxyGroupSpec) -> Option<ConfigMap> {
    let document = document(spec)?;
    let name = name(proxies, spec, document);
    Some(ConfigMap {
        metadata: owned_meta(name, &proxies.namespace, &proxies.labels(), &proxies.owner),
        data: Some(BTreeMap::from([(FILE.to_owned(), document.to_owned())])),
        immutable: (update(spec) == ConfigUpdate::Restart).then_some(true),
        binary_data: None,
    })
}

/// Its volume.
pub(super) fn volume(proxies: &ProxyIdentity, spec: &ProxyGroupSpec) -> Option<Volume> {
    let document = document(spec)?;
    let source = ConfigMapVolumeSource { name: name(proxies, spec, document), ..ConfigMapVolumeSource::default() };
    Some(Volume { name: VOLUME.into(), config_map: Some(source), ..Volume::default() })
}

/// The flag that names the file.
pub(super) fn argument(spec: &ProxyGroupSpec) -> Option<String> {
    document(spec).map(|_| format!("--settings={DIRECTORY}/{FILE}"))
}
