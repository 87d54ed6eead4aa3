//! The files that follow from `spec.files`, `spec.spooling` and `spec.faultTolerantExecution`.

use super::{
    ClusterIdentity, RenderError, SPOOLING_KEY, authentication,
    etc::{Etc, FOLDER},
    live,
};
use crate::{
    api::{
        AccessControl, Exchange, ExtraFile, FileSource, GroupProvider, PasswordAuthenticator, PluginFile,
        RetrievalMode, RetryPolicy, Spooling, TrinoClusterSpec,
    },
    trino::properties,
};

/// The environment variable through which Trino reads the secret of spooled results.
const SPOOLING_ENV: &str = "WARREN_SPOOLING_SECRET";
/// How often Trino looks whether the rules of its access control have changed.
const REFRESH_PERIOD: &str = "30s";

/// The files of both components.
pub(super) fn of_all(etc: &mut Etc, cluster: &ClusterIdentity, spec: &TrinoClusterSpec) -> Result<(), RenderError> {
    if let Some(files) = &spec.files
        && !files.log_levels.is_empty()
    {
        etc.write("log.properties", properties::render(&files.log_levels))?;
    }
    if let Some(fault_tolerant) = &spec.fault_tolerant_execution {
        let policy = match fault_tolerant.retry_policy {
            RetryPolicy::Task => "TASK",
            RetryPolicy::Query => "QUERY",
        };
        etc.typed.insert("retry-policy".into(), policy.into());
        if let Some(exchange) = &fault_tolerant.exchange {
            exchange_manager(etc, cluster, exchange)?;
        }
    }
    if let Some(spooling) = &spec.spooling {
        spooling_manager(etc, cluster, spooling)?;
    }
    Ok(())
}

/// Two clusters, the old one and the new one, never share a place: each cleans up what it does not know.
fn place(cluster: &ClusterIdentity, location: &str) -> String {
    format!("{}/{}", location.trim_end_matches('/'), cluster.name)
}

fn exchange_manager(etc: &mut Etc, cluster: &ClusterIdentity, exchange: &Exchange) -> Result<(), RenderError> {
    let places: Vec<_> = exchange.locations.iter().map(|location| place(cluster, location)).collect();
    let hadoop = exchange.locations.iter().any(|location| location.starts_with("hdfs:"));
    let typed = [
        ("exchange-manager.name", if hadoop { "hdfs" } else { "filesystem" }.to_owned()),
        ("exchange.base-directories", places.join(",")),
    ];
    etc.write_properties("exchange-manager.properties", &typed, &exchange.properties, &exchange.secret_properties)
}

fn spooling_manager(etc: &mut Etc, cluster: &ClusterIdentity, spooling: &Spooling) -> Result<(), RenderError> {
    let scheme = spooling.location.split_once("://").map_or("", |(scheme, _)| scheme);
    let file_system = match scheme {
        "s3" => "fs.s3.enabled",
        "gs" => "fs.gcs.enabled",
        _ => "fs.azure.enabled",
    };
    let typed = [
        ("spooling-manager.name", "filesystem".to_owned()),
        (file_system, "true".to_owned()),
        ("fs.location", place(cluster, &spooling.location) + "/"),
    ];
    etc.write_properties("spooling-manager.properties", &typed, &spooling.properties, &spooling.secret_properties)?;
    if let Some(mode) = spooling.retrieval_mode {
        let mode = match mode {
            RetrievalMode::Storage => "STORAGE",
            RetrievalMode::CoordinatorStorageRedirect => "COORDINATOR_STORAGE_REDIRECT",
            RetrievalMode::CoordinatorProxy => "COORDINATOR_PROXY",
            RetrievalMode::WorkerProxy => "WORKER_PROXY",
        };
        etc.typed.insert("protocol.spooling.retrieval-mode".into(), mode.into());
    }
    etc.environment(SPOOLING_ENV, cluster.spooling_secret_name(), SPOOLING_KEY);
    let field = "spec.spooling";
    etc.owned.insert("protocol.spooling.enabled", ("true".into(), field));
    etc.owned.insert("protocol.spooling.shared-secret-key", (format!("${{ENV:{SPOOLING_ENV}}}"), field));
    Ok(())
}

