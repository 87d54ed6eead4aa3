//! The body of a response on its way to a client: pieces pass as they come and are never collected; nothing is changed,
//! but for the URIs of a coordinator that cannot build them.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;

use super::{error::Cause, observe::Observation, peek::Peek, pool::PooledBody, rewrite::Rewriter};

/// The body of a response to a client. It carries the request's observation, which ends with it.
#[derive(Debug)]
pub(super) struct ResponseBody {
    source: Source,
    observation: Observation,
}

#[derive(Debug)]
enum Source {
    /// What the proxy says itself.
    Own(Full<Bytes>),
    /// What a coordinator says.
    Coordinator(Streamed),
}

/// A coordinator's answer as it streams.
#[derive(Debug)]
pub(super) struct Streamed {
    pub body: PooledBody,
    /// Leads the URIs through the gateway, where the coordinator does not do so itself.
    pub rewriter: Option<Rewriter>,
    /// Looks whether the query goes on, where the answer is a page of results.
    pub peek: Option<Peek>,
}

impl Streamed {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cause>>> {
        let polled = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx)).transpose().map_err(Cause::from)?;
        let Some(rewriter) = &mut self.rewriter else { return Poll::Ready(polled.map(Ok)) };
        if let Some(frame) = polled {
            return Poll::Ready(Some(Ok(frame.map_data(|piece| rewriter.feed(&piece)))));
        }
        let rest = rewriter.finish();
        self.rewriter = None;
        Poll::Ready((!rest.is_empty()).then(|| Ok(Frame::data(rest))))
    }
}

impl ResponseBody {
    /// What the proxy says itself.
    pub(super) fn own(body: Full<Bytes>, observation: Observation) -> Self {
        Self::new(Source::Own(body), observation)
    }

    /// What a coordinator says.
    pub(super) fn of_coordinator(streamed: Streamed, observation: Observation) -> Self {
        Self::new(Source::Coordinator(streamed), observation)
    }

    fn new(source: Source, observation: Observation) -> Self {
        let mut body = Self { source, observation };
        // Such a body may never be polled.
        if body.is_end_stream() {
            body.observation.complete();
        }
        body
    }

    fn passed(&mut self, frame: &Frame<Bytes>) {
        let Some(data) = frame.data_ref() else { return };
        self.observation.passed(data.len());
        if let Source::Coordinator(Streamed { peek: Some(peek), .. }) = &mut self.source
            && let Some(head) = peek.feed(data)
        {
            self.observation.saw(head);
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Cause;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cause>>> {
        let this = self.get_mut();
        let polled = match &mut this.source {
            Source::Own(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Source::Coordinator(streamed) => streamed.poll_frame(cx),
        };
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                this.passed(frame);
                // A body of known length is not polled for its end.
                if this.is_end_stream() {
                    this.observation.complete();
                }
            }
            Poll::Ready(Some(Err(error))) => this.observation.broke(&**error),
            Poll::Ready(None) => this.observation.complete(),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Own(body) => body.is_end_stream(),
            // What a rewriter held back may still come.
            Source::Coordinator(streamed) => streamed.body.is_end_stream() && streamed.rewriter.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Own(body) => body.size_hint(),
            Source::Coordinator(Streamed { rewriter: Some(_), .. }) => SizeHint::default(),
            Source::Coordinator(streamed) => streamed.body.size_hint(),
        }
    }
}
