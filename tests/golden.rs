//! Goldens: a spec in, all objects and configuration files out, compared whole with the files below `tests/golden/desired`.
//!
//! `UPDATE=1 cargo test --test golden` writes them anew; read the diff before you commit it.

use std::{collections::BTreeMap, fmt::Write, fs, path::PathBuf};

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::OwnerReference, jiff::Timestamp};
use serde::{Serialize, de::DeserializeOwned};
use warren::{
    api::{ProxyGroupSpec, TrinoCluster, TrinoClusterGroup, TrinoClusterSpec, TrinoGatewaySpec},
    desired::{
        cluster::{self, ClusterIdentity, ClusterObjects, Source},
        cluster_revision,
        credential::{Passwords, Random},
        gateway::{self, GroupInput},
        group::GroupIdentity,
        proxy_group::{self, ProxyIdentity, ProxyObjects},
        proxy_revision,
    },
};

const UID: &str = "7f3a91c2-1111-2222-3333-444455556666";

#[test]
fn a_cluster_of_defaults() {
    compare("cluster-defaults", &cluster_golden("version: '476'"));
}

#[test]
fn a_cluster_of_everything() {
    compare(
        "cluster-everything",
        &cluster_golden(
            r#"
version: "470"
serving: Drained
eventListener: {enabled: true}
image: {repository: registry.example.com/trino, tag: 470-patched, pullPolicy: Always, pullSecrets: [{name: pull}]}
coordinator:
  resources: {cpu: "2", memory: 16Gi}
  config: {query.max-memory: 10GB}
workers:
  replicas: 3
  resources: {cpu: "4", memory: 32Gi}
  gracefulShutdown: {timeout: 30m}
  autoscaling:
    minReplicas: 2
    maxReplicas: 9
    metrics: [{type: Resource, resource: {name: memory, target: {type: AverageValue, averageValue: 20Gi}}}]
    behavior: {scaleDown: {stabilizationWindowSeconds: 60}}
  config: {task.concurrency: "8", query.max-memory: 20GB}
catalogs:
  inline:
    tpch: {connector.name: tpch, tpch.splits-per-node: "4"}
    lake: {connector.name: hive, hive.metastore.uri: "thrift://metastore:9083", "odd key": " = \\ é"}
config: {query.max-memory: 5GB, http-server.log.enabled: "true", event-listener.config-files: etc/audit.properties, access-control.config-files: /etc/users.properties}
"#,
        ),
    );
}

/// Everything that a file can follow from. Real servers of both versions start with these files: `hack/etc.sh`.
#[test]
fn the_files_of_a_cluster_in_both_versions() {
    let object: serde_json::Value = serde_saphyr::from_str(include_str!("golden/files.yaml")).expect("YAML");
    for version in ["470", "476"] {
        let mut spec = object["spec"].clone();
        spec["version"] = version.into();
        let golden = cluster_golden(&spec.to_string());
        compare(&format!("cluster-files-{version}"), &golden);
    }
}

/// Whoever asks such a cluster shows who he is. Real servers of both versions start with these files, too: `hack/etc.sh`.
#[test]
fn a_cluster_with_authentication_in_both_versions() {
    let object: serde_json::Value = serde_saphyr::from_str(include_str!("golden/authentication.yaml")).expect("YAML");
    for version in ["470", "476"] {
        let mut spec = object["spec"].clone();
        spec["version"] = version.into();
        compare(&format!("cluster-authentication-{version}"), &cluster_golden(&spec.to_string()));
    }
}

