//! `TrinoGateway`: what is refused and what is taken.

use warren::api::TrinoGateway;

use crate::table::{Accepted, Refusal, RefusedEdit, Table};

#[tokio::test]
async fn gateways_are_judged_as_the_table_says() {
    TABLE.hold::<TrinoGateway>().await;
}

const TABLE: Table = Table { refused: REFUSED, refused_edits: EDITS, accepted: ACCEPTED };

const ADDRESS: &str = "spec.externalUrl must be http://host[:port] or https://host[:port], with a port from 1 to 65535, then maybe a path such as /trino";
const TARGET: &str = "a target names exactly one of group, groups and cluster; keep one of them";
const NAME: &str =
    "metadata.name must be at most 40 characters of a-z, 0-9 and '-', beginning with a letter and not ending with '-'";

const REFUSED: &[Refusal] = &[
    Refusal { case: "no spec", object: "metadata: {name: valid}", field: "spec", because: "Required value" },
    Refusal {
        case: "a name of 41 characters",
        object: "{metadata: {name: a2345678901234567890123456789012345678901}, spec: {}}",
        field: "<nil>",
        because: NAME,
    },
    Refusal {
        case: "a name that begins with a digit",
        object: "{metadata: {name: 1st}, spec: {}}",
        field: "<nil>",
        because: NAME,
    },
    Refusal { case: "a name with a dot", object: "{metadata: {name: a.b}, spec: {}}", field: "<nil>", because: NAME },
    Refusal {
        case: "an unknown field",
        object: "spec: {externalURL: 'https://trino.example.com'}",
        field: "",
        because: "unknown field \"spec.externalURL\"",
    },
    Refusal {
        case: "a field of a later version, deep in the object",
        object: "spec: {routing: {rules: [{name: etl, when: 'true', to: {group: etl}, after: x}]}}",
        field: "",
        because: "unknown field \"spec.routing.rules[0].after\"",
    },
    Refusal {
        case: "a text where a truth value belongs",
        object: "spec: {paused: 'yes'}",
        field: "spec.paused",
        because: "must be of type boolean: \"string\"",
    },
    Refusal {
        case: "an externalUrl with a query",
        object: "spec: {externalUrl: 'https://trino.example.com/trino?a=b'}",
        field: "spec.externalUrl",
        because: ADDRESS,
    },
    Refusal {
        case: "an externalUrl with a path that ends with a slash",
        object: "spec: {externalUrl: 'https://trino.example.com/trino/'}",
        field: "spec.externalUrl",
        because: ADDRESS,
    },
    Refusal {
        case: "an externalUrl with a path that leaves its folder",
        object: "spec: {externalUrl: 'https://trino.example.com/trino/../x'}",
        field: "spec.externalUrl",
        because: ADDRESS,
    },
    Refusal {
        case: "an externalUrl with an escape in its path",
        object: "spec: {externalUrl: 'https://trino.example.com/a%2Fb'}",
        field: "spec.externalUrl",
        because: ADDRESS,
    },
    Refusal {
        case: "an externalUrl with a slash at its end",
        object: "spec: {externalUrl: 'https://trino.example.com/'}",
        field: "spec.externalUrl",
        because: ADDRESS,
    },
    Refusal {
        case: "an externalUrl without a scheme",
        object: "spec: {externalUrl: 'trino.example.com:443'}",
        field: "spec.externalUrl",
        because: ADDRESS,
    },
    Refusal {
        case: "an externalUrl that holds a password",
        object: "spec: {externalUrl: 'https://user:secret@trino.example.com'}",
        field: "spec.externalUrl",
        because: ADDRESS,
    },
    Refusal {
        case: "an externalUrl with a port that no socket has",
        object: "spec: {externalUrl: 'https://trino.example.com:65536'}",
        field: "spec.externalUrl",
        because: ADDRESS,
    },
    Refusal {
        case: "an externalUrl with an IPv6 address out of its brackets",
        object: "spec: {externalUrl: 'http://::1:8080'}",
        field: "spec.externalUrl",
        because: ADDRESS,
    },
    Refusal {
        case: "a default group that is not among the groups",
        object: "spec: {groups: {names: [adhoc, etl]}, routing: {default: {group: bi}}}",
        field: "spec",
        because: "spec.routing.default.group must be one of spec.groups.names; add it there or choose one of them",
    },
    Refusal {
        case: "a default without its group",
        object: "spec: {routing: {default: {}}}",
        field: "spec.routing.default",
        because: TARGET,
    },
    Refusal {
        case: "a default group that no group can be named",
        object: "spec: {routing: {default: {group: Ad_Hoc}}}",
        field: "spec.routing.default.group",
        because: "group must be the name of a TrinoClusterGroup: at most 36 characters",
    },
    Refusal {
        case: "a rule that sends queries nowhere",
        object: "spec: {routing: {rules: [{name: etl, when: 'true'}]}}",
        field: "spec.routing.rules[0]",
        because: "spec.routing.rules: a rule has exactly one of to (where its queries go) and reject (they are refused)",
    },
    Refusal {
        case: "a rule that sends queries somewhere and refuses them",
        object: "spec: {routing: {rules: [{name: etl, when: 'true', to: {group: etl}, reject: {message: 'No.'}}]}}",
        field: "spec.routing.rules[0]",
        because: "a rule has exactly one of to",
    },
    Refusal {
        case: "two rules of one name",
        object: "spec: {routing: {rules: [{name: etl, when: 'true', to: {group: a}}, {name: etl, when: 'false', to: {group: b}}]}}",
        field: "spec.routing.rules[1]",
        because: "Duplicate value: {\"name\":\"etl\"}",
    },
    Refusal {
        case: "a rule without its expression",
        object: "spec: {routing: {rules: [{name: etl, to: {group: etl}}]}}",
        field: "spec.routing.rules[0].when",
        because: "Required value",
    },
    Refusal {
        case: "a rule whose name no log line could quote",
        object: "spec: {routing: {rules: [{name: 'e t l', when: 'true', to: {group: etl}}]}}",
        field: "spec.routing.rules[0].name",
        because: "spec.routing.rules: name must be letters, digits",
    },
    Refusal {
        case: "a rule that refuses without a word",
        object: "spec: {routing: {rules: [{name: etl, when: 'true', reject: {message: ' '}}]}}",
        field: "spec.routing.rules[0].reject.message",
        because: "reject.message must say something",
    },
    Refusal {
        case: "a rule that asks for a third way with what is unknown",
        object: "spec: {routing: {rules: [{name: etl, when: 'true', reject: {message: 'No.', onUnknown: Ask}}]}}",
        field: "spec.routing.rules[0].reject.onUnknown",
        because: "supported values: \"Reject\", \"Pass\"",
    },
    Refusal {
        case: "a target of a group and a cluster",
        object: "spec: {routing: {fallback: {group: etl, cluster: blue}}}",
        field: "spec.routing.fallback",
        because: TARGET,
    },
    Refusal {
        case: "an external router that is no URL",
        object: "spec: {routing: {external: {url: 'router:8080/route'}}}",
        field: "spec.routing.external.url",
        because: "must be http://host or https://host",
    },
    Refusal {
        case: "an external router that may take an hour",
        object: "spec: {routing: {external: {url: 'http://router/route', timeoutMillis: 3600000}}}",
        field: "spec.routing.external.timeoutMillis",
        because: "less than or equal to 60000",
    },
    Refusal {
        case: "groups of which none gets a query",
        object: "spec: {routing: {default: {groups: [{name: a, weight: 0}, {name: b, weight: 0}]}}}",
        field: "spec.routing.default",
        because: "groups: at least one of them needs a weight over 0",
    },
    Refusal {
        case: "a weight below nothing",
        object: "spec: {routing: {default: {groups: [{name: a, weight: -1}, {name: b}]}}}",
        field: "spec.routing.default.groups[0].weight",
        because: "should be greater than or equal to 0",
    },
    Refusal {
        case: "a group twice in one target",
        object: "spec: {routing: {default: {groups: [{name: a}, {name: a}]}}}",
        field: "spec.routing.default.groups[1]",
        because: "Duplicate value: {\"name\":\"a\"}",
    },
    Refusal {
        case: "a pin to what is no name of a cluster",
        object: "spec: {routing: {rules: [{name: etl, when: 'true', to: {cluster: Blue}}]}}",
        field: "spec.routing.rules[0].to.cluster",
        because: "cluster must be the name of a cluster",
    },
    Refusal {
        case: "a proxy mode that does not exist",
        object: "spec: {proxyMode: Redirect}",
        field: "spec.proxyMode",
        because: "supported values: \"ProxyAllCalls\", \"ProxyFirstCall\"",
    },
    Refusal {
        case: "a trusted proxy by name",
        object: "spec: {trustedProxies: [lb.example.com]}",
        field: "spec.trustedProxies",
        because: "spec.trustedProxies: each is an address such as 10.0.0.1 or a network such as 10.0.0.0/8",
    },
    Refusal {
        case: "an allowed host with a port",
        object: "spec: {allowedHosts: ['trino.example.com:443']}",
        field: "spec.allowedHosts",
        because: "spec.allowedHosts: each is a host such as trino.example.com or *.example.com, without a port",
    },
    Refusal {
        case: "a listener without its port",
        object: "spec: {listeners: [{name: bi}]}",
        field: "spec.listeners[0].port",
        because: "Required value",
    },
    Refusal {
        case: "two listeners of one name",
        object: "spec: {listeners: [{name: bi, port: 8081}, {name: bi, port: 8082}]}",
        field: "spec.listeners[1]",
        because: "Duplicate value: {\"name\":\"bi\"}",
    },
    Refusal {
        case: "two listeners at one port",
        object: "spec: {listeners: [{name: bi, port: 8081}, {name: etl, port: 8081}]}",
        field: "spec.listeners",
        because: "spec.listeners: two have the same port; each needs one of its own",
    },
    Refusal {
        case: "a listener at the port for clients",
        object: "spec: {listeners: [{name: bi, port: 8080}]}",
        field: "spec.listeners[0].port",
        because: "spec.listeners: port 8080 is the proxies' own for clients, 9090 that for administration and 9091 that for events",
    },
    Refusal {
        case: "a listener at the port for administration",
        object: "spec: {listeners: [{name: bi, port: 9090}]}",
        field: "spec.listeners[0].port",
        because: "spec.listeners: port 8080 is the proxies' own for clients, 9090 that for administration and 9091 that for events",
    },
    Refusal {
        case: "a listener at the port for events",
        object: "spec: {listeners: [{name: bi, port: 9091}]}",
        field: "spec.listeners[0].port",
        because: "spec.listeners: port 8080 is the proxies' own for clients, 9090 that for administration and 9091 that for events",
    },
    Refusal {
        case: "a listener with the name of the port for events",
        object: "spec: {listeners: [{name: events, port: 8081}]}",
        field: "spec.listeners[0].name",
        because: "spec.listeners: client, admin, events, http and https are names of the proxies' own ports",
    },
    Refusal {
        case: "a listener at a port that takes a right",
        object: "spec: {listeners: [{name: bi, port: 443}]}",
        field: "spec.listeners[0].port",
        because: "should be greater than or equal to 1024",
    },
    Refusal {
        case: "a listener whose name no port can have",
        object: "spec: {listeners: [{name: bi--x, port: 8081}]}",
        field: "spec.listeners[0].name",
        because: "spec.listeners: name must be at most 15 characters of a-z, 0-9 and '-'",
    },
    Refusal {
        case: "a listener whose name is too long for a port",
        object: "spec: {listeners: [{name: a234567890123456, port: 8081}]}",
        field: "spec.listeners[0].name",
        because: "Too long: may not be",
    },
    Refusal {
        case: "a listener named as the port for clients",
        object: "spec: {listeners: [{name: http, port: 8081}]}",
        field: "spec.listeners[0].name",
        because: "client, admin, events, http and https are names of the proxies' own ports; choose another",
    },
    Refusal {
        case: "a listener with a blank before its source",
        object: "spec: {listeners: [{name: bi, port: 8081, source: ' superset'}]}",
        field: "spec.listeners[0].source",
        because: "spec.listeners: source must neither begin nor end with a blank",
    },
    Refusal {
        case: "a listener with two tags in one",
        object: "spec: {listeners: [{name: bi, port: 8081, clientTags: ['a,b']}]}",
        field: "spec.listeners[0].clientTags",
        because: "spec.listeners: clientTags: a tag has no comma, and neither begins nor ends with a blank",
    },
    Refusal {
        case: "a group twice",
        object: "spec: {groups: {names: [adhoc, etl, adhoc]}}",
        field: "spec.groups.names[2]",
        because: "Duplicate value: \"adhoc\"",
    },
    Refusal {
        case: "a group that no group can be named",
        object: "spec: {groups: {names: [adhoc.example]}}",
        field: "spec.groups.names",
        because: "spec.groups.names: the name of a TrinoClusterGroup is at most 36 characters",
    },
    Refusal {
        case: "groups by name and by label",
        object: "spec: {groups: {names: [adhoc], selector: {matchLabels: {team: bi}}}}",
        field: "spec.groups",
        because: "spec.groups: give names or selector, not both",
    },
    Refusal {
        case: "a selector without labels",
        object: "spec: {groups: {selector: {}}}",
        field: "spec.groups.selector.matchLabels",
        because: "Required value",
    },
    Refusal {
        case: "a selector with no label in its labels",
        object: "spec: {groups: {selector: {matchLabels: {}}}}",
        field: "spec.groups.selector.matchLabels",
        because: "must name at least one label; leave selector out to take all groups",
    },
    Refusal {
        case: "a selector with a value that no label has",
        object: "spec: {groups: {selector: {matchLabels: {team: 'b i'}}}}",
        field: "spec.groups.selector.matchLabels",
        because: "spec.groups.selector.matchLabels: a label's value is at most 63 characters",
    },
    Refusal {
        case: "a selector with a name that no label has",
        object: "spec: {groups: {selector: {matchLabels: {'team of': bi}}}}",
        field: "spec.groups.selector.matchLabels",
        because: "spec.groups.selector.matchLabels: a label's name is 1 to 63 characters",
    },
];

