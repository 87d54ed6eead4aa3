//! The API server at hand, and the few calls that the tables need: raw ones, since typed objects cannot be malformed.

use std::{
    cell::Cell,
    io::Write,
    time::{Duration, Instant},
};

use k8s_openapi::{
    api::core::v1::Namespace, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    core::Status,
    runtime::{conditions::is_crd_established, wait::await_condition},
};
use serde_json::{Value, json};

/// The object as stored, or the refusal.
pub type Verdict = Result<Value, Box<Status>>;

/// How long an API server may take until it judges by a CRD that it has just been given.
const CRD_LAG: Duration = Duration::from_secs(20);

/// The API server that `KUBECONFIG` names.
pub struct ApiServer {
    client: Client,
    /// Until then the server may still judge by an older CRD.
    settled: Cell<Instant>,
}

impl ApiServer {
    /// Connects, or says that there is no server to connect to.
    pub async fn connect() -> Option<Self> {
        if std::env::var_os("KUBECONFIG").is_none_or(|path| path.is_empty()) {
            // Past the test harness, which swallows what passing tests print.
            let _ = writeln!(std::io::stderr(), "skipped: KUBECONFIG names no API server (`make test` starts one)");
            return None;
        }
        let client = Client::try_default().await.expect("KUBECONFIG names a kubeconfig");
        let version = client.apiserver_version().await;
        version.expect("the API server that KUBECONFIG names answers");
        Some(Self { client, settled: Cell::new(Instant::now()) })
    }

    /// Applies a CRD and waits until it is served.
    pub async fn install(&self, crd: &CustomResourceDefinition) {
        let api: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let name = crd.name_any();
        let generation = |crd: &CustomResourceDefinition| crd.metadata.generation;
        let before = api.get_opt(&name).await.expect("CRDs can be read");
        let params = PatchParams::apply("warren-refusals").force();
        let after = api.patch(&name, &params, &Patch::Apply(crd)).await;
        let after = after.unwrap_or_else(|error| panic!("the API server does not take the CRD {name}: {error}"));
        let established = await_condition(api, &name, is_crd_established());
        let in_time = tokio::time::timeout(CRD_LAG, established).await;
        in_time.expect("the CRD is established in time").expect("the CRD can be watched");
        if before.as_ref().and_then(generation) != generation(&after) {
            self.settled.set(Instant::now() + CRD_LAG);
        }
    }

    /// Asks again until the answer is as expected (`None`), for as long as the server may judge by an older CRD.
    pub async fn settle(&self, judge: impl AsyncFn() -> Option<String>) -> Option<String> {
        loop {
            let wrong = judge().await;
            if wrong.is_none() || Instant::now() > self.settled.get() {
                return wrong;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Creates the object as a dry run: it is judged and not kept.
    pub async fn create(&self, object: &Value) -> Verdict {
        let uri = format!("{}?dryRun=All&fieldValidation=Strict", collection("default", object));
        self.send("POST", &uri, object).await
    }

    /// Creates the first object for real, replaces it by the second as a dry run, and removes it.
    pub async fn edit(&self, before: &Value, after: &Value) -> Verdict {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let namespace: Namespace =
            serde_json::from_value(json!({"metadata": {"generateName": "warren-refusals-"}})).expect("a Namespace");
        let namespace =
            api.create(&PostParams::default(), &namespace).await.expect("a Namespace can be made").name_any();
        let verdict = self.edit_in(&namespace, before, after).await;
        api.delete(&namespace, &DeleteParams::default()).await.expect("the Namespace can be removed");
        verdict
    }

    async fn edit_in(&self, namespace: &str, before: &Value, after: &Value) -> Verdict {
        let collection = collection(namespace, before);
        let stored = self.send("POST", &format!("{collection}?fieldValidation=Strict"), before).await?;
        let one = format!("{collection}/{}", stored["metadata"]["name"].as_str().expect("a name"));
        let mut after = after.clone();
        after["metadata"]["resourceVersion"] = stored["metadata"]["resourceVersion"].clone();
        let verdict = self.send("PUT", &format!("{one}?dryRun=All&fieldValidation=Strict"), &after).await;
        // A namespace alone removes it only where a controller manager runs.
        self.send("DELETE", &one, &Value::Null).await?;
        verdict
    }

    async fn send(&self, method: &str, uri: &str, body: &Value) -> Verdict {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let request = http::Request::builder().method(method).uri(uri).header("content-type", "application/json");
        match self.client.request(request.body(body).expect("a request")).await {
            Ok(object) => Ok(object),
            Err(kube::Error::Api(status)) => Err(status),
            Err(error) => panic!("{method} {uri}: {error}"),
        }
    }
}

/// The path of the object's kind in a namespace.
fn collection(namespace: &str, object: &Value) -> String {
    let version = object["apiVersion"].as_str().expect("an apiVersion");
    let plural = object["kind"].as_str().expect("a kind").to_lowercase() + "s";
    format!("/apis/{version}/namespaces/{namespace}/{plural}")
}