/// A real server starts with these files, before a real LDAP server: `hack/etc.sh`.
#[test]
fn a_cluster_with_passwords_in_ldap() {
    compare(
        "cluster-authentication-ldap",
        &cluster_golden(
            r#"
version: "476"
eventListener: {enabled: false}
coordinator: {resources: {memory: 1Gi}, jvm: {flags: ["-XX:TieredStopAtLevel=1", "-XX:ReservedCodeCacheSize=128M"]}}
workers: {replicas: 0}
catalogs: {inline: {tpch: {connector.name: tpch, tpch.splits-per-node: "1"}}}
tls: {server: {enabled: true}}
authentication:
  ldap:
    url: ldaps://ldap.example:636
    caSecretRef: {name: ldap, key: ca.crt}
    userBaseDn: ou=people,dc=example,dc=com
    groupAuthPattern: "(&(uid=${USER})(employeeType=trino))"
    bindDn: cn=trino,dc=example,dc=com
    bindPassword: {secretKeyRef: {name: ldap, key: password}}
    cacheTtl: 1s
"#,
        ),
    );
}

#[test]
fn a_cluster_with_logins_of_others() {
    compare(
        "cluster-authentication-others",
        &cluster_golden(
            r#"
version: "476"
verify: {user: ann}
tls: {server: {enabled: true}}
config: {http-server.authentication.oauth2.refresh-tokens: "true"}
authentication:
  ldap:
    url: ldap://ldap.example.com:389
    allowInsecure: true
    userBindPattern: "uid=${USER},ou=people,dc=example,dc=com"
  oauth2:
    issuer: https://id.example.com
    caSecretRef: {name: provider, key: ca.crt}
    clientId: trino
    clientSecret: {secretKeyRef: {name: oauth2, key: secret}}
    scopes: [openid, email]
    principalField: email
    additionalAudiences: [other]
    stateKey: {secretKeyRef: {name: oauth2, key: state}}
  jwt: {keyFile: "https://id.example.com/keys"}
  credential: {renewAfter: 24h}
files:
  passwordAuthenticators:
  - {name: own, properties: {password-authenticator.name: own}}
"#,
        ),
    );
}

#[test]
fn a_cluster_with_catalogs() {
    compare(
        "cluster-catalogs",
        &cluster_golden(
            r#"
version: "476"
catalogs:
  inline:
    lake: {connector.name: iceberg, iceberg.catalog.type: rest}
  secretProperties:
    lake: {iceberg.rest-catalog.oauth2.token: {secretKeyRef: {name: lake, key: token}}}
  selector: {matchLabels: {team: data}}
  resolved:
    shop:
      trinoCatalog: shop-eu
      connector: postgresql
      properties: {connection-url: "jdbc:postgresql://db:5432/shop", connection-user: trino}
      secretProperties: {connection-password: {secretKeyRef: {name: shop-db, key: password}}}
      version: "2"
    shop_us:
      connector: postgresql
      properties: {connection-url: "jdbc:postgresql://us:5432/shop", connection-user: trino}
      secretProperties: {connection-password: {secretKeyRef: {name: shop-db, key: password}}}
"#,
        ),
    );
}

#[test]
fn a_cluster_with_overlays() {
    compare(
        "cluster-overlays",
        &cluster_golden(
            r#"
version: "476"
service: {type: LoadBalancer, annotations: {example.com/internal: "true"}}
coordinator:
  template:
    metadata: {labels: {team: data}, annotations: {example.com/scrape: "true"}}
    spec:
      priorityClassName: high
      serviceAccountName: trino-s3
      containers:
      - {name: trino, env: [{name: REGION, value: eu}], ports: [{name: jmx, containerPort: 9080}]}
      - {name: sidecar, image: "envoy:1", resources: {limits: {memory: 64Mi}}}
plugins:
- {name: my-connector, image: "registry.example.com/my-connector:1.2"}
- {name: functions, volume: {persistentVolumeClaim: {claimName: plugins}}, path: functions}
workers:
  template:
    spec:
      nodeSelector: {pool: workers}
      tolerations: [{key: pool, operator: Equal, value: workers, effect: NoSchedule}]
      initContainers: [{name: warm, image: "curl:1", command: [warm]}]
      containers: [{name: trino, volumeMounts: [{name: spill, mountPath: /spill}], startupProbe: {failureThreshold: 60}}]
      volumes: [{name: spill, emptyDir: {sizeLimit: 100Gi}}, {name: tmp, emptyDir: {medium: Memory}}]
"#,
        ),
    );
}

