//! A multipart upload, for pictures that are or may be too large for one request.

use std::pin::pin;
use std::sync::Mutex;
use std::time::Duration;

use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::abort_multipart_upload::AbortMultipartUploadError;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::checksum::Forms;
use super::chunks::Chunks;
use super::content::{Content, Shown, shown, shown_of_parts};
use super::failure::{Doubt, UploadError};
use super::form::Form;
use super::replay::Replay;
use super::uploader::{Object, Uploaded, Uploader, unless_cancelled};
use super::white_space::WithoutWhiteSpace;
use crate::aws::explain;
use crate::lock::lock;
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

/// A part that S3 has stored.
struct StoredPart {
    part: CompletedPart,
    content: Content,
    /// Whether the answer showed that S3 has what was sent.
    is_proven: bool,
    /// How often it was sent.
    attempts: u32,
}

type PartsInFlight<'t> = FuturesUnordered<BoxFuture<'t, Result<StoredPart, UploadError>>>;

/// A multipart upload that is under way.
struct Upload<'t> {
    object: &'t Object<'t>,
    id: String,
    sums: Sums,
}

/// Whether the parts of an upload have checksums.
#[derive(Debug)]
struct Sums {
    form: Mutex<Form>,
    /// The error with which the store refused them, if it did.
    refused: Mutex<Option<UploadError>>,
}

impl Sums {
    fn form(&self) -> Form {
        *lock(&self.form)
    }

    /// Whether to try without checksums after this error, which is kept.
    fn step_down(&self, forms: &Forms, form: Form, error: UploadError) -> Result<(), UploadError> {
        if forms.after(form, &error).is_none() {
            return Err(error);
        }
        *lock(&self.form) = Form::None;
        lock(&self.refused).get_or_insert(error);
        Ok(())
    }

    /// Begins an upload, and returns its identifier.
    async fn create(&self, object: &Object<'_>) -> Result<String, UploadError> {
        let Uploader { client, to, credentials, forms } = object.uploader;
        loop {
            let form = self.form();
            let signer = credentials.signer().await?;
            let create = client
                .create_multipart_upload()
                .bucket(&to.place.bucket)
                .key(&object.key)
                .content_type(object.content_type)
                .metadata("source", &object.source)
                .metadata("pod", &to.place.pod)
                .set_checksum_algorithm((form != Form::None).then_some(ChecksumAlgorithm::Crc32));
            match create.send().await {
                Ok(created) => {
                    return created.upload_id.filter(|id| !id.is_empty()).ok_or_else(|| {
                        UploadError::not_of_s3("CreateMultipartUpload", to, "upload ID")
                    });
                }
                Err(error) => {
                    let error = UploadError::of("CreateMultipartUpload", to, Some(signer), &error);
                    self.step_down(forms, form, error)?;
                }
            }
        }
    }
}

