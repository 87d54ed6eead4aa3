//! The HorizontalPodAutoscaler of a cluster's workers. It sets the TrinoCluster's own `workers.replicas`, not the Deployment's:
//! so a worker is drained before it goes.

use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, HorizontalPodAutoscaler, HorizontalPodAutoscalerBehavior, HorizontalPodAutoscalerSpec,
    MetricSpec, MetricTarget, ResourceMetricSource,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{ClusterIdentity, RenderError};
use crate::{
    api::{GROUP, TrinoClusterSpec, VERSION, WorkerAutoscaling},
    desired::{
        labels::{Labels, START_WORKERS, component},
        metadata::object_meta,
        strict::{self, Misfit},
    },
};

const DEFAULT_CPU_PERCENT: i32 = 80;

/// What the spec says of autoscaling, if it is on.
pub fn autoscaling(spec: &TrinoClusterSpec) -> Option<&WorkerAutoscaling> {
    spec.workers.as_ref()?.autoscaling.as_ref()
}

/// The number of workers to begin with, where autoscaling is on and nobody has set one: as many as `replicas` run, else as
/// many as the group wrote down for a new revision, else the fewest. None where there is nothing to set.
pub fn first_workers(spec: &TrinoClusterSpec, annotations: &Labels, replicas: Option<i32>) -> Option<i32> {
    let autoscaling = autoscaling(spec)?;
    if spec.workers.as_ref()?.replicas.is_some() {
        return None;
    }
    let written = annotations.get(START_WORKERS).and_then(|count| count.parse().ok());
    let fewest = autoscaling.min_replicas.unwrap_or(1);
    let count = replicas.filter(|replicas| *replicas > 0).or(written).unwrap_or(fewest);
    Some(count.min(autoscaling.max_replicas).max(fewest))
}

/// The autoscaler, if the spec asks for one.
///
/// # Errors
/// When a metric or the behaviour is not what autoscaling/v2 knows; the message names the field.
pub fn autoscaler(
    cluster: &ClusterIdentity,
    spec: &TrinoClusterSpec,
) -> Result<Option<HorizontalPodAutoscaler>, RenderError> {
    let Some(autoscaling) = autoscaling(spec) else { return Ok(None) };
    let target = CrossVersionObjectReference {
        api_version: Some(format!("{GROUP}/{VERSION}")),
        kind: "TrinoCluster".into(),
        name: cluster.name.clone(),
    };
    let behavior: Option<HorizontalPodAutoscalerBehavior> =
        autoscaling.behavior.as_ref().map(|behavior| read("behavior", behavior)).transpose()?;
    Ok(Some(HorizontalPodAutoscaler {
        metadata: object_meta(cluster.worker_name(), &cluster.namespace, &cluster.labels(Some(component::WORKER))),
        spec: Some(HorizontalPodAutoscalerSpec {
            scale_target_ref: target,
            min_replicas: Some(autoscaling.min_replicas.unwrap_or(1)),
            max_replicas: autoscaling.max_replicas,
            metrics: Some(metrics(autoscaling)?),
            behavior,
        }),
        status: None,
    }))
}

fn metrics(autoscaling: &WorkerAutoscaling) -> Result<Vec<MetricSpec>, RenderError> {
    if autoscaling.metrics.is_empty() {
        let percent = autoscaling.target_cpu_utilization_percentage.unwrap_or(DEFAULT_CPU_PERCENT);
        let target =
            MetricTarget { type_: "Utilization".into(), average_utilization: Some(percent), ..MetricTarget::default() };
        let resource = Some(ResourceMetricSource { name: "cpu".into(), target });
        return Ok(vec![MetricSpec { type_: "Resource".into(), resource, ..MetricSpec::default() }]);
    }
    let given = autoscaling.metrics.iter().enumerate();
    given.map(|(number, metric)| read(&format!("metrics[{number}]"), metric)).collect()
}

/// Reads what the user wrote as Kubernetes' own type.
fn read<T: DeserializeOwned + Serialize>(field: &str, written: &Map<String, Value>) -> Result<T, RenderError> {
    strict::read(&Value::Object(written.clone())).map_err(|misfit| {
        let field = format!("spec.workers.autoscaling.{field}");
        match misfit {
            Misfit::Unknown { path } => RenderError::Autoscaling {
                field,
                fault: format!("autoscaling/v2 knows no {path}; remove or correct it"),
            },
            Misfit::Type { path, fault } if path.is_empty() => RenderError::Autoscaling { field, fault },
            Misfit::Type { path, fault } => RenderError::Autoscaling { field: format!("{field}.{path}"), fault },
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(yaml: &str) -> TrinoClusterSpec {
        serde_saphyr::from_str(yaml).expect("a spec")
    }

    fn identity() -> ClusterIdentity {
        ClusterIdentity { name: "a".into(), namespace: "trino".into(), uid: "u".into() }
    }

    #[test]
    fn a_cluster_begins_with_what_runs_or_with_what_its_group_wrote_within_the_bounds() {
        let free = spec("{version: '476', workers: {autoscaling: {minReplicas: 2, maxReplicas: 5}}}");
        let written = Labels::from([(START_WORKERS.to_owned(), "4".to_owned())]);
        for (annotations, replicas, first) in
            [(&Labels::new(), None, 2), (&written, None, 4), (&written, Some(3), 3), (&written, Some(9), 5)]
        {
            assert_eq!(first_workers(&free, annotations, replicas), Some(first));
        }
        let set = spec("{version: '476', workers: {replicas: 7, autoscaling: {maxReplicas: 5}}}");
        assert_eq!(first_workers(&set, &written, Some(3)), None, "somebody has set it");
        assert_eq!(first_workers(&spec("version: '476'"), &written, Some(3)), None);
    }

    #[test]
    fn what_kubernetes_does_not_know_is_refused_with_its_path() {
        for (written, message) in [
            ("behavior: {scaleDown: {policy: []}}", "behavior: autoscaling/v2 knows no scaleDown.policy; "),
            ("metrics: [{type: Pods, pods: all}]", "metrics[0].pods: invalid type: string \"all\", expected "),
        ] {
            let spec = spec(&format!("{{version: '476', workers: {{autoscaling: {{maxReplicas: 5, {written}}}}}}}"));
            let fault = autoscaler(&identity(), &spec).expect_err(written).to_string();
            assert!(fault.starts_with(&format!("spec.workers.autoscaling.{message}")), "{fault}");
        }
    }
}
