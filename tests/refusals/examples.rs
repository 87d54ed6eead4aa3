//! The examples that users are shown must be taken as they are.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::api_server::ApiServer;

#[tokio::test]
async fn all_examples_are_accepted() {
    let Some(server) = ApiServer::connect().await else { return };
    for crd in warren::api::crds() {
        server.install(&crd).await;
    }
    let mut refused = Vec::new();
    for file in yaml_files(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/examples"))) {
        let text = std::fs::read_to_string(&file).expect("an example can be read");
        for object in objects(&text, &file) {
            let judge = async || server.create(&object).await.err().map(|status| status.message.clone());
            refused.extend(server.settle(judge).await.map(|why| format!("\n- {}: {why}", file.display())));
        }
    }
    assert!(refused.is_empty(), "the API server refuses examples:{}", refused.concat());
}

/// Warren's objects in a file of YAML documents; a file without any, such as a standalone routing table, has none.
fn objects(text: &str, file: &Path) -> Vec<Value> {
    let documents = text.split("\n---").map(|document| {
        let document = document.trim_start_matches("---");
        serde_saphyr::from_str(document).unwrap_or_else(|error| panic!("{}: no YAML: {error}", file.display()))
    });
    let ours =
        |object: &Value| object["apiVersion"].as_str().is_some_and(|version| version.starts_with("trinowarren.io/"));
    documents.filter(ours).collect()
}

/// All YAML files in a folder and those in it; none when there is no such folder.
fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("a folder can be read").path();
        if path.is_dir() {
            files.extend(yaml_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
    files.sort();
    files
}
