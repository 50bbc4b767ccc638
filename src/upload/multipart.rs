//! A multipart upload, for pictures that are or may be too large for one request.

use std::pin::pin;
use std::time::Duration;

use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::abort_multipart_upload::AbortMultipartUploadError;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::chunks::Chunks;
use super::failure::UploadError;
use super::replay::Replay;
use super::uploader::{Object, Uploaded, Uploader, unless_cancelled};
use crate::aws::explain;
use crate::source::{FetchError, Picture};

/// S3's smallest part in bytes, except for the last part:
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>.
const MIN_PART_SIZE: u64 = 5 << 20;

/// S3's largest number of parts, from the same page.
const MAX_PARTS: u64 = 10_000;

/// Parts that are being sent at the same time. The next one is filled once one of them is stored, so that
/// a picture of any size holds two in memory, and a chunk more.
const PARTS_IN_FLIGHT: usize = 2;

/// How long aborting an upload may take. It is short, because the program may be killed soon.
const ABORT_TIMEOUT: Duration = Duration::from_secs(5);

/// A part that S3 has stored, and how often it was sent.
type StoredPart = (CompletedPart, u32);

type PartsInFlight<'t> = FuturesUnordered<BoxFuture<'t, Result<StoredPart, UploadError>>>;

impl Object<'_> {
    /// Stores the picture as an object. Its first bytes may already be in `chunks`. After an error, S3
    /// has no part of it; it has the object if only its answer to the last request was lost.
    pub(super) async fn put_in_parts(
        &self,
        picture: Picture,
        chunks: Chunks,
        cancel: &CancellationToken,
    ) -> Result<Uploaded, UploadError> {
        let Uploader { client, to, credentials } = self.uploader;
        let create = client
            .create_multipart_upload()
            .bucket(&to.place.bucket)
            .key(&self.key)
            .content_type(self.content_type)
            .metadata("source", &self.source)
            .metadata("pod", &to.place.pod)
            .checksum_algorithm(ChecksumAlgorithm::Crc32);
        // The upload cannot be aborted without the identifier in this answer. So if the program ends,
        // it waits for the answer a while longer.
        let created = async {
            let signer = credentials.signer().await?;
            let created = create.send().await;
            created
                .map_err(|error| UploadError::of("CreateMultipartUpload", to, Some(signer), &error))
        };
        let created = tokio::select! {
            created = created => created?,
            () = cancel.cancelled().then(|()| sleep(ABORT_TIMEOUT)) => return Err(UploadError::Cancelled),
        };
        let Some(id) = created.upload_id().filter(|id| !id.is_empty()) else {
            return Err(UploadError::not_of_s3("CreateMultipartUpload", to, "upload ID"));
        };
        let mut in_flight = PartsInFlight::new();
        let sent = unless_cancelled(cancel, self.parts(id, picture, chunks, &mut in_flight)).await;
        if let Err(error) = &sent {
            // The upload is aborted with new ones.
            if let Some(signer) = error.rejected_signer() {
                credentials.forget(signer);
            }
            // S3 may keep a part that it is still receiving when the upload is aborted.
            let settle = async { while in_flight.next().await.is_some() {} };
            let _ = timeout(ABORT_TIMEOUT, cancel.run_until_cancelled(settle)).await;
            drop(in_flight);
            self.abort(id).await;
        }
        sent
    }

    async fn parts<'t>(
        &'t self,
        id: &'t str,
        mut picture: Picture,
        mut chunks: Chunks,
        in_flight: &mut PartsInFlight<'t>,
    ) -> Result<Uploaded, UploadError> {
        let part_size = part_size(picture.declared_length().unwrap_or(picture.largest()));
        let mut stored = Vec::new();
        let mut size = 0;
        for number in 1.. {
            let fill = chunks.fill_beyond(&mut picture, part_size - 1);
            while_parts_go_on(in_flight, &mut stored, fill).await?;
            if chunks.is_empty() {
                break;
            }
            let body = Replay::arrived(chunks.take(part_size), Duration::ZERO);
            size += body.length();
            in_flight.push(self.part(id, number, body).boxed());
            while in_flight.len() >= PARTS_IN_FLIGHT
                && let Some(part) = in_flight.next().await
            {
                stored.push(part?);
            }
        }
        let fetch_time = picture.finish()?;
        while let Some(part) = in_flight.next().await {
            stored.push(part?);
        }
        let attempts = stored.iter().map(|(_, attempts)| *attempts).max().unwrap_or(0);
        let mut parts: Vec<_> = stored.into_iter().map(|(part, _)| part).collect();
        parts.sort_by_key(CompletedPart::part_number);
        let Uploader { client, to, credentials } = self.uploader;
        let signer = credentials.signer().await?;
        let completed = client
            .complete_multipart_upload()
            .bucket(&to.place.bucket)
            .key(&self.key)
            .upload_id(id)
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build())
            .send()
            .await
            .map_err(|error| {
                UploadError::of("CompleteMultipartUpload", to, Some(signer), &error)
            })?;
        if completed.e_tag.is_none() {
            return Err(UploadError::not_of_s3("CompleteMultipartUpload", to, "ETag"));
        }
        Ok(self.stored(size, fetch_time, attempts))
    }

    async fn part(&self, id: &str, number: i32, body: Replay) -> Result<StoredPart, UploadError> {
        let crc32 = body.crc32();
        let Uploader { client, to, credentials } = self.uploader;
        let signer = credentials.signer().await?;
        let sent = client
            .upload_part()
            .bucket(&to.place.bucket)
            .key(&self.key)
            .upload_id(id)
            .part_number(number)
            .content_length(body.content_length())
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .checksum_crc32(&crc32)
            .body(body.plain())
            .send()
            .await
            .map_err(|error| UploadError::of("UploadPart", to, Some(signer), &error))?;
        if sent.e_tag.is_none() {
            return Err(UploadError::not_of_s3("UploadPart", to, "ETag"));
        }
        let part = CompletedPart::builder()
            .part_number(number)
            .checksum_crc32(crc32)
            .set_e_tag(sent.e_tag)
            .build();
        Ok((part, body.attempts()))
    }

    /// Removes the upload and its parts, or logs that they could not be removed.
    async fn abort(&self, id: &str) {
        let Uploader { client, to, .. } = self.uploader;
        let aborted = client
            .abort_multipart_upload()
            .bucket(&to.place.bucket)
            .key(&self.key)
            .upload_id(id)
            .send();
        let why = match timeout(ABORT_TIMEOUT, aborted).await {
            Ok(Ok(_)) => return,
            // Nothing is left: an earlier request has taken effect, and its answer was lost.
            Ok(Err(error)) if is_gone(&error) => return,
            Ok(Err(error)) => explain(&error),
            Err(_elapsed) => format!("no answer within {ABORT_TIMEOUT:?}"),
        };
        tracing::warn!(
            key = self.key,
            upload_id = id,
            cause = why,
            "a multipart upload could not be aborted: its parts stay until the bucket's lifecycle \
             rule or `aws s3api abort-multipart-upload` removes them"
        );
    }
}

