//! The standalone file: a routing table in YAML with the listeners beside it, read again when it changes.
//!
//! Its types mirror those of `routing` one by one: a person writes this file, so an unknown key is an error that names
//! it, while the table that the operator writes may hold fields of a newer version.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::{Error, Publisher, each, read::Seen};
use crate::routing::{
    Cluster, ClusterName, ExternalRouter, Group, HealthCheck, Listener, OnUnknown, ProxyMode, ROUTING_TABLE_FORMAT,
    Reject, RoutingTable, Rule, Rules, Serving, Strategy, Target, WeightedGroup,
};

/// A standalone file as it was read.
#[derive(Debug)]
pub struct Standalone {
    /// Where to listen. Read at the start only.
    pub listen: Listen,
    /// The routing table, not yet compiled.
    pub table: RoutingTable,
    seen: Seen,
}

/// Where a standalone proxy listens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Listen {
    /// For clients of Trino.
    pub client: Option<SocketAddr>,
    /// For probes, metrics and status.
    pub admin: Option<SocketAddr>,
    /// For clients too, under names that rules may ask for; from the file's `listeners`.
    #[serde(skip)]
    pub further: Vec<(String, SocketAddr)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FileForm {
    #[serde(default)]
    listen: Listen,
    external_url: Option<String>,
    #[serde(default)]
    proxy_mode: ProxyMode,
    #[serde(default)]
    trusted_proxies: Vec<String>,
    #[serde(default)]
    allowed_hosts: Vec<String>,
    #[serde(default)]
    listeners: Vec<ListenerForm>,
    groups: Vec<GroupForm>,
    #[serde(default)]
    routing: RulesForm,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ListenerForm {
    name: String,
    address: SocketAddr,
    source: Option<String>,
    #[serde(default)]
    client_tags: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GroupForm {
    name: String,
    #[serde(default)]
    strategy: Strategy,
    health_check: Option<HealthCheckForm>,
    clusters: Vec<ClusterForm>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct HealthCheckForm {
    sql: String,
    user: String,
    interval_seconds: Option<u32>,
    timeout_seconds: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ClusterForm {
    name: ClusterName,
    url: String,
    client_url: Option<String>,
    weight: Option<u32>,
    #[serde(default)]
    serving: Serving,
    ca_file: Option<PathBuf>,
    event_token_file: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RulesForm {
    #[serde(default)]
    rules: Vec<RuleForm>,
    external: Option<ExternalForm>,
    default: Option<TargetForm>,
    fallback: Option<TargetForm>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ExternalForm {
    url: String,
    timeout_millis: Option<u32>,
    #[serde(default)]
    exclude_headers: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RuleForm {
    name: String,
    when: String,
    to: Option<TargetForm>,
    reject: Option<RejectForm>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RejectForm {
    message: String,
    #[serde(default)]
    on_unknown: OnUnknown,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TargetForm {
    group: Option<String>,
    #[serde(default)]
    groups: Vec<WeightedForm>,
    cluster: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WeightedForm {
    name: String,
    weight: Option<u32>,
}

impl From<ListenerForm> for Listener {
    fn from(ListenerForm { name, address: _, source, client_tags }: ListenerForm) -> Self {
        Self { name, source, client_tags }
    }
}

impl From<HealthCheckForm> for HealthCheck {
    fn from(HealthCheckForm { sql, user, interval_seconds, timeout_seconds }: HealthCheckForm) -> Self {
        Self { sql, user, interval_seconds, timeout_seconds }
    }
}

impl From<RulesForm> for Rules {
    fn from(RulesForm { rules, external, default, fallback }: RulesForm) -> Self {
        Self {
            external: external.map(|ExternalForm { url, timeout_millis, exclude_headers }| ExternalRouter {
                url,
                timeout_millis,
                exclude_headers,
            }),
            rules: rules.into_iter().map(Rule::from).collect(),
            default: default.map(Target::from),
            fallback: fallback.map(Target::from),
        }
    }
}

impl From<RuleForm> for Rule {
    fn from(RuleForm { name, when, to, reject }: RuleForm) -> Self {
        let reject = reject.map(|RejectForm { message, on_unknown }| Reject { message, on_unknown });
        Self { name, when, to: to.map(Target::from), reject }
    }
}

impl From<TargetForm> for Target {
    fn from(TargetForm { group, groups, cluster }: TargetForm) -> Self {
        let weighted = |WeightedForm { name, weight }| WeightedGroup { name, weight: weight.unwrap_or(1) };
        Self { group, groups: groups.into_iter().map(weighted).collect(), cluster }
    }
}

impl Standalone {
    /// Reads `file` and the files that its `caFile`s name, relative to its own directory.
    ///
    /// # Errors
    /// When one cannot be read, or is not what it should be.
    pub fn read(file: &Path) -> Result<Self, Error> {
        let mut seen = Seen::default();
        let (listen, table) = read(file, &mut seen)?;
        Ok(Self { listen, table, seen })
    }
}

/// Puts the table of `file`, first as `initial` holds it, into force through `publisher`, and each later one within
/// about a second of its writing, until `shutdown`.
pub async fn follow_file(file: PathBuf, initial: Standalone, mut publisher: Publisher, shutdown: CancellationToken) {
    let origin = file.display().to_string();
    let Standalone { listen, table, mut seen } = initial;
    publisher.offer(&origin, Ok(table));
    let look = {
        let file = file.clone();
        move || seen.changed().then(|| reread(&file, &mut seen))
    };
    let take = |read: Read| {
        if read.as_ref().is_ok_and(|(now, _)| *now != listen) {
            tracing::warn!(origin, "a change of where to listen takes effect at the next start");
        }
        publisher.offer(&origin, read.map(|(_, table)| table));
    };
    each::second(look, take, shutdown).await;
}

type Read = Result<(Listen, RoutingTable), Error>;

fn reread(file: &Path, seen: &mut Seen) -> Read {
    let mut now = Seen::default();
    let read = read(file, &mut now);
    *seen = now;
    read
}

fn read(file: &Path, seen: &mut Seen) -> Read {
    let yaml = seen.read(file)?;
    let form: FileForm = serde_saphyr::from_slice(&yaml).map_err(|error| Error::Yaml {
        file: file.to_owned(),
        // Without its excerpt: one line, for logs too.
        fault: error.without_snippet().to_string(),
    })?;
    let FileForm { mut listen, external_url, proxy_mode, trusted_proxies, allowed_hosts, listeners, groups, routing } =
        form;
    listen.further = listeners.iter().map(|listener| (listener.name.clone(), listener.address)).collect();
    let mut table = RoutingTable {
        format: ROUTING_TABLE_FORMAT,
        external_url,
        proxy_mode,
        trusted_proxies,
        allowed_hosts,
        listeners: listeners.into_iter().map(Listener::from).collect(),
        groups: Vec::with_capacity(groups.len()),
        routing: routing.into(),
        ignores_events: false,
        certificates: BTreeMap::new(),
    };
    let mut authorities = Authorities { file, seen, certificates: &mut table.certificates };
    for GroupForm { name, strategy, health_check, clusters } in groups {
        let health_check = health_check.map(HealthCheck::from);
        let mut group =
            Group { name, strategy, health_check, canary: None, clusters: Vec::with_capacity(clusters.len()) };
        for ClusterForm { name, url, client_url, weight, serving, ca_file, event_token_file } in clusters {
            let ca = ca_file.map(|ca_file| authorities.add(&group.name, &name, &ca_file)).transpose()?;
            let weight = weight.unwrap_or(1);
            let event_token =
                event_token_file.map(|token| event_token(file, authorities.seen, (&group.name, &name), &token));
            let event_token = event_token.transpose()?;
            let own_credential = false;
            group.clusters.push(Cluster { name, url, client_url, weight, serving, ca, event_token, own_credential });
        }
        table.groups.push(group);
    }
    Ok((listen, table))
}

/// The fewest characters of a token: whoever guesses it tells of queries that are not there.
const LEAST_TOKEN: usize = 16;

/// The hash of the token in `token_file`; space around it is ignored. The table never holds the token itself.
fn event_token(
    file: &Path,
    seen: &mut Seen,
    (group, cluster): (&str, &ClusterName),
    token_file: &Path,
) -> Result<String, Error> {
    let token_file = file.parent().unwrap_or(Path::new("")).join(token_file);
    let bytes = seen.read(&token_file)?;
    let token = bytes.trim_ascii();
    if token.len() < LEAST_TOKEN || !token.iter().all(u8::is_ascii_graphic) {
        let (file, group, cluster) = (file.to_owned(), group.to_owned(), cluster.to_string());
        return Err(Error::NoToken { file, group, cluster, token_file });
    }
    Ok(hex::encode(Sha256::digest(token)))
}

/// The certificates that the `caFile`s of `file` name, gathered once each.
struct Authorities<'a> {
    file: &'a Path,
    seen: &'a mut Seen,
    certificates: &'a mut BTreeMap<String, String>,
}

impl Authorities<'_> {
    /// Reads `ca_file` and returns the key under which the table holds it. That it can be used shows at the first
    /// connection; that it is one at all shows here.
    fn add(&mut self, group: &str, cluster: &ClusterName, ca_file: &Path) -> Result<String, Error> {
        let ca_file = self.file.parent().unwrap_or(Path::new("")).join(ca_file);
        let pem = String::from_utf8(self.seen.read(&ca_file)?).ok();
        // A routing table never holds a secret: a file with a key beside the certificate is refused as well.
        let is_certificate =
            |pem: &String| pem.contains("-----BEGIN CERTIFICATE-----") && !pem.contains("PRIVATE KEY-----");
        let pem = pem.filter(is_certificate).ok_or_else(|| Error::NoCertificate {
            file: self.file.to_owned(),
            group: group.to_owned(),
            cluster: cluster.to_string(),
            ca_file,
        })?;
        let key = Sha256::digest(&pem).iter().fold(String::new(), |key, byte| format!("{key}{byte:02x}"));
        self.certificates.insert(key.clone(), pem);
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of its own, removed at the end.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("warren-standalone-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn write(&self, name: &str, text: &str) -> PathBuf {
            let path = self.0.join(name);
            std::fs::write(&path, text).unwrap();
            path
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    const CA: &str = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n";

    const YAML: &str = "
listen: {client: '127.0.0.1:8080'}
externalUrl: https://trino.example.com
groups:
- name: adhoc
  clusters:
  - {name: blue, url: 'http://127.0.0.1:18080'}
  - {name: green, url: 'https://trino.example.com', caFile: ca.pem}
routing:
  default: {group: adhoc}
";

    #[test]
    fn the_file_becomes_a_table_with_its_certificates_inside() {
        let directory = Directory::new("whole");
        directory.write("ca.pem", CA);
        let read = Standalone::read(&directory.write("warren.yaml", YAML)).unwrap();
        let client = Some("127.0.0.1:8080".parse().unwrap());
        assert_eq!(read.listen, Listen { client, ..Listen::default() });
        let green = &read.table.groups[0].clusters[1];
        assert_eq!(read.table.certificates[green.ca.as_ref().unwrap()], CA);
        assert_eq!(read.table.groups[0].clusters[0].ca, None);
        assert_eq!(read.table.routing.default, Some(Target::group("adhoc")));
        crate::routing::Router::compile(read.table).unwrap();
    }

    #[test]
    fn rules_and_what_is_before_the_gateway_are_read() {
        let directory = Directory::new("rules");
        let yaml = "
externalUrl: https://example.com/trino
proxyMode: ProxyFirstCall
trustedProxies: [10.0.0.0/8]
allowedHosts: [example.com]
listeners:
- {name: bi, address: '127.0.0.1:8081', source: superset, clientTags: [slow]}
- {name: plain, address: '[::1]:8082'}
groups:
- name: adhoc
  strategy: LeastQueries
  healthCheck: {sql: SELECT 1, user: health, intervalSeconds: 60, timeoutSeconds: 10}
  clusters: [{name: blue, url: 'http://127.0.0.1:1', clientUrl: 'https://blue.example.com', weight: 3}]
routing:
  rules:
  - {name: pin, when: user.name == 'ann', to: {cluster: blue}}
  - {name: no-drop, when: query.type == 'DROP', reject: {message: No., onUnknown: Pass}}
  fallback: {groups: [{name: adhoc}]}
";
        let Standalone { listen, table, .. } = Standalone::read(&directory.write("warren.yaml", yaml)).unwrap();
        let further = [("bi", "127.0.0.1:8081"), ("plain", "[::1]:8082")];
        assert_eq!(listen.further, further.map(|(name, address)| (name.to_owned(), address.parse().unwrap())));
        // What the file says, in the words of the table that the operator publishes.
        let same = serde_json::json!({
            "format": 1, "externalUrl": "https://example.com/trino", "proxyMode": "ProxyFirstCall",
            "trustedProxies": ["10.0.0.0/8"], "allowedHosts": ["example.com"],
            "listeners": [{"name": "bi", "source": "superset", "clientTags": ["slow"]}, {"name": "plain"}],
            "groups": [{"name": "adhoc", "strategy": "LeastQueries",
                "healthCheck": {"sql": "SELECT 1", "user": "health", "intervalSeconds": 60, "timeoutSeconds": 10},
                "clusters": [{"name": "blue",
                "url": "http://127.0.0.1:1", "clientUrl": "https://blue.example.com", "weight": 3, "serving": "Active"}]}],
            "routing": {
                "rules": [
                    {"name": "pin", "when": "user.name == 'ann'", "to": {"cluster": "blue"}},
                    {"name": "no-drop", "when": "query.type == 'DROP'", "reject": {"message": "No.", "onUnknown": "Pass"}},
                ],
                "fallback": {"groups": [{"name": "adhoc", "weight": 1}]},
            },
        });
        assert_eq!(serde_json::to_value(&table).unwrap(), same);
        crate::routing::Router::compile(table).unwrap();
        let misspelt = yaml.replace("onUnknown", "onUnkown");
        let error = Standalone::read(&directory.write("warren.yaml", &misspelt)).unwrap_err().to_string();
        assert!(error.contains("unknown field `onUnkown`") && error.contains("line 17"), "{error}");
    }

    #[test]
    fn the_example_is_a_table_that_proxies_accept() {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/standalone.yaml");
        let text = std::fs::read_to_string(&example).unwrap();
        crate::routing::Router::compile(Standalone::read(&example).unwrap().table).unwrap();
        // Its comments are examples too: those of `routing` are lines of YAML behind `# `.
        let (before, routing) = text.split_once("routing:\n").unwrap();
        let routing =
            routing.lines().map(|line| line.strip_prefix("# ").map_or(line.to_owned(), |line| format!("  {line}\n")));
        let routing = routing.collect::<Vec<_>>().join("\n");
        let directory = Directory::new("example");
        let file = directory.write("warren.yaml", &format!("{before}routing:\n{routing}"));
        let table = Standalone::read(&file).unwrap().table;
        assert!(table.routing.rules.len() > 2);
        crate::routing::Router::compile(table).unwrap();
    }

    #[test]
    fn a_fault_names_the_file_the_place_and_the_key() {
        let directory = Directory::new("faults");
        for (yaml, parts) in [
            (YAML.replace("caFile", "ca_file"), ["warren.yaml: ", "unknown field `ca_file`", "line 8"]),
            (YAML.replace("groups:", "grups:"), ["warren.yaml: ", "unknown field `grups`", "line 4"]),
            (YAML.replace("blue", "Blue"), ["warren.yaml: ", "cluster name \"Blue\" must be", "line 7"]),
        ] {
            let error = Standalone::read(&directory.write("warren.yaml", &yaml)).unwrap_err().to_string();
            for part in parts {
                assert!(error.contains(part), "{error:?} holds no {part:?}");
            }
        }
    }

    #[test]
    fn a_ca_file_must_be_there_and_hold_a_certificate_and_no_key() {
        let directory = Directory::new("ca");
        let file = directory.write("warren.yaml", YAML);
        assert!(Standalone::read(&file).unwrap_err().to_string().contains("ca.pem: it cannot be read"));
        for pem in ["no certificate".to_owned(), format!("{CA}-----BEGIN PRIVATE KEY-----")] {
            directory.write("ca.pem", &pem);
            let error = Standalone::read(&file).unwrap_err().to_string();
            assert!(error.contains("groups[adhoc].clusters[green].caFile"), "{error}");
        }
    }

    #[test]
    fn of_a_token_the_table_holds_the_hash_alone() {
        let directory = Directory::new("token");
        let yaml = YAML.replace("18080'}", "18080', eventTokenFile: blue.token}").replace(", caFile: ca.pem", "");
        let file = directory.write("warren.yaml", &yaml);
        assert!(Standalone::read(&file).unwrap_err().to_string().contains("blue.token: it cannot be read"));
        for token in ["", "short", "0123456789 abcdef"] {
            directory.write("blue.token", token);
            let error = Standalone::read(&file).unwrap_err().to_string();
            assert!(
                error.contains("groups[adhoc].clusters[blue].eventTokenFile") && !error.contains("short"),
                "{error}"
            );
        }
        directory.write("blue.token", "0123456789abcdef\n");
        let table = Standalone::read(&file).unwrap().table;
        // printf 0123456789abcdef | sha256sum
        let hash = "9f9f5111f7b27a781f1f1ddde5ebc2dd2b796bfc7365c9c28b548e564176929f";
        assert_eq!(table.groups[0].clusters[0].event_token.as_deref(), Some(hash));
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_of_the_file_or_of_its_ca_takes_effect_and_a_bad_one_does_not() {
        let directory = Directory::new("follow");
        directory.write("ca.pem", CA);
        let file = directory.write("warren.yaml", YAML);
        let (refused, mut refusals) = tokio::sync::mpsc::unbounded_channel();
        let (publisher, mut tables) = crate::follow::channel(move |error| drop(refused.send(error.to_string())));
        let shutdown = CancellationToken::new();
        let initial = Standalone::read(&file).unwrap();
        let follower = tokio::spawn(follow_file(file, initial, publisher, shutdown.clone()));
        let first = tables.wait_for(Option::is_some).await.unwrap().clone().unwrap();
        directory.write("warren.yaml", "groups: 7");
        assert!(refusals.recv().await.unwrap().contains("warren.yaml"));
        assert!(!tables.has_changed().unwrap());
        directory.write("warren.yaml", &YAML.replace("blue", "red"));
        let second = tables.wait_for(|now| now.as_ref().unwrap().cluster("red").is_some()).await.unwrap().clone();
        directory.write("ca.pem", &format!("{CA}{CA}"));
        let _ = tables.wait_for(|now| now.as_ref().unwrap().table() != second.as_ref().unwrap().table()).await.unwrap();
        assert!(first.cluster("blue").is_some());
        shutdown.cancel();
        follower.await.unwrap();
    }
}