#[test]
fn a_cluster_without_workers() {
    compare(
        "cluster-without-workers",
        &cluster_golden("{version: '476', workers: {replicas: 0}, eventListener: {enabled: false}}"),
    );
}

#[test]
fn a_cluster_that_speaks_tls() {
    let server = "version: '476'\ntls: {server: {enabled: true, duration: 24h}}";
    let internal = "version: '476'\ntls: {internal: {enabled: true}}";
    let both = "
version: '476'
clientUrl: https://{name}.example.com
tls:
  server: {enabled: true, certManager: {issuerRef: {name: corporate, kind: ClusterIssuer}}}
  internal: {enabled: true}
";
    compare("cluster-tls-server", &cluster_golden(server));
    compare("cluster-tls-internal", &cluster_golden(internal));
    compare("cluster-tls-both", &cluster_golden(both));
}

#[test]
fn a_cluster_with_a_certificate_that_its_user_keeps() {
    compare(
        "cluster-tls-kept",
        &cluster_golden("{version: '476', tls: {server: {enabled: true, secretRef: {name: mine}}}}"),
    );
}

#[test]
fn proxies_of_defaults() {
    compare("proxies-defaults", &proxies_golden("gateway: {name: prod}", "{}"));
}

#[test]
fn proxies_of_everything() {
    compare(
        "proxies-everything",
        &proxies_golden(
            r#"
gateway: {name: prod}
replicas: 5
minReadySeconds: 10
rollout: {maxSurge: 0, maxUnavailable: 2}
schedulePolicies:
- type: EvenlySpread
  evenlySpread:
    topologies:
    - {topology: {key: topology.kubernetes.io/zone}, whenUnsatisfiable: DoNotSchedule}
    - {topology: {key: kubernetes.io/hostname}, maxSkew: 2}
groups: {selector: {matchLabels: {audience: internal}}}
service: {type: LoadBalancer, port: 443, nodePort: 30443, annotations: {example.com/internal: "true"}}
template:
  metadata: {labels: {team: data}, annotations: {example.com/scrape: "true"}}
  spec:
    image: {repository: registry.example.com/warren, digest: "sha256:0123456789012345678901234567890123456789012345678901234567890123", pullSecrets: [{name: pull}]}
    resources: {cpu: "1", memory: 512Mi}
    preStop: {sleepSeconds: 15}
    drain: {timeout: 5m}
    server: {ports: {client: 8443, admin: 9443}}
    probes:
      readiness: {initialDelaySeconds: 3, periodSeconds: 2, timeoutSeconds: 1, failureThreshold: 4}
      liveness: {periodSeconds: 30}
    volumes:
    - {name: tracing, mountPath: /etc/tracing, source: {secret: {secretName: tracing}}}
    - {name: scratch, mountPath: /tmp, readOnly: false, source: {emptyDir: {sizeLimit: 1Gi}}}
    overlay: {pod: {spec: {nodeSelector: {pool: edge}, containers: [{name: proxy, env: [{name: REGION, value: eu}]}, {name: log, image: 'log:1'}]}}}
    config: |
      threads: 4
      timeouts: {statement: 45s}
    env: [{name: OTEL_EXPORTER_OTLP_ENDPOINT, value: "http://collector:4318"},
      {name: OTEL_EXPORTER_OTLP_HEADERS, secretKeyRef: {name: collector, key: headers}}]
    security: {tls: {client: {secretRef: {name: edge-tls}, clientAuth: {caSecretRef: {name: clients, key: roots.pem}}},
      backend: {caSecretRef: {name: corporate}}, admin: {enabled: true}}}
"#,
            "{listeners: [{name: etl, port: 8082}, {name: bi, port: 8081, source: superset, clientTags: [slow]}]}",
        ),
    );
}

#[test]
fn proxies_that_restart_for_their_settings() {
    let spec = "
gateway: {name: prod}
template: {spec: {updateStrategy: {config: Restart}, config: 'polls: {tries: 3}'}}
";
    compare("proxies-restart", &proxies_golden(spec, "{}"));
}

