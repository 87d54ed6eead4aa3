//! Each rule can fail: sources that break it, and sources that look as if they did.

use crate::{
    Finding, budgets, names, reasons,
    source::{SourceFile, without_test_files},
};

type Rule = fn(&SourceFile) -> Vec<Finding>;

/// The lines that the rule blames in a file of this text.
#[track_caller]
fn blamed(rule: Rule, file: &str, text: &str) -> Vec<usize> {
    rule(&SourceFile::new(file, text)).into_iter().map(|finding| finding.line).collect()
}

#[track_caller]
fn breaks(rule: Rule, file: &str, text: &str) {
    assert_ne!(blamed(rule, file, text), [0usize; 0], "this must break the rule:\n{text}");
}

#[track_caller]
fn keeps(rule: Rule, file: &str, text: &str) {
    let findings = rule(&SourceFile::new(file, text));
    assert_eq!(findings, [], "this must keep the rule:\n{text}");
}

#[test]
fn a_module_must_have_a_row() {
    breaks(names::rows, "src/helpers/mod.rs", "");
    breaks(names::rows, "src/helpers.rs", "");
    keeps(names::rows, "src/proxy/health.rs", "");
    keeps(names::rows, "src/lib.rs", "");
}

#[test]
fn a_module_is_named_in_many_ways() {
    for text in [
        "use crate::api::Image;",
        "use crate::{trino::ClusterName, api::Image};",
        "use crate::{trino::{self, ClusterName}, api};",
        "use {std::fmt, crate::api as other};",
        "pub use super::super::api::Image;",
        "fn f() -> crate::api::Image { todo() }",
        "fn f() { let x = Vec::<crate::api::Image>::new(); }",
        "fn f(x: &dyn Fn(crate::api::Image)) {}",
        "fn f() { println!(\"{}\", crate::api::GROUP); }",
        "macro_rules! m { () => { $crate::api::GROUP } }",
        "#[derive(crate::api::Derive)] struct S;",
        "#[serde(with = \"crate::api::format\")] struct S;",
        "fn f() { warren::api::crds(); }",
        "mod inner { use super::super::super::api::Image; }",
        "use crate::*;",
        "use crate as warren_itself;",
        "use super::super::{*};",
    ] {
        breaks(names::modules, "src/proxy/health.rs", text);
    }
}

#[test]
fn what_only_looks_like_a_module_is_let_be() {
    for text in [
        "use crate::{proxy::Error, trino::{ClusterName, name::*}, routing::RoutingTable as Table};",
        "use super::{Error, body::Kept}; use self::inner::X; mod inner { pub use super::super::Error; }",
        "//! See [`crate::api`].\n/// And `crate::api::Image`.\nfn f() -> &'static str { \"crate::api\" } // crate::api",
        "use other::api::Image; fn f(api: u8) -> u8 { api }",
        "pub(crate) fn f() {} pub(in crate::proxy) fn g() {}",
        "#[cfg(test)] mod tests { use crate::api::Image; }",
        "#[cfg(all(test, unix))] use crate::api::Image;",
    ] {
        keeps(names::modules, "src/proxy/health.rs", text);
    }
    breaks(names::modules, "src/proxy/health.rs", "#[cfg(not(test))] use crate::api::Image;");
}

#[test]
fn a_line_and_a_mend_are_told() {
    let file = SourceFile::new(
        "src/routing/table.rs",
        "//! Duty.\n\nuse crate::{\n    trino::ClusterName,\n    api::Image,\n};\n",
    );
    let findings: Vec<_> = names::modules(&file).iter().map(ToString::to_string).collect();
    assert_eq!(
        findings,
        [
            "src/routing/table.rs:5: routing names api (crate::api::Image), and may name trino: the contract of both planes, \
             pure; move the code, or take what you need as an argument"
        ]
    );
}

#[test]
fn nobody_but_main_names_cli() {
    breaks(names::modules, "src/reconcile/mod.rs", "use crate::cli;");
    breaks(names::modules, "src/proxy/mod.rs", "use crate::reconcile::Error;");
    breaks(names::modules, "src/reconcile/mod.rs", "use crate::proxy::Error;");
    keeps(names::modules, "src/main.rs", "fn main() { warren::cli::main() }");
    breaks(names::modules, "src/main.rs", "fn main() { warren::proxy::run() }");
}

#[test]
fn outside_crates_have_their_places() {
    for (file, text) in [
        ("src/proxy/mod.rs", "use kube::Client;"),
        ("src/routing/table.rs", "use kube::ResourceExt as _;"),
        ("src/desired/mod.rs", "use kube::ResourceExt;"),
        ("src/api/mod.rs", "use kube::{CustomResourceExt, Client};"),
        ("src/api/mod.rs", "use kube::*;"),
        ("src/api/mod.rs", "use kube as k;"),
        ("src/api/mod.rs", "fn f(client: kube::client::Client) {}"),
        ("src/proxy/mod.rs", "extern crate kube;"),
        ("src/proxy/mod.rs", "use ::kube::Client;"),
        ("src/trino/name.rs", "use k8s_openapi::api::core::v1::Pod;"),
        ("src/proxy/mod.rs", "fn f() { std::env::var(\"X\"); }"),
        ("src/reconcile/mod.rs", "use std::{env, fmt};"),
        ("src/reconcile/mod.rs", "use std::env;"),
        ("src/reconcile/mod.rs", "use anyhow::Context as _;"),
        ("src/desired/mod.rs", "fn f() -> anyhow::Result<()> { Ok(()) }"),
        ("src/desired/mod.rs", "use std::fs;"),
        ("src/routing/table.rs", "async fn f() { tokio::time::sleep(x).await }"),
    ] {
        breaks(names::crates, file, text);
    }
}

