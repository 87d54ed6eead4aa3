//! Where proxies are placed, how their probes are timed, and the volumes that a user adds.

use std::collections::BTreeSet;

use k8s_openapi::{
    api::core::v1::{HTTPGetAction, Probe, TopologySpreadConstraint, Volume, VolumeMount},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use serde_json::Value;

use super::{RenderError, pods::ADMIN};
use crate::api::{EvenlySpread, ProbeTiming, ProxyVolume, SchedulePolicy, SpreadTopology, WhenUnsatisfiable};

/// The label by which Kubernetes tells the pods of one version of a Deployment.
const TEMPLATE_HASH: &str = "pod-template-hash";

/// Keeps proxies apart as the policies say; on nodes of their own, if that can be, where there are none.
pub(super) fn spread(policies: &[SchedulePolicy], selector: &LabelSelector) -> Vec<TopologySpreadConstraint> {
    let constraint = |key: &str, skew: i32, when: WhenUnsatisfiable| TopologySpreadConstraint {
        max_skew: skew,
        topology_key: key.to_owned(),
        when_unsatisfiable: match when {
            WhenUnsatisfiable::ScheduleAnyway => "ScheduleAnyway".into(),
            WhenUnsatisfiable::DoNotSchedule => "DoNotSchedule".into(),
        },
        label_selector: Some(selector.clone()),
        ..TopologySpreadConstraint::default()
    };
    if policies.is_empty() {
        return vec![constraint("kubernetes.io/hostname", 1, WhenUnsatisfiable::ScheduleAnyway)];
    }
    let topologies = policies.iter().flat_map(|SchedulePolicy { type_: _, evenly_spread }| {
        let EvenlySpread { topologies } = evenly_spread;
        topologies
    });
    let asked = topologies.map(|SpreadTopology { topology, max_skew, when_unsatisfiable }| TopologySpreadConstraint {
        // Those that are being replaced would count as well, and leave the new ones uneven.
        match_label_keys: Some(vec![TEMPLATE_HASH.into()]),
        ..constraint(&topology.key, max_skew.unwrap_or(1), when_unsatisfiable.unwrap_or_default())
    });
    asked.collect()
}

/// A probe of the admin port.
pub(super) fn probe(path: &str, timing: Option<&ProbeTiming>, (period, failures): (i32, i32)) -> Probe {
    let timing = timing.cloned().unwrap_or_default();
    let ProbeTiming { initial_delay_seconds, period_seconds, timeout_seconds, failure_threshold } = timing;
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.into()),
            port: IntOrString::String(ADMIN.into()),
            ..HTTPGetAction::default()
        }),
        initial_delay_seconds,
        period_seconds: Some(period_seconds.unwrap_or(period)),
        timeout_seconds: Some(timeout_seconds.unwrap_or(5)),
        failure_threshold: Some(failure_threshold.unwrap_or(failures)),
        ..Probe::default()
    }
}

/// The user's volumes and their mounts.
///
/// # Errors
/// When Kubernetes would not know a source, or two would be mounted at one place.
pub(super) fn volumes(asked: &[ProxyVolume]) -> Result<(Vec<Volume>, Vec<VolumeMount>), RenderError> {
    let mut places = BTreeSet::new();
    let mut both = (Vec::new(), Vec::new());
    for ProxyVolume { name, mount_path, read_only, source } in asked {
        if !places.insert(mount_path) {
            return Err(RenderError::MountPath { name: name.clone(), path: mount_path.clone() });
        }
        both.0.push(volume(name, source)?);
        both.1.push(VolumeMount {
            name: name.clone(),
            mount_path: mount_path.clone(),
            read_only: Some(read_only.unwrap_or(true)),
            ..VolumeMount::default()
        });
    }
    Ok(both)
}

fn volume(name: &str, source: &serde_json::Map<String, Value>) -> Result<Volume, RenderError> {
    let refused = |fault: String| RenderError::Volume { name: name.to_owned(), fault };
    if source.contains_key("name") {
        return Err(refused("the volume's name stands beside the source, not in it".to_owned()));
    }
    let mut fields = source.clone();
    fields.insert("name".to_owned(), name.into());
    let volume: Volume =
        serde_json::from_value(Value::Object(fields.clone())).map_err(|error| refused(error.to_string()))?;
    // What Kubernetes does not know was dropped on the way.
    let known = serde_json::to_value(&volume).unwrap_or_default();
    let unknown = fields.keys().find(|field| known.get(field.as_str()).is_none());
    unknown.map_or(Ok(volume), |field| Err(refused(format!("{field:?} is no kind of volume"))))
}
