//! Where traces go, from the flags and OpenTelemetry's environment variables. What of these cannot be used is told and left
//! out: they are often set for all pods by somebody else. An address that cannot be used is an error.

use anyhow::{Context as _, ensure};
use clap::Args;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use percent_encoding::percent_decode_str;

use crate::telemetry::{Sampling, TraceSettings};

/// Below the address of a collector, the place for traces (OTLP/HTTP).
const TRACES: &str = "/v1/traces";

/// What a process that nobody named is called.
const SERVICE: &str = "warren-proxy";

#[derive(Debug, Args)]
#[group(id = "traces")]
pub(super) struct Arguments {
    /// An OpenTelemetry collector: a span of each sampled request is sent there, by OTLP over HTTP (protobuf), to /v1/traces
    /// below this address [default: OTEL_EXPORTER_OTLP_TRACES_ENDPOINT as it is, or OTEL_EXPORTER_OTLP_ENDPOINT; else no
    /// request is traced].
    #[arg(long, value_name = "URL")]
    otlp_endpoint: Option<String>,
    /// The share of requests that are traced, 0 to 1, of those that are not part of a trace already [default: as
    /// OTEL_TRACES_SAMPLER says, else 1].
    #[arg(long, value_name = "SHARE", value_parser = parse_ratio)]
    trace_ratio: Option<f64>,
}

