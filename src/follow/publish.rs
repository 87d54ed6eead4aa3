//! The sending end of the channel: compiles what a source read, and refuses what cannot be used.

use std::{fmt, sync::Arc};

use tokio::sync::watch;

use super::Error;
use crate::routing::{Router, RoutingTable};

/// The routing table in force; `None` until the first good one was read.
pub type Tables = watch::Receiver<Option<Arc<Router>>>;

type OnRefusal = dyn Fn(&Error) + Send + Sync;

/// Puts tables into force. There is one per process, owned by the source that it was given to.
pub struct Publisher {
    tables: watch::Sender<Option<Arc<Router>>>,
    on_refusal: Box<OnRefusal>,
    /// The fault that was told last: a source that reads the same fault again and again tells it once.
    last_fault: Option<String>,
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").field("last_fault", &self.last_fault).finish_non_exhaustive()
    }
}

/// A channel for tables; `on_refusal` is called once for each refused one, for a counter. It must not block.
pub fn channel(on_refusal: impl Fn(&Error) + Send + Sync + 'static) -> (Publisher, Tables) {
    let (tables, receiver) = watch::channel(None);
    (Publisher { tables, on_refusal: Box::new(on_refusal), last_fault: None }, receiver)
}

impl Publisher {
    /// Puts `table`, read from `origin`, into force, unless it is the one in force already. Returns whether it was
    /// good.
    pub(super) fn offer(&mut self, origin: &str, table: Result<RoutingTable, Error>) -> bool {
        let compiled = table.and_then(|table| {
            Router::compile(table).map_err(|fault| Error::Table { origin: origin.to_owned(), fault })
        });
        match compiled {
            Ok(router) => {
                self.last_fault = None;
                self.publish(origin, router);
                true
            }
            Err(fault) => {
                self.refuse(&fault);
                false
            }
        }
    }

    fn publish(&self, origin: &str, router: Router) {
        let same = self.tables.borrow().as_ref().is_some_and(|current| current.table() == router.table());
        if same {
            return;
        }
        let clusters = router.clusters().count();
        tracing::info!(origin, hash = router.table().hash(), clusters, "a routing table is in force");
        self.tables.send_replace(Some(Arc::new(router)));
    }

    fn refuse(&mut self, fault: &Error) {
        let text = fault.chain();
        if self.last_fault.as_ref() == Some(&text) {
            return;
        }
        let in_force = self.tables.borrow().as_ref().map(|router| router.table().hash());
        tracing::error!(fault = text, in_force, "a routing table is refused; the one in force stays");
        (self.on_refusal)(fault);
        self.last_fault = Some(text);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn table(json: &str) -> RoutingTable {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_bad_table_is_counted_once_and_the_last_good_one_stays() {
        let refused = Arc::new(AtomicUsize::new(0));
        let counter = refused.clone();
        let (mut publisher, tables) = channel(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        assert!(tables.borrow().is_none());
        let good = table(r#"{"groups": [{"name": "adhoc"}], "routing": {"default": {"group": "adhoc"}}}"#);
        let bad = table(r#"{"routing": {"default": {"group": "none"}}}"#);
        assert!(publisher.offer("test", Ok(good.clone())));
        assert!(!publisher.offer("test", Ok(bad.clone())));
        assert!(!publisher.offer("test", Ok(bad)));
        assert_eq!(refused.load(Ordering::Relaxed), 1);
        assert_eq!(tables.borrow().as_ref().unwrap().table(), &good);
    }

    #[test]
    fn the_same_table_again_wakes_nobody() {
        let (mut publisher, mut tables) = channel(|_| ());
        let good = table(r#"{"groups": [{"name": "adhoc"}]}"#);
        publisher.offer("test", Ok(good.clone()));
        assert!(tables.borrow_and_update().is_some());
        publisher.offer("test", Ok(good));
        assert!(!tables.has_changed().unwrap());
    }
}
