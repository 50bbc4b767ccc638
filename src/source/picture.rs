//! A picture that is arriving, and the rules that make it whole.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE};
use reqwest::{Response, StatusCode};
use tokio::time::Instant;
use url::Url;

use super::completeness::Completeness;
use super::error::FetchError;
use super::image_kind::{ImageKind, SNIFF_LENGTH};
use super::limits::Limits;
use super::stall_timer::StallTimer;
use super::tee::Tee;
use crate::aws::clean;

/// Frames of the body below this length in bytes are joined to chunks of at least this length.
///
/// A frame keeps the whole buffer into which the connection was read, however few bytes of it are
/// its own, and the host chooses how the body is cut. With one frame a byte, a picture that is kept
/// until S3 has it would take thousands of times its size.
const JOINED: usize = 16 << 10;

/// A picture whose kind is known and whose bytes are still arriving.
///
/// Read it with [`Picture::chunk`] until that returns `None`; then [`Picture::finish`] says whether
/// it was whole.
#[derive(Debug)]
pub(crate) struct Picture {
    /// The URL that returned it, after redirects.
    pub(crate) url: Url,
    pub(crate) kind: ImageKind,
    /// The number of requests to the host.
    pub(crate) attempts: u32,
    started: Instant,
    /// The chunks from which the kind was determined. They are returned first.
    beginning: VecDeque<Bytes>,
    rest: Download,
    completeness: Completeness,
    tee: Option<Tee>,
}

impl Picture {
    /// Reads as much of an answer as is necessary to determine the picture's kind.
    pub(super) async fn open(
        response: Response,
        limits: Limits,
        attempts: u32,
        deadline: Instant,
    ) -> Result<Self, FetchError> {
        let url = response.url().clone();
        let declared = declared_length(&response)?;
        if declared.is_some_and(|length| length > limits.size) {
            return Err(FetchError::TooLarge { limit: limits.size });
        }
        let body = response.into();
        let stall_timer = StallTimer::until(deadline, limits);
        let mut rest = Download {
            declared,
            limits,
            stall_timer,
            body,
            joined: BytesMut::new(),
            least: SNIFF_LENGTH,
            received: 0,
            ended: None,
        };
        let mut beginning = VecDeque::new();
        let mut first_bytes = Vec::new();
        while first_bytes.len() < SNIFF_LENGTH
            && let Some(chunk) = poll_fn(|context| rest.poll_chunk(context)).await.transpose()?
        {
            let missing = SNIFF_LENGTH - first_bytes.len();
            first_bytes.extend_from_slice(&chunk[..missing.min(chunk.len())]);
            beginning.push_back(chunk);
        }
        rest.least = JOINED;
        if beginning.is_empty() {
            return Err(FetchError::Empty);
        }
        let kind = ImageKind::of(&first_bytes).map_err(FetchError::NotAnImage)?;
        let mut completeness = Completeness::of(kind);
        for chunk in &beginning {
            completeness.see(chunk);
        }
        let started = deadline - limits.fetch;
        let picture =
            Self { url, kind, attempts, started, beginning, rest, completeness, tee: None };
        if picture.rest.ended.is_some() {
            // All of a small picture has arrived: if it is not whole, no upload needs to begin.
            picture.finish()?;
        }
        Ok(picture)
    }

    /// Copies the bytes as they are read. To be called before the first is read.
    pub(crate) fn copy_to(&mut self, tee: Option<Tee>) {
        self.tee = tee;
    }

    /// The length in bytes that the host declared, if it did.
    pub(crate) fn declared_length(&self) -> Option<u64> {
        self.rest.declared
    }

    /// The largest length in bytes that it may reach: `--max-image-size`.
    pub(crate) fn largest(&self) -> u64 {
        self.rest.limits.size
    }

    /// The next bytes, never empty, or `None` after the last.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, FetchError> {
        poll_fn(|context| self.poll_chunk(context)).await.transpose()
    }

    /// As [`Picture::chunk`], for a task that polls.
    pub(crate) fn poll_chunk(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, FetchError>>> {
        let next = if let Some(chunk) = self.beginning.pop_front() {
            Poll::Ready(Some(Ok(chunk)))
        } else {
            let next = self.rest.poll_chunk(context);
            if let Poll::Ready(Some(Ok(chunk))) = &next {
                self.completeness.see(chunk);
            }
            next
        };
        if let (Poll::Ready(Some(Ok(chunk))), Some(tee)) = (&next, &self.tee) {
            tee.add(chunk);
        }
        next
    }

    /// Nobody waits for the next chunk at the moment: that time does not count against the host.
    pub(crate) fn pause(&mut self) {
        self.rest.stall_timer.pause();
    }

    /// Says, after the last chunk, how long the picture took from the first request to the last
    /// byte; an error if it is not all there.
    pub(crate) fn finish(&self) -> Result<Duration, FetchError> {
        let (received, ended) = self.rest.finish()?;
        if self.completeness.is_whole() {
            Ok(ended - self.started)
        } else {
            Err(FetchError::Truncated { received, kind: self.kind.media_type })
        }
    }
}

