//! Verifies a request's body against its headers and trailers.
//!
//! s3s-fs 0.14.1 checks the checksums of a `PutObject` only after the object is
//! in place, and never checks those of an `UploadPart`. S3 stores nothing that
//! does not match. This module therefore checks at the last byte of the body: a
//! mismatch is an error of the stream, upon which s3s-fs deletes the temporary
//! file.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use hyper::{HeaderMap, StatusCode};
use s3s::checksum::ChecksumHasher;
use s3s::dto::{Checksum, ChecksumAlgorithm, StreamingBlob};
use s3s::{S3Error, S3ErrorCode, S3Result, TrailingHeaders};

/// The names in `x-amz-checksum-…`.
const ALGORITHMS: [&str; 5] = ["crc32", "crc32c", "crc64nvme", "sha1", "sha256"];

/// The length and checksums that a request announces for its body.
#[derive(Debug)]
pub(crate) struct Claim {
    headers: HeaderMap,
    trailers: Option<TrailingHeaders>,
}

/// The result of the check, shared with the body. `None` until the body ends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict(Arc<Mutex<Option<S3Result<Checksum>>>>);

impl Verdict {
    fn set(&self, found: S3Result<Checksum>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
    }

    /// Returns the verified checksums, or the error that replaces `other`, the
    /// outcome of s3s-fs for the failed stream.
    pub(crate) fn settle<T>(&self, other: S3Result<T>) -> S3Result<(T, Checksum)> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(Err(error)) => Err(error),
            Some(Ok(sums)) => other.map(|value| (value, sums)),
            None => other.map(|value| (value, Checksum::default())),
        }
    }
}

impl Claim {
    pub(crate) fn new(headers: &HeaderMap, trailers: Option<&TrailingHeaders>) -> Self {
        Self { headers: headers.clone(), trailers: trailers.cloned() }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Whether the value of this checksum is in a header, and whether in a
    /// trailer.
    fn names(&self, algorithm: &str) -> (bool, bool) {
        let name = format!("x-amz-checksum-{algorithm}");
        let trailers = self.header("x-amz-trailer").unwrap_or_default();
        let trailing = trailers.split(',').any(|each| each.trim().eq_ignore_ascii_case(&name));
        (self.headers.contains_key(&name), trailing)
    }

    /// The algorithm of a checksum in the trailer. s3s-fs computes only the
    /// checksum that `x-amz-sdk-checksum-algorithm` names, and would reject a
    /// trailer without that header as a bad digest.
    pub(crate) fn trailing_algorithm(&self) -> Option<ChecksumAlgorithm> {
        let name = ALGORITHMS.iter().find(|algorithm| self.names(algorithm).1)?;
        Some(ChecksumAlgorithm::from(name.to_uppercase()))
    }

    /// Returns `body` with the check at its end.
    pub(crate) fn check(self, body: StreamingBlob, verdict: &Verdict) -> StreamingBlob {
        let claimed = |algorithm| self.names(algorithm) != (false, false);
        let hasher = ChecksumHasher {
            crc32: claimed("crc32").then(Default::default),
            crc32c: claimed("crc32c").then(Default::default),
            crc64nvme: claimed("crc64nvme").then(Default::default),
            sha1: claimed("sha1").then(Default::default),
            sha256: claimed("sha256").then(Default::default),
        };
        let verdict = verdict.clone();
        StreamingBlob::wrap(Checked {
            body,
            hasher,
            received: 0,
            claim: self,
            verdict,
            done: false,
        })
    }

    /// Compares length and checksums at the end of the body.
    fn compare(&self, received: u64, sums: &Checksum) -> S3Result<()> {
        // If the body is aws-chunked, s3s has replaced this value by the
        // decoded length.
        let length = self.header("content-length").and_then(|length| length.parse().ok());
        if length.is_some_and(|length: u64| length != received) {
            return Err(incomplete());
        }
        for algorithm in ALGORITHMS {
            let (in_header, in_trailer) = self.names(algorithm);
            if !in_header && !in_trailer {
                continue;
            }
            let name = format!("x-amz-checksum-{algorithm}");
            let claimed = if in_header {
                self.header(&name).map(str::to_owned)
            } else {
                let trailers = self.trailers.as_ref();
                let value =
                    trailers.and_then(|trailers| trailers.read(|map| map.get(&name).cloned()));
                value.flatten().and_then(|value| value.to_str().ok().map(str::to_owned))
            };
            let Some(claimed) = claimed else {
                return Err(error(
                    "MalformedTrailerError",
                    "The request contained trailing data that was not well-formed or did not conform to our published schema.",
                ));
            };
            if sum(sums, algorithm) != Some(claimed.as_str()) {
                let text = format!(
                    "The {} you specified did not match the calculated checksum.",
                    algorithm.to_uppercase()
                );
                return Err(S3Error::with_message(S3ErrorCode::BadDigest, text));
            }
        }
        Ok(())
    }
}

/// One of the checksums, in base64.
fn sum<'a>(sums: &'a Checksum, algorithm: &str) -> Option<&'a str> {
    let sum = match algorithm {
        "crc32" => &sums.checksum_crc32,
        "crc32c" => &sums.checksum_crc32c,
        "crc64nvme" => &sums.checksum_crc64nvme,
        "sha1" => &sums.checksum_sha1,
        _ => &sums.checksum_sha256,
    };
    sum.as_deref()
}

