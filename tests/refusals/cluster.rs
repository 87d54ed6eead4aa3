//! `TrinoCluster`: what is refused and what is taken.

use warren::api::TrinoCluster;

use crate::table::{Accepted, Refusal, RefusedEdit, Table};

#[tokio::test]
async fn clusters_are_judged_as_the_table_says() {
    TABLE.hold::<TrinoCluster>().await;
}

const TABLE: Table = Table { refused: REFUSED, refused_edits: EDITS, accepted: ACCEPTED };

const NAME: &str = "metadata.name must be at most 48 characters of a-z, 0-9 and '-', beginning with a letter and not ending with '-': Service names and URLs are made from it";
const VERSION: &str = "spec.version must be a release of Trino such as \"476\"";

const REFUSED: &[Refusal] = &[
    Refusal { case: "no version", object: "spec: {}", field: "spec.version", because: "Required value" },
    Refusal {
        case: "a version that is no release",
        object: "spec: {version: latest}",
        field: "spec.version",
        because: VERSION,
    },
    Refusal { case: "a version with a v", object: "spec: {version: v476}", field: "spec.version", because: VERSION },
    Refusal {
        case: "a version as a number",
        object: "spec: {version: 476}",
        field: "spec.version",
        because: "must be of type string: \"integer\"",
    },
    Refusal {
        case: "a name of 49 characters",
        object: "{metadata: {name: a234567890123456789012345678901234567890123456789}, spec: {version: '476'}}",
        field: "<nil>",
        because: NAME,
    },
    Refusal {
        case: "a name that begins with a digit",
        object: "{metadata: {name: 476-a}, spec: {version: '476'}}",
        field: "<nil>",
        because: NAME,
    },
    Refusal {
        case: "an intent that does not exist",
        object: "spec: {version: '476', serving: Paused}",
        field: "spec.serving",
        because: "Unsupported value: \"Paused\": supported values: \"Active\", \"Drained\"",
    },
    Refusal {
        case: "a certificate that does not last",
        object: "spec: {version: '476', tls: {server: {enabled: true, duration: 9m}}}",
        field: "spec.tls.server.duration",
        because: "spec.tls.server.duration must be a number and a unit, such as 720h, from 10m to 87600h: a renewed certificate takes some minutes to reach Trino",
    },
    Refusal {
        case: "two certificates",
        object: "spec: {version: '476', tls: {server: {enabled: true, secretRef: {name: a}, certManager: {issuerRef: {name: b}}}}}",
        field: "spec.tls.server",
        because: "spec.tls.server: give secretRef or certManager, not both: one certificate is served",
    },
    Refusal {
        case: "a duration of a certificate that somebody else keeps",
        object: "spec: {version: '476', tls: {server: {enabled: true, secretRef: {name: a}, duration: 24h}}}",
        field: "spec.tls.server",
        because: "spec.tls.server.duration does not go with secretRef: who keeps the Secret renews its certificate",
    },
    Refusal {
        case: "a key store beside spec.tls",
        object: "spec: {version: '476', tls: {internal: {enabled: true}}, workers: {config: {http-server.https.keystore.path: /a}}}",
        field: "spec",
        because: "spec.tls: Warren itself then sets http-server.https.enabled, .port and .keystore.*, internal-communication.https.* and node.internal-address*; remove them from config, coordinator.config and workers.config",
    },
    Refusal {
        case: "an unknown field",
        object: "spec: {version: '476', worker: {replicas: 3}}",
        field: "",
        because: "unknown field \"spec.worker\"",
    },
    Refusal {
        case: "an unknown field, deep in the object",
        object: "spec: {version: '476', workers: {replica: 3}}",
        field: "",
        because: "unknown field \"spec.workers.replica\"",
    },
    Refusal {
        case: "a plugin from nowhere",
        object: "spec: {version: '476', plugins: [{name: a}]}",
        field: "spec.plugins[0]",
        because: "spec.plugins: give each plugin either image or volume",
    },
    Refusal {
        case: "a plugin from two places",
        object: "spec: {version: '476', plugins: [{name: a, image: b, volume: {emptyDir: {}}}]}",
        field: "spec.plugins[0]",
        because: "spec.plugins: give each plugin either image or volume",
    },
    Refusal {
        case: "a plugin out of its volume",
        object: "spec: {version: '476', plugins: [{name: a, volume: {emptyDir: {}}, path: ../b}]}",
        field: "spec.plugins[0]",
        because: "spec.plugins: path is absolute for an image",
    },
    Refusal {
        case: "a plugin whose name is a path",
        object: "spec: {version: '476', plugins: [{name: a/b, image: c}]}",
        field: "spec.plugins[0].name",
        because: "spec.plugins: name must be 1 to 50 characters",
    },
    Refusal {
        case: "an overlay that is no object",
        object: "spec: {version: '476', coordinator: {template: [a]}}",
        field: "spec.coordinator.template",
        because: "must be of type object",
    },
    Refusal {
        case: "an annotation of Warren's own on the Service",
        object: "spec: {version: '476', service: {annotations: {trinowarren.io/a: b}}}",
        field: "spec.service.annotations",
        because: "spec.service.annotations: annotations under trinowarren.io/ belong to Warren; use a prefix of your own",
    },
    Refusal {
        case: "secrets of a catalog that is not there",
        object: "spec: {version: '476', catalogs: {secretProperties: {shop: {a: {secretKeyRef: {name: a, key: b}}}}}}",
        field: "spec.catalogs",
        because: "spec.catalogs.secretProperties: each name is that of a catalog in spec.catalogs.inline; add the catalog there, or correct the name",
    },
    Refusal {
        case: "a property of a catalog twice",
        object: "spec: {version: '476', catalogs: {inline: {shop: {connector.name: tpch, a: b}}, secretProperties: {shop: {a: {secretKeyRef: {name: a, key: b}}}}}}",
        field: "spec.catalogs",
        because: "spec.catalogs.secretProperties: a property stands in spec.catalogs.inline, too; give it in one of them",
    },
    Refusal {
        case: "a label that is none in the selector of catalogs",
        object: "spec: {version: '476', catalogs: {selector: {matchLabels: {'a b': c}}}}",
        field: "spec.catalogs.selector.matchLabels",
        because: "spec.catalogs.selector.matchLabels: a label's name is 1 to 63 characters",
    },
    Refusal {
        case: "autoscaling without an upper bound",
        object: "spec: {version: '476', workers: {autoscaling: {minReplicas: 2}}}",
        field: "spec.workers.autoscaling.maxReplicas",
        because: "Required value",
    },
    Refusal {
        case: "autoscaling with contradictory bounds",
        object: "spec: {version: '476', workers: {autoscaling: {minReplicas: 5, maxReplicas: 4}}}",
        field: "spec.workers.autoscaling",
        because: "spec.workers.autoscaling: minReplicas must not be above maxReplicas",
    },
    Refusal {
        case: "autoscaling from none",
        object: "spec: {version: '476', workers: {autoscaling: {minReplicas: 0, maxReplicas: 4}}}",
        field: "spec.workers.autoscaling.minReplicas",
        because: "should be greater than or equal to 1",
    },
    Refusal {
        case: "autoscaling without workers",
        object: "spec: {version: '476', workers: {replicas: 0, autoscaling: {maxReplicas: 4}}}",
        field: "spec.workers",
        because: "spec.workers.replicas must not be 0 with spec.workers.autoscaling",
    },
    Refusal {
        case: "autoscaling by CPU and by metrics",
        object: "spec: {version: '476', workers: {autoscaling: {maxReplicas: 4, targetCPUUtilizationPercentage: 50, metrics: [{type: Pods}]}}}",
        field: "spec.workers.autoscaling",
        because: "give targetCPUUtilizationPercentage or metrics, not both",
    },
    Refusal {
        case: "a time to end tasks without a unit",
        object: "spec: {version: '476', workers: {gracefulShutdown: {timeout: '600'}}}",
        field: "spec.workers.gracefulShutdown.timeout",
        because: "spec.workers.gracefulShutdown.timeout must be a number and a unit, such as 90s, 30m or 2h",
    },
    Refusal {
        case: "a tag and a digest",
        object: "spec: {version: '476', image: {tag: '476', digest: 'sha256:0123456789012345678901234567890123456789012345678901234567890123'}}",
        field: "spec.image",
        because: "image: give tag or digest, not both: a digest already names one image",
    },
    Refusal {
        case: "a digest that is too short",
        object: "spec: {version: '476', image: {digest: 'sha256:0123'}}",
        field: "spec.image.digest",
        because: "image.digest must be sha256: and 64 hexadecimal digits",
    },
    Refusal {
        case: "a tag in the repository",
        object: "spec: {version: '476', image: {repository: 'docker.io/trinodb/trino:476'}}",
        field: "spec.image.repository",
        because: "without a tag, such as docker.io/trinodb/trino; the tag goes to image.tag",
    },
    Refusal {
        case: "a URL as the repository",
        object: "spec: {version: '476', image: {repository: 'https://docker.io/trinodb/trino'}}",
        field: "spec.image.repository",
        because: "image.repository must be a registry and a repository without https:// and without a tag",
    },
    Refusal {
        case: "a tag with a space",
        object: "spec: {version: '476', image: {tag: '476 slim'}}",
        field: "spec.image.tag",
        because: "image.tag must begin with a letter, a digit or '_'",
    },
    Refusal {
        case: "a pull policy that does not exist",
        object: "spec: {version: '476', image: {pullPolicy: Sometimes}}",
        field: "spec.image.pullPolicy",
        because: "Unsupported value: \"Sometimes\": supported values: \"Always\", \"Never\", \"IfNotPresent\"",
    },
    Refusal {
        case: "a pull Secret without a name",
        object: "spec: {version: '476', image: {pullSecrets: [{}]}}",
        field: "spec.image.pullSecrets[0].name",
        because: "Required value",
    },
    Refusal {
        case: "a pull Secret that cannot exist",
        object: "spec: {version: '476', image: {pullSecrets: [{name: My_Secret}]}}",
        field: "spec.image.pullSecrets[0].name",
        because: "image.pullSecrets: name must be the name of a Secret",
    },
    Refusal {
        case: "memory that is no quantity",
        object: "spec: {version: '476', coordinator: {resources: {memory: 4GB}}}",
        field: "spec.coordinator.resources.memory",
        because: "resources.memory must be a positive quantity such as 4Gi",
    },
    Refusal {
        case: "memory as a number",
        object: "spec: {version: '476', coordinator: {resources: {memory: 4294967296}}}",
        field: "spec.coordinator.resources.memory",
        because: "must be of type string: \"integer\"",
    },
    Refusal {
        case: "CPU that is no quantity",
        object: "spec: {version: '476', workers: {resources: {cpu: two}}}",
        field: "spec.workers.resources.cpu",
        because: "resources.cpu must be a positive quantity such as 500m or 4",
    },
    Refusal {
        case: "no CPU",
        object: "spec: {version: '476', workers: {resources: {cpu: '0'}}}",
        field: "spec.workers.resources.cpu",
        because: "resources.cpu must be a positive quantity such as 500m or 4",
    },
    Refusal {
        case: "negative CPU",
        object: "spec: {version: '476', workers: {resources: {cpu: '-1'}}}",
        field: "spec.workers.resources.cpu",
        because: "resources.cpu must be a positive quantity such as 500m or 4",
    },
    Refusal {
        case: "a coordinator that is too small to start",
        object: "spec: {version: '476', coordinator: {resources: {memory: 767Mi}}}",
        field: "spec.coordinator",
        because: "spec.coordinator.resources.memory must be at least 768Mi: Trino does not start with less",
    },
    Refusal {
        case: "a worker that is too small to start",
        object: "spec: {version: '476', workers: {resources: {memory: 512M}}}",
        field: "spec.workers",
        because: "spec.workers.resources.memory must be at least 768Mi: Trino does not start with less",
    },
    Refusal {
        case: "fewer than no workers",
        object: "spec: {version: '476', workers: {replicas: -1}}",
        field: "spec.workers.replicas",
        because: "should be greater than or equal to 0",
    },
    Refusal {
        case: "more workers than a cluster holds",
        object: "spec: {version: '476', workers: {replicas: 1001}}",
        field: "spec.workers.replicas",
        because: "should be less than or equal to 1000",
    },
    Refusal {
        case: "half a worker",
        object: "spec: {version: '476', workers: {replicas: 1.5}}",
        field: "spec.workers.replicas",
        because: "must be of type integer: \"number\"",
    },
    Refusal {
        case: "a property that Warren owns",
        object: "spec: {version: '476', config: {http-server.http.port: '8081'}}",
        field: "spec.config",
        because: "http-server.http.port",
    },
    Refusal {
        case: "a coordinator's property that Warren owns",
        object: "spec: {version: '476', coordinator: {config: {coordinator: 'true'}}}",
        field: "spec.coordinator.config",
        because: "config: Warren itself sets coordinator, discovery.uri,",
    },
    Refusal {
        case: "a worker's property that Warren owns",
        object: "spec: {version: '476', workers: {config: {discovery.uri: 'http://other:8080'}}}",
        field: "spec.workers.config",
        because: "catalog.config-dir and catalog.management; remove them here",
    },
    Refusal {
        case: "the secret between coordinator and workers in plain sight",
        object: "spec: {version: '476', config: {internal-communication.shared-secret: hunter2}}",
        field: "spec.config",
        because: "internal-communication.shared-secret",
    },
    Refusal {
        case: "a property's name with a space",
        object: "spec: {version: '476', config: {'query.max memory': 1GB}}",
        field: "spec.config",
        because: "spec.config: a property's name holds only letters, digits, '.', '_' and '-'",
    },
    Refusal {
        case: "a property's name with a line break",
        object: "spec: {version: '476', workers: {config: {\"a\\ncoordinator\": 'true'}}}",
        field: "spec.workers.config",
        because: "spec.workers.config: a property's name holds only letters, digits, '.', '_' and '-'",
    },
    Refusal {
        case: "a property's value as a number",
        object: "spec: {version: '476', config: {query.max-stage-count: 200}}",
        field: "spec.config.query.max-stage-count",
        because: "must be of type string: \"integer\"",
    },
    Refusal {
        case: "a catalog without a connector",
        object: "spec: {version: '476', catalogs: {inline: {sales: {connection-url: 'jdbc:postgresql://db/sales'}}}}",
        field: "spec.catalogs.inline",
        because: "spec.catalogs.inline: each catalog needs connector.name, for example {tpch: {connector.name: tpch}}",
    },
    Refusal {
        case: "a catalog with an empty connector",
        object: "spec: {version: '476', catalogs: {inline: {sales: {connector.name: ''}}}}",
        field: "spec.catalogs.inline",
        because: "spec.catalogs.inline: each catalog needs connector.name",
    },
    Refusal {
        case: "a catalog's name with capital letters",
        object: "spec: {version: '476', catalogs: {inline: {Sales: {connector.name: tpch}}}}",
        field: "spec.catalogs.inline",
        because: "spec.catalogs.inline: a catalog's name is 1 to 63 characters of a-z, 0-9, '_' and '-', not beginning with '-'",
    },
    Refusal {
        case: "a catalog's name that leaves its folder",
        object: "spec: {version: '476', catalogs: {inline: {'../tpch': {connector.name: tpch}}}}",
        field: "spec.catalogs.inline",
        because: "spec.catalogs.inline: a catalog's name is 1 to 63 characters",
    },
    Refusal {
        case: "Trino's own catalog",
        object: "spec: {version: '476', catalogs: {inline: {system: {connector.name: tpch}}}}",
        field: "spec.catalogs.inline",
        because: "spec.catalogs.inline: the catalog system is Trino's own; choose another name",
    },
    Refusal {
        case: "a clientUrl with a path",
        object: "spec: {version: '476', clientUrl: 'https://trino.example.com/{name}'}",
        field: "spec.clientUrl",
        because: "spec.clientUrl must be http://host[:port] or https://host[:port]",
    },
    Refusal {
        case: "a catalog's property with an equals sign",
        object: "spec: {version: '476', catalogs: {inline: {tpch: {connector.name: tpch, a=b: c}}}}",
        field: "spec.catalogs.inline",
        because: "spec.catalogs.inline: a property's name holds only letters, digits, '.', '_' and '-'",
    },
    Refusal {
        case: "a heap given as a flag",
        object: "spec: {version: '476', coordinator: {jvm: {flags: ['-Xmx4G']}}}",
        field: "spec.coordinator.jvm.flags",
        because: "jvm.flags: Warren itself sets the heap, so -Xmx, -XX:MaxHeapSize,",
    },
    Refusal {
        case: "two flags in one line",
        object: "spec: {version: '476', workers: {jvm: {flags: [\"-Da=b\\n-Xmx4G\"]}}}",
        field: "spec.workers.jvm.flags",
        because: "jvm.flags: a flag begins with '-', and holds printable ASCII characters alone",
    },
    Refusal {
        case: "a level that no logger has",
        object: "spec: {version: '476', files: {logLevels: {io.trino: debug}}}",
        field: "spec.files.logLevels.io.trino",
        because: "Unsupported value: \"debug\"",
    },
    Refusal {
        case: "a node's id",
        object: "spec: {version: '476', files: {node: {node.id: a}}}",
        field: "spec.files.node",
        because: "spec.files.node: Warren itself sets node.id,",
    },
    Refusal {
        case: "resource groups of two managers",
        object: "spec: {version: '476', files: {resourceGroups: {rules: {}, properties: {resource-groups.configuration-manager: db}}}}",
        field: "spec.files.resourceGroups",
        because: "give rules, or properties with resource-groups.configuration-manager, such as db; not both",
    },
    Refusal {
        case: "session properties of no manager",
        object: "spec: {version: '476', files: {sessionProperties: {properties: {a: b}}}}",
        field: "spec.files.sessionProperties",
        because: "give rules, or properties with session-property-config.configuration-manager, such as db; not both",
    },
    Refusal {
        case: "an access control of two kinds",
        object: "spec: {version: '476', files: {accessControl: [{name: a, rules: {}, opa: {policy: 'http://opa'}}]}}",
        field: "spec.files.accessControl[0]",
        because: "give exactly one of rules, opa, and properties with access-control.name",
    },
    Refusal {
        case: "two access controls of one name",
        object: "spec: {version: '476', files: {accessControl: [{name: a, rules: {}}, {name: a, rules: {}}]}}",
        field: "spec.files.accessControl[1]",
        because: "Duplicate value",
    },
    Refusal {
        case: "a file of rules that Warren owns",
        object: "spec: {version: '476', files: {accessControl: [{name: a, rules: {}, properties: {security.config-file: /x}}]}}",
        field: "spec.files.accessControl[0]",
        because: "with rules, Warren itself sets security.config-file; remove it from properties",
    },
    Refusal {
        case: "a group of users that is two",
        object: "spec: {version: '476', files: {groupProvider: {groups: {'a:b': [ann]}}}}",
        field: "spec.files.groupProvider.groups",
        because: "a group's name holds no blank, ':' or ','",
    },
    Refusal {
        case: "a password file and another kind",
        object: "spec: {version: '476', files: {passwordAuthenticators: [{name: a, passwordFile: {name: s, key: k}, properties: {password-authenticator.name: ldap}}]}}",
        field: "spec.files.passwordAuthenticators[0]",
        because: "give passwordFile, or properties with password-authenticator.name, such as ldap; not both",
    },
    Refusal {
        case: "an event listener of no kind",
        object: "spec: {version: '476', files: {eventListeners: [{name: a}]}}",
        field: "spec.files.eventListeners",
        because: "spec.files.eventListeners: each needs properties with event-listener.name",
    },
    Refusal {
        case: "a header authenticator of no kind",
        object: "spec: {version: '476', files: {headerAuthenticators: [{name: a}]}}",
        field: "spec.files.headerAuthenticators",
        because: "spec.files.headerAuthenticators: each needs properties with header-authenticator.name",
    },
    Refusal {
        case: "a file that Warren writes",
        object: "spec: {version: '476', files: {extra: [{path: config.properties, text: x}]}}",
        field: "spec.files.extra[0].path",
        because: "spec.files.extra.path: Warren itself writes config.properties,",
    },
    Refusal {
        case: "a catalog by the back door",
        object: "spec: {version: '476', files: {extra: [{path: catalog/x.properties, text: x}]}}",
        field: "spec.files.extra[0].path",
        because: "and the folders catalog, access-control,",
    },
    Refusal {
        case: "a file outside of its folder",
        object: "spec: {version: '476', files: {extra: [{path: a/../../b, text: x}]}}",
        field: "spec.files.extra[0].path",
        because: "spec.files.extra.path must be a path such as kafka/topics.json",
    },
    Refusal {
        case: "a file from two places",
        object: "spec: {version: '476', files: {extra: [{path: a, text: x, secretKeyRef: {name: s, key: k}}]}}",
        field: "spec.files.extra[0]",
        because: "give exactly one of text, properties, secretKeyRef and configMapKeyRef",
    },
    Refusal {
        case: "a Secret's file that is said to be read again",
        object: "spec: {version: '476', files: {extra: [{path: a, reload: true, secretKeyRef: {name: s, key: k}}]}}",
        field: "spec.files.extra[0]",
        because: "reload is for text; what a Secret or a ConfigMap holds always changes in place",
    },
    Refusal {
        case: "passwords without HTTPS",
        object: "spec: {version: '476', tls: {internal: {enabled: true}}, authentication: {passwordFile: {secretRef: {name: s, key: k}}}}",
        field: "spec",
        because: "spec.authentication needs HTTPS at the coordinator, or passwords would travel unencrypted: set spec.tls.server.enabled to true",
    },
    Refusal {
        case: "authentication by nothing",
        object: "spec: {version: '476', tls: {server: {enabled: true}}, authentication: {credential: {renewAfter: 1h}}}",
        field: "spec.authentication",
        because: "spec.authentication: give at least one of passwordFile, ldap, oauth2, jwt and certificate",
    },
    Refusal {
        case: "a password that is renewed faster than it travels",
        object: "spec: {version: '476', tls: {server: {enabled: true}}, authentication: {passwordFile: {secretRef: {name: s, key: k}}, credential: {renewAfter: 5m}}}",
        field: "spec.authentication.credential.renewAfter",
        because: "spec.authentication.credential.renewAfter must be a number and a unit, such as 720h, from 10m to 87600h",
    },
    Refusal {
        case: "LDAP without TLS by oversight",
        object: "spec: {version: '476', tls: {server: {enabled: true}}, authentication: {ldap: {url: 'ldap://a', userBindPattern: '${USER}'}}}",
        field: "spec.authentication.ldap",
        because: "spec.authentication.ldap.url must begin with ldaps://, or set allowInsecure: passwords then travel unencrypted",
    },
    Refusal {
        case: "LDAP that binds in two ways",
        object: "spec: {version: '476', tls: {server: {enabled: true}}, authentication: {ldap: {url: 'ldaps://a', userBindPattern: '${USER}', bindDn: dc=a, bindPassword: {secretKeyRef: {name: a, key: b}}, userBaseDn: dc=a, groupAuthPattern: '${USER}'}}}",
        field: "spec.authentication.ldap",
        because: "spec.authentication.ldap: give userBindPattern, or bindDn with bindPassword, userBaseDn and groupAuthPattern; not both",
    },
    Refusal {
        case: "LDAP that looks nobody up",
        object: "spec: {version: '476', tls: {server: {enabled: true}}, authentication: {ldap: {url: 'ldaps://a', bindDn: dc=a, bindPassword: {secretKeyRef: {name: a, key: b}}}}}",
        field: "spec.authentication.ldap",
        because: "spec.authentication.ldap: bindDn needs groupAuthPattern, by which the user is looked up",
    },
    Refusal {
        case: "a pattern for everybody",
        object: "spec: {version: '476', tls: {server: {enabled: true}}, authentication: {ldap: {url: 'ldaps://a', userBindPattern: 'uid=ann,dc=a'}}}",
        field: "spec.authentication.ldap.userBindPattern",
        because: "spec.authentication.ldap.userBindPattern must hold ${USER}, which stands for the user's name",
    },
    Refusal {
        case: "tokens that two keys sign",
        object: "spec: {version: '476', tls: {server: {enabled: true}}, authentication: {jwt: {keyFile: 'https://a/keys', keySecretRef: {name: a, key: b}}}}",
        field: "spec.authentication.jwt",
        because: "spec.authentication.jwt: give keyFile, the URL of a key set, or keySecretRef; not both",
    },
    Refusal {
        case: "a provider that is no URL",
        object: "spec: {version: '476', tls: {server: {enabled: true}}, authentication: {oauth2: {issuer: id.example.com, clientId: a, clientSecret: {secretKeyRef: {name: a, key: b}}}}}",
        field: "spec.authentication.oauth2.issuer",
        because: "spec.authentication.oauth2.issuer must be a URL such as https://id.example.com/realms/data",
    },
    Refusal {
        case: "a place of spooled results that Warren owns",
        object: "spec: {version: '476', spooling: {location: 's3://a', properties: {fs.location: 's3://b'}}}",
        field: "spec.spooling",
        because: "spec.spooling.properties: Warren itself sets fs.location from location; remove it here",
    },
    Refusal {
        case: "spooled results on a disk",
        object: "spec: {version: '476', spooling: {location: /data}}",
        field: "spec.spooling.location",
        because: "spec.spooling.location must be such as s3://bucket/path, abfs://… or gs://…",
    },
    Refusal {
        case: "tasks that are tried again from nowhere",
        object: "spec: {version: '476', faultTolerantExecution: {retryPolicy: TASK}}",
        field: "spec.faultTolerantExecution",
        because: "spec.faultTolerantExecution: retryPolicy TASK needs exchange.locations",
    },
    Refusal {
        case: "an exchange's place that Warren owns",
        object: "spec: {version: '476', faultTolerantExecution: {retryPolicy: QUERY, exchange: {locations: ['s3://a'], properties: {exchange.base-directories: 's3://b'}}}}",
        field: "spec.faultTolerantExecution.exchange",
        because: "Warren itself sets exchange.base-directories from locations; remove it here",
    },
    Refusal {
        case: "two places in one",
        object: "spec: {version: '476', faultTolerantExecution: {retryPolicy: QUERY, exchange: {locations: ['s3://a,s3://b']}}}",
        field: "spec.faultTolerantExecution.exchange.locations",
        because: "spec.faultTolerantExecution.exchange.locations must be such as s3://bucket/path or /path",
    },
];

