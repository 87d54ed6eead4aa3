//! The reference of all kinds, `docs/api.md`, from the schemas of their CRDs.

use std::fmt::Write;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

/// A field that has the fields of another kind's spec, which are not repeated.
const REPEATED: [(&str, &str); 1] = [("TrinoClusterGroup.spec.template.spec", "TrinoCluster")];

const INTRODUCTION: &str = "\
# The API: `trinowarren.io/v1alpha1`

Generated from the types in `src/api` by `UPDATE=1 cargo test --test crds`; never edited by hand. All kinds are
namespaced. A `*` marks fields that must be given; `[]` stands for each entry of a list, `<key>` for each key of a map.
Numbers in parentheses are bounds: of the value, the length, or the number of entries. Defaults are
not in the schema: an object reads as its user wrote it. *Checked* is what the API server refuses otherwise, in the words
in which it does.

";

/// The page.
pub fn page(crds: &[CustomResourceDefinition]) -> String {
    let mut page = INTRODUCTION.to_owned();
    for crd in crds {
        let kind = &crd.spec.names.kind;
        let short = crd.spec.names.short_names.iter().flatten().next().map_or("", String::as_str);
        let schema = serde_json::to_value(&crd.spec.versions[0].schema).expect("a schema as JSON");
        let root = &schema["openAPIV3Schema"];
        let _ = write!(page, "## {kind}\n\n{}\n\n`kubectl get {short}`", text(root));
        if crd.spec.versions[0].subresources.as_ref().is_some_and(|with| with.scale.is_some()) {
            let _ = write!(page, " · `kubectl scale {short}`");
        }
        for (part, title) in [("spec", "what you ask for"), ("status", "what Warren knows")] {
            let _ =
                write!(page, "\n\n### {kind}: `{part}`, {title}\n\n| field | type | meaning |\n| --- | --- | --- |\n");
            rows(kind, part, &root["properties"][part], &mut page);
            page.truncate(page.trim_end().len());
        }
        page.push_str("\n\n");
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

/// One row for each field below `path`, depth first.
fn rows(kind: &str, path: &str, schema: &Value, page: &mut String) {
    let required = |name: &str| schema["required"].as_array().is_some_and(|names| names.iter().any(|one| one == name));
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let mark = if required(name) { "\\*" } else { "" };
        let repeated = REPEATED.iter().find(|(field, _)| *field == format!("{kind}.{path}"));
        let link = repeated.map_or(String::new(), |(_, of)| {
            format!(" Its fields are those of [{of}](#{}-spec-what-you-ask-for).", of.to_lowercase())
        });
        let _ =
            writeln!(page, "| `{path}`{mark} | {} | {}{link}{} |", type_of(property), text(property), rules(property));
        if repeated.is_none() && name != "conditions" {
            rows(kind, &path, property, page);
            rows(kind, &format!("{path}[]"), &property["items"], page);
            rows(kind, &format!("{path}.<key>"), &property["additionalProperties"], page);
        }
    }
}

/// The type in a word or two, with its bounds.
fn type_of(schema: &Value) -> String {
    if let Some(values) = schema["enum"].as_array() {
        let values: Vec<_> = values.iter().filter_map(Value::as_str).map(|value| format!("`{value}`")).collect();
        return values.join(", ");
    }
    let bounds = |low: &str, high: &str| match (schema[low].as_f64(), schema[high].as_f64()) {
        (Some(low), Some(high)) => format!(" ({low} to {high})"),
        (None, Some(high)) => format!(" (at most {high})"),
        (Some(low), None) => format!(" (at least {low})"),
        (None, None) => String::new(),
    };
    match schema["type"].as_str() {
        Some("array") => format!("list{} of {}", bounds("minItems", "maxItems"), type_of(&schema["items"])),
        Some("object") if schema["additionalProperties"].is_object() => {
            format!("map{} of {}", bounds("minProperties", "maxProperties"), type_of(&schema["additionalProperties"]))
        }
        Some("integer") => format!("integer{}", bounds("minimum", "maximum")),
        Some("string") => format!("string{}", bounds("minLength", "maxLength")),
        Some(other) => other.to_owned(),
        None => "any".to_owned(),
    }
}

/// The description as one line.
fn text(schema: &Value) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// What the API server checks, in the words in which it refuses.
fn rules(schema: &Value) -> String {
    let rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    let messages: Vec<_> = rules.filter_map(|rule| rule["message"].as_str()).collect();
    let escaped = messages.join(". ").replace('|', "\\|").replace('<', "&lt;");
    if escaped.is_empty() { String::new() } else { format!("<br>*Checked:* {escaped}.") }
}
