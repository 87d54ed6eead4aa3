//! What a coordinator's HTTP event listener tells of a query: which event it is, and of which query. The rest of an event
//! (the text, the plan, the statistics) is skipped and not kept.

use serde::{Deserialize, de::IgnoredAny};

use super::QueryId;

/// Where an event listener tells them, the same path at every gateway.
pub const EVENTS_PATH: &str = "/v1/trino-event-listener";

/// An event, as far as it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A query was made: it is queued, and has not failed yet (QueryCreatedEvent).
    Created(QueryId),
    /// A query has ended, well or not (QueryCompletedEvent).
    Completed(QueryId),
    /// A part of a query has ended (SplitCompletedEvent); sent where `http-event-listener.log-split` asks for it.
    Split,
}

/// Why a body is no [`Event`]. Nothing of it is in the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEvent {
    /// It is no JSON object, or a field that is looked at has another type.
    #[error("the body is no event of Trino in JSON")]
    NotAnEvent,
    /// It is none of the three kinds.
    #[error("the event has neither metadata nor a split")]
    UnknownKind,
    /// What stands as the query's id is none.
    #[error("metadata.queryId is no query id")]
    BadQueryId,
}

/// The fields that tell events apart; those of all kinds were recorded from Trino 470 and 476 (`tests/events`).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    metadata: Option<Metadata>,
    end_time: Option<IgnoredAny>,
    task_id: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    query_id: String,
}

/// Reads the body of a request of Trino's HTTP event listener. Unknown fields are passed over: newer versions have more.
///
/// # Errors
/// When it is none.
pub fn read(body: &[u8]) -> Result<Event, InvalidEvent> {
    // An array of the fields' values would do for serde, too.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(InvalidEvent::NotAnEvent);
    }
    let body: Body = serde_json::from_slice(body).map_err(|_| InvalidEvent::NotAnEvent)?;
    match body {
        Body { metadata: Some(metadata), end_time, .. } => {
            let query = metadata.query_id.parse().map_err(|_| InvalidEvent::BadQueryId)?;
            Ok(if end_time.is_some() { Event::Completed(query) } else { Event::Created(query) })
        }
        Body { metadata: None, task_id: Some(_), .. } => Ok(Event::Split),
        Body { metadata: None, .. } => Err(InvalidEvent::UnknownKind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_as_trino_470_and_476_send_them() {
        let of = |id: &str| id.parse().unwrap();
        for (body, expected) in [
            (
                &include_bytes!("../../tests/events/470/created.json")[..],
                Event::Created(of("20261126_202245_00000_teuwp")),
            ),
            (
                include_bytes!("../../tests/events/470/completed.json"),
                Event::Completed(of("20261126_202245_00000_teuwp")),
            ),
            (include_bytes!("../../tests/events/470/failed.json"), Event::Completed(of("20261126_202251_00002_teuwp"))),
            (include_bytes!("../../tests/events/476/created.json"), Event::Created(of("20261126_202218_00006_tep8r"))),
            (
                include_bytes!("../../tests/events/476/completed.json"),
                Event::Completed(of("20261126_202218_00006_tep8r")),
            ),
            (include_bytes!("../../tests/events/476/failed.json"), Event::Completed(of("20261126_202141_00002_tep8r"))),
        ] {
            assert_eq!(read(body), Ok(expected));
        }
    }

    #[test]
    fn what_newer_versions_add_is_passed_over_and_what_is_no_event_is_refused() {
        let newer = br#"{"createTime": "x", "novelty": [{"a": 1}], "metadata": {"queryId": "a_b", "more": {}}}"#;
        assert_eq!(read(newer), Ok(Event::Created("a_b".parse().unwrap())));
        // As io.trino.spi.eventlistener.SplitCompletedEvent has its fields.
        assert_eq!(read(br#"{"queryId": "a_b", "stageId": "a_b.1", "taskId": "a_b.1.0.0"}"#), Ok(Event::Split));
        for (body, fault) in [
            (&b""[..], InvalidEvent::NotAnEvent),
            (b"[]", InvalidEvent::NotAnEvent),
            (b"\xff", InvalidEvent::NotAnEvent),
            (b"{\"metadata\": {}}", InvalidEvent::NotAnEvent),
            (b"{\"metadata\": {\"queryId\": 1}}", InvalidEvent::NotAnEvent),
            (b"{\"metadata\": {\"queryId\": \"a\"}", InvalidEvent::NotAnEvent),
            (b"{}", InvalidEvent::UnknownKind),
            (b"{\"metadata\": {\"queryId\": \"a\\nb\"}}", InvalidEvent::BadQueryId),
            (b"{\"metadata\": {\"queryId\": \"\"}}", InvalidEvent::BadQueryId),
        ] {
            assert_eq!(read(body), Err(fault), "{}", body.escape_ascii());
        }
        let deep = [b"{\"a\":".repeat(200_000), b"1".to_vec(), b"}".repeat(200_000)].concat();
        assert_eq!(read(&deep), Err(InvalidEvent::UnknownKind), "what is passed over takes no stack");
    }
}
