//! Uploads pictures to one destination.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::checksum::Forms;
use super::chunks::Chunks;
use super::destination::{Destination, Place, client, without_secrets};
use super::failure::UploadError;
use super::form::Form;
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

/// The object of a probe.
#[derive(Clone, Debug)]
pub(crate) struct Probed {
    pub(crate) key: String,
    /// The form of the checksum that the store takes: a value of `--checksum`.
    pub(crate) checksum: &'static str,
    /// Whether it refused another one before.
    pub(crate) was_found: bool,
}

/// Puts objects into a bucket. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Uploader {
    pub(super) client: Client,
    pub(super) forms: Arc<Forms>,
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
        let forms = Arc::new(Forms::new(place.store.checksum, sdk));
        let client = client(sdk, &place, credentials.clone());
        let to = Arc::new(Destination::new(place, sdk));
        Self { client, forms, credentials, to }
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
                object.put(body, self.forms.current(), cancel).await
            }
            None => {
                let mut chunks = Chunks::default();
                let fill = chunks.fill_beyond(&mut picture, SINGLE_LIMIT);
                if unless_cancelled(cancel, fill).await? {
                    return object.put_in_parts(picture, chunks, cancel).await;
                }
                let body = Replay::arrived(chunks.take(SINGLE_LIMIT), picture.finish()?);
                // A checksum that is known can be in a header, which every store takes more easily.
                let form = self.forms.current();
                let form = if form == Form::Trailer { Form::Header } else { form };
                object.put(body, form, cancel).await
            }
        }
    }

    /// Puts a small object where pictures go, to see whether that is allowed, and in which form the store
    /// takes it.
    pub(crate) async fn probe(&self) -> Result<Probed, UploadError> {
        let object = Object {
            uploader: self,
            key: self.to.place.probe_key(),
            content_type: "text/plain",
            source: "identity --probe".to_owned(),
            started: Instant::now(),
        };
        let body = Replay::arrived(vec![Bytes::from_static(PROBE)], Duration::ZERO);
        let first = self.forms.current();
        let Uploaded { key, .. } = object.put(body, first, &CancellationToken::new()).await?;
        let form = self.forms.current();
        Ok(Probed { key, checksum: form.name(), was_found: form != first })
    }
}

impl Object<'_> {
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
