//! Whom a change of an object wakes, and the queues of those who are to look.

use k8s_openapi::api::{
    apps::v1::{ControllerRevision, Deployment},
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{ConfigMap, Pod, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
    rbac::v1::{Role, RoleBinding},
};
use kube::{Resource, ResourceExt, runtime::reflector::ObjectRef};
use tokio::sync::mpsc;

use super::{
    catalog, events,
    index::{Index, label},
};
use crate::{
    api::{ProxyGroup, TrinoCatalog, TrinoCluster, TrinoClusterGroup, TrinoGateway},
    desired::{
        catalogs,
        labels::{CLUSTER, GATEWAY, GROUP, PROXY_GROUP},
    },
};

/// Wake-ups that wait for their reconciler; a watch that is faster waits in turn.
const QUEUE: usize = 1024;

/// The objects to reconcile, one queue for each reconciler.
pub struct Queues {
    /// Gateways.
    pub gateways: mpsc::Receiver<ObjectRef<TrinoGateway>>,
    /// Groups.
    pub groups: mpsc::Receiver<ObjectRef<TrinoClusterGroup>>,
    /// Clusters.
    pub clusters: mpsc::Receiver<ObjectRef<TrinoCluster>>,
    /// Catalogs.
    pub catalogs: mpsc::Receiver<ObjectRef<TrinoCatalog>>,
    /// Proxy groups.
    pub proxy_groups: mpsc::Receiver<ObjectRef<ProxyGroup>>,
}

#[derive(Clone)]
pub(super) struct Wakers {
    gateways: mpsc::Sender<ObjectRef<TrinoGateway>>,
    groups: mpsc::Sender<ObjectRef<TrinoClusterGroup>>,
    clusters: mpsc::Sender<ObjectRef<TrinoCluster>>,
    catalogs: mpsc::Sender<ObjectRef<TrinoCatalog>>,
    proxy_groups: mpsc::Sender<ObjectRef<ProxyGroup>>,
}

/// The queues, and what fills them.
pub(super) fn queues() -> (Wakers, Queues) {
    let (gateways, gateways_queue) = mpsc::channel(QUEUE);
    let (groups, groups_queue) = mpsc::channel(QUEUE);
    let (clusters, clusters_queue) = mpsc::channel(QUEUE);
    let (catalogs, catalogs_queue) = mpsc::channel(QUEUE);
    let (proxy_groups, proxy_groups_queue) = mpsc::channel(QUEUE);
    (
        Wakers { gateways, groups, clusters, catalogs, proxy_groups },
        Queues {
            gateways: gateways_queue,
            groups: groups_queue,
            clusters: clusters_queue,
            catalogs: catalogs_queue,
            proxy_groups: proxy_groups_queue,
        },
    )
}

/// An object whose reconciler is to look.
pub(super) enum Wake {
    Gateway(ObjectRef<TrinoGateway>),
    Group(ObjectRef<TrinoClusterGroup>),
    Cluster(ObjectRef<TrinoCluster>),
    Catalog(ObjectRef<TrinoCatalog>),
    ProxyGroup(ObjectRef<ProxyGroup>),
}

impl Wakers {
    /// Queues a wake-up; whether the queue's receiver is still there.
    pub(super) async fn send(&self, wake: Wake) -> bool {
        match wake {
            Wake::Gateway(object) => self.gateways.send(object).await.is_ok(),
            Wake::Group(object) => self.groups.send(object).await.is_ok(),
            Wake::Cluster(object) => self.clusters.send(object).await.is_ok(),
            Wake::Catalog(object) => self.catalogs.send(object).await.is_ok(),
            Wake::ProxyGroup(object) => self.proxy_groups.send(object).await.is_ok(),
        }
    }
}

/// Whom a change of an object wakes.
pub(super) trait Wakes {
    fn wakes(&self, index: &Index) -> Vec<Wake>;
}

impl Wakes for TrinoGateway {
    fn wakes(&self, index: &Index) -> Vec<Wake> {
        let (name, namespace) = (self.name_any(), self.namespace());
        let followers = index
            .proxy_groups
            .state_filter(|proxies| proxies.namespace() == namespace && proxies.spec.gateway.name == name);
        let followers = followers.iter().map(|proxies| Wake::ProxyGroup(ObjectRef::from_obj(&**proxies)));
        let astray = events::astray(index, namespace.as_deref()).into_iter().map(Wake::Cluster);
        std::iter::once(Wake::Gateway(ObjectRef::from_obj(self))).chain(followers).chain(astray).collect()
    }
}

impl Wakes for TrinoClusterGroup {
    fn wakes(&self, index: &Index) -> Vec<Wake> {
        let mut wakes = gateways(self.metadata.namespace.as_deref(), index);
        wakes.extend(events::astray(index, self.metadata.namespace.as_deref()).into_iter().map(Wake::Cluster));
        wakes.push(Wake::Group(ObjectRef::from_obj(self)));
        if self.spec.external.iter().any(|external| external.credentials_secret_ref.is_some()) {
            wakes.extend(proxies(self.metadata.namespace.as_deref(), index));
        }
        if is_picky(self) {
            wakes.extend(catalogs_of(self.metadata.namespace.as_deref(), index, |_| true));
        }
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
        if self.spec.authentication.is_some() {
            wakes.extend(proxies(self.metadata.namespace.as_deref(), index));
        }
        // Those that it has, and those that it had.
        wakes.extend(catalogs_of(self.metadata.namespace.as_deref(), index, |catalog| {
            let told = catalog.status.iter().flat_map(|status| &status.clusters);
            catalog::has(self, catalog) || told.into_iter().any(|cluster| cluster.name == self.name_any())
        }));
        wakes
    }
}

/// A catalog is part of what groups, and clusters made by hand, are made from; and one of the same name may be in its way no more.
impl Wakes for TrinoCatalog {
    fn wakes(&self, index: &Index) -> Vec<Wake> {
        let namespace = self.metadata.namespace.as_deref();
        let groups =
            index.groups.state_filter(|group| group.metadata.namespace.as_deref() == namespace && is_picky(group));
        let clusters = index.clusters.state_filter(|cluster| {
            cluster.metadata.namespace.as_deref() == namespace && catalogs::selector(&cluster.spec).is_some()
        });
        // The index holds it only once all of its kind are listed.
        let mut wakes = vec![Wake::Catalog(ObjectRef::from_obj(self))];
        wakes.extend(catalogs_of(namespace, index, |_| true));
        wakes.extend(groups.iter().map(|group| Wake::Group(ObjectRef::from_obj(&**group))));
        wakes.extend(clusters.iter().map(|cluster| Wake::Cluster(ObjectRef::from_obj(&**cluster))));
        wakes
    }
}

/// Whether the clusters of a group pick catalogs by their labels.
fn is_picky(group: &TrinoClusterGroup) -> bool {
    group.spec.template.as_ref().is_some_and(|template| catalogs::selector(&template.spec).is_some())
}

fn catalogs_of(namespace: Option<&str>, index: &Index, wanted: impl Fn(&TrinoCatalog) -> bool) -> Vec<Wake> {
    let catalogs =
        index.catalogs.state_filter(|catalog| catalog.metadata.namespace.as_deref() == namespace && wanted(catalog));
    catalogs.iter().map(|catalog| Wake::Catalog(ObjectRef::from_obj(&**catalog))).collect()
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

/// They hold the credentials of clusters.
fn proxies(namespace: Option<&str>, index: &Index) -> Vec<Wake> {
    let proxies = index.proxy_groups.state_filter(|proxies| proxies.metadata.namespace.as_deref() == namespace);
    proxies.iter().map(|proxies| Wake::ProxyGroup(ObjectRef::from_obj(&**proxies))).collect()
}

fn gateways(namespace: Option<&str>, index: &Index) -> Vec<Wake> {
    let gateways = index.gateways.state_filter(|gateway| gateway.metadata.namespace.as_deref() == namespace);
    gateways.iter().map(|gateway| Wake::Gateway(ObjectRef::from_obj(&**gateway))).collect()
}
