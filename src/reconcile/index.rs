//! What the API server holds, as far as Warren looks: one watch for each kind, shared by all reconcilers. Whom a change wakes
//! stands in `wakes`.

use std::{collections::BTreeMap, fmt::Debug, sync::Arc};

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::{
    apps::v1::{ControllerRevision, Deployment},
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{ConfigMap, Pod, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
    rbac::v1::{Role, RoleBinding},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    runtime::{
        WatchStreamExt,
        reflector::{self, ObjectRef, Store, store::Writer},
        watcher,
    },
};
use serde::de::DeserializeOwned;
use tokio_util::task::TaskTracker;

use super::{
    malformed,
    readiness::Readiness,
    wakes::{Queues, Wakers, Wakes, queues},
};
use crate::{
    api::{ProxyGroup, TrinoCatalog, TrinoCluster, TrinoClusterGroup, TrinoGateway},
    desired::labels::{MANAGED_BY, WARREN},
};

/// A snapshot of each watched kind.
pub struct Index {
    /// All gateways.
    pub gateways: Store<TrinoGateway>,
    /// All groups.
    pub groups: Store<TrinoClusterGroup>,
    /// All clusters, those made by hand too.
    pub clusters: Store<TrinoCluster>,
    /// All catalogs.
    pub catalogs: Store<TrinoCatalog>,
    /// All proxy groups.
    pub proxy_groups: Store<ProxyGroup>,
    pods: Store<Pod>,
    deployments: Store<Deployment>,
    revisions: Store<ControllerRevision>,
    services: Store<Service>,
    config_maps: Store<ConfigMap>,
    service_accounts: Store<ServiceAccount>,
    network_policies: Store<NetworkPolicy>,
    disruption_budgets: Store<PodDisruptionBudget>,
    roles: Store<Role>,
    role_bindings: Store<RoleBinding>,
    autoscalers: Store<HorizontalPodAutoscaler>,
}

/// A kind that is watched.
pub trait Watched:
    Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
    + Clone
    + Debug
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    /// Its objects in `index`.
    fn store(index: &Index) -> &Store<Self>;

    /// The objects of `namespace` whose label `key` has `value`.
    fn labelled(index: &Index, namespace: &str, key: &str, value: &str) -> Vec<Arc<Self>> {
        Self::store(index).state_filter(|object| {
            object.meta().namespace.as_deref() == Some(namespace) && label(object, key) == Some(value)
        })
    }

    /// The object of that name.
    fn named(index: &Index, namespace: &str, name: &str) -> Option<Arc<Self>> {
        Self::store(index).get(&ObjectRef::new(name).within(namespace))
    }
}

macro_rules! watched {
    ($($kind:ty => $field:ident),* $(,)?) => {$(
        impl Watched for $kind {
            fn store(index: &Index) -> &Store<Self> {
                &index.$field
            }
        }
    )*};
}

watched! {
    TrinoGateway => gateways,
    TrinoClusterGroup => groups,
    TrinoCluster => clusters,
    TrinoCatalog => catalogs,
    ProxyGroup => proxy_groups,
    Pod => pods,
    Deployment => deployments,
    ControllerRevision => revisions,
    Service => services,
    ConfigMap => config_maps,
    ServiceAccount => service_accounts,
    NetworkPolicy => network_policies,
    PodDisruptionBudget => disruption_budgets,
    Role => roles,
    RoleBinding => role_bindings,
    HorizontalPodAutoscaler => autoscalers,
}

/// Where the operator looks.
#[derive(Clone, Debug)]
pub enum Scope {
    /// In all namespaces.
    All,
    /// In this one alone.
    Namespace(String),
}

impl Scope {
    fn api<K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>>(
        &self,
        client: &Client,
    ) -> Api<K> {
        match self {
            Self::All => Api::all(client.clone()),
            Self::Namespace(namespace) => Api::namespaced(client.clone(), namespace),
        }
    }
}

