//! The CRDs' types, one file per kind. Field docs are the users' reference; nothing here decides or does anything.
//!
//! Defaults live in `desired`, not in the schema: a revision is the hash of what the user wrote, and a default that the
//! API server fills in would make it the hash of what this version of Warren thinks.

mod authentication;
mod catalog;
mod cluster;
mod conditions;
mod draining;
mod external;
mod files;
mod gateway;
mod group;
mod plugin;
mod pod;
mod proxy_group;
mod proxy_template;
mod rollout;
mod routing;
mod storage;
mod tls;
mod verification;
mod workers;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

pub use authentication::{
    Authentication, CertificateAuthentication, CredentialStatus, JwtAuthentication, Ldap, OAuth2, OwnCredential,
    PasswordFile,
};
pub use catalog::{
    CatalogSelection, CatalogUse, Catalogs, PropertySecret, ResolvedCatalog, SecretProperties, SecretProperty,
    TrinoCatalog, TrinoCatalogSpec, TrinoCatalogStatus,
};
pub use cluster::{
    ClusterDrain, ClusterPhase, Coordinator, CoordinatorService, Properties, ServingIntent, TrinoCluster,
    TrinoClusterSpec, TrinoClusterStatus, Workers, WorkersStatus,
};
pub use conditions::{CONFIG_ACCEPTED, ConditionType, Conditions, READY, RECONCILING, STALLED};
pub use draining::{DrainStatus, OldestQuery};
pub use external::{ExternalCluster, ExternalClusterStatus, ExternalPhase, ExternalServing};
pub use files::{
    AccessControl, ExtraFile, FileSource, Files, GroupProvider, KeyReference, Nodes, Opa, PasswordAuthenticator,
    PluginFile, ResourceGroups, SecretValue, SessionProperties,
};
pub use gateway::{
    GroupSelection, GroupSummary, LabelSelection, Listener, RoutingTableStatus, TrinoGateway, TrinoGatewaySpec,
    TrinoGatewayStatus,
};
pub use group::{
    ClusterSummary, ClusterTemplate, HealthCheck, SecretKeyReference, Strategy, TrinoClusterGroup,
    TrinoClusterGroupSpec, TrinoClusterGroupStatus,
};
pub use plugin::Plugin;
pub use pod::{Image, PullPolicy, PullSecret, Resources, TemplateMetadata};
pub use proxy_group::{
    AppliedConfig, ClientAuthentication, ClientTls, Drain, GatewayReference, ListenerStatus, PreStop, ProxyGroup,
    ProxyGroupSpec, ProxyGroupStatus, ProxyPodSpec, ProxySecurity, ProxyService, ProxyTemplate, ProxyTls,
    SecretReference, ServiceType, Variable, VariableSource,
};
pub use proxy_template::{
    AdminTls, BackendTls, ConfigUpdate, EvenlySpread, ProbeTiming, ProxyOverlay, ProxyPorts, ProxyProbes, ProxyRollout,
    ProxyServer, ProxyUpdateStrategy, ProxyVolume, SchedulePolicy, SchedulePolicyType, SpreadTopology, Topology,
    WhenUnsatisfiable,
};
pub use rollout::{Canary, CanaryBaseline, CanarySample, CanaryStage, CanaryStatus, CanaryStep, Rollout};
pub use routing::{
    ExternalRouter, GatewayRouting, GroupShare, OnUnknown, ProxyMode, Rejection, RouteTarget, RoutingRule,
};
pub use storage::{Exchange, FaultTolerantExecution, Jvm, RetrievalMode, RetryPolicy, Spooling};
pub use tls::{
    CertManager, CertificateSecret, CertificateStatus, ClusterTls, EventsTls, InternalTls, IssuerReference, ServerTls,
    TlsStatus,
};
pub use workers::{GracefulShutdown, WorkerAutoscaling};

pub use verification::{VerificationStatus, Verify};

/// The API group of all kinds.
pub const GROUP: &str = "trinowarren.io";
/// The served and stored version.
pub const VERSION: &str = "v1alpha1";

/// All CRDs, in the order in which users meet them.
pub fn crds() -> Vec<CustomResourceDefinition> {
    vec![TrinoGateway::crd(), TrinoClusterGroup::crd(), TrinoCluster::crd(), TrinoCatalog::crd(), ProxyGroup::crd()]
}
