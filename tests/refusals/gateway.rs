//! `TrinoGateway`: what is refused and what is taken.

use warren::api::TrinoGateway;

use crate::table::{Accepted, Refusal, RefusedEdit, Table};

#[tokio::test]
async fn gateways_are_judged_as_the_table_says() {
    TABLE.hold::<TrinoGateway>().await;
}

const TABLE: Table = Table { refused: REFUSED, refused_edits: EDITS, accepted: ACCEPTED };

const ADDRESS: &str = "spec.externalUrl must be http://host[:port] or https://host[:port], with a port from 1 to 65535 and nothing after it, not even a slash";
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
        object: "spec: {routing: {rules: [{name: etl}]}}",
        field: "",
        because: "unknown field \"spec.routing.rules\"",
    },
    Refusal {
        case: "a text where a truth value belongs",
        object: "spec: {paused: 'yes'}",
        field: "spec.paused",
        because: "must be of type boolean: \"string\"",
    },
    Refusal {
        case: "an externalUrl with a path",
        object: "spec: {externalUrl: 'https://trino.example.com/trino'}",
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
        field: "spec.routing.default.group",
        because: "Required value",
    },
    Refusal {
        case: "a default group that no group can be named",
        object: "spec: {routing: {default: {group: Ad_Hoc}}}",
        field: "spec.routing.default.group",
        because: "spec.routing.default.group must be the name of a TrinoClusterGroup: at most 36 characters",
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
