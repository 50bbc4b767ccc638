//! One picture to one object: a single request while that is possible, several parts otherwise.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use time::OffsetDateTime;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

use crate::aws::explain;
use crate::checksum_trailer::ChecksumTrailer;
use crate::replay::Replay;
use crate::source::{FetchError, Picture};

/// Up to here one `PutObject` carries the picture, in bytes.
pub const SINGLE_LIMIT: u64 = 8 << 20;

/// S3's smallest part in bytes, but for the last:
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>.
const MIN_PART_SIZE: u64 = 5 << 20;

/// S3's limit, from the same page.
const MAX_PARTS: u64 = 10_000;

/// Parts that are being sent. One more is being filled: together they are what a picture of any
/// size holds in memory.
const PARTS_IN_FLIGHT: usize = 2;

/// What aborting a multipart upload may take, when the program may be about to be killed.
const ABORT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why there is no object.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The picture did not arrive whole.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// S3 refused, or could not be reached.
    #[error("{operation} failed: {cause}")]
    S3 {
        /// The API operation.
        operation: &'static str,
        /// Code and message, or what kept the request from being answered.
        cause: String,
    },
    /// The program is ending.
    #[error("cancelled: the program is ending")]
    Cancelled,
}

impl UploadError {
    /// A word for the kind of failure, from a closed set.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Fetch(error) => error.reason(),
            Self::S3 { .. } => "s3",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What became of a picture.
#[derive(Clone, Debug)]
pub struct Uploaded {
    /// The object's key.
    pub key: String,
    /// In bytes.
    pub size: u64,
    /// From the first request for it to its last byte.
    pub fetch_time: Duration,
    /// From its first bytes to S3's last answer; overlaps with the fetch.
    pub upload_time: Duration,
    /// How often S3 was sent the picture, or the part that needed most.
    pub attempts: u32,
}

/// The bucket, and how objects in it are named. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Uploader {
    client: Client,
    bucket: Arc<str>,
    prefix: Arc<str>,
    pod: Arc<str>,
    max_size: u64,
}

impl Uploader {
    /// Objects go to `bucket`, under `prefix` and this pod's name; none is larger than `max_size`.
    #[must_use]
    pub fn new(client: Client, bucket: &str, prefix: &str, pod: &str, max_size: u64) -> Self {
        Self { client, bucket: bucket.into(), prefix: prefix.into(), pod: pod.into(), max_size }
    }

    /// Makes the picture an object, or leaves nothing of it: no object, no multipart upload.
    pub async fn upload(
        &self,
        picture: Picture,
        cancel: &CancellationToken,
    ) -> Result<Uploaded, UploadError> {
        let started = Instant::now();
        let target = Target {
            uploader: self,
            key: self.key(picture.kind.extension),
            content_type: picture.kind.media_type,
            source: without_secrets(&picture.url),
        };
        let done = match picture.length {
            Some(length) if length > SINGLE_LIMIT => target.in_parts(picture, cancel).await,
            Some(length) => {
                let body = Replay::flowing(picture, length);
                unless(cancel, target.put(body, false)).await
            }
            None => target.of_unknown_length(picture, cancel).await,
        }?;
        Ok(Uploaded {
            key: target.key,
            size: done.size,
            fetch_time: done.fetch_time,
            upload_time: started.elapsed(),
            attempts: done.attempts,
        })
    }

    /// `<prefix><pod>/<yyyy>/<mm>/<dd>/<UUIDv7>.<extension>`, in UTC: sorts by time, never collides.
    fn key(&self, extension: &str) -> String {
        let id = Uuid::now_v7();
        let seconds = id.get_timestamp().map_or(0, |stamp| stamp.to_unix().0);
        let date = i64::try_from(seconds)
            .ok()
            .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
            .date();
        format!(
            "{}{}/{:04}/{:02}/{:02}/{id}.{extension}",
            self.prefix,
            self.pod,
            date.year(),
            u8::from(date.month()),
            date.day(),
        )
    }
}

/// Where a picture came from: scheme, host and path only, because the rest may hold secrets. Cut to
/// a length that fits S3's 2 KB of user metadata.
#[must_use]
pub fn without_secrets(url: &Url) -> String {
    let mut plain = url.clone();
    // These can fail only for URLs without a host, which have none of the three.
    let _ = plain.set_username("");
    let _ = plain.set_password(None);
    plain.set_query(None);
    plain.set_fragment(None);
    let mut text = String::from(plain);
    text.truncate(1024); // a URL is ASCII
    text
}

