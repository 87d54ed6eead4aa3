//! Who may ask a cluster: what its coordinator wants to be shown, and what is known of Warren's own credential.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::files::{KeyReference, SecretValue};

/// Who may ask the cluster. With several of these, whoever passes one of them is let in, by the identity that it gives; Trino tries
/// them in the order CERTIFICATE, JWT, OAUTH2, PASSWORD. Needs `tls.server`. Operator and proxies have a credential of their own:
/// [`docs/authentication.md`](authentication.md). Changing it has the effect of a new version. Default: none, whoever reaches the
/// coordinator is who he says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.passwordFile) || has(self.ldap) || has(self.oauth2) || has(self.jwt) || has(self.certificate)").message("spec.authentication: give at least one of passwordFile, ldap, oauth2, jwt and certificate"))]
pub struct Authentication {
    /// Passwords in a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PasswordFile>,
    /// Passwords that an LDAP server checks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ldap: Option<Ldap>,
    /// Logins at an identity provider, by OAuth 2.0 with OpenID Connect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oauth2: Option<OAuth2>,
    /// JSON Web Tokens that clients bring.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwt: Option<JwtAuthentication>,
    /// Certificates of clients that talk to the coordinator themselves: a proxy does not pass them on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateAuthentication>,
    /// The credential by which operator and proxies ask the coordinator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<OwnCredential>,
}

/// Passwords in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PasswordFile {
    /// The key of a Secret that holds lines `user:hash`, by bcrypt (cost 8 at least) or PBKDF2 (1000 iterations at least). It is
    /// mounted, never copied; an edit of the Secret takes effect in place, within about two minutes.
    pub secret_ref: KeyReference,
    /// How often Trino looks whether the file has changed. A number and a unit. Default: `5s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 8))]
    #[x_kube(validation = Rule::new("self.matches('^[1-9][0-9]{0,5}(s|m|h)$')").message("spec.authentication.passwordFile.refreshPeriod must be a number and a unit, such as 5s or 1m"))]
    pub refresh_period: Option<String>,
}

/// Passwords that an LDAP server checks: Trino binds as the user (`userBindPattern`), or looks the user up as `bindDn` first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.url.startsWith('ldaps://') || (has(self.allowInsecure) && self.allowInsecure)").message("spec.authentication.ldap.url must begin with ldaps://, or set allowInsecure: passwords then travel unencrypted"))]
#[x_kube(validation = Rule::new("has(self.userBindPattern) != has(self.bindDn)").message("spec.authentication.ldap: give userBindPattern, or bindDn with bindPassword, userBaseDn and groupAuthPattern; not both"))]
#[x_kube(validation = Rule::new("has(self.bindDn) == has(self.bindPassword)").message("spec.authentication.ldap: bindDn and bindPassword go together"))]
#[x_kube(validation = Rule::new("!has(self.bindDn) || has(self.groupAuthPattern)").message("spec.authentication.ldap: bindDn needs groupAuthPattern, by which the user is looked up"))]
#[x_kube(validation = Rule::new("!has(self.groupAuthPattern) || has(self.userBaseDn)").message("spec.authentication.ldap: groupAuthPattern needs userBaseDn, below which is looked"))]
pub struct Ldap {
    /// `ldap.url`. Example: `ldaps://ldap.example.com:636`.
    #[schemars(length(min = 8, max = 512))]
    #[x_kube(validation = Rule::new("self.matches('^ldaps?://[^ ]+$')").message("spec.authentication.ldap.url must be ldaps://host[:port] or ldap://host[:port]"))]
    pub url: String,
    /// Lets `url` begin with `ldap://`. Default: `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_insecure: Option<bool>,
    /// The key of a Secret with the CA certificates, in PEM, by which the server is trusted. Trino reads them at its start. Default:
    /// those of its JVM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<KeyReference>,
    /// As whom Trino binds to check a password, with `${USER}` for the name; several with `:` between them. Example:
    /// `uid=${USER},ou=people,dc=example,dc=com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = Rule::new("self.contains('${USER}')").message("spec.authentication.ldap.userBindPattern must hold ${USER}, which stands for the user's name"))]
    pub user_bind_pattern: Option<String>,
    /// Below which entry users are looked up. Example: `ou=people,dc=example,dc=com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub user_base_dn: Option<String>,
    /// Whom it must find, with `${USER}` for the name: only they are let in. Example:
    /// `(&(objectClass=person)(uid=${USER})(memberof=cn=trino,ou=groups,dc=example,dc=com))`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = Rule::new("self.contains('${USER}')").message("spec.authentication.ldap.groupAuthPattern must hold ${USER}, which stands for the user's name"))]
    pub group_auth_pattern: Option<String>,
    /// As whom Trino looks users up, where it does not bind as the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub bind_dn: Option<String>,
    /// Its password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bind_password: Option<SecretValue>,
    /// For how long an answer of the server is believed. A number and a unit. Default: Trino's own, `1h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 8))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9]{1,6}(s|m|h)$')").message("spec.authentication.ldap.cacheTtl must be a number and a unit, such as 10m"))]
    pub cache_ttl: Option<String>,
}

