//! What a TrinoCluster finds below `/etc/trino` beside `config.properties` and its catalogs: typed fields for what most need, free
//! ones for all else.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{cluster::Properties, cluster::properties_schema, pod::SECRET_NAME_RULE};

/// Files below `/etc/trino`. What is said here of a file applies in this order, the last word winning: Warren's defaults, the typed
/// fields, `properties`. A key that Warren has to own is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Files {
    /// Lines of `log.properties` on all nodes: the least level that a logger writes, by its name: `DEBUG`, `INFO`, `WARN`, `ERROR`
    /// or `OFF`. Changing it makes a new revision. Example: `io.trino.execution: DEBUG`. Default: Trino's own, `INFO`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "levels_schema")]
    pub log_levels: BTreeMap<String, String>,
    /// Lines of `node.properties` on all nodes, over Warren's: `node.environment` (default `warren`), `node.internal-address-source`
    /// and others. Changing it makes a new revision.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "properties_schema")]
    #[x_kube(validation = Rule::new("!self.exists(k, k in ['node.id', 'node.data-dir', 'plugin.dir', 'catalog.config-dir'])").message("spec.files.node: Warren itself sets node.id, node.data-dir, plugin.dir and catalog.config-dir; remove them here"))]
    pub node: Properties,
    /// Resource groups, in `resource-groups.properties` of the coordinator. Default: none, Trino's single group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_groups: Option<ResourceGroups>,
    /// Defaults of session properties by user, source and so on, in `session-property-config.properties` of the coordinator.
    /// Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_properties: Option<SessionProperties>,
    /// Who may do what, on the coordinator: each entry is a file below `access-control/`, and `access-control.config-files` lists
    /// them in this order; all of them have to allow what a user does. Adding or removing one makes a new revision. Workers have
    /// rules of their own, by which Warren alone may drain them. Default: Trino's own, which forbids impersonation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub access_control: Vec<AccessControl>,
    /// Which groups a user is in, in `group-provider.properties` of the coordinator. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_provider: Option<GroupProvider>,
    /// How passwords are checked, on the coordinator: each entry is a file below `password-authenticator/`, and
    /// `password-authenticator.config-files` lists them in this order, after those of `spec.authentication`, which is what most need. Without
    /// that, Trino asks for passwords only with `http-server.authentication.type: PASSWORD` in `config`. Changing one makes a new revision.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub password_authenticators: Vec<PasswordAuthenticator>,
    /// Header authenticators of your own plugins, on the coordinator: files below `header-authenticator/`, listed by
    /// `header-authenticator.config-files`. Each needs `header-authenticator.name`. Changing one makes a new revision.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    #[x_kube(validation = Rule::new("self.all(e, has(e.properties) && 'header-authenticator.name' in e.properties)").message("spec.files.headerAuthenticators: each needs properties with header-authenticator.name"))]
    pub header_authenticators: Vec<PluginFile>,
    /// Event listeners beside Warren's own, on the coordinator: files below `event-listener/`, listed by
    /// `event-listener.config-files`. Each needs `event-listener.name`. Changing one makes a new revision.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    #[x_kube(validation = Rule::new("self.all(e, has(e.properties) && 'event-listener.name' in e.properties)").message("spec.files.eventListeners: each needs properties with event-listener.name"))]
    pub event_listeners: Vec<PluginFile>,
    /// Any other file below `/etc/trino`, by its path. Adding or removing one makes a new revision.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["path"]))]
    pub extra: Vec<ExtraFile>,
}

/// Resource groups: `rules`, or a manager of another kind by `properties`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.rules) != (has(self.properties) && 'resource-groups.configuration-manager' in self.properties)").message("spec.files.resourceGroups: give rules, or properties with resource-groups.configuration-manager, such as db; not both"))]
#[x_kube(validation = Rule::new("!has(self.properties) || !('resource-groups.config-file' in self.properties)").message("spec.files.resourceGroups.properties: Warren itself sets resource-groups.config-file; remove it here, and give rules"))]
pub struct ResourceGroups {
    /// The content of `resource-groups.json`, as Trino documents it: `rootGroups`, `selectors`, `cpuQuotaPeriod`. Trino reads it
    /// once, so a change makes a new revision; with the manager `db` it looks at its database by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "object_schema")]
    pub rules: Option<Map<String, Value>>,
    /// Lines of `resource-groups.properties`. Example: `resource-groups.configuration-manager: db`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "properties_schema")]
    pub properties: Properties,
    /// Lines whose values stand in Secrets. Example: `resource-groups.config-db-password`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "secret_values_schema")]
    pub secret_properties: BTreeMap<String, SecretValue>,
}

