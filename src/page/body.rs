//! The body of an answer.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::BoxStream;
use http_body::{Frame, SizeHint};

/// How many bytes of an answer go to the system at a time: it takes a larger piece whole, whatever its limit
/// for a connection is.
pub(super) const PIECE: usize = 16 << 10;

/// The body of an answer: bytes, or events without an end.
pub(crate) enum Body {
    Whole(Bytes),
    Events(BoxStream<'static, Bytes>),
}

impl Body {
    pub(crate) fn is_endless(&self) -> bool {
        matches!(self, Self::Events(_))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match &mut *self {
            Self::Whole(bytes) => {
                let piece = bytes.split_to(bytes.len().min(PIECE));
                Poll::Ready((!piece.is_empty()).then_some(piece))
            }
            Self::Events(events) => Pin::new(events).poll_next(context),
        };
        next.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Events(_) => SizeHint::default(),
        }
    }
}
