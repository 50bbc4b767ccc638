//! A picture that is arriving, and the rules that make it whole.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http_body::Body as _;
use reqwest::Response;
use reqwest::header::CONTENT_LENGTH;
use tokio::time::Instant;
use url::Url;

use crate::fetch_error::{FetchError, Limits};
use crate::image_kind::{self, EndWatch, ImageKind, SNIFF_LENGTH};

/// A picture on its way: a stream of its bytes that ends well only if the picture is whole.
#[derive(Debug)]
pub struct Picture {
    /// Where it came from, after redirects.
    pub url: Url,
    /// What its first bytes say it is.
    pub kind: ImageKind,
    /// Its length in bytes, if the host declared it.
    pub length: Option<u64>,
    /// How often the host was asked for it.
    pub attempts: u32,
    /// When the first request for it was made.
    pub started: Instant,
    body: reqwest::Body,
    limits: Limits,
    deadline: Instant,
    received: u64,
    /// When the last byte came.
    finished: Option<Instant>,
    /// Bytes that have been read but not handed on yet.
    held: VecDeque<Bytes>,
    /// Looks for its end, once its kind is known.
    end: Option<EndWatch>,
}

impl Picture {
    /// Reads as much of an answer as its kind takes.
    pub(crate) async fn open(
        response: Response,
        limits: Limits,
        attempts: u32,
        deadline: Instant,
    ) -> Result<Self, FetchError> {
        // The header, not the framing: a chunked body that declares a length besides is held to it.
        let length = response
            .headers()
            .get(CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        if length.is_some_and(|length| length > limits.size) {
            return Err(FetchError::TooLarge { limit: limits.size });
        }
        let mut picture = Self {
            url: response.url().clone(),
            kind: ImageKind { media_type: "", extension: "" },
            length,
            attempts,
            started: deadline - limits.fetch,
            body: reqwest::Body::from(response),
            limits,
            deadline,
            received: 0,
            finished: None,
            held: VecDeque::new(),
            end: None,
        };
        picture.sniff().await?;
        Ok(picture)
    }

    /// Reads as much as tells the picture's kind.
    async fn sniff(&mut self) -> Result<(), FetchError> {
        let chunks = self.read(SNIFF_LENGTH as u64).await?;
        let first = match chunks.as_slice() {
            [] => return Err(FetchError::Empty),
            [chunk] => chunk.clone(),
            chunks => chunks.concat().into(),
        };
        self.put_back(chunks);
        self.kind = image_kind::of(&first).map_err(FetchError::NotAnImage)?;
        let mut end = EndWatch::new(self.kind, &first);
        self.held.iter().for_each(|chunk| end.see(chunk));
        self.end = Some(end);
        // It may have been all.
        match self.finished.and_then(|_| self.check_end()) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// What it may come to at most, in bytes.
    #[must_use]
    pub fn largest(&self) -> u64 {
        self.limits.size
    }

    /// The next bytes, `n` of them, or fewer if the picture ends before.
    pub async fn read(&mut self, n: u64) -> Result<Vec<Bytes>, FetchError> {
        let mut taken = Vec::new();
        let mut missing = n;
        while missing > 0 {
            let Some(mut chunk) = self.next().await.transpose()? else {
                break;
            };
            if let Ok(cut) = usize::try_from(missing)
                && cut < chunk.len()
            {
                self.held.push_front(chunk.split_off(cut));
            }
            missing -= chunk.len() as u64;
            taken.push(chunk);
        }
        Ok(taken)
    }

    /// Makes `chunks` the next bytes again.
    pub fn put_back(
        &mut self,
        chunks: impl IntoIterator<Item = Bytes, IntoIter: DoubleEndedIterator>,
    ) {
        for chunk in chunks.into_iter().rev() {
            self.held.push_front(chunk);
        }
    }

    /// From the first request to the last byte; up to now while bytes are still coming.
    #[must_use]
    pub fn fetch_time(&self) -> Duration {
        self.finished.unwrap_or_else(Instant::now) - self.started
    }

    fn check_received(&mut self, chunk: &[u8]) -> Result<(), FetchError> {
        self.received += chunk.len() as u64;
        if let Some(end) = &mut self.end {
            end.see(chunk);
        }
        if self.received > self.limits.size {
            return Err(FetchError::TooLarge { limit: self.limits.size });
        }
        match self.length {
            Some(declared) if self.received > declared => {
                Err(FetchError::Length { received: self.received, declared })
            }
            _ => Ok(()),
        }
    }

    fn check_end(&mut self) -> Option<FetchError> {
        self.finished.get_or_insert_with(Instant::now);
        let received = self.received;
        match (self.length, &self.end) {
            (Some(declared), _) if received < declared => {
                Some(FetchError::Length { received, declared })
            }
            (_, Some(end)) if !end.is_whole(received) => {
                Some(FetchError::Truncated { received, kind: self.kind.media_type })
            }
            _ => None,
        }
    }
}

impl Stream for Picture {
    type Item = Result<Bytes, FetchError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(chunk) = self.held.pop_front() {
            return Poll::Ready(Some(Ok(chunk)));
        }
        loop {
            if self.finished.is_some() {
                return Poll::Ready(None);
            }
            let next = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.is_empty() => continue,
                    Ok(data) => Some(self.check_received(&data).map(|()| data)),
                    Err(_trailers) => continue,
                },
                Some(Err(error)) => {
                    Some(Err(self.limits.explain(error, self.deadline, Some(self.received))))
                }
                None => self.check_end().map(Err),
            };
            return Poll::Ready(next);
        }
    }
}
