//! A request body that flows while its bytes arrive, and that can be sent again.
//!
//! The SDK asks for a new body at each attempt. Every body reads the same list of chunks, and the
//! one that comes to its end pulls the next chunk from the image host. So a picture is fetched once
//! however often S3 must be asked, and no byte is copied on the way.

use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_smithy_types::base64;
use bytes::Bytes;
use futures_util::Stream;
use http_body::{Body, Frame, SizeHint};

use crate::checksum_trailer;
use crate::fetch_error::FetchError;
use crate::picture::Picture;

/// The bytes of one object, or of one part, of known length. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Replay(Arc<Shared>);

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
    #[must_use]
    pub fn flowing(picture: Picture, length: u64) -> Self {
        Self::new(length, Vec::new(), Rest::Arriving(Box::new(picture)))
    }

    /// Bytes that have all arrived, in the time that it took.
    #[must_use]
    pub fn arrived(chunks: Vec<Bytes>, fetch_time: Duration) -> Self {
        let length = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        Self::new(length, chunks, Rest::Complete { fetch_time })
    }

    fn new(length: u64, arrived: Vec<Bytes>, rest: Rest) -> Self {
        let mut crc32 = crc32fast::Hasher::new();
        for chunk in &arrived {
            crc32.update(chunk);
        }
        Self(Arc::new(Shared {
            length,
            readings: AtomicU32::new(0),
            state: Mutex::new(State { arrived, crc32, rest }),
        }))
    }

    /// In bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.0.length
    }

    /// A body for the SDK, which makes itself anew for each attempt: the bytes alone.
    #[must_use]
    pub fn plain(&self) -> ByteStream {
        self.stream(Place::Bytes { next: 0 })
    }

    /// The same between the head and the tail of [`crate::checksum_trailer`].
    #[must_use]
    pub fn with_checksum_trailer(&self) -> ByteStream {
        self.stream(Place::Head)
    }

    fn stream(&self, start: Place) -> ByteStream {
        let shared = Arc::clone(&self.0);
        ByteStream::new(SdkBody::retryable(move || {
            SdkBody::from_body_1_x(Reader {
                shared: Arc::clone(&shared),
                begun: false,
                trailer: start == Place::Head,
                place: start,
            })
        }))
    }

    /// Whether all the bytes are here, and with them their checksum.
    #[must_use]
    pub fn has_arrived(&self) -> bool {
        matches!(self.0.state().rest, Rest::Complete { .. })
    }

    /// How often the bytes were sent, or begun to be.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.0.readings.load(Ordering::Relaxed)
    }

    /// The CRC-32 of the bytes that have arrived, as S3's `x-amz-checksum-crc32` has it: big-endian,
    /// in base64.
    #[must_use]
    pub fn crc32(&self) -> String {
        self.0.state().crc32()
    }

    /// How long the picture took to arrive; an error if it did not arrive whole.
    pub fn fetch_time(&self) -> Result<Duration, FetchError> {
        match &self.0.state().rest {
            Rest::Arriving(picture) => Ok(picture.fetch_time()),
            Rest::Complete { fetch_time } => Ok(*fetch_time),
            Rest::Failed(error) => Err(error.clone()),
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn crc32(&self) -> String {
        base64::encode(self.crc32.clone().finalize().to_be_bytes())
    }

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
        let next = ready!(Pin::new(&mut **picture).poll_next(context));
        match &next {
            Some(Ok(chunk)) => {
                self.crc32.update(chunk);
                self.arrived.push(chunk.clone());
            }
            Some(Err(error)) => self.rest = Rest::Failed(error.clone()),
            None => self.rest = Rest::Complete { fetch_time: picture.fetch_time() },
        }
        Poll::Ready(next)
    }
}

/// One reading of the bytes, from the first to the last.
struct Reader {
    shared: Arc<Shared>,
    begun: bool,
    trailer: bool,
    place: Place,
}

/// What a reading comes to next.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Head,
    Bytes { next: usize },
    End,
}

impl Body for Reader {
    type Data = Bytes;
    type Error = FetchError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, FetchError>>> {
        if !self.begun {
            // The SDK makes more bodies than it sends.
            self.begun = true;
            self.shared.readings.fetch_add(1, Ordering::Relaxed);
        }
        let data = match self.place {
            Place::Head => {
                self.place = Place::Bytes { next: 0 };
                checksum_trailer::head(self.shared.length).into()
            }
            Place::Bytes { next } => {
                let mut state = self.shared.state();
                match ready!(state.poll_chunk(next, context)) {
                    Some(Ok(chunk)) => {
                        drop(state);
                        self.place = Place::Bytes { next: next + 1 };
                        chunk
                    }
                    Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                    None => {
                        let tail = self.trailer.then(|| checksum_trailer::tail(&state.crc32()));
                        drop(state);
                        self.place = Place::End;
                        match tail {
                            Some(tail) => tail.into(),
                            None => return Poll::Ready(None),
                        }
                    }
                }
            }
            Place::End => return Poll::Ready(None),
        };
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn size_hint(&self) -> SizeHint {
        let length = self.shared.length;
        SizeHint::with_exact(match self.place {
            Place::Head => checksum_trailer::encoded_length(length),
            Place::Bytes { .. } => length,
            Place::End => 0,
        })
    }
}
