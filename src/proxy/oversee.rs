//! What goes on beside the requests: tables come into force, and their clusters are checked.

use std::{collections::HashMap, sync::Arc};

use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    backend::Backend, check, credentials, fleet::Fleet, gateway::Gateway, health::Checked, observe::Observer, probe,
    reason::Reason,
};
use crate::{routing::Router, trino::ClusterName};

/// Tells what the checks of a cluster find, as long as there is that cluster.
#[derive(Clone, Debug)]
pub(super) struct Teller {
    observer: Arc<Observer>,
    stop: CancellationToken,
}

impl Teller {
    /// Tells what is known of the cluster now.
    pub(super) fn cluster(&self, backend: &Backend) {
        // The metric of a cluster that is gone must not come back.
        if !self.stop.is_cancelled() {
            self.observer.meters.cluster(backend);
        }
    }

    /// Tells the result of a check.
    pub(super) fn checked(&self, backend: &Backend, checked: Checked, result: &Result<(), Reason>) {
        if !self.stop.is_cancelled() {
            self.observer.meters.checked(&backend.name, checked, result.as_ref().err());
        }
    }
}

/// The checking tasks of each cluster, and how to end them.
#[derive(Debug, Default)]
struct Checks {
    tasks: JoinSet<()>,
    running: HashMap<ClusterName, (Arc<Backend>, CancellationToken)>,
}

impl Checks {
    /// Ends the checks of clusters that are gone or have moved, and begins those of new ones. Returns the names of
    /// those that are gone.
    fn adapt(&mut self, gateway: &Gateway, fleet: &Fleet, shutdown: &CancellationToken) -> Vec<ClusterName> {
        let mut gone = Vec::new();
        self.running.retain(|name, (backend, stop)| {
            let now = fleet.backend(name.as_str());
            let stays = now.is_some_and(|now| Arc::ptr_eq(now, backend));
            if !stays {
                stop.cancel();
            }
            if now.is_none() {
                gone.push(name.clone());
            }
            stays
        });
        for backend in fleet.backends() {
            if self.running.contains_key(&backend.name) {
                continue;
            }
            let stop = shutdown.child_token();
            self.running.insert(backend.name.clone(), (backend.clone(), stop.clone()));
            let teller = Teller { observer: gateway.observer.clone(), stop: stop.clone() };
            let settings = &gateway.settings;
            self.tasks.spawn(probe::watch(backend.clone(), settings.clone(), teller.clone(), stop.clone()));
            self.tasks.spawn(check::watch(backend.clone(), settings.clone(), teller, stop));
        }
        gone
    }
}

/// Puts each new table into force, and owns the checks of its clusters, until `shutdown`.
pub(super) async fn oversee(
    gateway: Arc<Gateway>,
    mut tables: watch::Receiver<Option<Arc<Router>>>,
    shutdown: CancellationToken,
) {
    let mut checks = Checks::default();
    loop {
        let table = tables.borrow_and_update().clone();
        if let Some(router) = table {
            let before = gateway.fleet();
            let fleet = Arc::new(Fleet::new(router, before.as_deref(), &gateway.settings.load()));
            credentials::hand_out(&gateway.credentials.load(), &fleet);
            let gone = checks.adapt(&gateway, &fleet, &shutdown);
            gateway.observer.meters.table_in_force(&fleet.hash, &gone);
            gateway.put_into_force(fleet);
        }
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(ended) = checks.tasks.join_next() => if let Err(error) = ended {
                tracing::error!(%error, "the checks of a cluster ended: its health stays as it is");
            },
            changed = tables.changed() => if changed.is_err() {
                // Whoever wrote tables is gone: the last one stays in force.
                shutdown.cancelled().await;
                break;
            }
        }
    }
    while checks.tasks.join_next().await.is_some() {}
}
