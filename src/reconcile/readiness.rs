//! Whether the operator sees what it must see, and what is missing.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use kube::runtime::watcher;
use tracing::warn;

/// The state of each watch. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    watches: Arc<Mutex<BTreeMap<String, Watch>>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Watch {
    Starting,
    Failing(String),
    Synced,
}

impl Readiness {
    /// What is missing until all objects were seen once; none when nothing is. A watch that breaks later is no reason to be
    /// unready: the reconcilers go on with what they know.
    pub fn missing(&self) -> Option<String> {
        let watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        let missing: Vec<_> = watches
            .iter()
            .filter_map(|(kind, watch)| match watch {
                Watch::Synced => None,
                Watch::Starting => Some(format!("{kind}: not listed yet")),
                Watch::Failing(why) => Some(format!("{kind}: {why}")),
            })
            .collect();
        (!missing.is_empty()).then(|| missing.join("\n"))
    }

    pub(super) fn expect(&self, kind: &str) {
        self.set(kind, |watch| watch.unwrap_or(Watch::Starting));
    }

    pub(super) fn seen(&self, kind: &str) {
        self.set(kind, |_| Watch::Synced);
    }

    pub(super) fn failed(&self, kind: &str, error: &watcher::Error) {
        let why = explain(error);
        warn!(kind, error = %why, "watch failed");
        self.set(kind, |watch| if watch == Some(Watch::Synced) { Watch::Synced } else { Watch::Failing(why) });
    }

    fn set(&self, kind: &str, to: impl FnOnce(Option<Watch>) -> Watch) {
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        let next = to(watches.get(kind).cloned());
        watches.insert(kind.to_owned(), next);
    }
}

fn explain(error: &watcher::Error) -> String {
    let (watcher::Error::InitialListFailed(source) | watcher::Error::WatchStartFailed(source)) = error else {
        return error.to_string();
    };
    match source {
        kube::Error::Api(status) if status.is_not_found() => {
            "the API server does not know this kind: install the CRDs (warren crds | kubectl apply --server-side -f -)"
                .to_owned()
        }
        kube::Error::Api(status) if status.is_forbidden() => {
            format!("{}: give the operator's ServiceAccount the right to list and watch it", status.message)
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_until_it_was_seen() {
        let readiness = Readiness::default();
        readiness.expect("pods");
        readiness.expect("services");
        readiness.seen("services");
        assert_eq!(readiness.missing().as_deref(), Some("pods: not listed yet"));
        readiness.seen("pods");
        assert_eq!(readiness.missing(), None);
    }
}
