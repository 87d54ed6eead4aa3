//! An image reference from the parts that a spec gives.

use k8s_openapi::api::core::v1::LocalObjectReference;

use crate::api::{Image, PullPolicy};

/// How a container gets its image.
pub(super) struct ImageSource {
    /// `repository:tag` or `repository@digest`.
    pub(super) reference: String,
    /// `imagePullPolicy`.
    pub(super) pull_policy: String,
    /// `imagePullSecrets`, none when empty.
    pub(super) pull_secrets: Option<Vec<LocalObjectReference>>,
}

/// The source of an image of which the user left out some or all; `repository` and `tag` stand in.
pub(super) fn source(image: Option<&Image>, repository: &str, tag: &str) -> ImageSource {
    let image = image.cloned().unwrap_or_default();
    let repository = image.repository.as_deref().unwrap_or(repository);
    let reference = match &image.digest {
        Some(digest) => format!("{repository}@{digest}"),
        None => format!("{repository}:{}", image.tag.as_deref().unwrap_or(tag)),
    };
    let pull_policy = match image.pull_policy.unwrap_or(PullPolicy::IfNotPresent) {
        PullPolicy::Always => "Always",
        PullPolicy::Never => "Never",
        PullPolicy::IfNotPresent => "IfNotPresent",
    };
    let secrets: Vec<_> =
        image.pull_secrets.into_iter().map(|secret| LocalObjectReference { name: secret.name }).collect();
    ImageSource {
        reference,
        pull_policy: pull_policy.to_owned(),
        pull_secrets: (!secrets.is_empty()).then_some(secrets),
    }
}