impl Object<'_> {
    /// Stores the picture as an object. Its first bytes may already be in `chunks`. After an error, S3
    /// has no part of it; it has the object if only its answer to the last request was lost.
    pub(super) async fn put_in_parts(
        &self,
        picture: Picture,
        chunks: Chunks,
        cancel: &CancellationToken,
    ) -> Result<Uploaded, UploadError> {
        let Uploader { credentials, forms, .. } = self.uploader;
        // The bytes of a part are there when it is sent, so that its checksum can be in a header.
        let form = match forms.current() {
            Form::Trailer | Form::Header => Form::Header,
            Form::None => Form::None,
        };
        let sums = Sums { form: Mutex::new(form), refused: Mutex::default() };
        // The upload cannot be aborted without the identifier in this answer. So if the program ends,
        // it waits for the answer a while longer.
        let created = tokio::select! {
            created = sums.create(self) => created?,
            () = cancel.cancelled().then(|()| sleep(ABORT_TIMEOUT)) => return Err(UploadError::Cancelled),
        };
        let upload = Upload { object: self, id: created, sums };
        let mut in_flight = PartsInFlight::new();
        let sent = unless_cancelled(cancel, upload.parts(picture, chunks, &mut in_flight)).await;
        let sent = match sent {
            Ok(parts) => unless_cancelled(cancel, upload.complete(&parts.stored))
                .await
                .map(|shown| (parts, shown)),
            Err(error) => Err(error),
        };
        match sent {
            Ok((parts, shown)) => {
                let content = parts.content();
                let proof = self.prove("CompleteMultipartUpload", content, shown);
                if let Err(error) = unless_cancelled(cancel, proof).await {
                    self.remove().await;
                    return Err(error);
                }
                let refused = lock(&upload.sums.refused).take();
                forms.proven(upload.sums.form(), refused.as_ref());
                let attempts = parts.stored.iter().map(|part| part.attempts).max().unwrap_or(0);
                Ok(self.stored(content.length, parts.fetch_time, attempts))
            }
            Err(error) => {
                // The upload is aborted with new ones.
                if let Some(signer) = error.rejected_signer() {
                    credentials.forget(signer);
                }
                // S3 may keep a part that it is still receiving when the upload is aborted.
                let settle = async { while in_flight.next().await.is_some() {} };
                let _ = timeout(ABORT_TIMEOUT, cancel.run_until_cancelled(settle)).await;
                drop(in_flight);
                self.abort(&upload.id).await;
                Err(error)
            }
        }
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

/// All parts of a picture, in order.
struct Parts {
    stored: Vec<StoredPart>,
    fetch_time: Duration,
}

impl Parts {
    fn content(&self) -> Content {
        self.stored.iter().fold(Content::EMPTY, |all, part| all.then(part.content))
    }
}

impl Upload<'_> {
    /// Sends the picture to its end.
    async fn parts<'t>(
        &'t self,
        mut picture: Picture,
        mut chunks: Chunks,
        in_flight: &mut PartsInFlight<'t>,
    ) -> Result<Parts, UploadError> {
        let part_size = part_size(picture.declared_length().unwrap_or(picture.largest()));
        let mut stored = Vec::new();
        for number in 1.. {
            let fill = chunks.fill_beyond(&mut picture, part_size - 1);
            while_parts_go_on(in_flight, &mut stored, fill).await?;
            if chunks.is_empty() {
                break;
            }
            let body = Replay::arrived(chunks.take(part_size), Duration::ZERO);
            in_flight.push(self.part(number, body).boxed());
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
        stored.sort_by_key(|part| part.part.part_number());
        Ok(Parts { stored, fetch_time })
    }

    /// Makes an object of the parts. Returns what the answer shows of it.
    async fn complete(&self, parts: &[StoredPart]) -> Result<Shown, UploadError> {
        let Uploader { client, to, credentials, .. } = self.object.uploader;
        let signer = credentials.signer().await?;
        let all = parts.iter().map(|part| part.part.clone()).collect();
        let completed = client
            .complete_multipart_upload()
            .bucket(&to.place.bucket)
            .key(&self.object.key)
            .upload_id(&self.id)
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(all)).build())
            .customize()
            .interceptor(WithoutWhiteSpace)
            .send()
            .await
            .map_err(|error| {
                UploadError::of("CompleteMultipartUpload", to, Some(signer), &error)
            })?;
        let Some(e_tag) = completed.e_tag() else {
            return Err(UploadError::not_of_s3("CompleteMultipartUpload", to, "ETag"));
        };
        let of_parts =
            |part: &StoredPart| (part.content, part.part.e_tag().unwrap_or_default().to_owned());
        let known: Vec<_> = parts.iter().map(of_parts).collect();
        let shown = shown_of_parts(&known, completed.checksum_crc32(), Some(e_tag));
        // What the object consists of is known only if its parts are.
        let is_known = parts.iter().all(|part| part.is_proven);
        Ok(if is_known || shown == Shown::Other { shown } else { Shown::Nothing })
    }

    async fn part(&self, number: i32, body: Replay) -> Result<StoredPart, UploadError> {
        let Uploader { client, to, credentials, forms } = self.object.uploader;
        let content = body.content();
        loop {
            let form = self.sums.form();
            let crc32 = (form != Form::None).then(|| content.checksum());
            let signer = credentials.signer().await?;
            let sent = client
                .upload_part()
                .bucket(&to.place.bucket)
                .key(&self.object.key)
                .upload_id(&self.id)
                .part_number(number)
                .content_length(body.content_length())
                .set_checksum_algorithm(crc32.as_ref().map(|_| ChecksumAlgorithm::Crc32))
                .set_checksum_crc32(crc32.clone())
                .body(body.plain())
                .send()
                .await;
            let sent = match sent {
                Ok(sent) => sent,
                Err(error) => {
                    let error = UploadError::of("UploadPart", to, Some(signer), &error);
                    self.sums.step_down(forms, form, error)?;
                    continue;
                }
            };
            let Some(e_tag) = &sent.e_tag else {
                return Err(UploadError::not_of_s3("UploadPart", to, "ETag"));
            };
            let is_proven = match shown(content, &body.chunks(), sent.checksum_crc32(), Some(e_tag))
            {
                Shown::Same => true,
                Shown::Nothing => false,
                Shown::Other => {
                    let why = "the checksum in the response is not that of the part".to_owned();
                    return Err(UploadError::doubted("UploadPart", to, Doubt::Damaged, why));
                }
            };
            let part = CompletedPart::builder()
                .part_number(number)
                .set_checksum_crc32(crc32)
                .set_e_tag(sent.e_tag)
                .build();
            return Ok(StoredPart { part, content, is_proven, attempts: body.attempts() });
        }
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
