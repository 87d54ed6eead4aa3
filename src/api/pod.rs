//! Pieces that several kinds share because Kubernetes pods share them: images, resources, metadata.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Where an image comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.tag) && has(self.digest))").message("image: give tag or digest, not both: a digest already names one image"))]
pub struct Image {
    /// Registry and repository, without a tag, for example `docker.io/trinodb/trino`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([a-zA-Z0-9._/:-]*[a-zA-Z0-9])?$') && !self.contains('//') && !self.matches(':[^/]*$')").message("image.repository must be a registry and a repository without https:// and without a tag, such as docker.io/trinodb/trino; the tag goes to image.tag"))]
    pub repository: Option<String>,
    /// Tag of the image. Default: the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9_][A-Za-z0-9._-]*$')").message("image.tag must begin with a letter, a digit or '_', and hold only letters, digits, '.', '_' and '-'"))]
    pub tag: Option<String>,
    /// Digest of the image, `sha256:` and 64 hexadecimal digits; instead of a tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71))]
    #[x_kube(validation = Rule::new("self.matches('^sha256:[0-9a-f]{64}$')").message("image.digest must be sha256: and 64 hexadecimal digits"))]
    pub digest: Option<String>,
    /// When the kubelet pulls. (The CRD has the type's text.)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_policy: Option<PullPolicy>,
    /// Secrets of type `kubernetes.io/dockerconfigjson` in the same namespace, for a registry that asks who pulls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub pull_secrets: Vec<PullSecret>,
}

/// When the kubelet pulls the image: at every start of a container (`Always`), when the node does not have it
/// (`IfNotPresent`), or never. Default: `IfNotPresent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PullPolicy {
    /// At every start of a container.
    Always,
    /// Never: the image must be on the node.
    Never,
    /// When the node does not have it.
    IfNotPresent,
}

/// A reference to a pull Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct PullSecret {
    /// Name of the Secret, in the namespace of the object.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(SECRET_NAME_RULE).message("image.pullSecrets: name must be the name of a Secret: 1 to 253 characters of a-z, 0-9, '-' and '.', with a letter or digit at both ends"))]
    pub name: String,
}

/// What a container may use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// CPU that is reserved, for example `500m` or `4`. No limit is set: a query may use what the node has to spare.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(validation = Rule::new("isQuantity(self) && quantity(self).isGreaterThan(quantity('0'))").message("resources.cpu must be a positive quantity such as 500m or 4"))]
    pub cpu: Option<String>,
    /// Memory that is reserved and the limit, for example `4Gi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(validation = Rule::new("isQuantity(self) && quantity(self).isGreaterThan(quantity('0'))").message("resources.memory must be a positive quantity such as 4Gi"))]
    pub memory: Option<String>,
}

/// Labels and annotations of what is made from a template. Those under `trinowarren.io/` and `app.kubernetes.io/` are
/// Warren's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TemplateMetadata {
    /// Labels. Changing them makes no new revision.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "labels_schema")]
    #[x_kube(validation = Rule::new("self.all(k, !k.startsWith('trinowarren.io/') && !k.startsWith('app.kubernetes.io/'))").message("metadata.labels: labels under trinowarren.io/ and app.kubernetes.io/ belong to Warren; use a prefix of your own"))]
    #[x_kube(validation = Rule::new(QUALIFIED_KEYS_RULE).message("metadata.labels: a label's name is 1 to 63 characters of letters, digits, '-', '_' and '.', with a letter or digit at both ends, and maybe a DNS name and '/' before it"))]
    #[x_kube(validation = Rule::new(LABEL_VALUES_RULE).message("metadata.labels: a label's value is at most 63 characters of letters, digits, '-', '_' and '.', with a letter or digit at both ends"))]
    pub labels: BTreeMap<String, String>,
    /// Annotations. Changing them makes no new revision.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "annotations_schema")]
    #[x_kube(validation = Rule::new(FOREIGN_KEYS_RULE).message("metadata.annotations: annotations under trinowarren.io/ belong to Warren; use a prefix of your own"))]
    #[x_kube(validation = Rule::new(QUALIFIED_KEYS_RULE).message("metadata.annotations: an annotation's name is 1 to 63 characters of letters, digits, '-', '_' and '.', with a letter or digit at both ends, and maybe a DNS name and '/' before it"))]
    pub annotations: BTreeMap<String, String>,
}

/// The name of a Secret: an RFC 1123 subdomain.
pub(super) const SECRET_NAME_RULE: &str = "self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')";
/// Names of labels and annotations, as Kubernetes takes them: `name` or `dns.name/name`.
pub(super) const QUALIFIED_KEYS_RULE: &str =
    "self.all(k, k.matches('^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))";
/// Values of labels, as Kubernetes takes them.
pub(super) const LABEL_VALUES_RULE: &str =
    "self.all(k, self[k].matches('^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$'))";
/// Annotations that are not Warren's.
pub(super) const FOREIGN_KEYS_RULE: &str = "self.all(k, !k.startsWith('trinowarren.io/'))";

// The derive bounds neither the number of a map's entries nor the length of its values; CEL's cost budget asks for both.
pub(super) fn labels_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": {"type": "string", "maxLength": 63},
    })
}

// Kubernetes itself bounds all annotations of an object together, at 256 KiB.
pub(super) fn annotations_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": {"type": "string", "maxLength": 32768},
    })
}
