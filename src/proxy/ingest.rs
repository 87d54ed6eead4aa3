//! What coordinators tell of their queries (`POST /v1/trino-event-listener`): who tells is found by a token, the event is
//! read in bounded memory, and what it says of a query is a hint for its cluster's tally. Nothing of it is kept or logged.

use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderMap, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_ENCODING},
};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;

use super::{
    Error,
    backend::Backend,
    client::{ClientBody, ClientRequest, fault},
    fleet::Fleet,
    meters::{EventKind, EventOutcome, Meters},
    observe::Observation,
    tally::Noted,
};
use crate::trino::event::{self, Event};

/// The most bytes of an event. Of a query that does next to nothing Trino 476 sends 36 KB, of one with a large plan some
/// megabytes.
const MAX_EVENT: u32 = 8 * 1024 * 1024;

/// How long an event waits for others of its cluster. Trino tries again what is refused.
const TURN: Duration = Duration::from_secs(5);

/// How long an event may take to arrive once it has its turn.
const ARRIVAL: Duration = Duration::from_secs(30);

/// Takes in an event; returns what its coordinator is told.
///
/// # Errors
/// When nobody may tell so, or what came is no event.
pub(super) async fn take(
    fleet: &Fleet,
    request: ClientRequest,
    observation: &mut Observation,
) -> Result<Response<Full<Bytes>>, Error> {
    let taken = receive(fleet, request).await;
    let (kind, outcome) = match &taken {
        Ok(Taken { event, outcome }) => (EventKind::of(*event), *outcome),
        Err(error) => (EventKind::Unknown, outcome_of(error)),
    };
    let meters: &Meters = observation.meters();
    meters.event(kind, outcome);
    if let Event::Created(query) | Event::Completed(query) = taken?.event {
        observation.of_query(Some(query), false);
    }
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

/// An event, and what became of it.
struct Taken {
    event: Event,
    outcome: EventOutcome,
}

async fn receive(fleet: &Fleet, request: ClientRequest) -> Result<Taken, Error> {
    let ClientRequest { headers, body, .. } = request;
    let backend = bearer(&headers).and_then(|digest| fleet.bearer(&digest)).ok_or(Error::NoToken)?;
    if headers.contains_key(CONTENT_ENCODING) {
        return Err(Error::EventCompressed);
    }
    let event = read(backend, body).await?;
    let outcome = if fleet.router.table().ignores_events { EventOutcome::Ignored } else { note(backend, event) };
    Ok(Taken { event, outcome })
}

fn note(backend: &Backend, event: Event) -> EventOutcome {
    let noted = match event {
        Event::Created(query) => backend.tally.begin(query),
        Event::Completed(query) => backend.tally.end(query),
        Event::Split => return EventOutcome::Ignored,
    };
    match noted {
        Noted::New => EventOutcome::Counted,
        Noted::Known => EventOutcome::Repeated,
        Noted::Full => EventOutcome::Dropped,
    }
}

/// The SHA-256, in hexadecimal, of the bearer token in `headers`: the look-up by it tells nothing of where a wrong token
/// differs from a right one.
fn bearer(headers: &HeaderMap) -> Option<String> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.as_bytes().split_at_checked("Bearer ".len())?;
    // The scheme's case does not matter (RFC 9110, section 11.1).
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| hex::encode(Sha256::digest(token.trim_ascii())))
}

/// Reads an event. A cluster's events share a bounded room: whoever has its token cannot fill the memory.
async fn read(backend: &Backend, mut body: ClientBody) -> Result<Event, Error> {
    let size = body.size_hint().upper().unwrap_or(MAX_EVENT.into());
    let size = u32::try_from(size).ok().filter(|size| *size <= MAX_EVENT).ok_or(Error::EventTooLarge)?;
    let room = timeout(TURN, backend.events.acquire_many(size.div_ceil(1024)));
    let room = room.await.ok().and_then(Result::ok).ok_or(Error::EventsBusy)?;
    let limit = usize::try_from(MAX_EVENT).unwrap_or(usize::MAX);
    body.set_patience(ARRIVAL);
    let body = Limited::new(body, limit).collect().await;
    let body =
        body.map_err(|cause| if cause.is::<LengthLimitError>() { Error::EventTooLarge } else { fault(&cause) })?;
    let event = event::read(&body.to_bytes()).map_err(Error::BadEvent);
    drop(room);
    event
}

fn outcome_of(error: &Error) -> EventOutcome {
    match error {
        Error::NoToken => EventOutcome::Unauthorized,
        Error::EventTooLarge => EventOutcome::TooLarge,
        Error::EventsBusy => EventOutcome::Busy,
        Error::ClientGone | Error::ClientLate => EventOutcome::Broken,
        _ => EventOutcome::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_token_is_what_follows_the_bearer_scheme() {
        let of =
            |value: &'static str| bearer(&[(AUTHORIZATION, HeaderValue::from_static(value))].into_iter().collect());
        // sha256 of "abc", FIPS 180-2, B.1.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(of("Bearer abc").as_deref(), Some(abc));
        assert_eq!(of("bearer  abc ").as_deref(), Some(abc));
        assert_ne!(of("Bearer abd").as_deref(), Some(abc));
        assert_eq!((of("Basic abc"), of("abc"), bearer(&HeaderMap::new())), (None, None, None));
    }
}