#[test]
fn what_would_break_proxies_is_refused_by_its_field() {
    let refused = |pod: &str| {
        let spec: ProxyGroupSpec = parse(&format!("{{gateway: {{name: prod}}, template: {{spec: {pod}}}}}"));
        let owner = owner("ProxyGroup", "edge");
        let proxies = ProxyIdentity { namespace: "trino".into(), gateway: "prod".into(), owner };
        proxy_group::render(&proxies, &spec, &[], "warren:1").expect_err(pod).to_string()
    };
    for (pod, message) in [
        (
            "{overlay: {pod: {spec: {containers: [{name: proxy, image: mine}]}}}}",
            "spec.template.spec.overlay.pod.spec.containers[proxy].image",
        ),
        ("{overlay: {pod: {spec: {nodes: 3}}}}", "spec.template.spec.overlay.pod.spec.nodes"),
        (
            "{volumes: [{name: a, mountPath: /a, source: {magic: {}}}]}",
            "spec.template.spec.volumes[a].source: \"magic\" is no kind of volume",
        ),
        (
            "{volumes: [{name: a, mountPath: /a, source: {emptyDir: {}}}, {name: b, mountPath: /a, source: {emptyDir: {}}}]}",
            "spec.template.spec.volumes[b].mountPath: /a is that of another volume, too",
        ),
        ("{config: 'tls: {}'}", "spec.template.spec.config: tls: Warren sets this itself"),
    ] {
        let told = refused(pod);
        assert!(told.starts_with(message), "{told}");
    }
}

#[test]
fn a_groups_clusters() {
    let group = group_identity();
    let template = parse(
        "{metadata: {labels: {team: data}, annotations: {example.com/owner: me}}, spec: {version: '476', workers: {replicas: 2}}}",
    );
    let cluster = group.cluster(&group.cluster_name(7), &template, None, true);
    let rollout = parse("{drainTimeout: 7m}");
    let drained = group.drained(&cluster, Some(&template), Some(&rollout), "2026-01-02T03:04:05Z".to_owned());
    compare("group-clusters", &(document(&cluster) + &document(&drained)));
}