#[test]
fn outside_crates_are_let_be_in_their_places() {
    for (file, text) in [
        ("src/api/mod.rs", "use kube::{CustomResourceExt, CustomResource};"),
        ("src/follow/config_map.rs", "use k8s_openapi::api::core::v1::ConfigMap; use kube::{Api, Client};"),
        ("src/desired/mod.rs", "use k8s_openapi::api::core::v1::Pod;"),
        ("src/reconcile/mod.rs", "use kube::{Api, Client}; use std::{fmt, sync::Arc};"),
        ("src/cli/mod.rs", "use std::env; use anyhow::Context as _;"),
        ("src/proxy/mod.rs", "fn f(kube: u8) -> u8 { kube + env!(\"X\").len() as u8 }"),
        ("src/proxy/mod.rs", "#[cfg(test)]\nmod tests { use std::env; }"),
    ] {
        keeps(names::crates, file, text);
    }
}

#[test]
fn a_file_has_a_limit_that_tests_do_not_count_in() {
    let lines = |count: usize| "const X: u8 = 1;\n".repeat(count);
    keeps(budgets::sizes, "src/api/mod.rs", &lines(400));
    breaks(budgets::sizes, "src/api/mod.rs", &lines(401));
    keeps(budgets::sizes, "src/api/mod.rs", &format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", lines(400), lines(100)));
}

#[test]
fn a_function_has_a_limit_of_lines() {
    let function = |lines: usize| format!("impl X {{\nfn f() {{\n{}}}\n}}", "g();\n".repeat(lines));
    keeps(budgets::sizes, "src/api/mod.rs", &function(80));
    assert_eq!(blamed(budgets::sizes, "src/api/mod.rs", &function(81)), [2]);
    assert_eq!(blamed(budgets::over_the_goal, "src/api/mod.rs", &function(61)), [2]);
    keeps(budgets::over_the_goal, "src/api/mod.rs", &function(60));
}

#[test]
fn a_function_has_a_limit_of_arguments() {
    breaks(budgets::sizes, "src/api/mod.rs", "fn f(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8) {}");
    breaks(
        budgets::sizes,
        "src/api/mod.rs",
        "fn f<F: Fn(u8) -> u8>(&self, b: F, c: u8, d: u8, e: u8, f: u8, g: u8,) {}",
    );
    keeps(
        budgets::sizes,
        "src/api/mod.rs",
        "fn f<A, B>(a: Map<A, B>, b: (u8, u8), c: fn(u8, u8) -> u8, d: u8, e: u8, f: u8,) {}",
    );
    keeps(budgets::sizes, "src/api/mod.rs", "trait T { fn f(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8); }");
}

#[test]
fn a_file_opens_with_its_duty() {
    breaks(budgets::opening, "src/api/mod.rs", "use std::fmt;\n");
    breaks(budgets::opening, "src/api/mod.rs", "// A comment.\n");
    breaks(budgets::opening, "src/api/mod.rs", &"//! Much.\n".repeat(7));
    keeps(budgets::opening, "src/api/mod.rs", "//! Duty.\n\nuse std::fmt;\n");
}

#[test]
fn leftovers_are_found() {
    for text in [
        "fn f() { x.unwrap(); }",
        "fn f() { x.map(Option::unwrap); }",
        "fn f() { todo!() }",
        "fn f() { unimplemented!(\"later\") }",
        "fn f() { let y = dbg!(x); }",
    ] {
        breaks(budgets::unfinished, "src/api/mod.rs", text);
    }
    for text in [
        "fn f() { x.unwrap_or_default(); x.expect(\"it is set above\"); }",
        "/// `.unwrap()`, todo!\nfn f() { let unwrap = \"todo!()\"; }",
        "#[test]\nfn t() { x.unwrap(); }",
        "#[tokio::test(start_paused = true)]\nasync fn t() { x.unwrap(); }",
        "#[cfg(test)]\nmod tests { fn t() { x.unwrap(); } }",
    ] {
        keeps(budgets::unfinished, "src/api/mod.rs", text);
    }
}

#[test]
fn files_that_only_tests_see_are_left_out() {
    let files = vec![
        SourceFile::new("src/proxy/mod.rs", "#[cfg(test)]\nmod scripted;\nmod health;"),
        SourceFile::new("src/proxy/scripted.rs", ""),
        SourceFile::new("src/proxy/scripted/part.rs", ""),
        SourceFile::new("src/proxy/health.rs", ""),
    ];
    let left: Vec<_> = without_test_files(files).into_iter().map(|file| file.file).collect();
    assert_eq!(left, ["src/proxy/mod.rs", "src/proxy/health.rs"]);
}

#[test]
fn a_reason_that_no_page_explains_is_found() {
    let page = "| `Available` | … |";
    let reasons = "fn f() { Ready { reason: \"Available\" } }\nfn g() { Stalled { reason: \"Odd\" } }\n\
                   fn reason(&self) -> &str { match self { A => \"Other\", B => \"Available\" } }";
    let file = SourceFile::new("src/reconcile/assess.rs", reasons);
    let lines: Vec<_> = reasons::unexplained(&file, page).iter().map(|finding| finding.line).collect();
    assert_eq!(lines, [2, 3]);
    assert_eq!(reasons::unexplained(&SourceFile::new("src/proxy/error.rs", reasons), page), []);
}
