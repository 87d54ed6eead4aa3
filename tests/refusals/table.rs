//! The tables' rows, and how a server's answers are held against them.

use kube::core::{CustomResourceExt, Status};
use serde_json::{Value, json};

use crate::api_server::{ApiServer, Verdict};

/// An object that must be refused. `object` is YAML without `apiVersion` and `kind`; `metadata.name` defaults to `valid`.
pub struct Refusal {
    pub case: &'static str,
    pub object: &'static str,
    /// The field that the server blames, as it writes it; `<nil>` is the object itself.
    pub field: &'static str,
    /// What the server says about it, or a part of that which names the mend.
    pub because: &'static str,
}

/// An edit of a live object that must be refused.
pub struct RefusedEdit {
    pub case: &'static str,
    pub before: &'static str,
    pub after: &'static str,
    pub field: &'static str,
    pub because: &'static str,
}

/// An object that must be taken.
pub struct Accepted {
    pub case: &'static str,
    pub object: &'static str,
}

/// What must be refused and what must be taken, of one kind.
pub struct Table {
    pub refused: &'static [Refusal],
    pub refused_edits: &'static [RefusedEdit],
    pub accepted: &'static [Accepted],
}

impl Table {
    /// Sends every row to the API server and lists all that it judges otherwise.
    pub async fn hold<K: CustomResourceExt>(&self) {
        let Some(server) = ApiServer::connect().await else { return };
        server.install(&K::crd()).await;
        let mut wrong = Vec::new();
        for row in self.refused {
            let object = object::<K>(row.object, row.case);
            let judge = async || refused(&server.create(&object).await, row.field, row.because);
            wrong.extend(server.settle(judge).await.map(|why| (row.case, why)));
        }
        for row in self.refused_edits {
            let (before, after) = (object::<K>(row.before, row.case), object::<K>(row.after, row.case));
            let judge = async || refused(&server.edit(&before, &after).await, row.field, row.because);
            wrong.extend(server.settle(judge).await.map(|why| (row.case, why)));
        }
        for row in self.accepted {
            let object = object::<K>(row.object, row.case);
            let judge = async || accepted(&server.create(&object).await);
            wrong.extend(server.settle(judge).await.map(|why| (row.case, why)));
        }
        let rows = self.refused.len() + self.refused_edits.len() + self.accepted.len();
        let list = wrong.iter().map(|(case, why)| format!("\n- {case}\n{why}")).collect::<Vec<_>>().concat();
        assert!(wrong.is_empty(), "{} of {rows} rows are judged otherwise:{list}", wrong.len());
    }
}

/// The whole object of a row.
fn object<K: CustomResourceExt>(yaml: &str, case: &str) -> Value {
    let resource = K::api_resource();
    let mut object: Value = serde_saphyr::from_str(yaml).unwrap_or_else(|error| panic!("{case}: no YAML: {error}"));
    object["apiVersion"] = json!(resource.api_version);
    object["kind"] = json!(resource.kind);
    if object.pointer("/metadata/name").is_none() {
        object["metadata"]["name"] = json!("valid");
    }
    object
}

/// Why the verdict is not a refusal of this field alone, for this reason.
fn refused(verdict: &Verdict, field: &str, because: &str) -> Option<String> {
    let Err(status) = verdict else {
        return Some(format!("  expected: {field}: {because}\n  actual:   accepted"));
    };
    let causes = causes(status);
    let expected =
        causes.iter().all(|(blamed, _)| blamed == field) && causes.iter().any(|(_, message)| message.contains(because));
    (!expected).then(|| {
        let actual: Vec<_> = causes.iter().map(|(field, message)| format!("{field}: {message}")).collect();
        format!("  expected: {field}: {because}\n  actual:   {}", actual.join("\n            "))
    })
}

/// Why the verdict is not acceptance.
fn accepted(verdict: &Verdict) -> Option<String> {
    verdict.as_ref().err().map(|status| format!("  expected: accepted\n  actual:   {}", status.message))
}

/// The fields that a refusal blames, each with what it says of them. Unknown fields come without a list of causes.
fn causes(status: &Status) -> Vec<(String, String)> {
    let listed = status.details.iter().flat_map(|details| &details.causes);
    let causes: Vec<_> = listed
        .filter(|cause| !cause.message.contains("some validation rules were not checked"))
        // The scale subresource judges the replicas once more, and writes their path with a dot before it.
        .map(|cause| (cause.field.trim_start_matches('.').to_owned(), cause.message.clone()))
        .collect();
    if causes.is_empty() { vec![(String::new(), status.message.clone())] } else { causes }
}