impl Arguments {
    /// The settings; none if no request is traced. `variable` reads the environment.
    ///
    /// # Errors
    /// When the collector's address cannot be used.
    pub(super) fn settings(&self, variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Option<TraceSettings>> {
        // One that is empty counts as not set (OpenTelemetry, "Environment Variable Specification").
        let variable = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let Some(endpoint) = self.endpoint(variable)? else { return Ok(None) };
        let either = |name: &str| {
            let of_traces = variable(&format!("OTEL_EXPORTER_OTLP_TRACES_{name}"));
            of_traces.or_else(|| variable(&format!("OTEL_EXPORTER_OTLP_{name}")))
        };
        if let Some(protocol) = either("PROTOCOL").filter(|protocol| protocol != "http/protobuf") {
            tracing::warn!(protocol, "traces are sent by http/protobuf whatever OTEL_EXPORTER_OTLP_PROTOCOL says");
        }
        Ok(Some(TraceSettings {
            endpoint,
            headers: either("HEADERS").map(|text| headers(&text)).unwrap_or_default(),
            resource: resource(
                variable("OTEL_SERVICE_NAME"),
                &variable("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default(),
            ),
            sampling: self
                .sampling(variable("OTEL_TRACES_SAMPLER").as_deref(), variable("OTEL_TRACES_SAMPLER_ARG").as_deref()),
        }))
    }

    fn endpoint(&self, variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Option<Uri>> {
        let below = |base: &str| format!("{}{TRACES}", base.trim_end_matches('/'));
        let (name, text) = if let Some(flag) = &self.otlp_endpoint {
            ("--otlp-endpoint", below(flag))
        } else {
            let off = variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
                || variable("OTEL_TRACES_EXPORTER").is_some_and(|value| value == "none");
            let of_traces = variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
            match (off, of_traces, variable("OTEL_EXPORTER_OTLP_ENDPOINT")) {
                (true, _, _) | (false, None, None) => return Ok(None),
                (false, Some(exact), _) => ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", exact),
                (false, None, Some(base)) => ("OTEL_EXPORTER_OTLP_ENDPOINT", below(&base)),
            }
        };
        // Neither is the address repeated, nor may it have a user: that would be a password in logs.
        let mend = || format!("{name} must be http://host:port or https://host:port, with a path or without");
        let uri: Uri = text.parse().with_context(mend)?;
        let known = matches!(uri.scheme_str(), Some("http" | "https"));
        let plain = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        ensure!(known && plain && uri.query().is_none(), mend());
        Ok(Some(uri))
    }

    fn sampling(&self, sampler: Option<&str>, argument: Option<&str>) -> Sampling {
        let all = Sampling { by_parent: true, ratio: 1.0 };
        if let Some(ratio) = self.trace_ratio {
            return Sampling { ratio, ..all };
        }
        let ratio = || {
            let given = argument.map(parse_ratio);
            given.unwrap_or(Ok(1.0)).unwrap_or_else(|fault| {
                tracing::warn!(fault, "OTEL_TRACES_SAMPLER_ARG cannot be used: all requests are traced");
                1.0
            })
        };
        match sampler {
            None | Some("parentbased_always_on") => all,
            Some("always_on") => Sampling { by_parent: false, ..all },
            Some("always_off") => Sampling { by_parent: false, ratio: 0.0 },
            Some("traceidratio") => Sampling { by_parent: false, ratio: ratio() },
            Some("parentbased_always_off") => Sampling { ratio: 0.0, ..all },
            Some("parentbased_traceidratio") => Sampling { ratio: ratio(), ..all },
            Some(sampler) => {
                tracing::warn!(sampler, "OTEL_TRACES_SAMPLER is not known here: all requests are traced");
                all
            }
        }
    }
}

/// `key=value` pairs between commas, the values percent-encoded, as OpenTelemetry's variables have them.
fn pairs(text: &str) -> impl Iterator<Item = (&str, String)> {
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (key.trim(), percent_decode_str(value.trim()).decode_utf8_lossy().into_owned()))
}

fn headers(text: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs(text) {
        if let (Ok(name), Ok(mut value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            value.set_sensitive(true);
            headers.insert(name, value);
        } else {
            // Not what it says: it may be a secret.
            tracing::warn!("a header of OTEL_EXPORTER_OTLP_HEADERS is none: it is left out");
        }
    }
    headers
}

fn resource(service: Option<String>, attributes: &str) -> Vec<(String, String)> {
    let mut resource: Vec<(String, String)> = pairs(attributes).map(|(key, value)| (key.to_owned(), value)).collect();
    if let Some(service) = service {
        resource.retain(|(key, _)| key != "service.name");
        resource.push(("service.name".to_owned(), service));
    }
    for (key, value) in [("service.name", SERVICE), ("service.version", env!("CARGO_PKG_VERSION"))] {
        if !resource.iter().any(|(known, _)| known == key) {
            resource.push((key.to_owned(), value.to_owned()));
        }
    }
    resource
}

fn parse_ratio(text: &str) -> Result<f64, String> {
    let ratio = text.parse::<f64>().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
    ratio.ok_or_else(|| format!("{text:?} is no share: write a number from 0 to 1, such as 0.05"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Arguments = Arguments { otlp_endpoint: None, trace_ratio: None };

    fn settings(arguments: &Arguments, variables: &[(&str, &str)]) -> anyhow::Result<Option<TraceSettings>> {
        let find =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        arguments.settings(find)
    }

    fn endpoint(arguments: &Arguments, variables: &[(&str, &str)]) -> Option<String> {
        settings(arguments, variables).unwrap().map(|settings| settings.endpoint.to_string())
    }

    const BASE: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/");

    #[test]
    fn traces_are_off_unless_a_collector_is_named() {
        assert_eq!(endpoint(&NOTHING, &[]), None);
        assert_eq!(endpoint(&NOTHING, &[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]), None);
        assert_eq!(endpoint(&NOTHING, &[BASE, ("OTEL_SDK_DISABLED", "TRUE")]), None);
        assert_eq!(endpoint(&NOTHING, &[BASE, ("OTEL_TRACES_EXPORTER", "none")]), None);
        assert_eq!(endpoint(&NOTHING, &[BASE]).unwrap(), "http://collector:4318/v1/traces");
        let exact = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://other/traces");
        assert_eq!(endpoint(&NOTHING, &[BASE, exact]).unwrap(), "https://other/traces");
        let flag = Arguments { otlp_endpoint: Some("http://[::1]:4318/otlp".into()), trace_ratio: None };
        assert_eq!(
            endpoint(&flag, &[BASE, ("OTEL_SDK_DISABLED", "true")]).unwrap(),
            "http://[::1]:4318/otlp/v1/traces"
        );
        for bad in
            ["collector:4318", "ftp://collector", "http://me:s3cret@collector", "http://collector/?a=b", "http://a b"]
        {
            let error = format!("{:#}", settings(&NOTHING, &[("OTEL_EXPORTER_OTLP_ENDPOINT", bad)]).unwrap_err());
            assert!(error.starts_with("OTEL_EXPORTER_OTLP_ENDPOINT must be") && !error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn headers_and_resource_are_read_as_opentelemetry_writes_them() {
        let variables = [
            BASE,
            ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20s3cret, x-team = data,bad header=1,novalue"),
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=other,k8s.pod.name=edge%2C1,service.version=9"),
            ("OTEL_SERVICE_NAME", "edge"),
        ];
        let settings = settings(&NOTHING, &variables).unwrap().unwrap();
        assert_eq!(settings.headers["authorization"], "Bearer s3cret");
        assert_eq!(settings.headers["x-team"], "data");
        assert_eq!(settings.headers.len(), 2);
        assert!(!format!("{settings:?}").contains("s3cret"));
        let mut resource = settings.resource;
        resource.sort();
        let resource: Vec<_> = resource.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(resource, [("k8s.pod.name", "edge,1"), ("service.name", "edge"), ("service.version", "9")]);
    }

    #[test]
    fn samplers_are_those_of_opentelemetry_and_the_flag_wins() {
        let sampling = |arguments: &Arguments, sampler: &str, argument: &str| {
            let variables = [BASE, ("OTEL_TRACES_SAMPLER", sampler), ("OTEL_TRACES_SAMPLER_ARG", argument)];
            let Sampling { by_parent, ratio } = settings(arguments, &variables).unwrap().unwrap().sampling;
            (by_parent, ratio.to_string())
        };
        for (sampler, argument, by_parent, ratio) in [
            ("", "", true, "1"),
            ("always_on", "0.5", false, "1"),
            ("always_off", "", false, "0"),
            ("traceidratio", "0.25", false, "0.25"),
            ("traceidratio", "25%", false, "1"),
            ("parentbased_always_on", "0.5", true, "1"),
            ("parentbased_always_off", "", true, "0"),
            ("parentbased_traceidratio", "0.25", true, "0.25"),
            ("parentbased_traceidratio", "1.5", true, "1"),
            ("jaeger_remote", "endpoint=x", true, "1"),
        ] {
            assert_eq!(sampling(&NOTHING, sampler, argument), (by_parent, ratio.to_owned()), "{sampler}");
        }
        let flag = Arguments { otlp_endpoint: None, trace_ratio: Some(0.125) };
        assert_eq!(sampling(&flag, "always_off", ""), (true, "0.125".to_owned()));
    }
}