/// Whether two sets of checksums differ in a checksum that both contain.
pub(crate) fn differ(one: &Checksum, other: &Checksum) -> bool {
    ALGORITHMS.iter().any(|algorithm| {
        let (one, other) = (sum(one, algorithm), sum(other, algorithm));
        one.is_some() && other.is_some() && one != other
    })
}

fn incomplete() -> S3Error {
    let text =
        "You did not provide the number of bytes specified by the Content-Length HTTP header";
    S3Error::with_message(S3ErrorCode::IncompleteBody, text)
}

/// An error with status 400 and a code that s3s does not define.
fn error(code: &'static str, text: &'static str) -> S3Error {
    let mut error = S3Error::with_message(S3ErrorCode::Custom(code.into()), text);
    error.set_status_code(StatusCode::BAD_REQUEST);
    error
}

struct Checked {
    body: StreamingBlob,
    hasher: ChecksumHasher,
    received: u64,
    claim: Claim,
    verdict: Verdict,
    done: bool,
}

impl Checked {
    fn end(&mut self) -> Option<io::Error> {
        self.done = true;
        let sums = std::mem::take(&mut self.hasher).finalize();
        let compared = self.claim.compare(self.received, &sums);
        let failed = compared.is_err().then(|| io::Error::other("the body is not as claimed"));
        self.verdict.set(compared.map(|()| sums));
        failed
    }

    /// Handles a body that ended early, or that failed s3s's check of
    /// `x-amz-content-sha256`. s3s-fs would report either as an internal error.
    fn broken(&mut self, cause: s3s::StdError) -> io::Error {
        self.done = true;
        // s3s does not export the type of this error, but its debug output
        // names it.
        let mismatch = format!("{cause:?}").contains("Sha256Mismatch");
        self.verdict.set(Err(if mismatch {
            error(
                "XAmzContentSHA256Mismatch",
                "The provided 'x-amz-content-sha256' header does not match what was computed.",
            )
        } else {
            incomplete()
        }));
        io::Error::other(cause)
    }
}

impl Stream for Checked {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.done {
            return Poll::Ready(None);
        }
        Poll::Ready(match ready!(Pin::new(&mut self.body).poll_next(cx)) {
            Some(Ok(bytes)) => {
                self.received += bytes.len() as u64;
                self.hasher.update(&bytes);
                Some(Ok(bytes))
            }
            Some(Err(cause)) => Some(Err(self.broken(cause))),
            None => self.end().map(Err),
        })
    }
}
