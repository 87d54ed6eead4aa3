//! What a component finds below `/etc/trino`, gathered file by file, and how its pods mount it: files of the revision, files that
//! change in place, and files of the user's own Secrets and ConfigMaps.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    ConfigMapProjection, EnvVar, EnvVarSource, KeyToPath, PodTemplateSpec, ProjectedVolumeSource, SecretKeySelector,
    SecretProjection, Volume, VolumeProjection,
};

use super::{
    ClusterIdentity, FilesError, RenderError,
    files::Files,
    live,
    pods::{self, key_of},
};
use crate::{
    api::{FileSource, KeyReference, Properties, SecretValue, TrinoClusterSpec},
    desired::Component,
    trino::properties,
};

/// Where all of it is mounted.
pub(super) const FOLDER: &str = "/etc/trino";

/// All texts of one component together: what was rendered for both is one object, of 1.5 MiB at most (etcd's own limit).
const MAX_BYTES: usize = 450 * 1024;

/// A ConfigMap ends at 1 MiB.
const MAX_LIVE_BYTES: usize = 900 * 1024;

/// What a component finds below [`FOLDER`].
#[derive(Default)]
pub(super) struct Etc {
    /// Files of the revision.
    files: Files,
    /// Files that change in place: their texts are [`live::files`].
    live: Vec<String>,
    /// Files that stand in Secrets and ConfigMaps of the user.
    mounted: BTreeMap<String, FileSource>,
    /// The environment that properties speak of, by name.
    env: BTreeMap<String, SecretKeySelector>,
    /// Lines of `config.properties` that follow from typed fields; the user's own go over them.
    pub typed: Properties,
    /// Lines of `config.properties` that the user may not set beside the field that is named.
    pub owned: BTreeMap<&'static str, (String, &'static str)>,
}

impl Etc {
    /// Adds a file of the revision.
    pub(super) fn write(&mut self, path: impl Into<String>, text: String) -> Result<(), RenderError> {
        let path = self.free(path.into())?;
        self.files.insert(path, text);
        Ok(())
    }

    /// Adds a properties file: `typed` lines, the user's over them, and those whose values stand in Secrets.
    pub(super) fn write_properties(
        &mut self,
        path: impl Into<String>,
        typed: &[(&str, String)],
        own: &Properties,
        secrets: &BTreeMap<String, SecretValue>,
    ) -> Result<(), RenderError> {
        let path = path.into();
        let mut lines: Properties = typed.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        lines.extend(own.clone());
        for (key, value) in secrets {
            if own.contains_key(key) {
                return Err(FilesError::Twice { path, key: key.clone() }.into());
            }
            lines.insert(key.clone(), self.secret_value(&path, key, value));
        }
        self.write(path, properties::render(&lines))
    }

    /// What the line of `key` in the file `path` says, so that Trino reads its value from a Secret.
    pub(super) fn secret_value(&mut self, path: &str, key: &str, value: &SecretValue) -> String {
        format!("${{ENV:{}}}", self.variable(path, key, &value.secret_key_ref))
    }

    /// Adds a file that changes in place; [`live::files`] has its text.
    pub(super) fn live(&mut self, path: impl Into<String>) -> Result<(), RenderError> {
        let path = self.free(path.into())?;
        self.live.push(path);
        Ok(())
    }

    /// Adds a file of the user's own Secret or ConfigMap.
    pub(super) fn mount(&mut self, path: impl Into<String>, source: FileSource) -> Result<(), RenderError> {
        let path = self.free(path.into())?;
        self.mounted.insert(path, source);
        Ok(())
    }

    /// Adds a file that is a key of a Secret.
    pub(super) fn mount_key(&mut self, path: impl Into<String>, reference: KeyReference) -> Result<(), RenderError> {
        self.mount(path, FileSource { secret_key_ref: Some(reference), config_map_key_ref: None })
    }

    /// Adds an environment variable of this name.
    pub(super) fn environment(&mut self, name: &str, secret: String, key: &str) {
        let selector = SecretKeySelector { name: secret, key: key.to_owned(), optional: None };
        self.env.insert(name.to_owned(), selector);
    }

