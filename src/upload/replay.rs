//! A request body that is sent while its bytes arrive, and that can be sent again.
//!
//! The SDK requests a new body for each attempt. All bodies read the same list of chunks, and a body
//! that reaches the end of the list reads the next chunk from the image host. So a picture is fetched
//! only once, even if several requests to S3 are necessary, and no byte is copied.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::checksum_trailer;
use super::content::Content;
use crate::lock::lock;
use crate::source::{FetchError, Picture};

/// The bytes of one object or of one part, of known length. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Replay(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    length: u64,
    readings: AtomicU32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    arrived: Vec<Bytes>,
    crc32: crc32fast::Hasher,
    rest: Rest,
}

#[derive(Debug)]
enum Rest {
    Arriving(Box<Picture>),
    Complete { fetch_time: Duration },
    Failed(FetchError),
}

impl Replay {
    /// A picture that is still arriving, `length` bytes in all.
    pub(super) fn arriving(picture: Picture, length: u64) -> Self {
        Self::new(length, Vec::new(), Rest::Arriving(Box::new(picture)))
    }

    /// Bytes that have all arrived, and the time that this took.
    pub(super) fn arrived(chunks: Vec<Bytes>, fetch_time: Duration) -> Self {
        let length = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        Self::new(length, chunks, Rest::Complete { fetch_time })
    }

    fn new(length: u64, arrived: Vec<Bytes>, rest: Rest) -> Self {
        let mut crc32 = crc32fast::Hasher::new();
        for chunk in &arrived {
            crc32.update(chunk);
        }
        let state = Mutex::new(State { arrived, crc32, rest });
        Self(Arc::new(Shared { length, readings: AtomicU32::new(0), state }))
    }

    pub(super) fn length(&self) -> u64 {
        self.0.length
    }

    /// The length as the SDK wants it. No body is longer than one request may be.
    pub(super) fn content_length(&self) -> i64 {
        i64::try_from(self.0.length).unwrap_or(i64::MAX)
    }

    /// The body for the SDK, which creates it anew for each attempt: the bytes alone.
    pub(super) fn plain(&self) -> ByteStream {
        self.body(Position::Chunk(0), false)
    }

    /// The same between the head and the tail of [`checksum_trailer`].
    pub(super) fn with_checksum_trailer(&self) -> ByteStream {
        self.body(Position::Head, true)
    }

    fn body(&self, position: Position, with_trailer: bool) -> ByteStream {
        let shared = Arc::clone(&self.0);
        ByteStream::new(SdkBody::retryable(move || {
            let shared = Arc::clone(&shared);
            SdkBody::from_body_1_x(Reader { shared, with_trailer, position })
        }))
    }

    /// How many attempts began to send the bytes.
    pub(super) fn attempts(&self) -> u32 {
        self.0.readings.load(Ordering::Relaxed)
    }

    /// Waits until all bytes have arrived.
    pub(super) async fn arrive(&self) -> Result<(), FetchError> {
        let mut index = lock(&self.0.state).arrived.len();
        let _pause = Pause(&self.0);
        while let Some(chunk) =
            poll_fn(|context| lock(&self.0.state).poll_chunk(index, context)).await
        {
            chunk?;
            index += 1;
        }
        Ok(())
    }

    /// Length and CRC-32 of the bytes that have arrived.
    pub(super) fn content(&self) -> Content {
        lock(&self.0.state).content()
    }

    /// The bytes that have arrived.
    pub(super) fn chunks(&self) -> Vec<Bytes> {
        lock(&self.0.state).arrived.clone()
    }

    /// How long the picture took to arrive; an error if it has not arrived whole.
    pub(super) fn finish(&self) -> Result<Duration, FetchError> {
        match &lock(&self.0.state).rest {
            Rest::Arriving(picture) => picture.finish(),
            Rest::Complete { fetch_time } => Ok(*fetch_time),
            Rest::Failed(error) => Err(error.clone()),
        }
    }

    /// The error with which the picture broke off, if it did.
    pub(super) fn failure(&self) -> Option<FetchError> {
        match &lock(&self.0.state).rest {
            Rest::Failed(error) => Some(error.clone()),
            _ => None,
        }
    }
}

impl State {
    /// The chunk at `index`, waiting for it if it has not arrived.
    fn poll_chunk(
        &mut self,
        index: usize,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, FetchError>>> {
        if let Some(chunk) = self.arrived.get(index) {
            return Poll::Ready(Some(Ok(chunk.clone())));
        }
        let picture = match &mut self.rest {
            Rest::Arriving(picture) => picture,
            Rest::Complete { .. } => return Poll::Ready(None),
            Rest::Failed(error) => return Poll::Ready(Some(Err(error.clone()))),
        };
        let error = match ready!(picture.poll_chunk(context)) {
            Some(Ok(chunk)) => {
                self.crc32.update(&chunk);
                self.arrived.push(chunk.clone());
                return Poll::Ready(Some(Ok(chunk)));
            }
            Some(Err(error)) => error,
            None => match picture.finish() {
                Ok(fetch_time) => {
                    self.rest = Rest::Complete { fetch_time };
                    return Poll::Ready(None);
                }
                Err(error) => error,
            },
        };
        self.rest = Rest::Failed(error.clone());
        Poll::Ready(Some(Err(error)))
    }

    fn content(&self) -> Content {
        let length = self.arrived.iter().map(|chunk| chunk.len() as u64).sum();
        Content { length, crc32: self.crc32.clone().finalize() }
    }
}

/// One reading of the bytes, from the first to the last.
struct Reader {
    shared: Arc<Shared>,
    with_trailer: bool,
    position: Position,
}

impl Drop for Reader {
    fn drop(&mut self) {
        drop(Pause(&self.shared));
    }
}

/// When an attempt ends, waiting time is no longer counted: the next attempt may begin after a pause.
struct Pause<'a>(&'a Shared);

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        if let Rest::Arriving(picture) = &mut lock(&self.0.state).rest {
            picture.pause();
        }
    }
}

/// What the reader returns next.
#[derive(Clone, Copy)]
enum Position {
    Head,
    Chunk(usize),
    End,
}

impl Body for Reader {
    type Data = Bytes;
    type Error = FetchError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, FetchError>>> {
        let index = match self.position {
            Position::Head => {
                self.position = Position::Chunk(0);
                let head = checksum_trailer::head(self.shared.length);
                return Poll::Ready(Some(Ok(Frame::data(head.into()))));
            }
            Position::Chunk(index) => index,
            Position::End => return Poll::Ready(None),
        };
        let mut state = lock(&self.shared.state);
        let chunk = ready!(state.poll_chunk(index, context)).transpose()?;
        // The tail follows only if the picture is whole: without it, S3 stores nothing.
        let tail = chunk.is_none().then(|| checksum_trailer::tail(&state.content().checksum()));
        drop(state);
        if index == 0 {
            // Counted here, because the SDK creates more bodies than it sends.
            self.shared.readings.fetch_add(1, Ordering::Relaxed);
        }
        self.position = if chunk.is_some() { Position::Chunk(index + 1) } else { Position::End };
        let data = chunk.or_else(|| tail.filter(|_| self.with_trailer).map(Bytes::from));
        Poll::Ready(data.map(|data| Ok(Frame::data(data))))
    }

    fn size_hint(&self) -> SizeHint {
        let length = self.shared.length;
        SizeHint::with_exact(match self.position {
            Position::Head => checksum_trailer::encoded_length(length),
            Position::Chunk(_) => length,
            Position::End => 0,
        })
    }
}
