//! Plugins that Trino's image does not have: each a volume of its own below the plugin folder, so that those of the image stay.

use k8s_openapi::api::core::v1::{Container, EmptyDirVolumeSource, PodTemplateSpec, Volume, VolumeMount};
use serde_json::Value;

use super::RenderError;
use crate::{
    api::{Plugin, Resources, TrinoClusterSpec},
    desired::{
        metadata::{container_security, resource_requirements},
        strict::{self, Misfit},
    },
};

/// The plugin folder of the official image.
const FOLDER: &str = "/usr/lib/trino/plugin";
/// Where an image keeps a plugin, unless the user says otherwise.
const DEFAULT_PATH: &str = "/plugin";
const COPIED_TO: &str = "/warren/plugin";

/// Brings the plugins of `spec` into the pods of `template`.
///
/// # Errors
/// When a volume is not what Kubernetes knows; the message names the field.
pub(super) fn fit(template: &mut PodTemplateSpec, spec: &TrinoClusterSpec) -> Result<(), RenderError> {
    let Some(pod) = &mut template.spec else { return Ok(()) };
    for plugin in &spec.plugins {
        let Plugin { name, image, volume: _, path } = plugin;
        let id = format!("plugin-{name}");
        pod.volumes.get_or_insert_default().push(volume(plugin, id.clone())?);
        if let Some(image) = image {
            let from = path.as_deref().unwrap_or(DEFAULT_PATH).trim_end_matches('/');
            pod.init_containers.get_or_insert_default().push(copier(id.clone(), image, from));
        }
        let mount = VolumeMount {
            name: id,
            mount_path: format!("{FOLDER}/{name}"),
            read_only: Some(true),
            sub_path: path.clone().filter(|_| image.is_none()),
            ..VolumeMount::default()
        };
        for container in &mut pod.containers {
            container.volume_mounts.get_or_insert_default().push(mount.clone());
        }
    }
    Ok(())
}

fn volume(plugin: &Plugin, name: String) -> Result<Volume, RenderError> {
    let Some(written) = &plugin.volume else {
        return Ok(Volume { name, empty_dir: Some(EmptyDirVolumeSource::default()), ..Volume::default() });
    };
    let field = format!("spec.plugins[{}].volume", plugin.name);
    let mut whole = written.clone();
    if whole.insert("name".to_owned(), Value::String(name)).is_some() {
        let fault = "its name is made from the plugin's; remove it here".to_owned();
        return Err(RenderError::Plugin { field: format!("{field}.name"), fault });
    }
    strict::read(&Value::Object(whole)).map_err(|misfit| match misfit {
        Misfit::Unknown { path } => RenderError::Plugin {
            field: format!("{field}.{path}"),
            fault: "a volume of a pod has no such field; remove or correct it".to_owned(),
        },
        Misfit::Type { path, fault } => RenderError::Plugin { field: format!("{field}.{path}"), fault },
    })
}

/// Without a shell: an image of a plugin has `cp`, and maybe nothing else.
fn copier(name: String, image: &str, from: &str) -> Container {
    let small = Resources { cpu: Some("50m".to_owned()), memory: Some("128Mi".to_owned()) };
    Container {
        command: Some(["cp", "-R", &format!("{from}/."), COPIED_TO].map(str::to_owned).into()),
        image: Some(image.to_owned()),
        resources: Some(resource_requirements(Some(&small), "", "")),
        security_context: Some(container_security()),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        volume_mounts: Some(vec![VolumeMount {
            name: name.clone(),
            mount_path: COPIED_TO.to_owned(),
            ..VolumeMount::default()
        }]),
        name,
        ..Container::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_that_is_none_is_refused_with_its_path() {
        for (volume, message) in [
            ("{pvc: {claimName: a}}", "spec.plugins[a].volume.pvc: a volume of a pod has no such field"),
            ("{emptyDir: {sizeLimit: [a]}}", "spec.plugins[a].volume.emptyDir.sizeLimit: invalid type: sequence"),
            ("{name: b, emptyDir: {}}", "spec.plugins[a].volume.name: its name is made from"),
        ] {
            let yaml = format!("{{version: '476', plugins: [{{name: a, volume: {volume}}}]}}");
            let spec: TrinoClusterSpec = serde_saphyr::from_str(&yaml).expect("a spec");
            let mut template = PodTemplateSpec { spec: Some(<_>::default()), metadata: None };
            let fault = fit(&mut template, &spec).expect_err(volume).to_string();
            assert!(fault.starts_with(message), "{fault}");
        }
    }
}
