//! `TrinoCatalog`: one data source, which clusters pick by its labels; and the catalogs of a cluster.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{
    cluster::{Properties, properties_schema},
    pod::{LABEL_VALUES_RULE, QUALIFIED_KEYS_RULE, labels_schema},
};

/// Properties whose values stand in Secrets, by key.
pub type SecretProperties = BTreeMap<String, SecretProperty>;

/// One catalog, that is a data source, which the clusters of its namespace pick by its labels (`spec.catalogs.selector`).
/// An edit never changes a running cluster: each group that picks it makes a new revision, which takes over once it has shown that
/// it can load the catalog; a cluster made by hand restarts.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "trinowarren.io",
    version = "v1alpha1",
    kind = "TrinoCatalog",
    namespaced,
    derive = "PartialEq",
    status = "TrinoCatalogStatus",
    shortname = "tcat",
    category = "trino",
    doc = "One catalog, that is a data source, which the clusters of its namespace pick by its labels (spec.catalogs.selector). An edit never changes a running cluster: each group that picks it makes a new revision, which takes over once it has shown that it can load the catalog; a cluster made by hand restarts.",
    printcolumn(name = "Catalog", type_ = "string", json_path = ".status.catalogName"),
    printcolumn(name = "Connector", type_ = "string", json_path = ".spec.connector"),
    printcolumn(name = "Clusters", type_ = "integer", json_path = ".status.clusterCount"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("(has(self.spec.catalogName) && self.spec.catalogName != 'system') || (!has(self.spec.catalogName) && self.metadata.name != 'system' && self.metadata.name.matches('^[a-z0-9][a-z0-9-]{0,62}$'))").message("metadata.name is the catalog's name in Trino, 1 to 63 characters of a-z, 0-9 and '-', and not system, which is Trino's own; give spec.catalogName for another one")
)]
#[x_kube(validation = Rule::new("!has(self.properties) || !has(self.secretProperties) || self.secretProperties.all(k, !(k in self.properties))").message("spec.secretProperties: a property stands in spec.properties, too; give it in one of them"))]
pub struct TrinoCatalogSpec {
    /// `true` stops Warren from changing this object's status. Clusters pick the catalog nevertheless. Default: `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// Name of the catalog in Trino, if it is not `metadata.name`; one with an underscore, for example. Two catalogs of one name
    /// cannot be in one cluster. Changing it has the effect of a new version of Trino.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9_][a-z0-9_-]{0,62}$')").message("spec.catalogName must be 1 to 63 characters of a-z, 0-9, '_' and '-', not beginning with '-'"))]
    pub catalog_name: Option<String>,
    /// The connector, `connector.name` in Trino's terms: `postgresql`, `iceberg`, `hive`, or any other that the image has or that
    /// a plugin brings. Changing it has the effect of a new version of Trino.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9][A-Za-z0-9_.-]*$')").message("spec.connector must be the name of a connector, such as postgresql"))]
    pub connector: String,
    /// The connector's properties, but for `connector.name`. They land in a ConfigMap: give secrets by `secretProperties`.
    /// Changing them has the effect of a new version of Trino. Example: `connection-url: jdbc:postgresql://db:5432/shop`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "properties_schema")]
    #[x_kube(validation = Rule::new("self.all(k, k.matches('^[A-Za-z0-9][A-Za-z0-9._-]*$'))").message("spec.properties: a property's name holds only letters, digits, '.', '_' and '-'"))]
    #[x_kube(validation = Rule::new("!('connector.name' in self)").message("spec.properties: connector.name is made from spec.connector; remove it here"))]
    pub properties: Properties,
    /// Properties whose values are in Secrets of the same namespace. They reach Trino as environment variables, and stand in no
    /// ConfigMap, status or log. Changing a reference has the effect of a new version of Trino; changing the Secret's value has
    /// none until the next start of a pod: refer to a Secret of another name, or change `version`.
    /// Example: `connection-password: {secretKeyRef: {name: shop-db, key: password}}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "secret_properties_schema")]
    #[x_kube(validation = Rule::new("self.all(k, k != 'connector.name' && k.matches('^[A-Za-z0-9][A-Za-z0-9._-]*$'))").message("spec.secretProperties: a property's name holds only letters, digits, '.', '_' and '-', and is not connector.name"))]
    pub secret_properties: SecretProperties,
    /// Any text. Changing it has the effect of a new version of Trino and no other: so a Secret's new value is taken up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub version: Option<String>,
}

/// Where the value of a property stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretProperty {
    /// A key of a Secret in the same namespace.
    pub secret_key_ref: PropertySecret,
}

/// A key of a Secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, KubeSchema)]
pub struct PropertySecret {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
    /// Key in the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._A-Za-z0-9]+$"))]
    pub key: String,
}

