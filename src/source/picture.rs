//! A picture that is arriving, and the rules that make it whole.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::Body as _;
use reqwest::Response;
use reqwest::header::CONTENT_LENGTH;
use tokio::time::Instant;
use url::Url;

use super::error::FetchError;
use super::image_kind::{EndWatch, ImageKind, SNIFF_LENGTH};
use super::limits::Limits;
use super::patience::Patience;
use super::tee::Tee;

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
    end: EndWatch,
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
        let declared = response
            .headers()
            .get(CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        if declared.is_some_and(|length| length > limits.size) {
            return Err(FetchError::TooLarge { limit: limits.size });
        }
        let body = response.into();
        let patience = Patience::until(deadline, limits);
        let mut rest = Download { declared, limits, patience, body, received: 0, ended: None };
        let mut beginning = VecDeque::new();
        let mut first_bytes = Vec::new();
        while first_bytes.len() < SNIFF_LENGTH
            && let Some(chunk) = poll_fn(|context| rest.poll_chunk(context)).await.transpose()?
        {
            let missing = SNIFF_LENGTH - first_bytes.len();
            first_bytes.extend_from_slice(&chunk[..missing.min(chunk.len())]);
            beginning.push_back(chunk);
        }
        if beginning.is_empty() {
            return Err(FetchError::Empty);
        }
        let kind = ImageKind::of(&first_bytes).map_err(FetchError::NotAnImage)?;
        let mut end = EndWatch::new(kind, &first_bytes);
        for chunk in &beginning {
            end.see(chunk);
        }
        let started = deadline - limits.fetch;
        let picture = Self { url, kind, attempts, started, beginning, rest, end, tee: None };
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
                self.end.see(chunk);
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
        self.rest.patience.pause();
    }

    /// Says, after the last chunk, how long the picture took from the first request to the last
    /// byte; an error if it is not all there.
    pub(crate) fn finish(&self) -> Result<Duration, FetchError> {
        let (received, ended) = self.rest.finish()?;
        if self.end.is_whole(received) {
            Ok(ended - self.started)
        } else {
            Err(FetchError::Truncated { received, kind: self.kind.media_type })
        }
    }
}

/// The body of one answer, held to its declared length and to the limits.
#[derive(Debug)]
struct Download {
    /// The length in bytes that the host declared. The header counts, not the framing: a chunked
    /// body that declares a length as well is held to it.
    declared: Option<u64>,
    limits: Limits,
    patience: Patience,
    body: reqwest::Body,
    received: u64,
    /// When the last byte arrived, if it has.
    ended: Option<Instant>,
}

impl Download {
    /// The next bytes, never empty, or `None` after the last.
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, FetchError>>> {
        while self.ended.is_none() {
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else {
                return self.patience.poll_end(context).map(|too_slow| Some(Err(too_slow)));
            };
            self.patience.pause();
            match frame {
                Some(Ok(frame)) => {
                    // A frame is either bytes or trailers, which are of no interest.
                    if let Some(chunk) = frame.into_data().ok().filter(|data| !data.is_empty()) {
                        return Poll::Ready(Some(self.check(&chunk).map(|()| chunk)));
                    }
                }
                Some(Err(error)) => {
                    let error = self.limits.explain(error, Some(self.received));
                    return Poll::Ready(Some(Err(error)));
                }
                None => self.ended = Some(Instant::now()),
            }
        }
        Poll::Ready(None)
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