/// Session properties: `rules`, or a manager of another kind by `properties`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.rules) != (has(self.properties) && 'session-property-config.configuration-manager' in self.properties)").message("spec.files.sessionProperties: give rules, or properties with session-property-config.configuration-manager, such as db; not both"))]
#[x_kube(validation = Rule::new("!has(self.properties) || !('session-property-manager.config-file' in self.properties)").message("spec.files.sessionProperties.properties: Warren itself sets session-property-manager.config-file; remove it here, and give rules"))]
pub struct SessionProperties {
    /// The content of `session-property-config.json`: match rules in their order, as Trino documents them. Trino reads it once, so a
    /// change makes a new revision. Example: `[{group: "global.etl.*", sessionProperties: {query_max_run_time: 8h}}]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "objects_schema")]
    pub rules: Option<Vec<Map<String, Value>>>,
    /// Lines of `session-property-config.properties`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "properties_schema")]
    pub properties: Properties,
    /// Lines whose values stand in Secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "secret_values_schema")]
    pub secret_properties: BTreeMap<String, SecretValue>,
}

/// One access control: `rules`, `opa`, or one of another kind by `properties`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.rules) ? 1 : 0) + (has(self.opa) ? 1 : 0) + (has(self.properties) && 'access-control.name' in self.properties ? 1 : 0) == 1").message("spec.files.accessControl: give exactly one of rules, opa, and properties with access-control.name"))]
#[x_kube(validation = Rule::new("!has(self.rules) || !has(self.properties) || !('security.config-file' in self.properties)").message("spec.files.accessControl: with rules, Warren itself sets security.config-file; remove it from properties"))]
pub struct AccessControl {
    /// Its file's name below `access-control/`, without `.properties`.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new(FILE_NAME_RULE).message("spec.files.accessControl: a name is 1 to 63 characters of a-z, 0-9 and '-', beginning with a letter"))]
    pub name: String,
    /// Rules of Trino's file-based access control (`catalogs`, `schemas`, `tables`, `queries`, `system_information` and so on). A
    /// change takes effect in place, within about two minutes, and restarts nothing. Warren adds what its own user needs in front:
    /// [`docs/configuration.md`](configuration.md#warrens-own-user).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "object_schema")]
    pub rules: Option<Map<String, Value>>,
    /// How often Trino looks whether `rules` have changed. A number and a unit. Default: `30s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 8))]
    #[x_kube(validation = Rule::new("self.matches('^[1-9][0-9]{0,5}(s|m|h)$')").message("spec.files.accessControl.refreshPeriod must be a number and a unit, such as 30s or 5m"))]
    pub refresh_period: Option<String>,
    /// Open Policy Agent decides. It has to let Warren's own user in, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opa: Option<Opa>,
    /// Lines of the file, over what follows from the fields above.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "properties_schema")]
    pub properties: Properties,
    /// Lines whose values stand in Secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "secret_values_schema")]
    pub secret_properties: BTreeMap<String, SecretValue>,
}

/// Where Open Policy Agent answers: URIs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Opa {
    /// `opa.policy.uri`. Example: `http://opa:8181/v1/data/trino/allow`.
    #[schemars(length(min = 1, max = 512))]
    pub policy: String,
    /// `opa.policy.batched-uri`. Default: each object is asked for by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub batched: Option<String>,
    /// `opa.policy.row-filters-uri`. Default: no row filters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub row_filters: Option<String>,
    /// `opa.policy.column-masking-uri`. Default: no column masks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub column_masking: Option<String>,
}

/// Groups of users: `groups`, or a provider of another kind by `properties`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.groups) ? 1 : 0) + (has(self.groupFile) ? 1 : 0) + (has(self.properties) && 'group-provider.name' in self.properties ? 1 : 0) == 1").message("spec.files.groupProvider: give exactly one of groups, groupFile, and properties with group-provider.name"))]
#[x_kube(validation = Rule::new("!has(self.properties) || !('file.group-file' in self.properties)").message("spec.files.groupProvider.properties: Warren itself sets file.group-file; remove it here, and give groups or groupFile"))]
pub struct GroupProvider {
    /// The users of each group. A change takes effect in place, within about two minutes, and restarts nothing. Trino looks for it
    /// every `file.refresh-period`, 5 s by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "groups_schema")]
    #[x_kube(validation = Rule::new("self.all(g, g.matches('^[^:,\\\\s]+$'))").message("spec.files.groupProvider.groups: a group's name holds no blank, ':' or ','"))]
    pub groups: Option<BTreeMap<String, Vec<String>>>,
    /// A file of lines `group:user,user`, in a ConfigMap or a Secret. Trino reads it again in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_file: Option<FileSource>,
    /// Lines of `group-provider.properties`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "properties_schema")]
    pub properties: Properties,
    /// Lines whose values stand in Secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "secret_values_schema")]
    pub secret_properties: BTreeMap<String, SecretValue>,
}

/// One way to check passwords: `passwordFile`, or another one by `properties`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.passwordFile) != (has(self.properties) && 'password-authenticator.name' in self.properties)").message("spec.files.passwordAuthenticators: give passwordFile, or properties with password-authenticator.name, such as ldap; not both"))]
#[x_kube(validation = Rule::new("!has(self.properties) || !('file.password-file' in self.properties)").message("spec.files.passwordAuthenticators: Warren itself sets file.password-file; remove it from properties, and give passwordFile"))]
pub struct PasswordAuthenticator {
    /// Its file's name below `password-authenticator/`, without `.properties`.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new(FILE_NAME_RULE).message("spec.files.passwordAuthenticators: a name is 1 to 63 characters of a-z, 0-9 and '-', beginning with a letter"))]
    pub name: String,
    /// A file of lines `user:hash` (bcrypt or PBKDF2), in a Secret. It is mounted, never copied; Trino reads it again every
    /// `file.refresh-period`, 5 s by default, so an edit of the Secret restarts nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<KeyReference>,
    /// Lines of the file.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "properties_schema")]
    pub properties: Properties,
    /// Lines whose values stand in Secrets. Example: `ldap.bind-password`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "secret_values_schema")]
    pub secret_properties: BTreeMap<String, SecretValue>,
}

