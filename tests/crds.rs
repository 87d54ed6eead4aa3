//! What holds for all CRDs: the files in `crds/` and the page `docs/api.md` are what the types generate, users find
//! their way by descriptions, columns and short names, and all that a user writes is bounded.

#[path = "crds/reference.rs"]
mod reference;

use std::{fs, path::Path, process::Command};

use kube::ResourceExt;
use serde_json::Value;
use warren::api::crds;

/// Client-side apply keeps the object in an annotation, and all annotations together end at 262,144 bytes.
const LARGEST: usize = 250 * 1000;

#[test]
fn the_files_are_what_the_types_generate() {
    let generated = Path::new(env!("CARGO_TARGET_TMPDIR")).join("crds");
    let _ = fs::remove_dir_all(&generated);
    fs::create_dir_all(&generated).expect("a folder can be made");
    let status = Command::new(env!("CARGO_BIN_EXE_warren")).args(["crds", "--output"]).arg(&generated).status();
    assert!(status.expect("warren can be run").success());
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
    assert_eq!(names(&committed), names(&generated), "crds/ holds other files than `warren crds` writes");
    for name in names(&generated) {
        let same = read(&committed.join(&name)) == read(&generated.join(&name));
        assert!(same, "crds/{name} is not what the types generate; mend it by: cargo run -q -- crds --output crds");
    }
}

#[test]
fn the_reference_page_is_what_the_types_generate() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/api.md");
    let page = reference::page(&crds());
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, &page).expect("docs/api.md can be written");
    }
    let same = fs::read_to_string(&file).is_ok_and(|written| written == page);
    assert!(same, "docs/api.md is not what the types generate; mend it by: UPDATE=1 cargo test --test crds");
}

#[test]
fn each_crd_is_small_enough_for_client_side_apply() {
    for crd in crds() {
        let size = serde_json::to_string(&crd).expect("a CRD as JSON").len();
        assert!(size < LARGEST, "{} has {size} bytes of {LARGEST}; shorten its descriptions", crd.name_any());
    }
}

#[test]
fn each_kind_is_found_by_a_short_name_and_in_the_category() {
    let mut short_names = Vec::new();
    for crd in crds() {
        let names = &crd.spec.names;
        assert_eq!(names.categories.as_deref(), Some(&["trino".to_owned()][..]), "{}", names.kind);
        let of_kind = names.short_names.as_deref().unwrap_or_default();
        assert_eq!(of_kind.len(), 1, "{} has one short name: {of_kind:?}", names.kind);
        short_names.extend_from_slice(of_kind);
    }
    short_names.sort();
    short_names.dedup();
    assert_eq!(short_names.len(), crds().len(), "short names are unique: {short_names:?}");
}

#[test]
fn each_kind_shows_whether_it_is_ready_why_and_since_when() {
    for crd in crds() {
        let version = &crd.spec.versions[0];
        let columns: Vec<_> = version.additional_printer_columns.iter().flatten().map(|column| &*column.name).collect();
        assert!(columns.ends_with(&["Ready", "Reason", "Age"]), "{}: {columns:?}", crd.spec.names.kind);
        assert!(version.subresources.as_ref().is_some_and(|with| with.status.is_some()), "{}", crd.spec.names.kind);
    }
}

#[test]
fn each_field_of_a_spec_is_described() {
    let bare: Vec<_> = fields().into_iter().filter(|(_, schema)| schema["description"].is_null()).collect();
    let bare: Vec<_> = bare.into_iter().map(|(path, _)| path).collect();
    assert!(bare.is_empty(), "fields without a doc comment in src/api: {bare:#?}");
}

#[test]
fn whatever_a_user_writes_is_bounded() {
    let unbounded = |schema: &Value| match schema["type"].as_str() {
        Some("string") => schema["maxLength"].is_null() && schema["enum"].is_null(),
        Some("array") => schema["maxItems"].is_null(),
        Some("integer") => schema["maximum"].is_null() || schema["minimum"].is_null(),
        Some("object") => !schema["additionalProperties"].is_null() && schema["maxProperties"].is_null(),
        _ => false,
    };
    let wrong: Vec<_> = fields().into_iter().filter(|(_, schema)| unbounded(schema)).map(|(path, _)| path).collect();
    assert!(
        wrong.is_empty(),
        "fields without a bound in src/api; give each a length, a range or maxProperties: {wrong:#?}"
    );
}

/// Every field below `spec` of every kind, by its path. Entries of maps and lists count as fields where they have fields
/// of their own.
fn fields() -> Vec<(String, Value)> {
    let mut fields = Vec::new();
    for crd in crds() {
        let schema = serde_json::to_value(&crd.spec.versions[0].schema).expect("a schema as JSON");
        let spec = &schema["openAPIV3Schema"]["properties"]["spec"];
        collect(&format!("{}.spec", crd.spec.names.kind), spec, &mut fields);
    }
    fields
}

fn collect(path: &str, schema: &Value, fields: &mut Vec<(String, Value)>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        fields.push((path.clone(), property.clone()));
        collect(&path, property, fields);
        collect(&format!("{path}[]"), &property["items"], fields);
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder of CRDs");
    let name =
        |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name().into_string().expect("UTF-8");
    let mut names: Vec<_> = entries.map(name).collect();
    names.sort();
    names
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}