#[test]
fn a_gateways_table() {
    let spec: TrinoGatewaySpec = parse(
        r#"
externalUrl: https://example.com/trino
proxyMode: ProxyFirstCall
trustedProxies: [10.0.0.0/8]
allowedHosts: [example.com]
eventListener: {enabled: false}
listeners:
- {name: bi, port: 8081, source: superset, clientTags: [slow]}
- {name: etl, port: 8082}
routing:
  rules:
  - {name: bi, when: 'query.source == "superset"', to: {groups: [{name: adhoc, weight: 9}, {name: missing}]}}
  - {name: pin, when: 'user.name == "ann"', to: {cluster: plain}}
  - {name: gone, when: 'user.name == "bob"', to: {cluster: nowhere}}
  - {name: no-drop, when: 'query.type == "DROP"', reject: {message: "No.", onUnknown: Pass}}
  - {name: no-grant, when: 'query.type == "GRANT"', reject: {message: "No."}}
  default: {group: adhoc}
  fallback: {group: missing}
"#,
    );
    let adhoc: TrinoClusterGroup = parse(
        r"
metadata: {name: adhoc, namespace: trino}
spec:
  strategy: Weighted
  healthCheck: {sql: SELECT 1, user: warren-health, timeoutSeconds: 3}
  external:
  - {name: onprem, url: 'https://trino.example.org:8443', weight: 0, clientUrl: 'https://trino.example.org', caSecretRef: {name: ca}}
  - {name: no-secret, url: 'https://other.example.org', caSecretRef: {name: gone}}
  - {name: plain, url: 'http://10.0.0.7:8080'}
  - {name: rests, url: 'https://rests.example.org', serving: Drained, credentialsSecretRef: {name: rests}}
  template: {spec: {version: '476'}}
status:
  external:
  - {name: plain, url: 'http://10.0.0.7:8080', phase: Active, since: '2026-01-01T00:00:00Z'}
  - {name: removed, url: 'https://removed.example.org', phase: Active, since: '2026-01-01T00:00:00Z'}
",
    );
    let clusters: Vec<TrinoCluster> = [
        "{metadata: {name: adhoc-7f3a-1}, spec: {version: '470', serving: Drained}, status: {wasReady: true}}",
        "{metadata: {name: adhoc-7f3a-2}, spec: {version: '476', serving: Active, clientUrl: 'https://{name}.example.com'}, status: {wasReady: true, eventToken: cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd}}",
        "{metadata: {name: adhoc-7f3a-3}, spec: {version: '476', serving: Active}, status: {wasReady: false}}",
        "{metadata: {name: adhoc-7f3a-4}, spec: {version: '476', serving: Active}, status: {wasReady: false}}",
        "{metadata: {name: adhoc-7f3a-5}, spec: {version: '476', tls: {server: {enabled: true}}, authentication: {jwt: {keyFile: 'https://a/keys'}}}, status: {wasReady: true, tls: {server: {secret: adhoc-7f3a-5-coordinator-tls, ca: '<CAs>', serial: '01', issuer: CN=a, notAfter: '2026-01-01T00:00:00Z'}}}}",
        "{metadata: {name: adhoc-7f3a-6}, spec: {version: '476', tls: {server: {enabled: true}}}, status: {wasReady: true}}",
    ]
    .map(parse)
    .into();
    let input = GroupInput {
        group: &adhoc,
        clusters: clusters.iter().collect(),
        external: warren::desired::external_clusters(&adhoc),
        certificates: BTreeMap::from([("onprem".to_owned(), "-----BEGIN CERTIFICATE-----\n…\n".to_owned())]),
        event_tokens: BTreeMap::from([("plain".to_owned(), "ab".repeat(32))]),
    };
    let table = gateway::routing_table(&spec, "trino", &[input]);
    warren::routing::Router::compile(table.clone()).expect("a table that the proxies accept");
    let config_map = gateway::config_map(&owner("TrinoGateway", "prod"), "trino", &table).expect("a small table");
    compare("gateway-table", &(document(&table) + &document(&config_map)));
}

fn cluster_golden(spec: &str) -> String {
    let cluster =
        ClusterIdentity { name: "adhoc-7f3a-1".into(), namespace: "trino".into(), uid: UID.into(), in_group: true };
    let spec: TrinoClusterSpec = parse(spec);
    let revision = cluster_revision(&spec);
    let rendered = cluster::render(&cluster, &spec).expect("a spec that can be rendered");
    let circumstances = cluster::Circumstances {
        operator_namespace: Some("warren-system"),
        events_gateway: Some("prod"),
        ..<_>::default()
    };
    let objects = cluster::objects(&cluster, &spec, circumstances, &revision, &rendered).expect("both components");
    let ClusterObjects {
        revision,
        service_account,
        config_maps,
        services,
        events,
        network_policies,
        disruption_budgets,
        coordinator,
        workers,
    } = objects;
    let kept: warren::desired::Rendered =
        serde_json::from_value(revision.data.as_ref().expect("data").0.clone()).expect("readable again");
    assert_eq!(kept, rendered, "what a ControllerRevision keeps is what was rendered");
    let mut text = format!("# ControllerRevision {}\n", revision.metadata.name.expect("a name"));
    text += &document(&service_account);
    for config_map in &config_maps {
        text += &document(config_map);
    }
    for service in &services {
        text += &document(service);
    }
    if let Some(events) = &events {
        text += &document(events);
        text += &document(&cluster.events_secret("<random>".into()));
    }
    for policy in &network_policies {
        text += &document(policy);
    }
    for budget in &disruption_budgets {
        text += &document(budget);
    }
    text += &document(&coordinator);
    text += &document(&workers);
    if let Some(autoscaler) = cluster::autoscaler(&cluster, &spec).expect("an autoscaler that Kubernetes knows") {
        text += &document(&autoscaler);
    }
    for leaf in cluster::leaves(&cluster, &spec).expect("durations") {
        match &leaf.source {
            Source::Own | Source::OwnEldest => {
                text += &document(&cluster.certificate_secret(&leaf, "<CAs>", "<certificate>", "<key>"));
            }
            Source::Kept => {}
            Source::CertManager(manager) => text += &document(&cluster.certificate_request(&leaf, manager)),
        }
    }
    text += &document(&cluster.secret("<random>".into()));
    text += &document(&cluster.worker_secret("<random>"));
    if spec.spooling.is_some() {
        text += &document(&cluster.spooling_secret([7; 32]));
    }
    if spec.authentication.is_some() {
        let random = Random { password: [7; 32], salt: [7; 16] };
        let passwords = Passwords::first(random, Timestamp::UNIX_EPOCH);
        text += &document(&passwords.secret(&cluster, &cluster::asking_users(&spec)));
    }
    text
}

