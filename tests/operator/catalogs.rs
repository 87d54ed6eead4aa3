//! TrinoCatalogs: an edit makes a new revision and changes nothing that runs, a catalog that fails is told on it, and two of one
//! name are told with both.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    Operator, condition, drain::until_gone, make_ready, object, routed, running_with, scene::Scene, server::Server,
    until_deployments, until_ready,
};

fn put_catalog(server: &Server, name: &str, spec: &Value) {
    let mut catalog = object("TrinoCatalog", name, spec);
    catalog["metadata"]["labels"] = json!({"team": "a"});
    server.put("trinocatalogs", catalog);
}

fn shop(url: &str) -> Value {
    let password = json!({"secretKeyRef": {"name": "shop-db", "key": "password"}});
    json!({"connector": "postgresql", "properties": {"connection-url": url},
        "secretProperties": {"connection-password": password}})
}

/// The Secret that [`shop`] names.
fn put_password(server: &Server) {
    let metadata = json!({"name": "shop-db", "namespace": "trino"});
    let data = json!({"password": "c2VjcmV0"});
    server.put("secrets", json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}));
}

/// A fleet whose group picks the catalogs of a team; none is there yet.
async fn picking(scene: &Scene) -> (Server, Operator, String) {
    let (server, operator) = running_with("warren:1", scene).await;
    let first = server.names("trinoclusters").remove(0);
    put_password(&server);
    server.edit("trinoclustergroups", "adhoc", |group| {
        group["spec"]["template"]["spec"]["catalogs"] = json!({"selector": {"matchLabels": {"team": "a"}}});
    });
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(
        server.names("trinoclusters"),
        std::slice::from_ref(&first),
        "a selector that picks nothing makes no revision"
    );
    (server, operator, first)
}

/// The cluster that comes up beside `old`.
async fn next(server: &Server, old: &str) -> String {
    until_deployments(server, 5).await;
    server.names("trinoclusters").into_iter().find(|name| *name != old).expect("a new cluster")
}

async fn until_taken_over(server: &Server, old: &str, new: &str) {
    make_ready(server, new);
    until_gone(server, old).await;
    assert_eq!(routed(server), [(new.to_owned(), "Active".to_owned())]);
    until_ready(server, "trinoclustergroups", "adhoc").await;
}

async fn until_catalog(server: &Server, name: &str, type_: &str, reason: &str) -> String {
    let told = |server: &Server| {
        let (status, found, message) = condition(&server.get("trinocatalogs", name)?, type_)?;
        (status == "True" && found == reason).then_some(message)
    };
    server.until(&format!("TrinoCatalog {name} is {type_} since {reason}"), told).await
}

fn catalog_file(server: &Server, cluster: &str, catalog: &str) -> Option<String> {
    let file = |name: &String| {
        let data = server.get("configmaps", name)?["data"].clone();
        Some(data[format!("catalog..{catalog}.properties")].as_str()?.to_owned())
    };
    server.names("configmaps").iter().filter(|name| name.starts_with(&format!("{cluster}-coordinator"))).find_map(file)
}

