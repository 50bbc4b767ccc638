//! Uploads pictures to one destination.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ChecksumAlgorithm;
use tokio_util::sync::CancellationToken;

use super::checksum_trailer::ChecksumTrailer;
use super::chunks::Chunks;
use super::destination::{Destination, Place, client, without_secrets};
use super::failure::UploadError;
use super::replay::Replay;
use crate::identity::RefreshingCredentials;
use crate::source::Picture;

/// Up to this size in bytes, one `PutObject` carries the picture.
const SINGLE_LIMIT: u64 = 8 << 20;

/// The content of a probe's object.
const PROBE: &[u8] = b"put by `pod-identity-demo identity --probe`\n";

/// An object that was stored.
#[derive(Clone, Debug)]
pub(crate) struct Uploaded {
    pub(crate) key: String,
    /// In bytes.
    pub(crate) size: u64,
    /// From the first request for the picture to its last byte.
    pub(crate) fetch_time: Duration,
    /// From the picture's first bytes to S3's last answer. It overlaps with the fetch.
    pub(crate) upload_time: Duration,
    /// How often the picture was sent to S3, or the part that needed the most attempts.
    pub(crate) attempts: u32,
}

/// Puts objects into a bucket. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Uploader {
    pub(super) client: Client,
    /// What the client signs with.
    pub(super) credentials: RefreshingCredentials,
    pub(crate) to: Arc<Destination>,
}

/// The object that a picture will become.
pub(super) struct Object<'a> {
    pub(super) uploader: &'a Uploader,
    pub(super) key: String,
    pub(super) content_type: &'static str,
    /// Where the picture came from, without secrets.
    pub(super) source: String,
    started: Instant,
}

impl Uploader {
    pub(crate) fn new(sdk: &SdkConfig, credentials: RefreshingCredentials, place: Place) -> Self {
        let to = Arc::new(Destination::new(place, sdk));
        Self { client: client(sdk, credentials.clone()), credentials, to }
    }

    /// Stores the picture as one object. If that fails, S3 has neither a part of it nor a multipart
    /// upload. It has the object only if it stored it and its answer was lost.
    pub(crate) async fn upload(
        &self,
        mut picture: Picture,
        cancel: &CancellationToken,
    ) -> Result<Uploaded, UploadError> {
        let object = Object {
            uploader: self,
            key: self.to.place.key(picture.kind.extension),
            content_type: picture.kind.media_type,
            source: without_secrets(&picture.url),
            started: Instant::now(),
        };
        match picture.declared_length() {
            Some(length) if length > SINGLE_LIMIT => {
                object.put_in_parts(picture, Chunks::default(), cancel).await
            }
            Some(length) => {
                let body = Replay::arriving(picture, length);
                unless_cancelled(cancel, object.put(body)).await
            }
            None => {
                let mut chunks = Chunks::default();
                let fill = chunks.fill_beyond(&mut picture, SINGLE_LIMIT);
                if unless_cancelled(cancel, fill).await? {
                    return object.put_in_parts(picture, chunks, cancel).await;
                }
                let body = Replay::arrived(chunks.take(SINGLE_LIMIT), picture.finish()?);
                unless_cancelled(cancel, object.put(body)).await
            }
        }
    }

    /// Puts a small object where pictures go, to see whether that is allowed. Returns its key.
    pub(crate) async fn probe(&self) -> Result<String, UploadError> {
        let key = self.to.place.probe_key();
        let signer = self.credentials.signer().await?;
        self.client
            .put_object()
            .bucket(&self.to.place.bucket)
            .key(&key)
            .content_type("text/plain")
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .body(ByteStream::from_static(PROBE))
            .send()
            .await
            .map_err(|error| UploadError::of("PutObject", &self.to, Some(signer), &error))?;
        Ok(key)
    }
}

impl Object<'_> {
    /// One request. Its checksum is a header if all bytes have arrived, otherwise a trailer.
    async fn put(&self, body: Replay) -> Result<Uploaded, UploadError> {
        let Uploader { client, to, credentials } = self.uploader;
        let signer = credentials.signer().await?;
        let request = client
            .put_object()
            .bucket(&to.place.bucket)
            .key(&self.key)
            .content_type(self.content_type)
            .metadata("source", &self.source)
            .metadata("pod", &to.place.pod)
            .checksum_algorithm(ChecksumAlgorithm::Crc32);
        let sent = if body.has_arrived() {
            let request = request.content_length(body.content_length());
            request.checksum_crc32(body.crc32()).body(body.plain()).send().await
        } else {
            let trailer = ChecksumTrailer { length: body.length() };
            let request = request.body(body.with_checksum_trailer());
            request.customize().interceptor(trailer).send().await
        };
        match sent {
            Ok(answer) if answer.e_tag.is_some() => {}
            Ok(_) => return Err(UploadError::not_of_s3("PutObject", to, "ETag")),
            // If the picture breaks off, the request fails too. Then the picture is the cause.
            Err(error) => {
                let broken = body.failure().map(UploadError::from);
                return Err(broken
                    .unwrap_or_else(|| UploadError::of("PutObject", to, Some(signer), &error)));
            }
        }
        let fetch_time = body.finish()?;
        Ok(self.stored(body.length(), fetch_time, body.attempts()))
    }

    pub(super) fn stored(&self, size: u64, fetch_time: Duration, attempts: u32) -> Uploaded {
        let key = self.key.clone();
        Uploaded { key, size, fetch_time, upload_time: self.started.elapsed(), attempts }
    }
}

/// The result of `work`, unless the program ends first: then the work is dropped.
pub(super) async fn unless_cancelled<T, E>(
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
