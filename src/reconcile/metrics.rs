//! What the operator counts.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

/// The operator's metrics. Clones share them.
#[derive(Clone)]
pub struct Metrics {
    writes: Family<WriteLabels, Counter>,
    reconciliations: Family<ReconcileLabels, Counter>,
    seconds: Family<KindLabels, Histogram>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WriteLabels {
    kind: String,
    verb: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReconcileLabels {
    kind: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: String,
}

impl Metrics {
    /// Registers the metrics under the prefix of `registry`.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            writes: Family::default(),
            reconciliations: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 4.0, 8))),
        };
        registry.register("writes", "Writes to the API server by kind and verb", metrics.writes.clone());
        registry.register(
            "reconciliations",
            "Reconciliations by kind and outcome (ok, or the reason of the error)",
            metrics.reconciliations.clone(),
        );
        registry.register("reconciliation_seconds", "Time of one reconciliation", metrics.seconds.clone());
        metrics
    }

    /// Counts a write.
    pub(super) fn wrote(&self, kind: &str, verb: &'static str) {
        self.writes.get_or_create(&WriteLabels { kind: kind.to_owned(), verb }).inc();
    }

    /// Counts a reconciliation.
    pub(super) fn reconciled(&self, kind: &str, outcome: &'static str, seconds: f64) {
        self.reconciliations.get_or_create(&ReconcileLabels { kind: kind.to_owned(), outcome }).inc();
        self.seconds.get_or_create(&KindLabels { kind: kind.to_owned() }).observe(seconds);
    }
}