const EDITS: &[RefusedEdit] = &[RefusedEdit {
    case: "a live gateway whose default group leaves its groups",
    before: "spec: {paused: true, groups: {names: [adhoc]}, routing: {default: {group: adhoc}}}",
    after: "spec: {paused: true, groups: {names: [etl]}, routing: {default: {group: adhoc}}}",
    field: "spec",
    because: "spec.routing.default.group must be one of spec.groups.names",
}];

const ACCEPTED: &[Accepted] = &[
    Accepted { case: "an empty spec", object: "spec: {}" },
    Accepted {
        case: "a name of 40 characters",
        object: "{metadata: {name: a234567890123456789012345678901234567890}, spec: {}}",
    },
    Accepted { case: "a name of one letter", object: "{metadata: {name: a}, spec: {}}" },
    Accepted {
        case: "an address with the last port",
        object: "spec: {externalUrl: 'https://trino.example.com:65535'}",
    },
    Accepted { case: "a path", object: "spec: {externalUrl: 'https://example.com/a/trino-1.x'}" },
    Accepted {
        case: "rules of all sorts",
        object: "
spec:
  proxyMode: ProxyFirstCall
  trustedProxies: [10.0.0.0/8, 192.168.1.1, '::1', 'fd00::/8']
  allowedHosts: [trino.example.com, '*.example.com', '[::1]', 10.0.0.1]
  groups: {names: [adhoc, etl]}
  routing:
    rules:
    - {name: etl, when: 'query.source == \"airflow\"', to: {group: etl}}
    - {name: pin, when: 'user.name == \"ann\"', to: {cluster: etl-7f3a-1}}
    - {name: no-drop, when: 'query.type == \"DROP\"', reject: {message: 'No.', onUnknown: Pass}}
    default: {groups: [{name: adhoc, weight: 9}, {name: etl}, {name: none, weight: 0}]}
    fallback: {group: etl}
",
    },
    Accepted {
        case: "listeners at the bounds",
        object: "
spec:
  listeners:
  - {name: a2345678901234b, port: 1024, source: 'a b', clientTags: [a, b c, é]}
  - {name: b, port: 65535}
",
    },
    Accepted { case: "an IPv4 address", object: "spec: {externalUrl: 'http://127.0.0.1:8080'}" },
    Accepted { case: "an IPv6 address", object: "spec: {externalUrl: 'http://[2001:db8::1]:8080'}" },
    Accepted {
        case: "a default among the groups",
        object: "spec: {groups: {names: [adhoc, etl]}, routing: {default: {group: etl}}}",
    },
    Accepted {
        case: "groups by label",
        object: "spec: {groups: {selector: {matchLabels: {example.com/team: bi, stage: ''}}}, routing: {default: {group: a}}}",
    },
    Accepted { case: "nothing, written as null", object: "spec: {externalUrl: null, groups: null, routing: null}" },
];
