//! What a trace is made of: the context that requests carry from one process to the next (W3C Trace Context), whether a
//! request is sampled, and the span that is told of it. Pure.

use std::{
    fmt::Write as _,
    time::{SystemTime, UNIX_EPOCH},
};

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value},
    trace::v1::{Span as Record, SpanFlags, Status, span::SpanKind, status::StatusCode},
};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The only flag that version 00 defines.
const SAMPLED: u8 = 1;

/// Which requests are traced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// A request that is part of a trace is traced if its sender is.
    pub by_parent: bool,
    /// The share of the others, from 0 to 1.
    pub ratio: f64,
}

/// Where a span stands in its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    trace: [u8; 16],
    span: [u8; 8],
    sampled: bool,
}

/// A span: what is told of one piece of work. What it says is chosen by whoever makes it.
#[derive(Debug)]
pub struct Span {
    record: Record,
}

impl Place {
    /// Reads a `traceparent` (W3C Trace Context, 3.2).
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let (known, rest) = text.split_at_checked(55)?;
        let mut parts = known.split('-');
        let [version, trace, span, flags] = [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
        let lower = known.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'));
        // Later versions may say more behind what this one knows.
        let ends = rest.is_empty() || (version != "00" && rest.starts_with('-'));
        if !lower || !ends || version.len() != 2 || version == "ff" || parts.next().is_some() {
            return None;
        }
        let (mut place, mut bits) = (Self { trace: [0; 16], span: [0; 8], sampled: false }, [0]);
        hex::decode_to_slice(trace, &mut place.trace).ok()?;
        hex::decode_to_slice(span, &mut place.span).ok()?;
        hex::decode_to_slice(flags, &mut bits).ok()?;
        place.sampled = bits[0] & SAMPLED != 0;
        (place.trace != [0; 16] && place.span != [0; 8]).then_some(place)
    }

    /// The place of a new span below `parent`, or of one that begins a trace.
    pub(super) fn below(parent: Option<Self>, sampling: Sampling) -> Self {
        let trace = parent.map_or_else(at_random, |parent| parent.trace);
        let sampled = match parent {
            Some(parent) if sampling.by_parent => parent.sampled,
            _ => is_drawn(trace, sampling.ratio),
        };
        Self { trace, span: at_random(), sampled }
    }

    pub(super) fn is_sampled(self) -> bool {
        self.sampled
    }

    pub(super) fn traceparent(self) -> HeaderValue {
        let mut text = String::with_capacity(55);
        let _ = write!(text, "00-{}-{}-0{}", hex::encode(self.trace), hex::encode(self.span), u8::from(self.sampled));
        HeaderValue::try_from(text).expect("hexadecimal digits and dashes are a header's value")
    }
}

/// An id that is not all zeros, which would be none.
fn at_random<const N: usize>() -> [u8; N] {
    loop {
        let id = rand::random::<[u8; N]>();
        if id != [0; N] {
            return id;
        }
    }
}

/// Whether a share of `ratio` of all traces has this one: as OpenTelemetry's `TraceIdRatioBased` does it elsewhere, so that
/// processes with the same share agree.
fn is_drawn(trace: [u8; 16], ratio: f64) -> bool {
    // The last eight bytes, without the highest bit.
    let draw = trace[8..].iter().fold(0, |draw: u64, byte| draw << 8 | u64::from(*byte)) >> 1;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 2^63")]
    let bound = (ratio.clamp(0.0, 1.0) * TWO_TO_THE_63) as u64;
    draw < bound
}

const TWO_TO_THE_63: f64 = 9_223_372_036_854_775_808.0;

/// Makes `headers` those of a request below a new span, whose place is returned with that of its parent and the state
/// that comes with it.
pub(super) fn enter(headers: &mut HeaderMap, sampling: Sampling) -> (Place, Option<(Place, String)>) {
    let mut said = headers.get_all(TRACEPARENT).iter();
    let parent = match (said.next(), said.next()) {
        (Some(only), None) => Place::parse(only.as_bytes()),
        _ => None,
    };
    let place = Place::below(parent, sampling);
    headers.insert(TRACEPARENT, place.traceparent());
    if parent.is_none() {
        // It belongs to a parent that nobody can read (3.3).
        headers.remove(TRACESTATE);
    }
    let states: Vec<_> = headers.get_all(TRACESTATE).iter().filter_map(|state| state.to_str().ok()).collect();
    (place, parent.map(|parent| (parent, states.join(","))))
}

impl Span {
    /// The span of a request that begins now.
    pub(super) fn of_server(place: Place, parent: Option<(Place, String)>) -> Self {
        let remote = if parent.is_some() { SpanFlags::ContextIsRemoteMask as u32 } else { 0 };
        let (above, state) = parent.map(|(parent, state)| (parent.span.to_vec(), state)).unwrap_or_default();
        let record = Record {
            trace_id: place.trace.to_vec(),
            span_id: place.span.to_vec(),
            parent_span_id: above,
            trace_state: state,
            flags: u32::from(SAMPLED) | SpanFlags::ContextHasIsRemoteMask as u32 | remote,
            kind: SpanKind::Server as i32,
            start_time_unix_nano: now(),
            ..Record::default()
        };
        Self { record }
    }

