//! The text of a new statement, kept up to a bound while it streams, so that a second cluster can be tried.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::{
    Error,
    client::{self, ClientBody},
    error::Cause,
};

/// A client's body that can be sent again from its beginning, for as long as no more than the bound of it has passed.
#[derive(Debug)]
pub(super) struct Kept {
    state: Arc<Mutex<State>>,
}

/// One sending of a [`Kept`] body. A later one ends it: the client's body has one reader at a time.
#[derive(Debug)]
pub(super) struct Replay {
    state: Arc<Mutex<State>>,
    sending: u32,
    sent: usize,
    trailers_sent: bool,
}

#[derive(Debug)]
struct State {
    client: ClientBody,
    limit: usize,
    /// What has come from the client, while it fits.
    text: BytesMut,
    trailers: Option<HeaderMap>,
    ended: bool,
    /// More than the limit has passed: what is kept is not the whole, and was let go.
    over: bool,
    sending: u32,
}

/// A later sending has begun.
#[derive(Debug, thiserror::Error)]
#[error("this try was given up")]
struct Superseded;

impl Kept {
    /// Keeps up to `limit` bytes of `client`.
    pub(super) fn new(client: ClientBody, limit: usize) -> Self {
        let ended = client.is_end_stream();
        let state = State { client, limit, text: BytesMut::new(), trailers: None, ended, over: false, sending: 0 };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Reads what the client sends up to its end; none if that is over the limit. What was read is sent all the same.
    ///
    /// # Errors
    /// When the client breaks off, or sends no more.
    pub(super) async fn read(&self) -> Result<Option<Bytes>, Error> {
        std::future::poll_fn(|cx| lock(&self.state).poll_read(cx)).await
    }

    /// Whether another sending would be whole.
    pub(super) fn is_whole(&self) -> bool {
        !lock(&self.state).over
    }

    /// Begins a sending, and ends the one before. The caller asks [`Kept::is_whole`] first.
    pub(super) fn send(&self) -> Replay {
        let mut state = lock(&self.state);
        state.sending += 1;
        Replay { state: self.state.clone(), sending: state.sending, sent: 0, trailers_sent: false }
    }
}

impl State {
    fn poll_client(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cause>>> {
        let polled = Pin::new(&mut self.client).poll_frame(cx);
        match &polled {
            Poll::Ready(None) => self.ended = true,
            Poll::Ready(Some(Ok(frame))) => self.keep(frame),
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        polled
    }

    /// Reads ahead of any sending, until the end or until more than the limit is there; all of that is kept.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        while !self.ended && !self.over {
            match std::task::ready!(Pin::new(&mut self.client).poll_frame(cx)) {
                None => self.ended = true,
                Some(Err(cause)) => return Poll::Ready(Err(client::fault(&cause))),
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.over = self.text.len() + data.len() > self.limit;
                        self.text.extend_from_slice(data);
                    }
                    self.note(&frame);
                }
            }
        }
        Poll::Ready(Ok((!self.over).then(|| Bytes::copy_from_slice(&self.text))))
    }

    fn keep(&mut self, frame: &Frame<Bytes>) {
        if let Some(data) = frame.data_ref() {
            if !self.over && self.text.len() + data.len() <= self.limit {
                self.text.extend_from_slice(data);
            } else {
                self.over = true;
                self.text = BytesMut::new();
            }
        }
        self.note(frame);
    }

    fn note(&mut self, frame: &Frame<Bytes>) {
        if frame.is_trailers() {
            self.trailers = frame.trailers_ref().cloned();
        }
        self.ended |= self.client.is_end_stream();
    }
}

impl Body for Replay {
    type Data = Bytes;
    type Error = Cause;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cause>>> {
        let this = self.get_mut();
        let mut state = lock(&this.state);
        if state.sending != this.sending {
            return Poll::Ready(Some(Err(Superseded.into())));
        }
        if let Some(rest) = state.text.get(this.sent..).filter(|rest| !rest.is_empty()) {
            let rest = Bytes::copy_from_slice(rest);
            this.sent += rest.len();
            return Poll::Ready(Some(Ok(Frame::data(rest))));
        }
        if let Some(trailers) = state.trailers.clone().filter(|_| !this.trailers_sent) {
            this.trailers_sent = true;
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        if state.ended {
            return Poll::Ready(None);
        }
        let polled = state.poll_client(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            // What was kept of it just now has been sent with this very frame.
            this.sent = state.text.len();
            this.trailers_sent |= frame.is_trailers();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        let state = lock(&self.state);
        let trailers_left = state.trailers.is_some() && !self.trailers_sent;
        state.ended && !trailers_left && self.sent >= state.text.len()
    }

    fn size_hint(&self) -> SizeHint {
        let state = lock(&self.state);
        let kept = state.text.len().saturating_sub(self.sent) as u64;
        let rest = if state.ended { SizeHint::with_exact(0) } else { state.client.size_hint() };
        let mut hint = SizeHint::new();
        hint.set_lower(kept + rest.lower());
        if let Some(upper) = rest.upper() {
            hint.set_upper(kept + upper);
        }
        hint
    }
}

/// Nothing panics while it holds the lock; if something did, what is kept would still be what has passed.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
