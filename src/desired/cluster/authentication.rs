//! What a coordinator wants to be shown by those who ask it: the files and lines that follow from `spec.authentication`, and those
//! by which it knows Warren's own user.

use super::{
    ClusterIdentity, RenderError,
    etc::{Etc, FOLDER},
};
use crate::{
    api::{
        Authentication, CertificateAuthentication, JwtAuthentication, KeyReference, Ldap, OAuth2, PasswordFile,
        Properties, SecretValue, TrinoClusterSpec,
    },
    desired::verify::DEFAULT_USER,
    trino::work,
};

/// The field, as messages name it.
pub(super) const FIELD: &str = "spec.authentication";

/// Keys of the two password files of Warren's own in the Secret [`ClusterIdentity::credential_secret_name`]. In a file a user has
/// one password; there are two files so that it can be renewed with both valid.
pub const USERS_KEYS: [&str; 2] = ["users-1.db", "users-2.db"];

/// How often Trino looks whether a password file has changed.
const REFRESH_PERIOD: &str = "5s";

const FILE: &str = "config.properties";

impl ClusterIdentity {
    /// Name of the Secret with the credential by which operator and proxies ask the coordinator.
    pub fn credential_secret_name(&self) -> String {
        format!("{}-credential", self.name)
    }
}

/// Who asks the coordinator in Warren's name: for queries that go on, for workers and catalogs.
pub fn asking_users(spec: &TrinoClusterSpec) -> Vec<String> {
    let verifies = spec.verify.as_ref().and_then(|verify| verify.user.as_deref()).unwrap_or(DEFAULT_USER);
    let mut users = [work::USER, verifies].map(str::to_owned).to_vec();
    users.dedup();
    users
}

/// The coordinator's files and lines. Returns the paths of its password authenticators, in order; none where nothing is asked for.
pub(super) fn of_coordinator(
    etc: &mut Etc,
    cluster: &ClusterIdentity,
    spec: &TrinoClusterSpec,
) -> Result<Vec<String>, RenderError> {
    let Some(authentication) = &spec.authentication else { return Ok(Vec::new()) };
    let Authentication { password_file, ldap, oauth2, jwt, certificate, credential: _ } = authentication;
    // Warren's own first: they are in memory, and an LDAP server that is asked about its user would take it for an attack.
    let mut authenticators = Vec::new();
    for (number, key) in USERS_KEYS.into_iter().enumerate() {
        let name = format!("warren-password-authenticator-{}", number + 1);
        let users = KeyReference { name: cluster.credential_secret_name(), key: key.to_owned() };
        authenticators.push(password_file_at(etc, &name, users, REFRESH_PERIOD)?);
    }
    // No name of `files.passwordAuthenticators` has a dot.
    if let Some(PasswordFile { secret_ref, refresh_period }) = password_file {
        let period = refresh_period.as_deref().unwrap_or(REFRESH_PERIOD);
        let name = "password-authenticator/authentication.file";
        authenticators.push(password_file_at(etc, name, secret_ref.clone(), period)?);
    }
    if let Some(ldap) = ldap {
        authenticators.push(ldap_at(etc, "password-authenticator/authentication.ldap", ldap)?);
    }
    if let Some(oauth2) = oauth2 {
        oauth2_lines(etc, oauth2)?;
    }
    if let Some(jwt) = jwt {
        jwt_lines(etc, jwt)?;
    }
    if let Some(certificate) = certificate {
        certificate_lines(etc, certificate)?;
    }
    types(etc, authentication, has_passwords(spec, authentication));
    Ok(authenticators)
}

/// Whether users have passwords.
fn has_passwords(spec: &TrinoClusterSpec, authentication: &Authentication) -> bool {
    let free = spec.files.as_ref().is_some_and(|files| !files.password_authenticators.is_empty());
    free || authentication.password_file.is_some() || authentication.ldap.is_some()
}

