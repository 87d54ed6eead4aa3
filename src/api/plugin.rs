//! Plugins of Trino that its image does not have.

use kube::KubeSchema;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A plugin: a folder of jars from an image or from a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.image) != has(self.volume)").message("spec.plugins: give each plugin either image or volume"))]
#[x_kube(validation = Rule::new("!has(self.path) || (has(self.image) ? self.path.startsWith('/') : !self.path.startsWith('/')) && !self.path.contains('..')").message("spec.plugins: path is absolute for an image, such as /plugin, and relative for a volume, without '..'"))]
pub struct Plugin {
    /// Name of its folder below Trino's `plugin`. The image's own plugins stay, but for one of the same name, which it replaces.
    #[schemars(length(min = 1, max = 50))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')").message("spec.plugins: name must be 1 to 50 characters of a-z, 0-9 and '-', and neither begin nor end with '-'"))]
    pub name: String,
    /// The image that holds it, for example `registry.example.com/my-connector:1.2`. An init container copies `path` from there, by the
    /// image's own `cp`, as user 1000; it is pulled with `spec.image.pullSecrets`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// The volume that holds it: one of `spec.volumes` of a pod, as it is, without its name. It is mounted for reading.
    /// Example: `persistentVolumeClaim: {claimName: plugins}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "volume_schema")]
    pub volume: Option<Map<String, Value>>,
    /// The folder of the jars, in the image or in the volume. Default: `/plugin` of an image, all of a volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub path: Option<String>,
}

// Kubernetes' own type would add 60 KB to each CRD; the operator checks it.
fn volume_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}
