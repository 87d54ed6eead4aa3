//! The house: who may name whom, which crate belongs where, and how large files and functions may grow.
//!
//! The source is lexed, not searched, so that comments and texts do not count and `use` trees do. When the design
//! changes, change the tables here, with the reason, and `docs/architecture.md`.

#[path = "architecture/budgets.rs"]
mod budgets;
#[path = "architecture/names.rs"]
mod names;
#[path = "architecture/paths.rs"]
mod paths;
#[path = "architecture/reasons.rs"]
mod reasons;
#[path = "architecture/snippets.rs"]
mod snippets;
#[path = "architecture/source.rs"]
mod source;

use std::fmt;

use source::SourceFile;

/// A module of the crate, and the modules that it may name. What is in no list is nobody's to name.
struct Row {
    module: &'static str,
    names: &'static [&'static str],
    reason: &'static str,
}

const ROWS: &[Row] = &[
    Row { module: "api", names: &[], reason: "the CRDs' types are what all of the control plane stands on" },
    Row { module: "trino", names: &[], reason: "what is true of Trino is true whoever asks" },
    Row { module: "telemetry", names: &[], reason: "both planes log and measure, so it knows neither" },
    Row { module: "routing", names: &["trino"], reason: "the contract of both planes, pure" },
    Row { module: "tuning", names: &[], reason: "what a proxy may be told; the operator checks it as the proxy does" },
    Row { module: "lifecycle", names: &[], reason: "the state machine decides from plain values alone" },
    Row {
        module: "follow",
        names: &["routing", "trino", "tuning"],
        reason: "it brings a routing table, settings and credentials, whoever reads them",
    },
    Row { module: "store", names: &["trino"], reason: "it keeps queries, not Kubernetes objects" },
    Row { module: "tunnel", names: &["telemetry"], reason: "a connector and an acceptor, whatever runs through" },
    Row { module: "desired", names: &["api", "trino", "routing", "tuning"], reason: "spec to objects, pure" },
    Row {
        module: "reconcile",
        names: &["api", "desired", "lifecycle", "routing", "trino", "store", "telemetry", "tuning"],
        reason: "the control plane; it never names the data plane",
    },
    Row {
        module: "proxy",
        names: &["routing", "store", "trino", "telemetry"],
        reason: "the data plane knows no Kubernetes and no CRD",
    },
    Row {
        module: "cli",
        names: &[
            "api",
            "trino",
            "telemetry",
            "routing",
            "lifecycle",
            "follow",
            "store",
            "tunnel",
            "tuning",
            "desired",
            "reconcile",
            "proxy",
        ],
        reason: "it wires all; nobody names it",
    },
    Row { module: "main", names: &["cli"], reason: "it only starts cli" },
];

/// Something from outside the crate that belongs to some modules only.
struct Ban {
    /// The path; what stands below it is banned too.
    path: &'static [&'static str],
    but_for: &'static [&'static str],
    mend: &'static str,
}

const PURE: &str = "this module computes and does no I/O; let its caller do that and hand over the value";
const IMPURE_MODULES: &[&str] = &["telemetry", "follow", "store", "tunnel", "reconcile", "proxy", "cli", "main"];

const BANS: &[Ban] = &[
    Ban {
        path: &["kube"],
        but_for: &["api", "follow", "reconcile", "cli"],
        mend: "only api, follow, reconcile and cli know kube; take types from k8s_openapi, or plain values",
    },
    Ban {
        path: &["kube", "Client"],
        but_for: &["follow", "reconcile", "cli"],
        mend: "a client is for follow, reconcile and cli; hand over the objects that it would fetch",
    },
    Ban {
        path: &["kube", "client"],
        but_for: &["follow", "reconcile", "cli"],
        mend: "a client is for follow, reconcile and cli; hand over the objects that it would fetch",
    },
    Ban {
        path: &["kube", "Api"],
        but_for: &["follow", "reconcile", "cli"],
        mend: "a client is for follow, reconcile and cli; hand over the objects that it would fetch",
    },
    Ban {
        path: &["k8s_openapi"],
        but_for: &["api", "follow", "desired", "reconcile", "cli"],
        mend: "the data plane knows no Kubernetes object; follow turns the ConfigMap into a routing table",
    },
    Ban { path: &["kube_lease_manager"], but_for: &["reconcile", "cli"], mend: "only the operator has a leader" },
    Ban {
        path: &["std", "env"],
        but_for: &["cli"],
        mend: "cli alone reads the environment; take the value as an argument",
    },
    Ban { path: &["anyhow"], but_for: &["cli", "main"], mend: "give the module a thiserror enum of its own" },
    Ban { path: &["std", "fs"], but_for: IMPURE_MODULES, mend: PURE },
    Ban { path: &["std", "process"], but_for: IMPURE_MODULES, mend: PURE },
    Ban { path: &["std", "thread"], but_for: IMPURE_MODULES, mend: PURE },
    Ban { path: &["tokio"], but_for: IMPURE_MODULES, mend: PURE },
    Ban { path: &["hyper"], but_for: IMPURE_MODULES, mend: PURE },
];

/// Lines of a file without its tests.
const FILE_LINES: usize = 400;
/// Lines of a function's body: the goal that review holds to, and the limit that this test holds to.
const FUNCTION_LINES_GOAL: usize = 60;
const FUNCTION_LINES: usize = 80;
/// Arguments of a function, `self` included: one more than the goal of five.
const ARGUMENTS: usize = 6;

/// A breach of a rule: where it is and how to mend it.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    file: String,
    line: usize,
    message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

fn hold(rule: fn(&SourceFile) -> Vec<Finding>) {
    let findings: Vec<_> = source::all().iter().flat_map(rule).collect();
    let list = findings.iter().map(|finding| format!("\n{finding}")).collect::<Vec<_>>().concat();
    assert!(findings.is_empty(), "{} breaches:{list}", findings.len());
}

#[test]
fn each_folder_has_a_row() {
    hold(names::rows);
}

#[test]
fn modules_name_only_those_that_the_table_lets_them_name() {
    hold(names::modules);
}

#[test]
fn crates_are_named_only_where_they_belong() {
    hold(names::crates);
}

#[test]
fn files_and_functions_stay_small() {
    hold(budgets::sizes);
    for note in source::all().iter().flat_map(budgets::over_the_goal) {
        println!("{note}");
    }
}

#[test]
fn each_file_opens_with_its_duty() {
    hold(budgets::opening);
}

#[test]
fn nothing_unfinished_or_panicking_by_habit_stands_outside_tests() {
    hold(budgets::unfinished);
}

#[test]
fn each_reason_of_a_condition_is_explained() {
    hold(|file| reasons::unexplained(file, include_str!("../docs/troubleshooting.md")));
}