struct Target<'a> {
    uploader: &'a Uploader,
    key: String,
    content_type: &'static str,
    source: String,
}

/// A part that S3 has, and how often it was sent.
type Sent = (CompletedPart, u32);

type PartsInFlight<'t> = FuturesUnordered<BoxFuture<'t, Result<Sent, UploadError>>>;

struct Done {
    size: u64,
    fetch_time: Duration,
    attempts: u32,
}

impl Target<'_> {
    async fn of_unknown_length(
        &self,
        mut picture: Picture,
        cancel: &CancellationToken,
    ) -> Result<Done, UploadError> {
        let first = unless(cancel, picture.read(SINGLE_LIMIT)).await?;
        let beyond = unless(cancel, picture.read(1)).await?;
        if beyond.is_empty() {
            let body = Replay::arrived(first, picture.fetch_time());
            unless(cancel, self.put(body, true)).await
        } else {
            picture.put_back(first.into_iter().chain(beyond));
            self.in_parts(picture, cancel).await
        }
    }

    /// One request. Its checksum is a header if all has arrived, otherwise a trailer.
    async fn put(&self, body: Replay, arrived: bool) -> Result<Done, UploadError> {
        let request = self
            .uploader
            .client
            .put_object()
            .bucket(&*self.uploader.bucket)
            .key(&self.key)
            .content_type(self.content_type)
            .metadata("source", &self.source)
            .metadata("pod", &*self.uploader.pod)
            .checksum_algorithm(ChecksumAlgorithm::Crc32);
        let sent = if arrived {
            let request = request.content_length(content_length(&body));
            request.checksum_crc32(body.crc32()).body(body.plain()).send().await
        } else {
            let trailer = ChecksumTrailer { length: body.length() };
            let request = request.body(body.with_checksum_trailer());
            request.customize().interceptor(trailer).send().await
        };
        // A picture that broke off breaks the request too: the first is the cause.
        let fetch_time = body.fetch_time()?;
        sent.map_err(failed("PutObject"))?;
        Ok(Done { size: body.length(), fetch_time, attempts: body.attempts() })
    }

    async fn in_parts(
        &self,
        picture: Picture,
        cancel: &CancellationToken,
    ) -> Result<Done, UploadError> {
        // Not to be cancelled: the answer has the only name by which the upload can be aborted.
        let created = self
            .uploader
            .client
            .create_multipart_upload()
            .bucket(&*self.uploader.bucket)
            .key(&self.key)
            .content_type(self.content_type)
            .metadata("source", &self.source)
            .metadata("pod", &*self.uploader.pod)
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .send()
            .await
            .map_err(failed("CreateMultipartUpload"))?;
        let id = created.upload_id().unwrap_or_default();
        let mut in_flight = PartsInFlight::new();
        let done = unless(cancel, self.parts(id, picture, &mut in_flight)).await;
        if done.is_err() {
            // S3 may keep a part that it is still receiving when the abort comes.
            let settle = async { while in_flight.next().await.is_some() {} };
            let _ = timeout(ABORT_TIMEOUT, cancel.run_until_cancelled(settle)).await;
            drop(in_flight);
            self.abort(id).await;
        }
        done
    }

    async fn parts<'t>(
        &'t self,
        id: &'t str,
        mut picture: Picture,
        in_flight: &mut PartsInFlight<'t>,
    ) -> Result<Done, UploadError> {
        let part_size = part_size(picture.length.unwrap_or(self.uploader.max_size));
        let mut sent = Vec::new();
        let mut size = 0;
        for number in 1.. {
            let chunks = beside(in_flight, &mut sent, picture.read(part_size)).await?;
            if chunks.is_empty() {
                break;
            }
            let body = Replay::arrived(chunks, Duration::ZERO);
            size += body.length();
            in_flight.push(self.part(id, number, body).boxed());
            while in_flight.len() >= PARTS_IN_FLIGHT
                && let Some(part) = in_flight.next().await
            {
                sent.push(part?);
            }
        }
        while let Some(part) = in_flight.next().await {
            sent.push(part?);
        }
        let attempts = sent.iter().map(|(_, attempts)| *attempts).max().unwrap_or(0);
        self.complete(id, sent.into_iter().map(|(part, _)| part).collect()).await?;
        Ok(Done { size, fetch_time: picture.fetch_time(), attempts })
    }

    async fn part(&self, id: &str, number: i32, body: Replay) -> Result<Sent, UploadError> {
        let crc32 = body.crc32();
        let sent = self
            .uploader
            .client
            .upload_part()
            .bucket(&*self.uploader.bucket)
            .key(&self.key)
            .upload_id(id)
            .part_number(number)
            .content_length(content_length(&body))
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .checksum_crc32(&crc32)
            .body(body.plain())
            .send()
            .await
            .map_err(failed("UploadPart"))?;
        let part = CompletedPart::builder()
            .part_number(number)
            .checksum_crc32(crc32)
            .set_e_tag(sent.e_tag)
            .build();
        Ok((part, body.attempts()))
    }
    async fn complete(&self, id: &str, mut parts: Vec<CompletedPart>) -> Result<(), UploadError> {
        parts.sort_by_key(CompletedPart::part_number);
        self.uploader
            .client
            .complete_multipart_upload()
            .bucket(&*self.uploader.bucket)
            .key(&self.key)
            .upload_id(id)
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build())
            .send()
            .await
            .map_err(failed("CompleteMultipartUpload"))?;
        Ok(())
    }

    /// Leaves nothing behind, or says what could not be removed.
    async fn abort(&self, id: &str) {
        let aborted = self
            .uploader
            .client
            .abort_multipart_upload()
            .bucket(&*self.uploader.bucket)
            .key(&self.key)
            .upload_id(id)
            .send();
        let why = match timeout(ABORT_TIMEOUT, aborted).await {
            Ok(Ok(_)) => return,
            Ok(Err(error)) => explain(&error),
            Err(_elapsed) => format!("no answer within {ABORT_TIMEOUT:?}"),
        };
        tracing::warn!(
            key = self.key,
            upload_id = id,
            cause = why,
            "a multipart upload could not be aborted: its parts stay until the bucket's lifecycle \
             rule removes them, or `aws s3api abort-multipart-upload` does"
        );
    }
}

