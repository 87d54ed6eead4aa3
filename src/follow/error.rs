//! Why a routing table could not be had. Texts name the file or object, the field or line, and the mend.

use std::{io, path::PathBuf};

use crate::{routing::TableError, tuning};

/// Why a routing table is refused, or could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("{}: it cannot be read", .file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is larger than any sensible one.
    #[error("{}: it is over {limit} bytes", .file.display())]
    TooLong {
        /// The file.
        file: PathBuf,
        /// The most that is read.
        limit: u64,
    },
    /// A standalone file is not of the shape that `examples/standalone.yaml` shows.
    #[error("{}: {fault}", .file.display())]
    Yaml {
        /// The file.
        file: PathBuf,
        /// What is wrong, with line and column.
        fault: String,
    },
    /// A `caFile` holds no certificate.
    #[error("{}: groups[{group}].clusters[{cluster}].caFile: {} holds no certificate in PEM (-----BEGIN CERTIFICATE-----)",
        .file.display(), .ca_file.display())]
    NoCertificate {
        /// The standalone file.
        file: PathBuf,
        /// The cluster's group.
        group: String,
        /// The cluster.
        cluster: String,
        /// What its `caFile` names.
        ca_file: PathBuf,
    },
    /// An `eventTokenFile` holds no token.
    #[error("{}: groups[{group}].clusters[{cluster}].eventTokenFile: {} must hold a token of 16 or more visible ASCII \
        characters, and nothing else; openssl rand -hex 32 makes one", .file.display(), .token_file.display())]
    NoToken {
        /// The standalone file.
        file: PathBuf,
        /// The cluster's group.
        group: String,
        /// The cluster.
        cluster: String,
        /// What its `eventTokenFile` names.
        token_file: PathBuf,
    },
    /// A file that should hold a credential does not.
    #[error("{}: this is no credential: write user:password into it, or JSON with url and authorization", .file.display())]
    NoCredential {
        /// The file.
        file: PathBuf,
    },
    /// The table itself is at fault.
    #[error("{origin}: {fault}")]
    Table {
        /// The file or the object that holds it.
        origin: String,
        /// The fault; it names its field.
        fault: TableError,
    },
    /// A document with settings says what cannot be.
    #[error("{}: {fault}", .file.display())]
    Tuning {
        /// The document.
        file: PathBuf,
        /// The fault; it names its key.
        fault: tuning::Error,
    },
    /// The Kubernetes API cannot even be tried.
    #[error("the Kubernetes API cannot be reached: run in a pod, or with a kubeconfig")]
    Kubernetes(#[source] Box<kube::Error>),
}

impl Error {
    /// The message and its causes in one line, for logs that show one field.
    pub(super) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}