/// The files of the coordinator alone: it plans, asks who somebody is, and lets in.
pub(super) fn of_coordinator(
    etc: &mut Etc,
    cluster: &ClusterIdentity,
    spec: &TrinoClusterSpec,
) -> Result<(), RenderError> {
    let mut passwords = authentication::of_coordinator(etc, cluster, spec)?;
    let asks = !passwords.is_empty();
    let authenticators = spec.files.iter().flat_map(|files| &files.password_authenticators);
    passwords.extend(authenticators.map(|authenticator| path_of("password-authenticator", &authenticator.name)));
    let field = if asks { authentication::FIELD } else { "spec.files.passwordAuthenticators" };
    list(etc, "password-authenticator.config-files", field, &passwords);
    let Some(files) = &spec.files else { return Ok(()) };
    if let Some(groups) = &files.resource_groups {
        let mut typed = Vec::new();
        if let Some(rules) = &groups.rules {
            etc.write("resource-groups.json", json(rules))?;
            typed.push(("resource-groups.configuration-manager", "file".to_owned()));
            typed.push(("resource-groups.config-file", format!("{FOLDER}/resource-groups.json")));
        }
        etc.write_properties("resource-groups.properties", &typed, &groups.properties, &groups.secret_properties)?;
    }
    if let Some(session) = &files.session_properties {
        let mut typed = Vec::new();
        if let Some(rules) = &session.rules {
            etc.write("session-property-config.json", json(rules))?;
            typed.push(("session-property-config.configuration-manager", "file".to_owned()));
            typed.push(("session-property-manager.config-file", format!("{FOLDER}/session-property-config.json")));
        }
        let (own, secrets) = (&session.properties, &session.secret_properties);
        etc.write_properties("session-property-config.properties", &typed, own, secrets)?;
    }
    if let Some(provider) = &files.group_provider {
        group_provider(etc, provider)?;
    }
    for control in &files.access_control {
        access_control(etc, control)?;
    }
    for authenticator in &files.password_authenticators {
        password_authenticator(etc, authenticator)?;
    }
    plugins(etc, "header-authenticator", &files.header_authenticators)?;
    plugins(etc, "event-listener", &files.event_listeners)?;
    let controls = files.access_control.iter().map(|control| path_of("access-control", &control.name));
    list(etc, "access-control.config-files", "spec.files.accessControl", &controls.collect::<Vec<_>>());
    let paths = |folder, files: &[PluginFile]| files.iter().map(|file| path_of(folder, &file.name)).collect::<Vec<_>>();
    let headers = paths("header-authenticator", &files.header_authenticators);
    list(etc, "header-authenticator.config-files", "spec.files.headerAuthenticators", &headers);
    let listeners = paths("event-listener", &files.event_listeners);
    list(etc, "event-listener.config-files", "spec.files.eventListeners", &listeners);
    Ok(())
}

fn access_control(etc: &mut Etc, control: &AccessControl) -> Result<(), RenderError> {
    let mut typed = Vec::new();
    if control.rules.is_some() {
        let path = live::rules_path(control);
        typed.push(("access-control.name", "file".to_owned()));
        typed.push(("security.config-file", format!("{FOLDER}/{path}")));
        let period = control.refresh_period.clone().unwrap_or_else(|| REFRESH_PERIOD.to_owned());
        typed.push(("security.refresh-period", period));
        etc.live(path)?;
    }
    if let Some(opa) = &control.opa {
        typed.push(("access-control.name", "opa".to_owned()));
        typed.push(("opa.policy.uri", opa.policy.clone()));
        let optional = [
            ("opa.policy.batched-uri", &opa.batched),
            ("opa.policy.row-filters-uri", &opa.row_filters),
            ("opa.policy.column-masking-uri", &opa.column_masking),
        ];
        typed.extend(optional.into_iter().filter_map(|(key, uri)| Some((key, uri.clone()?))));
    }
    let path = format!("access-control/{}.properties", control.name);
    etc.write_properties(path, &typed, &control.properties, &control.secret_properties)
}

fn group_provider(etc: &mut Etc, provider: &GroupProvider) -> Result<(), RenderError> {
    let mut typed = Vec::new();
    if provider.groups.is_some() || provider.group_file.is_some() {
        typed.push(("group-provider.name", "file".to_owned()));
        typed.push(("file.group-file", format!("{FOLDER}/{}", live::GROUPS)));
    }
    if provider.groups.is_some() {
        etc.live(live::GROUPS)?;
    }
    if let Some(source) = &provider.group_file {
        etc.mount(live::GROUPS, source.clone())?;
    }
    etc.write_properties("group-provider.properties", &typed, &provider.properties, &provider.secret_properties)
}

fn password_authenticator(etc: &mut Etc, authenticator: &PasswordAuthenticator) -> Result<(), RenderError> {
    let PasswordAuthenticator { name, password_file, properties, secret_properties } = authenticator;
    let mut typed = Vec::new();
    if let Some(reference) = password_file {
        let path = format!("password-authenticator/{name}.db");
        typed.push(("password-authenticator.name", "file".to_owned()));
        typed.push(("file.password-file", format!("{FOLDER}/{path}")));
        etc.mount_key(path, reference.clone())?;
    }
    let path = format!("password-authenticator/{name}.properties");
    etc.write_properties(path, &typed, properties, secret_properties)
}