/// What the coordinator asks for. PASSWORD is always among it, for Warren's own user, and the last: what comes before it asks
/// nobody outside about a password. By itself, the UI would take the password's form for the way in.
fn types(etc: &mut Etc, authentication: &Authentication, passwords: bool) {
    let Authentication { password_file: _, ldap: _, oauth2, jwt, certificate, credential: _ } = authentication;
    let all = [("CERTIFICATE", certificate.is_some()), ("JWT", jwt.is_some()), ("OAUTH2", oauth2.is_some())];
    let asked: Vec<_> = all.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect();
    if !passwords && let Some(way) = asked.last() {
        etc.typed.insert("web-ui.authentication.type".into(), way.to_lowercase());
    }
    let types = asked.into_iter().chain(["PASSWORD"]).collect::<Vec<_>>().join(",");
    etc.owned.insert("http-server.authentication.type", (types, FIELD));
    // Else whoever comes by plain HTTP, or through a proxy that he reached so, would be who he says.
    etc.owned.insert("http-server.authentication.allow-insecure-over-http", ("false".to_owned(), FIELD));
}

/// A password file at `<name>.db` with its authenticator, whose path is returned.
fn password_file_at(etc: &mut Etc, name: &str, users: KeyReference, period: &str) -> Result<String, RenderError> {
    let file = format!("{name}.db");
    let lines = [
        ("password-authenticator.name", "file".to_owned()),
        ("file.password-file", format!("{FOLDER}/{file}")),
        ("file.refresh-period", period.to_owned()),
    ];
    etc.mount_key(file, users)?;
    etc.write_properties(format!("{name}.properties"), &lines, &Properties::new(), &[].into())?;
    Ok(format!("{FOLDER}/{name}.properties"))
}

fn ldap_at(etc: &mut Etc, name: &str, ldap: &Ldap) -> Result<String, RenderError> {
    let Ldap {
        url,
        allow_insecure,
        ca_secret_ref,
        user_bind_pattern,
        user_base_dn,
        group_auth_pattern,
        bind_dn,
        bind_password,
        cache_ttl,
    } = ldap.clone();
    let ca = format!("{name}.pem");
    let trusted = ca_secret_ref.is_some().then(|| format!("{FOLDER}/{ca}"));
    let optional = [
        ("ldap.allow-insecure", allow_insecure.map(|allowed| allowed.to_string())),
        ("ldap.ssl.truststore.path", trusted),
        ("ldap.user-bind-pattern", user_bind_pattern),
        ("ldap.user-base-dn", user_base_dn),
        ("ldap.group-auth-pattern", group_auth_pattern),
        ("ldap.bind-dn", bind_dn),
        ("ldap.cache-ttl", cache_ttl),
    ];
    let mut lines = vec![("password-authenticator.name", "ldap".to_owned()), ("ldap.url", url)];
    lines.extend(optional.into_iter().filter_map(|(key, value)| Some((key, value?))));
    if let Some(reference) = ca_secret_ref {
        etc.mount_key(ca, reference)?;
    }
    let secrets = bind_password.map(|password| ("ldap.bind-password".to_owned(), password));
    let secrets = secrets.into_iter().collect();
    etc.write_properties(format!("{name}.properties"), &lines, &Properties::new(), &secrets)?;
    Ok(format!("{FOLDER}/{name}.properties"))
}

fn oauth2_lines(etc: &mut Etc, oauth2: &OAuth2) -> Result<(), RenderError> {
    let OAuth2 {
        issuer,
        ca_secret_ref,
        client_id,
        client_secret,
        scopes,
        principal_field,
        additional_audiences,
        state_key,
    } = oauth2;
    let mut set = |key: &str, value: Option<String>| {
        let key = format!("http-server.authentication.oauth2.{key}");
        etc.typed.extend(value.map(|value| (key, value)));
    };
    let list = |values: &[String]| (!values.is_empty()).then(|| values.join(","));
    set("issuer", Some(issuer.clone()));
    set("client-id", Some(client_id.clone()));
    set("scopes", list(scopes));
    set("principal-field", principal_field.clone());
    set("additional-audiences", list(additional_audiences));
    secret_line(etc, "http-server.authentication.oauth2.client-secret", client_secret);
    if let Some(state_key) = state_key {
        secret_line(etc, "http-server.authentication.oauth2.state-key", state_key);
    }
    if let Some(reference) = ca_secret_ref {
        let file = "authentication/provider.pem";
        etc.mount_key(file, reference.clone())?;
        // Of the one HTTP client by which Trino asks the provider, for its keys and for all else; it reads PEM.
        etc.typed.insert("oauth2-jwk.http-client.trust-store-path".into(), format!("{FOLDER}/{file}"));
    }
    Ok(())
}

