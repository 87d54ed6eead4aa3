//! How many queries a coordinator says it has, running and queued: the queries of other proxies are in that number.

use http::{HeaderValue, StatusCode};

use super::{
    Settings,
    backend::Backend,
    check::{Question, ask},
};
use crate::trino::work;

/// The user that asks where there is no credential; with authentication on, the coordinator then refuses, and what the proxy knows
/// itself must do.
const USER: HeaderValue = HeaderValue::from_static(work::USER);

/// Asks the coordinator, and notes what it says.
pub(super) async fn take(backend: &Backend, settings: &Settings) {
    let asked = ask(backend, settings, Question::page(work::COUNTS, Some(USER), settings)).await;
    backend.tally.report(match asked {
        Ok((head, body)) if head.status == StatusCode::OK => work::count(&String::from_utf8_lossy(&body)),
        Ok(_) | Err(_) => None,
    });
}
