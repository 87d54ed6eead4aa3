//! How many queries a coordinator says it has, running and queued: the queries of other proxies are in that number.

use http::{HeaderValue, StatusCode, header::AUTHORIZATION};

use super::{
    Settings,
    backend::Backend,
    check::{Question, ask},
    credentials,
};
use crate::trino::work;

/// The user that asks where there are no credentials; with authentication on, the coordinator refuses, and what the proxy
/// knows itself must do.
const USER: HeaderValue = HeaderValue::from_static(work::USER);

/// Asks the coordinator, and notes what it says.
pub(super) async fn take(backend: &Backend, settings: &Settings) {
    let authorization = credentials::of(backend, settings).await;
    let user = authorization.is_none().then_some(USER);
    let mut question = Question::page(work::COUNTS, user, settings);
    question.headers.extend(authorization.map(|value| (AUTHORIZATION, value)));
    let asked = ask(backend, settings, question).await;
    backend.tally.report(match asked {
        Ok((head, body)) if head.status == StatusCode::OK => work::count(&String::from_utf8_lossy(&body)),
        Ok(_) | Err(_) => None,
    });
}
