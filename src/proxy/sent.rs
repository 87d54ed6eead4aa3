//! The fields of a connection's last request as its coordinator got them. All polls of a query have the same, so that they
//! are worked out once.

use std::{
    ptr,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use http::{HeaderMap, HeaderValue};

use super::{backend::Backend, fields::Fields, headers, outside::Outside};

/// The most bytes of fields that are kept: idle connections shall not fill the memory.
const MAX_BYTES: usize = 8 * 1024;

/// What was sent last.
#[derive(Debug, Default)]
pub(super) struct Sent(Mutex<Option<Last>>);

#[derive(Debug)]
struct Last {
    /// The client's, for as long as the connection remembers them: what is large it does not. No other can have their address
    /// while this points there, nor that of the backend.
    headers: Weak<HeaderMap>,
    /// It may have left the table.
    backend: Weak<Backend>,
    rewritten: bool,
    outside: Arc<Outside>,
    forwarded_for: HeaderValue,
    fields: Arc<Fields>,
}

impl Sent {
    /// What [`headers::to_coordinator`] gives.
    pub(super) fn fields(
        &self,
        headers: &Arc<HeaderMap>,
        backend: &Arc<Backend>,
        outside: &Arc<Outside>,
        forwarded_for: &HeaderValue,
    ) -> Arc<Fields> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = last.as_ref().filter(|last| last.is_of(headers, backend, outside, forwarded_for)) {
            return last.fields.clone();
        }
        let rewritten = backend.is_rewritten();
        let fields = Arc::new(headers::to_coordinator(headers, backend, outside, forwarded_for));
        *last = (fields.as_bytes().len() <= MAX_BYTES).then(|| Last {
            headers: Arc::downgrade(headers),
            backend: Arc::downgrade(backend),
            rewritten,
            outside: outside.clone(),
            forwarded_for: forwarded_for.clone(),
            fields: fields.clone(),
        });
        fields
    }
}

impl Last {
    fn is_of(
        &self,
        headers: &Arc<HeaderMap>,
        backend: &Arc<Backend>,
        outside: &Arc<Outside>,
        forwarded_for: &HeaderValue,
    ) -> bool {
        ptr::eq(self.headers.as_ptr(), Arc::as_ptr(headers))
            && ptr::eq(self.backend.as_ptr(), Arc::as_ptr(backend))
            && self.rewritten == backend.is_rewritten()
            && (Arc::ptr_eq(&self.outside, outside) || self.outside == *outside)
            && self.forwarded_for == *forwarded_for
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_in_anything_is_worked_out_anew() {
        let sent = Sent::default();
        let headers = |user: &'static str| {
            Arc::new(HeaderMap::from_iter([(http::header::HOST, HeaderValue::from_static("a")), {
                (http::HeaderName::from_static("x-trino-user"), HeaderValue::from_static(user))
            }]))
        };
        let backend = |name| Arc::new(Backend::for_tests(name, "http://10.0.0.1:8080"));
        let outside = |prefix| Arc::new(Outside::for_tests(prefix));
        let from = HeaderValue::from_static;
        let (alice, blue, top, near) = (headers("alice"), backend("blue"), outside(""), from("10.0.0.9"));
        let first = sent.fields(&alice, &blue, &top, &near);
        assert!(Arc::ptr_eq(&first, &sent.fields(&alice, &blue, &outside(""), &near)), "all are the same");
        let others = [
            (&headers("bob"), &blue, &top, &near),
            (&alice, &backend("green"), &top, &near),
            (&alice, &blue, &outside("/data"), &near),
            (&alice, &blue, &top, &from("10.0.0.8")),
        ];
        for (headers, backend, outside, forwarded_for) in others {
            let anew = headers::to_coordinator(headers, backend, outside, forwarded_for);
            let fields = sent.fields(headers, backend, outside, forwarded_for);
            assert_eq!(fields.as_bytes(), anew.as_bytes());
            assert_ne!(fields.as_bytes(), first.as_bytes());
            assert_eq!(sent.fields(&alice, &blue, &top, &near).as_bytes(), first.as_bytes());
        }
    }
}
