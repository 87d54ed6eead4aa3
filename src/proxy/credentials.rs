//! By what the proxy asks clusters, for what it asks by itself. No request of a client ever gets one of them.

use std::collections::HashMap;

use super::{fleet::Fleet, gateway::Gateway};
use crate::{routing::Credential, trino::ClusterName};

/// What is known.
pub(super) type Known = HashMap<ClusterName, Credential>;

/// From now on `known` is what is known.
pub(super) fn set(gateway: &Gateway, known: Known) {
    gateway.credentials.store(known.into());
    if let Some(fleet) = gateway.fleet() {
        hand_out(&gateway.credentials.load(), &fleet);
    }
}

/// Gives each cluster its own.
pub(super) fn hand_out(known: &Known, fleet: &Fleet) {
    for backend in fleet.backends() {
        let own = known.get(&backend.name);
        backend.set_credential(own.filter(|own| own.is_for(backend.address())));
    }
}
