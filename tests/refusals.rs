//! Objects that the API server must refuse, each with the field and the mend, and objects that it must take.
//!
//! It needs a real API server, which `KUBECONFIG` names; without one each test says that it is skipped, and passes.
//! `make test` sets it. The CRDs of this source tree are applied to that server and stay there; nothing else stays.

#[path = "refusals/api_server.rs"]
mod api_server;
#[path = "refusals/catalog.rs"]
mod catalog;
#[path = "refusals/cluster.rs"]
mod cluster;
#[path = "refusals/examples.rs"]
mod examples;
#[path = "refusals/gateway.rs"]
mod gateway;
#[path = "refusals/group.rs"]
mod group;
#[path = "refusals/proxy_group.rs"]
mod proxy_group;
#[path = "refusals/table.rs"]
mod table;
