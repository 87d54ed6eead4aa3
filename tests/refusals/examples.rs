//! The examples that users are shown must be taken as they are.

use std::path::{Path, PathBuf};

use serde_json::Value;
use warren::{
    api::TrinoClusterSpec,
    desired::{
        cluster::{self, ClusterIdentity},
        cluster_revision,
    },
};

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

/// What overlays and plugins of the examples make of pods is what the API server takes, every field of it.
#[tokio::test]
async fn what_is_rendered_for_examples_is_accepted() {
    let Some(server) = ApiServer::connect().await else { return };
    let (mut refused, mut rendered) = (Vec::new(), 0);
    for file in yaml_files(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/examples"))) {
        let text = std::fs::read_to_string(&file).expect("an example can be read");
        for object in objects(&text, &file) {
            let Ok(spec) = serde_json::from_value::<TrinoClusterSpec>(object["spec"]["template"]["spec"].clone())
            else {
                continue;
            };
            let identity =
                ClusterIdentity { name: "a".into(), namespace: "default".into(), uid: "u".into(), in_group: false };
            let parts = cluster::render(&identity, &spec).expect("an example can be rendered");
            let revision = cluster_revision(&spec);
            let objects = cluster::objects(&identity, &spec, <_>::default(), &revision, &parts).expect("both parts");
            for deployment in [objects.coordinator, objects.workers] {
                let mut deployment = serde_json::to_value(deployment).expect("JSON");
                deployment["apiVersion"] = "apps/v1".into();
                deployment["kind"] = "Deployment".into();
                let verdict = server.create(&deployment).await;
                refused.extend(verdict.err().map(|why| format!("\n- {}: {}", file.display(), why.message)));
                rendered += 1;
            }
        }
    }
    assert!(rendered > 2, "examples with clusters are found");
    assert!(refused.is_empty(), "the API server refuses what is rendered for examples:{}", refused.concat());
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
