//! What the API server holds, as far as Warren looks: one watch for each kind, shared by all reconcilers, and the rules by
//! which a change of one object wakes the reconciler of another.

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
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::{malformed, readiness::Readiness};
use crate::{
    api::{ProxyGroup, TrinoCluster, TrinoClusterGroup, TrinoGateway},
    desired::labels::{CLUSTER, GATEWAY, GROUP, MANAGED_BY, PROXY_GROUP, WARREN},
};

/// Wake-ups that wait for their reconciler; a watch that is faster waits in turn.
const QUEUE: usize = 1024;

/// A snapshot of each watched kind.
pub struct Index {
    /// All gateways.
    pub gateways: Store<TrinoGateway>,
    /// All groups.
    pub groups: Store<TrinoClusterGroup>,
    /// All clusters, those made by hand too.
    pub clusters: Store<TrinoCluster>,
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

/// The objects to reconcile, one queue for each reconciler.
pub struct Queues {
    /// Gateways.
    pub gateways: mpsc::Receiver<ObjectRef<TrinoGateway>>,
    /// Groups.
    pub groups: mpsc::Receiver<ObjectRef<TrinoClusterGroup>>,
    /// Clusters.
    pub clusters: mpsc::Receiver<ObjectRef<TrinoCluster>>,
    /// Proxy groups.
    pub proxy_groups: mpsc::Receiver<ObjectRef<ProxyGroup>>,
}

#[derive(Clone)]
struct Wakers {
    gateways: mpsc::Sender<ObjectRef<TrinoGateway>>,
    groups: mpsc::Sender<ObjectRef<TrinoClusterGroup>>,
    clusters: mpsc::Sender<ObjectRef<TrinoCluster>>,
    proxy_groups: mpsc::Sender<ObjectRef<ProxyGroup>>,
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

fn queues() -> (Wakers, Queues) {
    let (gateways, gateways_queue) = mpsc::channel(QUEUE);
    let (groups, groups_queue) = mpsc::channel(QUEUE);
    let (clusters, clusters_queue) = mpsc::channel(QUEUE);
    let (proxy_groups, proxy_groups_queue) = mpsc::channel(QUEUE);
    (
        Wakers { gateways, groups, clusters, proxy_groups },
        Queues {
            gateways: gateways_queue,
            groups: groups_queue,
            clusters: clusters_queue,
            proxy_groups: proxy_groups_queue,
        },
    )
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

/// An object whose reconciler is to look.
enum Wake {
    Gateway(ObjectRef<TrinoGateway>),
    Group(ObjectRef<TrinoClusterGroup>),
    Cluster(ObjectRef<TrinoCluster>),
    ProxyGroup(ObjectRef<ProxyGroup>),
}

impl Wakers {
    /// Queues a wake-up; whether the queue's receiver is still there.
    async fn send(&self, wake: Wake) -> bool {
        match wake {
            Wake::Gateway(object) => self.gateways.send(object).await.is_ok(),
            Wake::Group(object) => self.groups.send(object).await.is_ok(),
            Wake::Cluster(object) => self.clusters.send(object).await.is_ok(),
            Wake::ProxyGroup(object) => self.proxy_groups.send(object).await.is_ok(),
        }
    }
}

/// Whom a change of an object wakes.
trait Wakes {
    fn wakes(&self, index: &Index) -> Vec<Wake>;
}

impl Wakes for TrinoGateway {
    fn wakes(&self, index: &Index) -> Vec<Wake> {
        let (name, namespace) = (self.name_any(), self.namespace());
        let followers = index
            .proxy_groups
            .state_filter(|proxies| proxies.namespace() == namespace && proxies.spec.gateway.name == name);
        let followers = followers.iter().map(|proxies| Wake::ProxyGroup(ObjectRef::from_obj(&**proxies)));
        std::iter::once(Wake::Gateway(ObjectRef::from_obj(self))).chain(followers).collect()
    }
}

impl Wakes for TrinoClusterGroup {
    fn wakes(&self, index: &Index) -> Vec<Wake> {
        let mut wakes = gateways(self.metadata.namespace.as_deref(), index);
        wakes.push(Wake::Group(ObjectRef::from_obj(self)));
        wakes
    }
}

impl Wakes for TrinoCluster {
    fn wakes(&self, index: &Index) -> Vec<Wake> {
        let mut wakes = gateways(self.metadata.namespace.as_deref(), index);
        wakes.push(Wake::Cluster(ObjectRef::from_obj(self)));
        if let (Some(group), Some(namespace)) = (label(self, GROUP), self.namespace()) {
            wakes.push(Wake::Group(ObjectRef::new(group).within(&namespace)));
        }
        wakes
    }
}

impl Wakes for ProxyGroup {
    fn wakes(&self, _: &Index) -> Vec<Wake> {
        // Of those that serve some groups only, the gateway makes the table.
        let gateway = self.namespace().filter(|_| self.spec.groups.is_some());
        let gateway = gateway.map(|namespace| ObjectRef::new(&self.spec.gateway.name).within(&namespace));
        std::iter::once(Wake::ProxyGroup(ObjectRef::from_obj(self))).chain(gateway.map(Wake::Gateway)).collect()
    }
}

/// What Warren makes wakes the owner that its labels name.
macro_rules! wakes_owner {
    ($($kind:ty),* $(,)?) => {$(
        impl Wakes for $kind {
            fn wakes(&self, _: &Index) -> Vec<Wake> {
                owner(self).into_iter().collect()
            }
        }
    )*};
}

wakes_owner!(
    Pod,
    Deployment,
    ControllerRevision,
    Service,
    ConfigMap,
    ServiceAccount,
    NetworkPolicy,
    PodDisruptionBudget,
    Role,
    RoleBinding,
    HorizontalPodAutoscaler,
);

fn owner(object: &impl Resource<DynamicType = ()>) -> Option<Wake> {
    let namespace = object.meta().namespace.as_deref()?;
    if let Some(cluster) = label(object, CLUSTER) {
        return Some(Wake::Cluster(ObjectRef::new(cluster).within(namespace)));
    }
    if let Some(proxies) = label(object, PROXY_GROUP) {
        return Some(Wake::ProxyGroup(ObjectRef::new(proxies).within(namespace)));
    }
    label(object, GATEWAY).map(|gateway| Wake::Gateway(ObjectRef::new(gateway).within(namespace)))
}

fn gateways(namespace: Option<&str>, index: &Index) -> Vec<Wake> {
    let gateways = index.gateways.state_filter(|gateway| gateway.metadata.namespace.as_deref() == namespace);
    gateways.iter().map(|gateway| Wake::Gateway(ObjectRef::from_obj(&**gateway))).collect()
}

/// The value of a label of `object`.
pub fn label<'a>(object: &'a impl Resource, key: &str) -> Option<&'a str> {
    let labels: Option<&BTreeMap<String, String>> = object.meta().labels.as_ref();
    labels?.get(key).map(String::as_str)
}