/// Logins at an identity provider, by OAuth 2.0 with OpenID Connect. Its redirect URI is `<gateway>/oauth2/callback`, the same for
/// all clusters. Other keys, `http-server.authentication.oauth2.*`, have their place in `coordinator.config`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct OAuth2 {
    /// The provider; below it, Trino finds `.well-known/openid-configuration`. Example: `https://id.example.com/realms/data`.
    #[schemars(length(min = 8, max = 512))]
    #[x_kube(validation = Rule::new("self.matches('^https?://[^ ]+$')").message("spec.authentication.oauth2.issuer must be a URL such as https://id.example.com/realms/data"))]
    pub issuer: String,
    /// The key of a Secret with the CA certificates, in PEM, by which the provider is trusted: where it is found, where its keys are,
    /// and where it gives tokens. Trino reads them at its start. Default: those of its JVM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<KeyReference>,
    /// As which client Trino is known there.
    #[schemars(length(min = 1, max = 253))]
    pub client_id: String,
    /// Its secret. Trino reads it at its start.
    pub client_secret: SecretValue,
    /// What is asked for, at most 16. Default: Trino's own, `openid`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 253)))]
    pub scopes: Vec<String>,
    /// The claim that is the user's name. Default: Trino's own, `sub`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub principal_field: Option<String>,
    /// Audiences beside `clientId` that tokens may be for, at most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 512)))]
    pub additional_audiences: Vec<String>,
    /// By what the state of a login is signed. Default: random at each start of the coordinator, which breaks logins that are half
    /// done then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_key: Option<SecretValue>,
}

/// JSON Web Tokens that clients bring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.keyFile) != has(self.keySecretRef)").message("spec.authentication.jwt: give keyFile, the URL of a key set, or keySecretRef; not both"))]
pub struct JwtAuthentication {
    /// Where the keys that sign are: the URL of a JSON Web Key Set. Example: `https://id.example.com/keys`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 8, max = 512))]
    #[x_kube(validation = Rule::new("self.matches('^https?://[^ ]+$')").message("spec.authentication.jwt.keyFile must be the URL of a key set such as https://id.example.com/keys; a key of your own comes by keySecretRef"))]
    pub key_file: Option<String>,
    /// The key of a Secret with a public key in PEM, or an HMAC key in Base64. Trino reads it at its start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_secret_ref: Option<KeyReference>,
    /// Who must have issued a token. Default: anybody with the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub required_issuer: Option<String>,
    /// For whom a token must be. Default: anybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub required_audience: Option<String>,
    /// The claim that is the user's name. Default: Trino's own, `sub`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub principal_field: Option<String>,
}

/// Certificates of clients that talk to the coordinator themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertificateAuthentication {
    /// The key of a Secret with the CA certificates, in PEM, that clients' certificates must chain up to. Whoever has one of these
    /// gets in: let it be a CA for clients alone.
    pub ca_secret_ref: KeyReference,
    /// A pattern of Java whose first group is the user's name in the certificate's subject. Example: `CN=([^,]+).*`. Default: Trino's
    /// own, the whole subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub user_mapping_pattern: Option<String>,
}

/// The credential by which operator and proxies ask the coordinator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct OwnCredential {
    /// After what time it gets a new password, a number and a unit, `10m` at least. The old one is valid beside it until
    /// everybody has the new one. Default: `720h`, that is 30 days. Changing it restarts nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 8))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9]{1,6}(s|m|h)$') && duration(self) >= duration('10m') && duration(self) <= duration('87600h')").message("spec.authentication.credential.renewAfter must be a number and a unit, such as 720h, from 10m to 87600h: a new password takes some minutes to reach Trino"))]
    pub renew_after: Option<String>,
}

/// What is known of the credential by which operator and proxies ask a coordinator. Nothing of it is secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CredentialStatus {
    /// The Secret that holds it.
    pub secret: String,
    /// SHA-256 of user and password, 256 random bits.
    pub digest: String,
    /// Since when it is used.
    pub since: Time,
    /// When there is to be a new one.
    pub renew_at: Time,
}