/// A properties file of a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PluginFile {
    /// The file's name without `.properties`.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new(FILE_NAME_RULE).message("spec.files: a name is 1 to 63 characters of a-z, 0-9 and '-', beginning with a letter"))]
    pub name: String,
    /// Its lines.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "properties_schema")]
    pub properties: Properties,
    /// Lines whose values stand in Secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "secret_values_schema")]
    pub secret_properties: BTreeMap<String, SecretValue>,
}

/// A file below `/etc/trino` that no other field writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.text) ? 1 : 0) + (has(self.properties) ? 1 : 0) + (has(self.secretKeyRef) ? 1 : 0) + (has(self.configMapKeyRef) ? 1 : 0) == 1").message("spec.files.extra: give exactly one of text, properties, secretKeyRef and configMapKeyRef"))]
#[x_kube(validation = Rule::new("!has(self.reload) || !self.reload || has(self.text)").message("spec.files.extra: reload is for text; what a Secret or a ConfigMap holds always changes in place"))]
pub struct ExtraFile {
    /// Its path below `/etc/trino`, of at most four parts. Example: `kafka/topics.json`.
    #[schemars(length(min = 1, max = 120))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*){0,3}$') && !self.contains('..')").message("spec.files.extra.path must be a path such as kafka/topics.json: up to four parts of letters, digits, '.', '_' and '-', none beginning with '.' or '-', and no '..'"))]
    #[x_kube(validation = Rule::new("!(self in ['config.properties', 'node.properties', 'jvm.config', 'log.properties']) && !['catalog/', 'access-control/', 'password-authenticator/', 'header-authenticator/', 'event-listener/'].exists(f, self.startsWith(f))").message("spec.files.extra.path: Warren itself writes config.properties, node.properties, jvm.config, log.properties and the folders catalog, access-control, password-authenticator, header-authenticator and event-listener; they have fields of their own"))]
    pub path: String,
    /// Which nodes have it. (The CRD has the type's text.)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<Nodes>,
    /// Its text. It stands in a ConfigMap: no secrets here. Trino replaces `${ENV:NAME}` in properties files alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 131_072))]
    pub text: Option<String>,
    /// Whether Trino reads `text` again by itself: then a change takes place in the running pods, and restarts nothing. Default:
    /// `false`, a change makes a new revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reload: Option<bool>,
    /// Its lines, for a properties file; Warren escapes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "properties_schema")]
    pub properties: Option<Properties>,
    /// A key of a Secret with its content, which may be binary. It is mounted, never copied, and changes in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeyReference>,
    /// A key of a ConfigMap with its content. It is mounted, never copied, and changes in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeyReference>,
}

/// Which nodes have a file: `All`, `Coordinator` or `Workers`. Default: `All`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Nodes {
    /// Coordinator and workers.
    #[default]
    All,
    /// The coordinator alone.
    Coordinator,
    /// The workers alone.
    Workers,
}

/// Where a file's content stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.secretKeyRef) != has(self.configMapKeyRef)").message("give secretKeyRef or configMapKeyRef, and not both"))]
pub struct FileSource {
    /// A key of a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeyReference>,
    /// A key of a ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeyReference>,
}

/// A value that stands in a Secret. Trino reads it through an environment variable, at its start: a change of the Secret reaches a
/// pod when it starts again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretValue {
    /// The key that holds it.
    pub secret_key_ref: KeyReference,
}

/// A key of a Secret or a ConfigMap in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct KeyReference {
    /// Name of the object.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(SECRET_NAME_RULE).message("name must be the name of an object: 1 to 253 characters of a-z, 0-9, '-' and '.', with a letter or digit at both ends"))]
    pub name: String,
    /// Key in it.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[-._A-Za-z0-9]+$')").message("key must be letters, digits, '-', '_' and '.'"))]
    pub key: String,
}

const FILE_NAME_RULE: &str = "self.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')";

fn levels_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 128,
        "additionalProperties": {"type": "string", "enum": ["DEBUG", "INFO", "WARN", "ERROR", "OFF"]},
    })
}

fn groups_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 256,
        "additionalProperties": {
            "type": "array",
            "maxItems": 1024,
            "items": {"type": "string", "minLength": 1, "maxLength": 253, "pattern": "^[^:,\\s]+$"},
        },
    })
}

// Trino's own types would have to follow its releases.
fn object_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

fn objects_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 256,
        "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
    })
}

pub(super) fn secret_values_schema(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": generator.subschema_for::<SecretValue>(),
    })
}
