//! `TrinoClusterGroup`: what is refused and what is taken.

use warren::api::TrinoClusterGroup;

use crate::table::{Accepted, Refusal, RefusedEdit, Table};

#[tokio::test]
async fn groups_are_judged_as_the_table_says() {
    TABLE.hold::<TrinoClusterGroup>().await;
}

const TABLE: Table = Table { refused: REFUSED, refused_edits: EDITS, accepted: ACCEPTED };

const NAME: &str = "metadata.name must be at most 36 characters of a-z, 0-9 and '-', beginning with a letter and not ending with '-': the names of its clusters are made from it";
const URL: &str = "spec.external: url must be http://host[:port] or https://host[:port], with a port from 1 to 65535 and nothing after it, not even a slash";

const REFUSED: &[Refusal] = &[
    Refusal {
        case: "catalogs that only a group resolves",
        object: "spec: {template: {spec: {version: '476', catalogs: {resolved: {}}}}}",
        field: "spec.template",
        because: "spec.template.spec.catalogs.resolved is what the group writes into its TrinoClusters; give spec.template.spec.catalogs.selector instead",
    },
    Refusal {
        case: "neither template nor external clusters",
        object: "spec: {}",
        field: "spec",
        because: "spec: give template (clusters that Warren makes), external (clusters that it only routes to), or both",
    },
    Refusal {
        case: "a template that is null, and no external clusters",
        object: "spec: {template: null, external: []}",
        field: "spec",
        because: "spec: give template (clusters that Warren makes), external (clusters that it only routes to), or both",
    },
    Refusal {
        case: "replicas without a template",
        object: "spec: {replicas: 2, external: [{name: old, url: 'http://old:8080'}]}",
        field: "spec",
        because: "spec.replicas needs spec.template, since clusters are made from it; add spec.template or remove spec.replicas",
    },
    Refusal {
        case: "a name of 37 characters",
        object: "{metadata: {name: a234567890123456789012345678901234567}, spec: {template: {spec: {version: '476'}}}}",
        field: "<nil>",
        because: NAME,
    },
    Refusal {
        case: "a name that begins with a digit",
        object: "{metadata: {name: 2nd}, spec: {template: {spec: {version: '476'}}}}",
        field: "<nil>",
        because: NAME,
    },
    Refusal {
        case: "fewer than no clusters",
        object: "spec: {replicas: -1, template: {spec: {version: '476'}}}",
        field: "spec.replicas",
        because: "should be greater than or equal to 0",
    },
    Refusal {
        case: "more clusters than a group holds",
        object: "spec: {replicas: 101, template: {spec: {version: '476'}}}",
        field: "spec.replicas",
        because: "should be less than or equal to 100",
    },
    Refusal {
        case: "replicas as a text",
        object: "spec: {replicas: '2', template: {spec: {version: '476'}}}",
        field: "spec.replicas",
        because: "must be of type integer: \"string\"",
    },
    Refusal {
        case: "a strategy that does not exist",
        object: "spec: {strategy: Fastest, template: {spec: {version: '476'}}}",
        field: "spec.strategy",
        because: "Unsupported value: \"Fastest\": supported values: \"RoundRobin\"",
    },
    Refusal {
        case: "a health check without a user",
        object: "spec: {healthCheck: {sql: SELECT 1}, template: {spec: {version: '476'}}}",
        field: "spec.healthCheck.user",
        because: "Required value",
    },
    Refusal {
        case: "a health check with a semicolon",
        object: "spec: {healthCheck: {sql: 'SELECT 1; ', user: health}, template: {spec: {version: '476'}}}",
        field: "spec.healthCheck.sql",
        because: "spec.healthCheck.sql must be one statement, such as SELECT 1, without a semicolon at its end",
    },
    Refusal {
        case: "a health check of nothing",
        object: "spec: {healthCheck: {sql: ' ', user: health}, template: {spec: {version: '476'}}}",
        field: "spec.healthCheck.sql",
        because: "spec.healthCheck.sql must be one statement, such as SELECT 1, without a semicolon at its end",
    },
    Refusal {
        case: "a health check by a user of two words",
        object: "spec: {healthCheck: {sql: SELECT 1, user: the health}, template: {spec: {version: '476'}}}",
        field: "spec.healthCheck.user",
        because: "spec.healthCheck.user must be the name of a user: visible ASCII characters",
    },
    Refusal {
        case: "a health check every second",
        object: "spec: {healthCheck: {sql: SELECT 1, user: health, intervalSeconds: 1, timeoutSeconds: 1}, template: {spec: {version: '476'}}}",
        field: "spec.healthCheck.intervalSeconds",
        because: "should be greater than or equal to 5",
    },
    Refusal {
        case: "a health check that may take a minute and a second",
        object: "spec: {healthCheck: {sql: SELECT 1, user: health, intervalSeconds: 90, timeoutSeconds: 61}, template: {spec: {version: '476'}}}",
        field: "spec.healthCheck.timeoutSeconds",
        because: "should be less than or equal to 60",
    },
    Refusal {
        case: "a health check that may take longer than its pause",
        object: "spec: {healthCheck: {sql: SELECT 1, user: health, timeoutSeconds: 31}, template: {spec: {version: '476'}}}",
        field: "spec.healthCheck",
        because: "spec.healthCheck: timeoutSeconds must not be over intervalSeconds",
    },
    Refusal {
        case: "a drain timeout without a unit",
        object: "spec: {rollout: {drainTimeout: '600'}, template: {spec: {version: '476'}}}",
        field: "spec.rollout.drainTimeout",
        because: "spec.rollout.drainTimeout must be a number and a unit, such as 90s, 10m or 1h",
    },
    Refusal {
        case: "a drain timeout of two units",
        object: "spec: {rollout: {drainTimeout: 1h30m}, template: {spec: {version: '476'}}}",
        field: "spec.rollout.drainTimeout",
        because: "spec.rollout.drainTimeout must be a number and a unit, such as 90s, 10m or 1h",
    },
    Refusal {
        case: "a drain timeout as a number",
        object: "spec: {rollout: {drainTimeout: 600}, template: {spec: {version: '476'}}}",
        field: "spec.rollout.drainTimeout",
        because: "must be of type string: \"integer\"",
    },
    Refusal {
        case: "a template without a spec",
        object: "spec: {template: {metadata: {labels: {team: bi}}}}",
        field: "spec.template.spec",
        because: "Required value",
    },
    Refusal {
        case: "a template without a version",
        object: "spec: {template: {spec: {}}}",
        field: "spec.template.spec.version",
        because: "Required value",
    },
    Refusal {
        case: "serving in a template",
        object: "spec: {template: {spec: {version: '476', serving: Drained}}}",
        field: "spec.template",
        because: "spec.template.spec.serving belongs to each TrinoCluster, not to the template; remove it",
    },
    Refusal {
        case: "a property that Warren owns, in a template",
        object: "spec: {template: {spec: {version: '476', config: {node.environment: test}}}}",
        field: "spec.template.spec.config",
        because: "node.environment",
    },
    Refusal {
        case: "an unknown field in a template",
        object: "spec: {template: {spec: {version: '476', worker: {replicas: 2}}}}",
        field: "",
        because: "unknown field \"spec.template.spec.worker\"",
    },
    Refusal {
        case: "a label of Warren's in a template",
        object: "spec: {template: {metadata: {labels: {trinowarren.io/group: other}}, spec: {version: '476'}}}",
        field: "spec.template.metadata.labels",
        because: "labels under trinowarren.io/ and app.kubernetes.io/ belong to Warren; use a prefix of your own",
    },
    Refusal {
        case: "a label of Kubernetes' recommended ones in a template",
        object: "spec: {template: {metadata: {labels: {app.kubernetes.io/name: other}}, spec: {version: '476'}}}",
        field: "spec.template.metadata.labels",
        because: "labels under trinowarren.io/ and app.kubernetes.io/ belong to Warren; use a prefix of your own",
    },
    Refusal {
        case: "a label whose value no label can have",
        object: "spec: {template: {metadata: {labels: {team: -bi}}, spec: {version: '476'}}}",
        field: "spec.template.metadata.labels",
        because: "metadata.labels: a label's value is at most 63 characters",
    },
    Refusal {
        case: "an annotation of Warren's in a template",
        object: "spec: {template: {metadata: {annotations: {trinowarren.io/x: any}}, spec: {version: '476'}}}",
        field: "spec.template.metadata.annotations",
        because: "annotations under trinowarren.io/ belong to Warren; use a prefix of your own",
    },
    Refusal {
        case: "an annotation whose name no annotation can have",
        object: "spec: {template: {metadata: {annotations: {'a b': any}}, spec: {version: '476'}}}",
        field: "spec.template.metadata.annotations",
        because: "metadata.annotations: an annotation's name is 1 to 63 characters",
    },
    Refusal {
        case: "an external cluster without a url",
        object: "spec: {external: [{name: old}]}",
        field: "spec.external[0].url",
        because: "Required value",
    },
    Refusal {
        case: "an external cluster whose name is no DNS label",
        object: "spec: {external: [{name: on.prem, url: 'http://old:8080'}]}",
        field: "spec.external[0].name",
        because: "spec.external: name must be 1 to 63 characters of a-z, 0-9 and '-', and neither begin nor end with '-'",
    },
    Refusal {
        case: "two external clusters of one name",
        object: "spec: {external: [{name: old, url: 'http://a:8080'}, {name: old, url: 'http://b:8080'}]}",
        field: "spec.external[1]",
        because: "Duplicate value: {\"name\":\"old\"}",
    },
    Refusal {
        case: "an external url with a path",
        object: "spec: {external: [{name: old, url: 'https://old/v1/statement'}]}",
        field: "spec.external[0].url",
        because: URL,
    },
    Refusal {
        case: "an external url of another scheme",
        object: "spec: {external: [{name: old, url: 'jdbc:trino://old:8080'}]}",
        field: "spec.external[0].url",
        because: URL,
    },
    Refusal {
        case: "an external clientUrl with a path",
        object: "spec: {external: [{name: old, url: 'https://old', clientUrl: 'https://old/ui'}]}",
        field: "spec.external[0].clientUrl",
        because: "spec.external: clientUrl must be http://host[:port] or https://host[:port]",
    },
    Refusal {
        case: "an external weight beyond the bound",
        object: "spec: {external: [{name: old, url: 'https://old', weight: 1001}]}",
        field: "spec.external[0].weight",
        because: "should be less than or equal to 1000",
    },
    Refusal {
        case: "a CA for an http url",
        object: "spec: {external: [{name: old, url: 'http://old:8080', caSecretRef: {name: ca}}]}",
        field: "spec.external[0]",
        because: "spec.external: caSecretRef is for https URLs; use https:// or remove caSecretRef",
    },
    Refusal {
        case: "credentials for an http url",
        object: "spec: {external: [{name: old, url: 'http://old:8080', credentialsSecretRef: {name: login}}]}",
        field: "spec.external[0]",
        because: "spec.external: credentialsSecretRef is for https URLs, since what it holds would be sent in clear text; use https:// or remove credentialsSecretRef",
    },
    Refusal {
        case: "an external cluster that is to hibernate",
        object: "spec: {external: [{name: old, url: 'http://old:8080', serving: Hibernated}]}",
        field: "spec.external[0].serving",
        because: "Unsupported value: \"Hibernated\": supported values: \"Active\", \"Drained\"",
    },
    Refusal {
        case: "a CA in a Secret that cannot exist",
        object: "spec: {external: [{name: old, url: 'https://old', caSecretRef: {name: Old_CA}}]}",
        field: "spec.external[0].caSecretRef.name",
        because: "caSecretRef.name must be the name of a Secret",
    },
    Refusal {
        case: "a CA under a key that no Secret has",
        object: "spec: {external: [{name: old, url: 'https://old', caSecretRef: {name: ca, key: a/b}}]}",
        field: "spec.external[0].caSecretRef.key",
        because: "caSecretRef.key must be a key of the Secret, such as ca.crt",
    },
];