fn jwt_lines(etc: &mut Etc, jwt: &JwtAuthentication) -> Result<(), RenderError> {
    let JwtAuthentication { key_file, key_secret_ref, required_issuer, required_audience, principal_field } = jwt;
    let mut key_file = key_file.clone();
    if let Some(reference) = key_secret_ref {
        let file = "authentication/jwt.key";
        etc.mount_key(file, reference.clone())?;
        key_file = Some(format!("{FOLDER}/{file}"));
    }
    let lines = [
        ("key-file", &key_file),
        ("required-issuer", required_issuer),
        ("required-audience", required_audience),
        ("principal-field", principal_field),
    ];
    for (key, value) in lines {
        let key = format!("http-server.authentication.jwt.{key}");
        etc.typed.extend(value.clone().map(|value| (key, value)));
    }
    Ok(())
}

fn certificate_lines(etc: &mut Etc, certificate: &CertificateAuthentication) -> Result<(), RenderError> {
    let CertificateAuthentication { ca_secret_ref, user_mapping_pattern } = certificate;
    let file = "authentication/clients.pem";
    etc.mount_key(file, ca_secret_ref.clone())?;
    etc.owned.insert("http-server.https.truststore.path", (format!("{FOLDER}/{file}"), FIELD));
    let key = "http-server.authentication.certificate.user-mapping.pattern";
    etc.typed.extend(user_mapping_pattern.clone().map(|pattern| (key.to_owned(), pattern)));
    Ok(())
}

/// A line of `config.properties` whose value stands in a Secret.
fn secret_line(etc: &mut Etc, key: &str, value: &SecretValue) {
    let value = etc.secret_value(FILE, key, value);
    etc.typed.insert(key.to_owned(), value);
}

#[cfg(test)]
mod tests {
    use super::super::{ClusterIdentity, render};

    #[test]
    fn a_provider_is_trusted_by_the_ca_that_is_given_unless_a_line_of_the_users_own_says_otherwise() {
        const KEY: &str = "oauth2-jwk.http-client.trust-store-path";
        let trusted_by = |ca: &str, config: &str| {
            let spec = format!(
                "{{version: '476', tls: {{server: {{enabled: true}}}}, coordinator: {{config: {{{config}}}}}, \
                 authentication: {{oauth2: {{issuer: 'https://a', {ca} clientId: b, clientSecret: {{secretKeyRef: {{name: a, key: b}}}}}}}}}}"
            );
            let spec = serde_saphyr::from_str(&spec).expect("a spec");
            let rendered = render(&ClusterIdentity::named("c", "n"), &spec).expect("renders");
            let lines = &rendered.components["coordinator"].files["config.properties"];
            lines.lines().find_map(|line| Some(line.strip_prefix(KEY)?.strip_prefix('=')?.to_owned()))
        };
        let ca = "caSecretRef: {name: a, key: ca.crt},";
        assert_eq!(trusted_by("", ""), None);
        assert_eq!(trusted_by(ca, "").as_deref(), Some("/etc/trino/authentication/provider.pem"));
        assert_eq!(trusted_by(ca, &format!("{KEY}: /etc/mine.pem")).as_deref(), Some("/etc/mine.pem"));
    }

    #[test]
    fn what_would_undo_it_is_refused_by_name() {
        let fault = |config: &str| {
            let spec = format!(
                "{{version: '476', tls: {{server: {{enabled: true}}}}, coordinator: {{config: {{{config}}}}}, \
                 authentication: {{passwordFile: {{secretRef: {{name: a, key: b}}}}}}}}"
            );
            let spec = serde_saphyr::from_str(&spec).expect("a spec");
            render(&ClusterIdentity::named("c", "n"), &spec).expect_err(config).to_string()
        };
        for (key, value) in [
            ("http-server.authentication.type", "JWT"),
            ("http-server.authentication.allow-insecure-over-http", "'true'"),
            ("password-authenticator.config-files", "/x"),
        ] {
            let told = format!(
                "spec.coordinator.config: {key} is set by spec.authentication; remove it here, or give up \
                 spec.authentication"
            );
            assert_eq!(fault(&format!("{key}: {value}")), told);
        }
    }
}
