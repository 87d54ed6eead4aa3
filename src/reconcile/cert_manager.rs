//! Asks cert-manager for the certificate of a cluster: keeps the Certificate object, and tells what cert-manager says of it. Its
//! objects are not watched, and of issuers nothing is read.

use std::time::Duration;

use kube::{
    Api, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, Preconditions},
};
use serde_json::Value;

use super::{
    apply::covers,
    certificates,
    context::{Context, FIELD_MANAGER},
    error::Error,
    index::label,
};
use crate::{
    api::{CertManager, CertificateStatus},
    desired::{
        cluster::{ClusterIdentity, Leaf},
        labels::{MANAGED_BY, WARREN, component::COORDINATOR},
    },
    lifecycle::passed,
};

/// How long a Certificate may take that was just made.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks for a certificate, and looks at what was made, which is nothing yet of a Certificate that is new; or says what is wrong.
pub(super) async fn settle(
    context: &Context,
    identity: &ClusterIdentity,
    leaf: &Leaf,
    manager: &CertManager,
) -> Result<Result<Option<CertificateStatus>, String>, Error> {
    let certificate = match request(context, identity, leaf, manager).await {
        Ok(certificate) => certificate,
        // Without cert-manager, or against its word, what the cluster has goes on.
        Err(error) if is_missing(&error) => {
            let fault =
                "the API server does not know cert-manager's Certificates; install cert-manager, or remove this";
            return Ok(Err(fault.to_owned()));
        }
        Err(kube::Error::Api(status)) => {
            return Ok(Err(format!("Certificate {:?} cannot be applied: {}", leaf.secret, status.message)));
        }
        Err(error) => return Err(Error::api(format!("apply Certificate {:?}", leaf.secret))(error)),
    };
    let found = certificates::kept(context, identity, leaf).await?;
    let made = certificate.metadata.creation_timestamp.as_ref();
    let is_new = made.is_some_and(|made| passed(made.0, context.now()) < PATIENCE);
    Ok(match found {
        Ok(status) => Ok(Some(status)),
        Err(_) if is_new => Ok(None),
        Err(fault) => Err(explained(&fault, &certificate.data, manager)),
    })
}

/// What is wrong with the Secret, with what cert-manager says of its Certificate.
fn explained(fault: &str, certificate: &Value, manager: &CertManager) -> String {
    let issuer = &manager.issuer_ref;
    let kind = issuer.kind.as_deref().unwrap_or("Issuer");
    let said = said(certificate).map_or_else(
        || "has said nothing of its Certificate; does it run?".to_owned(),
        |said| format!("says of its Certificate: {said}"),
    );
    format!("{fault}; cert-manager {said} See whether {kind} {:?} of issuerRef is there and ready", issuer.name)
}

/// The message of the condition that tells why a Certificate is not ready, as a sentence.
fn said(certificate: &Value) -> Option<String> {
    let conditions = certificate["status"]["conditions"].as_array()?;
    // `Issuing` is there while it is issued, and stays as False after it has failed.
    let of = |type_: &str| conditions.iter().find(|found| found["type"] == type_ && found["status"] == "False");
    let message = of("Issuing").or_else(|| of("Ready"))?["message"].as_str()?;
    Some(format!("{}.", message.trim_end_matches('.')))
}

/// The Certificate as it stands, which is as it is wanted.
async fn request(
    context: &Context,
    identity: &ClusterIdentity,
    leaf: &Leaf,
    manager: &CertManager,
) -> kube::Result<DynamicObject> {
    let certificates = certificates_of(context, &identity.namespace);
    let wanted = identity.certificate_request(leaf, manager);
    if let Some(found) = look_up(&certificates, &leaf.secret).await?
        && serde_json::to_value(&found).is_ok_and(|found| covers(&found, &wanted, ""))
    {
        return Ok(found);
    }
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    let applied = certificates.patch(&leaf.secret, &parameters, &Patch::Apply(&wanted)).await;
    context.metrics.wrote("Certificate", "apply");
    applied
}

/// Whether there is no such object, or no such kind: then the API server's answer is a text, and no status of its.
fn is_missing(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

async fn look_up(certificates: &Api<DynamicObject>, name: &str) -> kube::Result<Option<DynamicObject>> {
    match certificates.get(name).await {
        Err(error) if is_missing(&error) => Ok(None),
        found => found.map(Some),
    }
}

fn certificates_of(context: &Context, namespace: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("cert-manager.io", "v1", "Certificate");
    Api::namespaced_with(context.client.clone(), namespace, &ApiResource::from_gvk(&kind))
}

/// Removes the Certificate of a cluster, if there is one. While it is there, cert-manager makes its Secret again.
pub(super) async fn remove(context: &Context, identity: &ClusterIdentity) -> Result<(), Error> {
    let (name, certificates) =
        (identity.certificate_secret_name(COORDINATOR), certificates_of(context, &identity.namespace));
    let found = look_up(&certificates, &name).await.map_err(Error::api(format!("look up Certificate {name:?}")))?;
    let Some(found) = found.filter(|found| label(found, MANAGED_BY) == Some(WARREN)) else { return Ok(()) };
    let preconditions = Some(Preconditions { uid: found.uid(), resource_version: None });
    let deleted = certificates.delete(&name, &DeleteParams { preconditions, ..DeleteParams::default() }).await;
    context.metrics.wrote("Certificate", "delete");
    match deleted {
        Ok(_) => Ok(()),
        Err(error) if is_missing(&error) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_conflict() => Ok(()),
        Err(error) => Err(Error::api(format!("delete Certificate {name:?}"))(error)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_cert_manager_says_is_told_with_the_issuer() {
        let manager: CertManager =
            serde_saphyr::from_str("issuerRef: {name: nowhere, kind: ClusterIssuer}").expect("a reference");
        let condition =
            |type_: &str, status: &str, message: &str| json!({"type": type_, "status": status, "message": message});
        let told = |conditions: Value| explained("no Secret", &json!({"status": {"conditions": conditions}}), &manager);
        let see = "See whether ClusterIssuer \"nowhere\" of issuerRef is there and ready";
        let pending = condition("Ready", "False", "Issuing certificate as Secret does not exist");
        assert_eq!(
            told(json!([condition("Issuing", "True", "x"), pending])),
            format!(
                "no Secret; cert-manager says of its Certificate: Issuing certificate as Secret does not exist. {see}"
            )
        );
        assert_eq!(
            told(json!([pending, condition("Issuing", "False", "The request has failed.")])),
            format!("no Secret; cert-manager says of its Certificate: The request has failed. {see}")
        );
        let silent = format!("no Secret; cert-manager has said nothing of its Certificate; does it run? {see}");
        assert_eq!(told(json!([])), silent);
    }
}