    /// Calls it `name`: one of few.
    pub fn call(&mut self, name: impl Into<String>) {
        self.record.name = name.into();
    }

    /// Adds a text.
    pub fn text(&mut self, key: &str, text: impl Into<String>) {
        self.add(key, any_value::Value::StringValue(text.into()));
    }

    /// Adds a number.
    pub fn number(&mut self, key: &str, number: impl Into<i64>) {
        self.add(key, any_value::Value::IntValue(number.into()));
    }

    /// The work failed.
    pub fn fail(&mut self) {
        self.record.status = Some(Status { code: StatusCode::Error as i32, message: String::new() });
    }

    fn add(&mut self, key: &str, value: any_value::Value) {
        self.record.attributes.push(attribute(key, value));
    }

    /// The record of a span that ends now.
    pub(super) fn end(mut self) -> Record {
        self.record.end_time_unix_nano = now().max(self.record.start_time_unix_nano);
        self.record
    }
}

pub(super) fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of W3C Trace Context, 3.2.
    const EXAMPLE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const ALL: Sampling = Sampling { by_parent: true, ratio: 1.0 };
    const NONE: Sampling = Sampling { by_parent: true, ratio: 0.0 };

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_traceparent_is_read_as_the_recommendation_says() {
        let place = Place::parse(EXAMPLE.as_bytes()).unwrap();
        assert_eq!(place.traceparent(), EXAMPLE);
        assert!(place.is_sampled());
        assert!(!Place::parse(EXAMPLE.replace("-01", "-02").as_bytes()).unwrap().is_sampled());
        // A later version, with more behind.
        let later = EXAMPLE.replace("00-0af", "cc-0af");
        assert_eq!(Place::parse(later.as_bytes()), Some(place));
        assert_eq!(Place::parse(format!("{later}-what").as_bytes()), Some(place));
        for bad in [
            String::new(),
            "00".to_owned(),
            format!("{EXAMPLE}-what"),
            format!("{later}what"),
            EXAMPLE.to_uppercase(),
            EXAMPLE.replace("00-0af", "ff-0af"),
            EXAMPLE.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            EXAMPLE.replace("b7ad6b7169203331", &"0".repeat(16)),
            EXAMPLE.replace("b7ad6b7169203331-01", "b7ad6b716920333-101"),
            EXAMPLE.replace("0af7", "0ag7"),
            EXAMPLE.replace("b7ad", "b7 d"),
            format!("00-{}é", "a".repeat(51)),
        ] {
            assert_eq!(Place::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn a_request_goes_on_below_a_span_of_the_same_trace() {
        let mut with_parent = headers(&[("traceparent", EXAMPLE), ("tracestate", "a=1"), ("tracestate", "b=2")]);
        let (place, parent) = enter(&mut with_parent, NONE);
        let (above, state) = parent.unwrap();
        assert_eq!((above.traceparent().to_str().unwrap(), state.as_str()), (EXAMPLE, "a=1,b=2"));
        assert_eq!(place.trace, above.trace);
        assert_ne!(place.span, above.span);
        assert_eq!(with_parent["traceparent"], place.traceparent());
        assert_eq!(with_parent.get_all("tracestate").iter().count(), 2);
        let mut not_sampled = headers(&[("traceparent", &EXAMPLE.replace("-01", "-00"))]);
        assert!(!enter(&mut not_sampled, ALL).0.is_sampled());
        let by_ratio = Sampling { by_parent: false, ratio: 1.0 };
        assert!(enter(&mut not_sampled, by_ratio).0.is_sampled());
    }

    #[test]
    fn what_is_no_context_begins_a_trace_of_its_own() {
        for lines in [
            vec![("tracestate", "a=1")],
            vec![("traceparent", "00-x"), ("tracestate", "a=1")],
            vec![("traceparent", EXAMPLE), ("traceparent", EXAMPLE)],
        ] {
            let mut headers = headers(&lines);
            let (place, parent) = enter(&mut headers, ALL);
            assert_eq!(parent, None);
            assert!(place.is_sampled());
            assert_eq!(headers.get_all("traceparent").iter().collect::<Vec<_>>(), [&place.traceparent()]);
            assert!(!headers.contains_key("tracestate"));
        }
    }

    #[test]
    fn a_share_of_traces_is_drawn_by_their_ids() {
        let trace = |draw: u64| {
            let mut trace = [0xff; 16];
            trace[8..].copy_from_slice(&draw.to_be_bytes());
            trace
        };
        assert!(is_drawn(trace(u64::MAX / 4 - 1), 0.25) && !is_drawn(trace(u64::MAX / 4 + 2), 0.25));
        assert!(!is_drawn(trace(0), 0.0));
        assert!(is_drawn(trace(u64::MAX - 4096), 1.0));
    }
}