/// The length in bytes that the host declares, if it does. A part must be all of the picture.
fn declared_length(response: &Response) -> Result<Option<u64>, FetchError> {
    let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let declared = text(CONTENT_LENGTH).and_then(|value| value.parse().ok());
    if response.status() != StatusCode::PARTIAL_CONTENT {
        return Ok(declared);
    }
    let range = text(CONTENT_RANGE);
    match range.and_then(whole) {
        Some(length) if declared.is_none_or(|declared| declared == length) => Ok(Some(length)),
        _ => {
            let range = range.map(|range| format!("Content-Range {}", clean(range)));
            Err(FetchError::Partial(range.unwrap_or_else(|| "no Content-Range".to_owned())))
        }
    }
}

/// The length of a picture of which this `Content-Range` says that all of it is there (RFC 9110, section
/// 14.4).
fn whole(range: &str) -> Option<u64> {
    let (first_and_last, length) = range.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = first_and_last.split_once('-')?;
    let (first, last, length): (u64, u64, u64) =
        (first.parse().ok()?, last.parse().ok()?, length.parse().ok()?);
    (first == 0 && last.checked_add(1) == Some(length)).then_some(length)
}

/// The body of one answer, held to its declared length and to the limits.
#[derive(Debug)]
struct Download {
    /// The length in bytes that the host declared. The header counts, not the framing: a chunked
    /// body that declares a length as well is held to it.
    declared: Option<u64>,
    limits: Limits,
    stall_timer: StallTimer,
    body: reqwest::Body,
    /// Frames that are not long enough yet to be a chunk.
    joined: BytesMut,
    /// The least length in bytes of a chunk, unless it is the last.
    least: usize,
    received: u64,
    /// When the last byte arrived, if it has.
    ended: Option<Instant>,
}

impl Download {
    /// The next bytes, never empty, or `None` after the last.
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, FetchError>>> {
        while self.ended.is_none() {
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else {
                return self.stall_timer.poll_stalled(context).map(|too_slow| Some(Err(too_slow)));
            };
            self.stall_timer.pause();
            match frame {
                Some(Ok(frame)) => {
                    // A frame is either bytes or trailers, which are of no interest.
                    let Ok(bytes) = frame.into_data() else { continue };
                    self.check(&bytes)?;
                    if let Some(chunk) = self.join(bytes) {
                        return Poll::Ready(Some(Ok(chunk)));
                    }
                }
                Some(Err(error)) => {
                    let error = self.limits.explain(error, Some(self.received));
                    return Poll::Ready(Some(Err(error)));
                }
                None => self.ended = Some(Instant::now()),
            }
        }
        let last = std::mem::take(&mut self.joined);
        Poll::Ready((!last.is_empty()).then(|| Ok(last.freeze())))
    }

    /// The next chunk, if with these bytes there are enough for one.
    fn join(&mut self, bytes: Bytes) -> Option<Bytes> {
        if self.joined.is_empty() {
            if bytes.len() >= self.least {
                return Some(bytes);
            }
            self.joined.reserve(self.least);
        }
        self.joined.extend_from_slice(&bytes);
        (self.joined.len() >= self.least).then(|| std::mem::take(&mut self.joined).freeze())
    }

    fn check(&mut self, chunk: &[u8]) -> Result<(), FetchError> {
        self.received += chunk.len() as u64;
        if self.received > self.limits.size {
            return Err(FetchError::TooLarge { limit: self.limits.size });
        }
        match self.declared {
            Some(declared) if self.received > declared => {
                Err(FetchError::Length { received: self.received, declared })
            }
            _ => Ok(()),
        }
    }

    /// How many bytes the body had and when it ended: an error if it has not ended, or not where
    /// it was declared to.
    fn finish(&self) -> Result<(u64, Instant), FetchError> {
        let received = self.received;
        match (self.ended, self.declared) {
            (Some(_), Some(declared)) if received < declared => {
                Err(FetchError::Length { received, declared })
            }
            (Some(ended), _) => Ok((received, ended)),
            (None, _) => {
                Err(FetchError::Broken { received, cause: "it was not read to its end".to_owned() })
            }
        }
    }
}
