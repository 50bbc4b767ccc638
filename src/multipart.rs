//! A picture in parts: what is too large for one request, or may be.

use std::pin::pin;
use std::time::Duration;

use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::aws::explain;
use crate::fetch_error::FetchError;
use crate::picture::Picture;
use crate::replay::Replay;
use crate::upload::{Done, Target, UploadError, content_length, unless};

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

/// A part that S3 has, and how often it was sent.
type Sent = (CompletedPart, u32);

type PartsInFlight<'t> = FuturesUnordered<BoxFuture<'t, Result<Sent, UploadError>>>;

impl Target<'_> {
    /// The picture as an object, or nothing of it.
    pub(crate) async fn in_parts(
        &self,
        picture: Picture,
        cancel: &CancellationToken,
    ) -> Result<Done, UploadError> {
        // Not to be cancelled: the answer has the only name by which the upload can be aborted.
        let created = self
            .uploader
            .client
            .create_multipart_upload()
            .bucket(&self.uploader.to.bucket)
            .key(&self.key)
            .content_type(self.content_type)
            .metadata("source", &self.source)
            .metadata("pod", &self.uploader.to.pod)
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .send()
            .await
            .map_err(self.uploader.failed("CreateMultipartUpload"))?;
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
        let part_size = part_size(picture.length.unwrap_or(picture.largest()));
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
            .bucket(&self.uploader.to.bucket)
            .key(&self.key)
            .upload_id(id)
            .part_number(number)
            .content_length(content_length(&body))
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .checksum_crc32(&crc32)
            .body(body.plain())
            .send()
            .await
            .map_err(self.uploader.failed("UploadPart"))?;
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
            .bucket(&self.uploader.to.bucket)
            .key(&self.key)
            .upload_id(id)
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build())
            .send()
            .await
            .map_err(self.uploader.failed("CompleteMultipartUpload"))?;
        Ok(())
    }

    /// Leaves nothing behind, or says what could not be removed.
    async fn abort(&self, id: &str) {
        let aborted = self
            .uploader
            .client
            .abort_multipart_upload()
            .bucket(&self.uploader.to.bucket)
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
