//! Why a reconciliation ended early, and what follows from it.

use kube::runtime::finalizer;

use super::issue::IssueError;
use crate::{
    api::Conditions,
    desired::{
        InvalidField, authority::CA_SECRET, catalogs::CatalogError, certificate::Unreadable, cluster, proxy_group,
    },
    routing::TableError,
};

/// Why a reconciliation ended early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The spec asks for what cannot be done.
    #[error("{0}")]
    Cluster(#[from] cluster::RenderError),
    /// The catalogs that the spec picks contradict each other, or others.
    #[error("spec.{0}")]
    Catalogs(#[source] CatalogError),
    /// The same, in the template of a group.
    #[error("spec.template.spec.{0}")]
    GroupCatalogs(#[source] CatalogError),
    /// The spec asks for what cannot be done.
    #[error("{0}")]
    Proxies(#[from] proxy_group::RenderError),
    /// The spec holds a bad duration.
    #[error("{0}")]
    Field(#[from] InvalidField),
    /// The routing table would be refused by the proxies.
    #[error("the routing table is not published: {0}")]
    Table(#[from] TableError),
    /// An object of that name is there and is somebody else's.
    #[error("{kind} {name:?} exists and does not belong to this object: remove or rename one of the two")]
    Foreign {
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
    },
    /// What an earlier owner of the same name left behind is still being removed.
    #[error("{kind} {name:?} of an earlier object of the same name is still being removed")]
    Leftover {
        /// Kind of the object.
        kind: String,
        /// Its name.
        name: String,
    },
    /// What was rendered for a revision cannot be read back.
    #[error("ControllerRevision {0:?} cannot be read; delete it to have it rendered again")]
    Rendered(String, #[source] serde_json::Error),
    /// What was rendered for a revision lacks a part.
    #[error("ControllerRevision {0:?} lacks a component; delete it to have it rendered again")]
    Incomplete(String),
    /// The API server said no, or did not answer.
    #[error("cannot {step}: {}", api_message(source))]
    Api {
        /// What was tried, for example `apply Deployment "a"`.
        step: String,
        /// Its answer.
        #[source]
        source: kube::Error,
    },
    /// No certificate can be made.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// The CA's Secret is not what Warren made.
    #[error(
        "Secret {CA_SECRET:?} in namespace {0:?} cannot be read: {1}; delete it to have a new CA made, which nobody trusts yet"
    )]
    AuthorityUnreadable(String, Unreadable),
    /// A Secret has been written by others again and again.
    #[error("Secret {0:?} is written by somebody else, too")]
    Contended(String),
    /// What is being removed is not gone yet; its going wakes the reconciler.
    #[error("waiting for what belongs to this object to be gone")]
    StillThere,
    /// What is being removed still has queries.
    #[error("waiting for the running queries")]
    StillDraining,
    /// The object itself is gone: nothing is left to do.
    #[error("the object is gone")]
    Gone,
    /// The finalizer could not be set or removed.
    #[error("cannot change the finalizer")]
    Finalizer(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What follows from an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Shown in a condition; an edit mends it.
    Invalid,
    /// Shown in a condition; an event or some time mends it.
    Waiting,
    /// Tried again with growing delays.
    Transient,
    /// Nothing follows.
    Gone,
}

impl Error {
    /// The error that `source` is, met on trying `step`.
    pub(super) fn api(step: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let step = step.into();
        move |source| Self::Api { step, source }
    }

    /// What follows from it.
    pub fn class(&self) -> Class {
        match self {
            Self::Cluster(_)
            | Self::Catalogs(_)
            | Self::GroupCatalogs(_)
            | Self::Proxies(_)
            | Self::Field(_)
            | Self::Table(_)
            | Self::Foreign { .. }
            | Self::AuthorityUnreadable(..)
            | Self::Rendered(..)
            | Self::Incomplete(_) => Class::Invalid,
            Self::Leftover { .. } | Self::StillThere | Self::StillDraining => Class::Waiting,
            Self::Gone => Class::Gone,
            // What is left of the namespace is being deleted too; its going wakes the reconciler.
            Self::Api { source: kube::Error::Api(status), .. } if is_terminating(status) => Class::Gone,
            Self::Api { source: kube::Error::Api(status), .. } if status.is_forbidden() || status.is_invalid() => {
                Class::Invalid
            }
            Self::Api { .. } | Self::Finalizer(_) | Self::Issue(_) | Self::Contended(_) => Class::Transient,
        }
    }

    /// One word for conditions, events and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Cluster(_) | Self::Proxies(_) | Self::Field(_) => "InvalidSpec",
            Self::Catalogs(_) | Self::GroupCatalogs(_) => "CatalogConflict",
            Self::Table(_) => "InvalidRoutingTable",
            Self::Foreign { .. } => "NameTaken",
            Self::Leftover { .. } => "LeftoverBeingRemoved",
            Self::AuthorityUnreadable(..) => "AuthorityUnreadable",
            Self::Issue(_) => "CertificateNotIssued",
            Self::Contended(_) => "SecretContended",
            Self::StillThere => "Terminating",
            Self::StillDraining => "Draining",
            Self::Gone => "Gone",
            Self::Rendered(..) | Self::Incomplete(_) => "RevisionUnreadable",
            Self::Api { source: kube::Error::Api(status), .. } if status.is_forbidden() => "Forbidden",
            Self::Api { source: kube::Error::Api(status), .. } if status.is_invalid() => "RefusedByApiServer",
            Self::Api { .. } => "ApiServerError",
            Self::Finalizer(_) => "FinalizerError",
        }
    }

    /// The conditions that show it; none for what passes by itself.
    pub(super) fn conditions(&self, serving: bool) -> Option<Conditions> {
        let (reason, message) = (self.reason(), self.to_string());
        match self.class() {
            // Whoever removes has said what it waits for.
            _ if matches!(self, Self::StillThere | Self::StillDraining) => None,
            Class::Invalid => Some(Conditions::Stalled { serving, reason, message }),
            Class::Waiting => Some(Conditions::Reconciling { serving, reason, message }),
            Class::Transient | Class::Gone => None,
        }
    }
}

impl From<finalizer::Error<Error>> for Error {
    fn from(error: finalizer::Error<Error>) -> Self {
        match error {
            finalizer::Error::ApplyFailed(error) | finalizer::Error::CleanupFailed(error) => error,
            finalizer::Error::AddFinalizer(source) => Self::api("add the finalizer")(source),
            finalizer::Error::RemoveFinalizer(kube::Error::Api(status)) if status.is_not_found() => Self::Gone,
            finalizer::Error::RemoveFinalizer(source) => Self::api("remove the finalizer")(source),
            other => Self::Finalizer(Box::new(other)),
        }
    }
}

/// Whether the API server refused because the namespace is being deleted.
fn is_terminating(status: &kube::core::Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
}

/// The API server's message alone; kube's own text repeats the whole status.
fn api_message(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}