/// Starts all watches on `tasks`; they end when the receivers of the queues are gone. What cannot be watched, and why, is
/// told to `readiness`.
pub fn start(client: &Client, scope: &Scope, tasks: &TaskTracker, readiness: &Readiness) -> (Arc<Index>, Queues) {
    let (gateways, gateways_writer) = reflector::store();
    let (groups, groups_writer) = reflector::store();
    let (clusters, clusters_writer) = reflector::store();
    let (catalogs, catalogs_writer) = reflector::store();
    let (proxy_groups, proxy_groups_writer) = reflector::store();
    let (pods, pods_writer) = reflector::store();
    let (deployments, deployments_writer) = reflector::store();
    let (revisions, revisions_writer) = reflector::store();
    let (services, services_writer) = reflector::store();
    let (config_maps, config_maps_writer) = reflector::store();
    let (service_accounts, service_accounts_writer) = reflector::store();
    let (network_policies, network_policies_writer) = reflector::store();
    let (disruption_budgets, disruption_budgets_writer) = reflector::store();
    let (roles, roles_writer) = reflector::store();
    let (role_bindings, role_bindings_writer) = reflector::store();
    let (autoscalers, autoscalers_writer) = reflector::store();
    let index = Arc::new(Index {
        gateways,
        groups,
        clusters,
        catalogs,
        proxy_groups,
        pods,
        deployments,
        revisions,
        services,
        config_maps,
        service_accounts,
        network_policies,
        disruption_budgets,
        roles,
        role_bindings,
        autoscalers,
    });
    let (wakers, queues) = queues();
    let watches = Watches { client, scope, tasks, readiness, index: &index, wakers: &wakers };
    watches.own(gateways_writer);
    watches.own(groups_writer);
    watches.own(clusters_writer);
    watches.own(catalogs_writer);
    watches.own(proxy_groups_writer);
    watches.made(pods_writer);
    watches.made(deployments_writer);
    watches.made(revisions_writer);
    watches.made(services_writer);
    watches.made(config_maps_writer);
    watches.made(service_accounts_writer);
    watches.made(network_policies_writer);
    watches.made(disruption_budgets_writer);
    watches.made(roles_writer);
    watches.made(role_bindings_writer);
    watches.made(autoscalers_writer);
    (index, queues)
}

struct Watches<'a> {
    client: &'a Client,
    scope: &'a Scope,
    tasks: &'a TaskTracker,
    readiness: &'a Readiness,
    index: &'a Arc<Index>,
    wakers: &'a Wakers,
}

impl Watches<'_> {
    /// Watches one of Warren's own kinds. An object that does not fit the type is set aside and told so.
    fn own<K: Watched + Wakes>(&self, writer: Writer<K>) {
        let guarded = self.scope.api::<malformed::Guarded<K>>(self.client);
        let client = self.client.clone();
        let events = watcher(guarded, watcher::Config::default());
        let events = events.try_filter_map(move |event| malformed::set_aside(client.clone(), event));
        self.follow(writer, events);
    }

    /// Watches a kind that Warren makes: its own objects only.
    fn made<K: Watched + Wakes>(&self, writer: Writer<K>) {
        let own = watcher::Config::default().labels(&format!("{MANAGED_BY}={WARREN}"));
        self.follow(writer, watcher(self.scope.api::<K>(self.client), own));
    }

    fn follow<K: Watched + Wakes>(
        &self,
        writer: Writer<K>,
        events: impl futures::Stream<Item = Result<watcher::Event<K>, watcher::Error>> + Send + 'static,
    ) {
        let (index, wakers, readiness) = (self.index.clone(), self.wakers.clone(), self.readiness.clone());
        let kind = K::plural(&()).into_owned();
        readiness.expect(&kind);
        let events = events.default_backoff().modify(|object| {
            object.managed_fields_mut().clear();
        });
        let mut events = reflector::reflector(writer, events).boxed();
        self.tasks.spawn(async move {
            while let Some(event) = events.next().await {
                let object = match event {
                    Ok(
                        watcher::Event::Apply(object)
                        | watcher::Event::InitApply(object)
                        | watcher::Event::Delete(object),
                    ) => object,
                    Ok(watcher::Event::InitDone) => {
                        readiness.seen(&kind);
                        continue;
                    }
                    Ok(watcher::Event::Init) => continue,
                    Err(error) => {
                        readiness.failed(&kind, &error);
                        continue;
                    }
                };
                for wake in object.wakes(&index) {
                    if !wakers.send(wake).await {
                        return;
                    }
                }
            }
        });
    }
}

/// The value of a label of `object`.
pub fn label<'a>(object: &'a impl Resource, key: &str) -> Option<&'a str> {
    let labels: Option<&BTreeMap<String, String>> = object.meta().labels.as_ref();
    labels?.get(key).map(String::as_str)
}