/// Whether S3 says that there is no such upload.
fn is_gone(error: &SdkError<AbortMultipartUploadError>) -> bool {
    error.as_service_error().is_some_and(AbortMultipartUploadError::is_no_such_upload)
}

/// How many requests to S3 a picture of `length` bytes takes at most, without retries: those for its
/// parts, one before them and one after them.
pub(crate) fn most_requests(length: u64) -> u32 {
    let parts = length.div_ceil(part_size(length)).min(MAX_PARTS);
    u32::try_from(parts + 2).unwrap_or(u32::MAX)
}

/// The smallest size of parts with which [`MAX_PARTS`] suffice for a picture of `length` bytes.
fn part_size(length: u64) -> u64 {
    length.div_ceil(MAX_PARTS).max(MIN_PART_SIZE)
}

/// Awaits `work`. Meanwhile, the parts in flight are sent, and the finished ones are collected.
async fn while_parts_go_on<T>(
    in_flight: &mut PartsInFlight<'_>,
    stored: &mut Vec<StoredPart>,
    work: impl Future<Output = Result<T, FetchError>>,
) -> Result<T, UploadError> {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            result = &mut work => return Ok(result?),
            Some(part) = in_flight.next(), if !in_flight.is_empty() => stored.push(part?),
        }
    }
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
}