    fn free(&self, path: String) -> Result<String, RenderError> {
        let key = key_of(&path);
        let taken = |other: &String| key_of(other) == key;
        if self.files.keys().chain(&self.live).chain(self.mounted.keys()).any(taken) {
            return Err(FilesError::Taken(path).into());
        }
        Ok(path)
    }

    /// The variable for a line of a file; another one than those that are there.
    fn variable(&mut self, path: &str, key: &str, reference: &KeyReference) -> String {
        let upper = |character: char| {
            if character.is_ascii_alphanumeric() { character.to_ascii_uppercase() } else { '_' }
        };
        let stem = path.strip_suffix(".properties").unwrap_or(path);
        let base: String = "WARREN_".chars().chain(format!("{stem}_{key}").chars().map(upper)).collect();
        let mut name = base.clone();
        let mut count = 1;
        while self.env.contains_key(&name) {
            count += 1;
            name = format!("{base}_{count}");
        }
        self.environment(&name, reference.name.clone(), &reference.key);
        name
    }
}

/// A component with all of `etc`.
pub(super) fn component(
    cluster: &ClusterIdentity,
    spec: &TrinoClusterSpec,
    component: &str,
    etc: Etc,
) -> Result<Component, RenderError> {
    let Etc { files, live, mounted, env, typed: _, owned: _ } = etc;
    for (texts, most) in [(&files, MAX_BYTES), (&live::files(spec, component), MAX_LIVE_BYTES)] {
        let bytes = texts.values().map(String::len).sum::<usize>();
        if bytes > most {
            return Err(FilesError::TooLarge { bytes, most }.into());
        }
    }
    let mut part = pods::component(cluster, spec, component, files);
    let config_map = super::config_map_name(cluster, component, &part);
    let paths: Vec<_> = part.files.keys().cloned().collect();
    let mut sources = vec![config_map_source(config_map, paths)];
    if !live.is_empty() {
        sources.push(config_map_source(live::config_map_name(cluster, component), live));
    }
    sources.extend(mounted.into_iter().filter_map(|(path, source)| projection(path, source)));
    fit(&mut part.template, sources, &env);
    Ok(part)
}

/// One volume for all of it: a file that is mounted by itself (`subPath`) would not change in a running pod.
fn fit(template: &mut PodTemplateSpec, sources: Vec<VolumeProjection>, env: &BTreeMap<String, SecretKeySelector>) {
    let Some(pod) = &mut template.spec else { return };
    if sources.len() > 1 {
        let projected = ProjectedVolumeSource { sources: Some(sources), default_mode: None };
        let volume = Volume { name: pods::FILES.into(), projected: Some(projected), ..Volume::default() };
        let volumes = pod.volumes.get_or_insert_default();
        volumes.retain(|other| other.name != volume.name);
        volumes.insert(0, volume);
    }
    for container in &mut pod.containers {
        container.env.get_or_insert_default().extend(env.iter().map(|(name, selector)| EnvVar {
            name: name.clone(),
            value_from: Some(EnvVarSource { secret_key_ref: Some(selector.clone()), ..EnvVarSource::default() }),
            ..EnvVar::default()
        }));
    }
}

fn config_map_source(name: String, paths: Vec<String>) -> VolumeProjection {
    let items = paths.into_iter().map(|path| KeyToPath { key: key_of(&path), path, mode: None }).collect();
    let source = ConfigMapProjection { name, items: Some(items), optional: None };
    VolumeProjection { config_map: Some(source), ..VolumeProjection::default() }
}

fn projection(path: String, source: FileSource) -> Option<VolumeProjection> {
    let item = |key: String| Some(vec![KeyToPath { key, path, mode: None }]);
    match source {
        FileSource { secret_key_ref: Some(KeyReference { name, key }), .. } => Some(VolumeProjection {
            secret: Some(SecretProjection { name, items: item(key), optional: None }),
            ..VolumeProjection::default()
        }),
        FileSource { config_map_key_ref: Some(KeyReference { name, key }), .. } => Some(VolumeProjection {
            config_map: Some(ConfigMapProjection { name, items: item(key), optional: None }),
            ..VolumeProjection::default()
        }),
        FileSource { secret_key_ref: None, config_map_key_ref: None } => None,
    }
}