const EDITS: &[RefusedEdit] = &[RefusedEdit {
    case: "a live cluster that is given a property that Warren owns",
    before: "spec: {paused: true, version: '476'}",
    after: "spec: {paused: true, version: '476', config: {node.id: x}}",
    field: "spec.config",
    because: "node.id",
}];

const ACCEPTED: &[Accepted] = &[
    Accepted { case: "the least", object: "spec: {version: '476'}" },
    Accepted {
        case: "TLS on every hop, by certificates of the shortest life",
        object: "spec: {version: '476', tls: {server: {enabled: true, duration: 600s}, internal: {enabled: true, duration: 10m}}, config: {http-server.https.ssl-context.refresh-time: 1s}}",
    },
    Accepted { case: "a release of a vendor", object: "spec: {version: 476-e.1}" },
    Accepted {
        case: "a name of 48 characters",
        object: "{metadata: {name: a23456789012345678901234567890123456789012345678}, spec: {version: '476'}}",
    },
    Accepted { case: "no workers", object: "spec: {version: '476', workers: {replicas: 0}}" },
    Accepted { case: "as many workers as go", object: "spec: {version: '476', workers: {replicas: 1000}}" },
    Accepted {
        case: "autoscaling by metrics and behaviour of Kubernetes' own",
        object: "spec: {version: '476', workers: {replicas: 2, gracefulShutdown: {timeout: 2h}, autoscaling: {minReplicas: 3, maxReplicas: 3, metrics: [{type: Pods, pods: {metric: {name: queued}, target: {type: AverageValue, averageValue: '1'}}}], behavior: {scaleDown: {stabilizationWindowSeconds: 60}}}}}",
    },
    Accepted {
        case: "the least memory",
        object: "spec: {version: '476', coordinator: {resources: {memory: 768Mi}}, workers: {resources: {memory: '805306368'}}}",
    },
    Accepted {
        case: "a digest from a registry with a port",
        object: "spec: {version: '476', image: {repository: 'localhost:5000/trino', digest: 'sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef'}}",
    },
    Accepted {
        case: "properties that only look like Warren's",
        object: "spec: {version: '476', config: {node-scheduler.include-coordinator: 'true', http-server.log.enabled: 'false'}}",
    },
    Accepted {
        case: "the authentication of the golden",
        object: include_str!("../golden/authentication.yaml"),
    },
    Accepted {
        case: "logins by LDAP and OAuth 2.0",
        object: "spec: {version: '476', tls: {server: {enabled: true}}, authentication: {ldap: {url: 'ldap://a:389', allowInsecure: true, userBindPattern: 'uid=${USER},dc=a', userBaseDn: dc=a, groupAuthPattern: '(uid=${USER})'}, oauth2: {issuer: 'https://id.example.com', clientId: a, clientSecret: {secretKeyRef: {name: a, key: b}}, caSecretRef: {name: ca, key: ca.crt}}}}",
    },
    Accepted {
        case: "the files of the golden",
        object: include_str!("../golden/files.yaml"),
    },
    Accepted {
        case: "all of it",
        object: "
spec:
  paused: true
  serving: Drained
  clientUrl: 'https://{name}.trino.example.com:8443'
  version: '470'
  image: {repository: docker.io/trinodb/trino, tag: '470', pullPolicy: Always, pullSecrets: [{name: registry.example}]}
  coordinator: {resources: {cpu: 500m, memory: 4Gi}, config: {query.max-memory: 1GB}}
  workers: {replicas: 3, resources: {cpu: '2', memory: 8Gi}, config: {task.concurrency: '4'}}
  config: {query.max-memory-per-node: 512MB}
  catalogs:
    inline:
      tpch: {connector.name: tpch}
      sales_2: {connector.name: postgresql, connection-password: '${ENV:SALES_PASSWORD}', connection-url: 'jdbc:postgresql://db:5432/sales?ssl=true'}
",
    },
];
