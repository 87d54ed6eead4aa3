//! `TrinoCatalog`: what is refused and what is taken.

use warren::api::TrinoCatalog;

use crate::table::{Accepted, Refusal, Table};

#[tokio::test]
async fn catalogs_are_judged_as_the_table_says() {
    TABLE.hold::<TrinoCatalog>().await;
}

const TABLE: Table = Table { refused: REFUSED, refused_edits: &[], accepted: ACCEPTED };

const NAME: &str = "metadata.name is the catalog's name in Trino, 1 to 63 characters of a-z, 0-9 and '-', and not system, which is Trino's own; give spec.catalogName for another one";

const REFUSED: &[Refusal] = &[
    Refusal { case: "no connector", object: "spec: {}", field: "spec.connector", because: "Required value" },
    Refusal {
        case: "a connector that is no name",
        object: "spec: {connector: 'post gres'}",
        field: "spec.connector",
        because: "spec.connector must be the name of a connector, such as postgresql",
    },
    Refusal {
        case: "a name with a dot",
        object: "{metadata: {name: shop.eu}, spec: {connector: tpch}}",
        field: "<nil>",
        because: NAME,
    },
    Refusal {
        case: "Trino's own catalog",
        object: "{metadata: {name: system}, spec: {connector: tpch}}",
        field: "<nil>",
        because: NAME,
    },
    Refusal {
        case: "Trino's own catalog by another name",
        object: "spec: {connector: tpch, catalogName: system}",
        field: "<nil>",
        because: NAME,
    },
    Refusal {
        case: "a catalog's name with capitals",
        object: "spec: {connector: tpch, catalogName: Shop}",
        field: "spec.catalogName",
        because: "spec.catalogName must be 1 to 63 characters of a-z, 0-9, '_' and '-', not beginning with '-'",
    },
    Refusal {
        case: "the connector as a property",
        object: "spec: {connector: tpch, properties: {connector.name: tpch}}",
        field: "spec.properties",
        because: "spec.properties: connector.name is made from spec.connector; remove it here",
    },
    Refusal {
        case: "a property's name with a blank",
        object: "spec: {connector: tpch, properties: {'a b': c}}",
        field: "spec.properties",
        because: "spec.properties: a property's name holds only letters, digits, '.', '_' and '-'",
    },
    Refusal {
        case: "a property twice",
        object: "spec: {connector: tpch, properties: {a: b}, secretProperties: {a: {secretKeyRef: {name: a, key: b}}}}",
        field: "spec",
        because: "spec.secretProperties: a property stands in spec.properties, too; give it in one of them",
    },
    Refusal {
        case: "a secret connector",
        object: "spec: {connector: tpch, secretProperties: {connector.name: {secretKeyRef: {name: a, key: b}}}}",
        field: "spec.secretProperties",
        because: "and is not connector.name",
    },
    Refusal {
        case: "a Secret without a key",
        object: "spec: {connector: tpch, secretProperties: {a: {secretKeyRef: {name: a}}}}",
        field: "spec.secretProperties.a.secretKeyRef.key",
        because: "Required value",
    },
    Refusal {
        case: "a Secret's name with a capital",
        object: "spec: {connector: tpch, secretProperties: {a: {secretKeyRef: {name: A, key: b}}}}",
        field: "spec.secretProperties.a.secretKeyRef.name",
        because: "should match",
    },
    Refusal {
        case: "a secret in the clear",
        object: "spec: {connector: tpch, secretProperties: {a: hunter2}}",
        field: "spec.secretProperties.a",
        because: "must be of type object",
    },
];

const ACCEPTED: &[Accepted] = &[
    Accepted { case: "the least", object: "spec: {connector: tpch}" },
    Accepted { case: "a connector that nobody knows", object: "spec: {connector: my.own_connector-2}" },
    Accepted {
        case: "a name that Trino would not take, with one that it does",
        object: "{metadata: {name: shop.eu}, spec: {connector: tpch, catalogName: shop_eu}}",
    },
    Accepted {
        case: "all of it",
        object: "
metadata: {labels: {team: a}}
spec:
  paused: false
  catalogName: shop
  connector: postgresql
  properties: {connection-url: 'jdbc:postgresql://db:5432/shop', connection-user: trino}
  secretProperties: {connection-password: {secretKeyRef: {name: shop-db, key: password}}}
  version: '2'
",
    },
];