const EDITS: &[RefusedEdit] = &[RefusedEdit {
    case: "a live group that loses its template and keeps its replicas",
    before: "spec: {paused: true, replicas: 1, template: {spec: {version: '476'}}}",
    after: "spec: {paused: true, replicas: 1, external: [{name: old, url: 'http://old:8080'}]}",
    field: "spec",
    because: "spec.replicas needs spec.template",
}];

const ACCEPTED: &[Accepted] = &[
    Accepted { case: "the least", object: "spec: {template: {spec: {version: '476'}}}" },
    Accepted {
        case: "a name of 36 characters",
        object: "{metadata: {name: a23456789012345678901234567890123456}, spec: {template: {spec: {version: '476'}}}}",
    },
    Accepted { case: "no clusters", object: "spec: {replicas: 0, template: {spec: {version: '476'}}}" },
    Accepted { case: "as many clusters as go", object: "spec: {replicas: 100, template: {spec: {version: '476'}}}" },
    Accepted { case: "external clusters alone", object: "spec: {external: [{name: old, url: 'http://old:8080'}]}" },
    Accepted {
        case: "external clusters and no replicas, said in so many words",
        object: "spec: {replicas: 0, external: [{name: '0', url: 'https://[::1]:8443', caSecretRef: {name: ca.old, key: ca.pem}}]}",
    },
    Accepted {
        case: "all of it",
        object: "
spec:
  paused: false
  replicas: 2
  strategy: LeastQueries
  healthCheck: {sql: SELECT count(*) FROM tpch.tiny.nation, user: health, intervalSeconds: 5, timeoutSeconds: 5}
  rollout: {drainTimeout: 1h}
  external:
  - {name: old, url: 'https://old.example.com', weight: 0, clientUrl: 'https://old.example.com:8443', serving: Drained, caSecretRef: {name: ca}, credentialsSecretRef: {name: login}}
  template:
    metadata: {labels: {example.com/team: bi}, annotations: {example.com/note: 'any text, with spaces'}}
    spec: {version: '476', workers: {replicas: 3}}
",
    },
];
