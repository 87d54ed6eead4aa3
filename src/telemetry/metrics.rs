//! The process's metrics: a Prometheus registry and its text. Which metrics there are is each module's own matter.

use std::fmt;

use prometheus_client::{encoding::text, metrics::info::Info, registry::Registry};

/// A Prometheus registry whose every name begins with `warren_`.
///
/// Modules register their metrics first; shared behind an `Arc`, it is then only read.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// The media type of [`Metrics::encode`]'s text.
    pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// A registry with nothing but `warren_build_info`.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("warren");
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The version that runs", build);
        Self { registry }
    }

    /// Where a module registers its metrics, without the prefix.
    pub fn registry(&mut self) -> &mut Registry {
        &mut self.registry
    }

    /// All metrics in the OpenMetrics text format.
    ///
    /// # Errors
    /// When a metric fails to write itself: a bug in that metric.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_registry_tells_the_version() {
        let text = Metrics::new().encode().unwrap();
        let line = format!("warren_build_info{{version=\"{}\"}} 1\n", env!("CARGO_PKG_VERSION"));
        assert!(text.contains(&line), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}
