//! Who names whom: modules of the crate, and crates from outside.

use crate::{
    BANS, Finding, ROWS, Row,
    paths::{NamedPath, paths},
    source::SourceFile,
};

/// What a path leads to.
enum Leads {
    /// Into the crate, by its full path; empty for the root itself.
    Inside(Vec<String>),
    /// To another crate, or to a name of the file's own.
    Outside(Vec<String>),
}

fn row(module: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.module == module)
}

fn finding(file: &SourceFile, line: usize, message: String) -> Finding {
    Finding { file: file.file.clone(), line, message }
}

/// A file or folder of `src/` must have a row in the table.
pub fn rows(file: &SourceFile) -> Vec<Finding> {
    let unknown = file.row().filter(|module| row(module).is_none());
    let message =
        |module| format!("{module} has no row in tests/architecture.rs; add one that says whom it may name, and why");
    unknown.map(|module| finding(file, 1, message(module))).into_iter().collect()
}

/// A file may name the modules in its row, and its own.
pub fn modules(file: &SourceFile) -> Vec<Finding> {
    // The root only declares the others.
    let Some(row) = file.row().and_then(row) else { return Vec::new() };
    let mut findings = Vec::new();
    for path in paths(&file.tokens) {
        let Leads::Inside(target) = leads(&file.module, &path) else { continue };
        let message = match target.first().map(String::as_str) {
            None if path.glob || path.renamed => {
                "imports the crate's root, which hides whom it names; name the modules one by one".to_owned()
            }
            None => continue,
            Some(named) if named == row.module || row.names.contains(&named) => continue,
            Some(named) => {
                let may = if row.names.is_empty() { "none".to_owned() } else { row.names.join(", ") };
                format!(
                    "{} names {named} ({}), and may name {may}: {}; move the code, or take what you need as an argument",
                    row.module,
                    path.segments.join("::"),
                    row.reason
                )
            }
        };
        findings.push(finding(file, path.line, message));
    }
    findings
}

/// A file may name only such outside paths as its module may.
pub fn crates(file: &SourceFile) -> Vec<Finding> {
    let module = file.row().unwrap_or("lib");
    let mut findings = Vec::new();
    for path in paths(&file.tokens) {
        let Leads::Outside(target) = leads(&file.module, &path) else { continue };
        let names = |banned: &[&str]| {
            let length = banned.len().min(target.len());
            let meets = target[..length] == banned[..length];
            // A glob, or a parent that is imported, names what stands below it.
            meets && (target.len() >= banned.len() || path.glob || path.renamed)
        };
        let breach = BANS.iter().find(|ban| !ban.but_for.contains(&module) && names(ban.path));
        findings.extend(
            breach.map(|ban| {
                finding(file, path.line, format!("{module} names {}: {}", path.segments.join("::"), ban.mend))
            }),
        );
    }
    findings
}

/// Follows `crate`, `self`, `super` and the crate's own name.
fn leads(module: &[String], path: &NamedPath) -> Leads {
    let mut here = [module, &path.inside[..]].concat();
    let mut rest = &path.segments[..];
    match rest.first().map(String::as_str) {
        Some("crate" | "warren") => here.clear(),
        Some("self") => {}
        Some("super") => {
            here.pop();
        }
        _ => return Leads::Outside(path.segments.clone()),
    }
    rest = &rest[1..];
    while rest.first().is_some_and(|segment| segment == "super") {
        here.pop();
        rest = &rest[1..];
    }
    here.extend_from_slice(rest);
    Leads::Inside(here)
}