/// As the SDK wants it; no body is longer than [`SINGLE_LIMIT`] or a part.
fn content_length(body: &Replay) -> i64 {
    i64::try_from(body.length()).unwrap_or(i64::MAX)
}

/// So large that [`MAX_PARTS`] suffice for a picture of `length` bytes.
fn part_size(length: u64) -> u64 {
    length.div_ceil(MAX_PARTS).max(MIN_PART_SIZE)
}

/// The result of `work`, while the parts in flight go on and those that are done are collected.
async fn beside(
    in_flight: &mut PartsInFlight<'_>,
    done: &mut Vec<Sent>,
    work: impl Future<Output = Result<Vec<Bytes>, FetchError>>,
) -> Result<Vec<Bytes>, UploadError> {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            result = &mut work => return Ok(result?),
            Some(part) = in_flight.next(), if !in_flight.is_empty() => done.push(part?),
        }
    }
}

/// The result of `work`, unless the program ends first: then the work is dropped.
async fn unless<T, E>(
    cancel: &CancellationToken,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, UploadError>
where
    UploadError: From<E>,
{
    match cancel.run_until_cancelled(work).await {
        Some(result) => Ok(result?),
        None => Err(UploadError::Cancelled),
    }
}

fn failed<E>(operation: &'static str) -> impl FnOnce(SdkError<E>) -> UploadError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    move |error| UploadError::S3 { operation, cause: explain(&error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_grow_so_that_ten_thousand_suffice() {
        assert_eq!(part_size(9 << 20), MIN_PART_SIZE);
        assert_eq!(part_size(MIN_PART_SIZE * MAX_PARTS), MIN_PART_SIZE);
        for length in [MIN_PART_SIZE * MAX_PARTS + 1, 100 << 30, 5 << 40] {
            let size = part_size(length);
            assert!(size > MIN_PART_SIZE);
            assert!(length.div_ceil(size) <= MAX_PARTS, "{length}");
        }
    }

    #[test]
    fn only_scheme_host_and_path_of_a_url_are_told() {
        let url = Url::parse("https://me:secret@host:8443/a/b.jpg?token=x#y").expect("a URL");
        assert_eq!(without_secrets(&url), "https://host:8443/a/b.jpg");
    }
}