fn proxies_golden(spec: &str, gateway: &str) -> String {
    let spec: ProxyGroupSpec = parse(spec);
    let listeners = proxy_group::listener_ports(&parse(gateway));
    let proxies = ProxyIdentity {
        namespace: "trino".into(),
        gateway: spec.gateway.name.clone(),
        owner: owner("ProxyGroup", "edge"),
    };
    let revision = proxy_revision(&spec, &listeners);
    let image = "registry.example.com:5000/warren:0.1.0";
    let rendered = proxy_group::render(&proxies, &spec, &listeners, image).expect("renders");
    let objects = proxy_group::objects(&proxies, &spec, &revision, &rendered).expect("the proxy");
    let ProxyObjects { revision, service_account, role, role_binding, config, service, disruption_budget, deployment } =
        objects;
    let mut text = format!("# ControllerRevision {}\n", revision.metadata.name.expect("a name"));
    text += &document(&service_account);
    text += &document(&role);
    text += &document(&role_binding);
    if let Some(config) = &config {
        text += &document(config);
    }
    text += &document(&service);
    text += &document(&disruption_budget);
    text += &document(&deployment);
    text += &document(&proxies.secret("<random>".into()));
    text
}

fn group_identity() -> GroupIdentity {
    GroupIdentity { name: "adhoc".into(), namespace: "trino".into(), uid: UID.into() }
}

fn owner(kind: &str, name: &str) -> OwnerReference {
    OwnerReference {
        api_version: "trinowarren.io/v1alpha1".into(),
        kind: kind.into(),
        name: name.into(),
        uid: UID.into(),
        controller: Some(true),
        block_owner_deletion: None,
    }
}

fn parse<T: DeserializeOwned>(yaml: &str) -> T {
    let mut value: serde_json::Value = serde_saphyr::from_str(yaml).expect("YAML");
    if value.get("metadata").is_some() && value.get("spec").is_some() && value.get("kind").is_none() {
        value["apiVersion"] = "trinowarren.io/v1alpha1".into();
        value["kind"] = "ignored".into();
    }
    serde_json::from_value(value).expect("an object of its type")
}

fn document(object: &impl Serialize) -> String {
    let mut text = "---\n".to_owned();
    // By way of JSON, so that keys are sorted.
    let value = serde_json::to_value(object).expect("JSON");
    write!(text, "{}", serde_saphyr::to_string(&value).expect("YAML")).expect("a String takes all");
    text
}

fn compare(name: &str, actual: &str) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/desired/{name}.yaml"));
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, actual).expect("a golden is written");
        return;
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    let first = expected.lines().zip(actual.lines()).position(|(left, right)| left != right);
    let line = first.unwrap_or_else(|| expected.lines().count().min(actual.lines().count()));
    assert!(
        expected == actual,
        "{} differs from line {}:\n  golden: {}\n  actual: {}\nIf the change is meant: UPDATE=1 cargo test --test golden",
        file.display(),
        line + 1,
        expected.lines().nth(line).unwrap_or("<end>"),
        actual.lines().nth(line).unwrap_or("<end>"),
    );
}