fn plugins(etc: &mut Etc, folder: &str, files: &[PluginFile]) -> Result<(), RenderError> {
    for PluginFile { name, properties, secret_properties } in files {
        etc.write_properties(format!("{folder}/{name}.properties"), &[], properties, secret_properties)?;
    }
    Ok(())
}

fn path_of(folder: &str, name: &str) -> String {
    format!("{FOLDER}/{folder}/{name}.properties")
}

/// Names the files in `config.properties`: as soon as one does, Trino looks at no other place.
fn list(etc: &mut Etc, key: &'static str, field: &'static str, paths: &[String]) {
    if !paths.is_empty() {
        etc.owned.insert(key, (paths.join(","), field));
    }
}

/// The user's other files on a component; after all others, so that what is there already is told.
pub(super) fn extra(etc: &mut Etc, spec: &TrinoClusterSpec, component: &str) -> Result<(), RenderError> {
    let files = spec.files.iter().flat_map(|files| &files.extra);
    for file in files.filter(|file| live::is_on(file, component)) {
        let ExtraFile { path, on: _, text, reload, properties, secret_key_ref, config_map_key_ref } = file.clone();
        if secret_key_ref.is_some() || config_map_key_ref.is_some() {
            etc.mount(path, FileSource { secret_key_ref, config_map_key_ref })?;
        } else if reload == Some(true) {
            etc.live(path)?;
        } else if let Some(lines) = properties {
            etc.write(path, properties::render(&lines))?;
        } else {
            etc.write(path, text.unwrap_or_default())?;
        }
    }
    Ok(())
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).expect("rules are JSON by their type") + "\n"
}

#[cfg(test)]
mod tests {
    use super::super::{ClusterIdentity, render};

    fn fault(spec: &str) -> String {
        let cluster = ClusterIdentity { name: "c".into(), namespace: "n".into(), uid: "u".into(), in_group: false };
        let spec = serde_saphyr::from_str(spec).expect("a spec");
        render(&cluster, &spec).expect_err("a spec that cannot be rendered").to_string()
    }

    #[test]
    fn what_warren_owns_beside_a_field_is_refused_by_name() {
        let rules = "files: {accessControl: [{name: a, rules: {}}]}";
        assert_eq!(
            fault(&format!("{{version: '476', config: {{access-control.config-files: /x}}, {rules}}}")),
            "spec.config: access-control.config-files is set by spec.files.accessControl; remove it here, or give up \
             spec.files.accessControl"
        );
        let spooling = "spooling: {location: 's3://a'}";
        let own = "workers: {config: {protocol.spooling.shared-secret-key: x}}";
        assert_eq!(
            fault(&format!("{{version: '476', {own}, {spooling}}}")),
            "spec.workers.config: protocol.spooling.shared-secret-key is set by spec.spooling; remove it here, or give \
             up spec.spooling"
        );
    }

    #[test]
    fn a_file_that_two_fields_write_is_refused_by_name() {
        let groups = "resourceGroups: {rules: {}}, extra: [{path: resource-groups.json, text: x, on: Coordinator}]";
        let taken =
            |path| format!("spec.files.extra: {path} is written by another field; rename it, or use that field");
        assert_eq!(fault(&format!("{{version: '476', files: {{{groups}}}}}")), taken("resource-groups.json"));
        // Workers have one of Warren's own.
        let control = "extra: [{path: access-control.properties, text: x}]";
        assert_eq!(fault(&format!("{{version: '476', files: {{{control}}}}}")), taken("access-control.properties"));
    }

    #[test]
    fn a_line_given_twice_is_refused_by_name() {
        let line =
            "properties: {event-listener.name: x, a: b}, secretProperties: {a: {secretKeyRef: {name: s, key: k}}}";
        assert_eq!(
            fault(&format!("{{version: '476', files: {{eventListeners: [{{name: x, {line}}}]}}}}")),
            "a of event-listener/x.properties stands in properties and in secretProperties; remove one of both"
        );
    }

    #[test]
    fn texts_that_no_object_holds_are_refused() {
        let large = "x".repeat(130_000);
        let extra: Vec<_> = (0..4).map(|n| format!("{{path: f{n}, text: {large}}}")).collect();
        let message = fault(&format!("{{version: '476', files: {{extra: [{}]}}}}", extra.join(", ")));
        assert!(message.ends_with("460800 fit; move large ones to ConfigMaps, and name them by configMapKeyRef"));
    }
}