#[tokio::test(start_paused = true)]
async fn an_edit_of_a_catalog_makes_a_new_cluster_and_changes_no_running_one() {
    let (server, operator, first) = picking(&Scene::default()).await;
    put_catalog(&server, "shop", &shop("jdbc:postgresql://db/one"));
    let second = next(&server, &first).await;
    until_taken_over(&server, &first, &second).await;
    let message = until_catalog(&server, "shop", "Ready", "Loaded").await;
    assert_eq!(message, "1 clusters have it and take queries");
    let file = catalog_file(&server, &second, "shop").expect("its file");
    assert!(file.contains("connection-password=${ENV:WARREN_SECRET_"), "{file}");

    let kept =
        |server: &Server| server.get("deployments", &format!("{second}-coordinator")).expect("there")["spec"].clone();
    let before = kept(&server);
    server.edit("trinocatalogs", "shop", |catalog| catalog["spec"] = shop("jdbc:postgresql://db/two"));
    let third = next(&server, &second).await;
    assert_eq!(kept(&server), before, "the running cluster is as it was");
    assert!(catalog_file(&server, &second, "shop").expect("its file").contains("db/one"));
    assert!(catalog_file(&server, &third, "shop").expect("its file").contains("db/two"));
    until_catalog(&server, "shop", "Reconciling", "ClustersChanging").await;
    until_taken_over(&server, &second, &third).await;
    until_catalog(&server, "shop", "Ready", "Loaded").await;
    let status = server.get("trinocatalogs", "shop").expect("there")["status"]["clusters"].clone();
    assert_eq!(status, json!([{"name": third, "upToDate": true, "serving": true}]));

    // One that is gone is an edit, too.
    server.delete("trinocatalogs", "shop");
    let fourth = next(&server, &third).await;
    assert_eq!(catalog_file(&server, &fourth, "shop"), None);
    until_taken_over(&server, &third, &fourth).await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_changes_no_catalog_writes_nothing() {
    let (server, operator, first) = picking(&Scene::default()).await;
    put_catalog(&server, "shop", &shop("jdbc:postgresql://db/one"));
    let second = next(&server, &first).await;
    until_taken_over(&server, &first, &second).await;
    until_catalog(&server, "shop", "Ready", "Loaded").await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    operator.stop().await;
    let before = server.writes().len();
    let operator = Operator::start(&server, "warren:1");
    server.edit("trinocatalogs", "shop", |catalog| catalog["metadata"]["annotations"] = json!({"note": "x"}));
    server.put("trinocatalogs", object("TrinoCatalog", "other", &json!({"connector": "tpcds"})));
    until_catalog(&server, "other", "Ready", "Unused").await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let written: Vec<_> = server.writes()[before..].iter().filter(|write| !write.contains("other")).cloned().collect();
    assert_eq!(written, [] as [String; 0], "neither a restart of the operator nor a catalog that nobody picks");
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_catalog_that_does_not_load_gets_no_traffic_and_says_why() {
    let (server, operator, first) = picking(&Scene::default()).await;
    put_catalog(&server, "shop", &shop("jdbc:postgresql://db/one"));
    let second = next(&server, &first).await;
    until_taken_over(&server, &first, &second).await;
    server.edit("trinocatalogs", "shop", |catalog| {
        catalog["spec"]["properties"] = json!({"connection-urll": "jdbc:postgresql://db/two"});
    });
    let third = next(&server, &second).await;
    make_ready(&server, &third);
    let pod = format!("{third}-coordinator-0");
    server.edit("deployments", &format!("{third}-coordinator"), |coordinator| {
        coordinator["status"]["readyReplicas"] = 0.into();
    });
    server.edit("pods", &pod, |pod| {
        let log = "1) Configuration property 'connection-urll' was not used";
        pod["status"]["containerStatuses"][0] = json!({"name": "trino", "image": "", "imageID": "", "ready": false,
            "restartCount": 1, "started": false, "state": {"terminated": {"exitCode": 100, "message": log}}});
    });
    let message = until_catalog(&server, "shop", "Stalled", "CatalogFailed").await;
    assert!(message.contains("correct spec.properties[connection-urll] of TrinoCatalog \"shop\""), "{message}");
    assert_eq!(routed(&server), [(second.clone(), "Active".to_owned())]);
    let group = condition(&server.get("trinoclustergroups", "adhoc").expect("there"), "Stalled").expect("a condition");
    assert!(
        group.2.contains("TrinoCatalog \"shop\"") && group.2.ends_with("The clusters that served go on"),
        "{group:?}"
    );
    // Edited back, it is what serves: the one that failed goes, and nothing starts.
    server.edit("trinocatalogs", "shop", |catalog| catalog["spec"] = shop("jdbc:postgresql://db/one"));
    until_gone(&server, &third).await;
    until_catalog(&server, "shop", "Ready", "Loaded").await;
    assert_eq!(server.names("trinoclusters"), [second]);
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn two_catalogs_of_one_name_are_told_with_both_and_what_serves_goes_on() {
    let (server, operator, first) = picking(&Scene::default()).await;
    put_catalog(&server, "shop", &shop("jdbc:postgresql://db/one"));
    let second = next(&server, &first).await;
    until_taken_over(&server, &first, &second).await;
    put_catalog(&server, "store", &json!({"connector": "mysql", "catalogName": "shop"}));
    let both = "spec.template.spec.catalogs.selector picks TrinoCatalogs \"shop\" and \"store\", which are both the catalog \"shop\"";
    for name in ["shop", "store"] {
        let message = until_catalog(&server, name, "Stalled", "CatalogConflict").await;
        assert!(message.contains(both), "{message}");
    }
    let told = |server: &Server| {
        let (status, reason, message) = condition(&server.get("trinoclustergroups", "adhoc")?, "Stalled")?;
        (status == "True" && reason == "CatalogConflict").then_some(message)
    };
    let message = server.until("the group tells of both", told).await;
    assert!(message.starts_with(both), "{message}");
    assert_eq!(server.names("trinoclusters"), std::slice::from_ref(&second));
    // What else a group does goes on: more workers need no new revision.
    server.edit("trinoclustergroups", "adhoc", |group| {
        group["spec"]["template"]["spec"]["workers"] = json!({"replicas": 2});
    });
    let scaled =
        |server: &Server| (server.get("trinoclusters", &second)?["spec"]["workers"]["replicas"] == 2).then_some(());
    server.until("two workers", scaled).await;
    server.edit("trinocatalogs", "store", |catalog| catalog["spec"]["catalogName"] = "store".into());
    let third = next(&server, &second).await;
    until_taken_over(&server, &second, &third).await;
    until_catalog(&server, "store", "Ready", "Loaded").await;
    operator.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_cluster_made_by_hand_restarts_with_the_catalogs_as_they_stand() {
    let server = Server::new();
    let spec = json!({"version": "476", "workers": {"replicas": 0}, "catalogs": {"selector": {}}});
    server.put("trinoclusters", object("TrinoCluster", "mine", &spec));
    put_catalog(&server, "shop", &shop("jdbc:postgresql://db/one"));
    put_password(&server);
    let operator = Operator::start(&server, "warren:1");
    until_deployments(&server, 2).await;
    let revision =
        |server: &Server| server.get("trinoclusters", "mine")?["status"]["revision"].as_str().map(str::to_owned);
    let before = server.until("a revision", revision).await;
    make_ready(&server, "mine");
    until_catalog(&server, "shop", "Ready", "Loaded").await;
    server.edit("trinocatalogs", "shop", |catalog| catalog["spec"]["version"] = "2".into());
    server.until("another revision", |server| revision(server).filter(|now| *now != before)).await;
    let stored = server.get("trinoclusters", "mine").expect("there")["spec"].clone();
    assert_eq!(stored, spec, "what the user wrote is never written");
    operator.stop().await;
}