/// The data sources of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.secretProperties) || self.secretProperties.all(name, has(self.inline) && name in self.inline)").message("spec.catalogs.secretProperties: each name is that of a catalog in spec.catalogs.inline; add the catalog there, or correct the name"))]
#[x_kube(validation = Rule::new("!has(self.secretProperties) || !has(self.inline) || self.secretProperties.all(name, !(name in self.inline) || self.secretProperties[name].all(k, !(k in self.inline[name])))").message("spec.catalogs.secretProperties: a property stands in spec.catalogs.inline, too; give it in one of them"))]
pub struct Catalogs {
    /// Properties of each catalog by its name; `connector.name` is required. They land in a ConfigMap: give secrets by
    /// `secretProperties`. Example: `tpch: {connector.name: tpch}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "catalogs_schema")]
    #[x_kube(validation = Rule::new("self.all(name, name.matches('^[a-z0-9_][a-z0-9_-]{0,62}$'))").message("spec.catalogs.inline: a catalog's name is 1 to 63 characters of a-z, 0-9, '_' and '-', not beginning with '-'"))]
    #[x_kube(validation = Rule::new("!('system' in self)").message("spec.catalogs.inline: the catalog system is Trino's own; choose another name"))]
    #[x_kube(validation = Rule::new("self.all(name, 'connector.name' in self[name] && size(self[name]['connector.name']) > 0)").message("spec.catalogs.inline: each catalog needs connector.name, for example {tpch: {connector.name: tpch}}"))]
    #[x_kube(validation = Rule::new("self.all(name, self[name].all(k, k.matches('^[A-Za-z0-9][A-Za-z0-9._-]*$')))").message("spec.catalogs.inline: a property's name holds only letters, digits, '.', '_' and '-'"))]
    pub inline: BTreeMap<String, Properties>,
    /// Properties of inline catalogs whose values are in Secrets of the same namespace, by the catalog's name. They reach Trino as
    /// environment variables. A Secret's new value has no effect until the next start of a pod: refer to a Secret of another name.
    /// Example: `shop: {connection-password: {secretKeyRef: {name: shop-db, key: password}}}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "catalog_secrets_schema")]
    #[x_kube(validation = Rule::new("self.all(name, self[name].all(k, k != 'connector.name' && k.matches('^[A-Za-z0-9][A-Za-z0-9._-]*$')))").message("spec.catalogs.secretProperties: a property's name holds only letters, digits, '.', '_' and '-', and is not connector.name"))]
    pub secret_properties: BTreeMap<String, SecretProperties>,
    /// Picks TrinoCatalogs of the namespace by their labels, besides those in `inline`. What is picked is part of what a revision is
    /// made from: an edit of a TrinoCatalog, a new one or one that is gone has the effect of an edit here. `selector: {}` picks all
    /// of the namespace. Default: none are picked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<CatalogSelection>,
    /// The TrinoCatalogs that the selector in a group's template picked when the group made this cluster, by the catalog's name. Set by
    /// the group, in place of `selector`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "resolved_schema")]
    pub resolved: Option<BTreeMap<String, ResolvedCatalog>>,
}

/// Labels that TrinoCatalogs carry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CatalogSelection {
    /// All of these labels, with these values. Default: every TrinoCatalog of the namespace.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "labels_schema")]
    #[x_kube(validation = Rule::new(QUALIFIED_KEYS_RULE).message("spec.catalogs.selector.matchLabels: a label's name is 1 to 63 characters of letters, digits, '-', '_' and '.', with a letter or digit at both ends, and maybe a DNS name and '/' before it"))]
    #[x_kube(validation = Rule::new(LABEL_VALUES_RULE).message("spec.catalogs.selector.matchLabels: a label's value is at most 63 characters of letters, digits, '-', '_' and '.', with a letter or digit at both ends"))]
    pub match_labels: BTreeMap<String, String>,
}

/// A TrinoCatalog as it stood when a group made a revision from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedCatalog {
    /// Name of the TrinoCatalog.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub trino_catalog: Option<String>,
    /// Its connector.
    #[schemars(length(max = 63))]
    pub connector: String,
    /// Its properties.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "properties_schema")]
    pub properties: Properties,
    /// Its properties in Secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "secret_properties_schema")]
    pub secret_properties: SecretProperties,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub version: Option<String>,
}

// The derive bounds no map; CEL's cost budget asks for it.
pub(super) fn secret_properties_schema(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": SecretProperty::json_schema(generator),
    })
}

pub(super) fn resolved_schema(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": ResolvedCatalog::json_schema(generator),
    })
}

fn catalog_secrets_schema(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": secret_properties_schema(generator),
    })
}

fn catalogs_schema(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": properties_schema(generator),
    })
}

/// What is known of a catalog.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrinoCatalogStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Its name in Trino.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalog_name: Option<String>,
    /// Number of clusters that have it.
    #[serde(default)]
    pub cluster_count: i32,
    /// The clusters that have it, at most 100 of them, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub clusters: Vec<CatalogUse>,
    /// `Ready`, `Reconciling` and `Stalled`, as kstatus reads them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// A cluster that has a catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CatalogUse {
    /// Name of the TrinoCluster.
    pub name: String,
    /// Whether it has the catalog as it stands now; `false` for one that a newer revision replaces.
    pub up_to_date: bool,
    /// Whether it takes queries.
    pub serving: bool,
}
