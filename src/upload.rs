//! One picture to one object: a single request while that is possible, several parts otherwise
//! ([`crate::multipart`]).

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::types::ChecksumAlgorithm;
use bytes::Bytes;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

use crate::aws::{self, explain};
use crate::checksum_trailer::ChecksumTrailer;
use crate::fetch_error::FetchError;
use crate::identity::evidence::{S3Failure, no_credentials};
use crate::identity::steady::NoCredentials;
use crate::picture::Picture;
use crate::replay::Replay;

/// Up to here one `PutObject` carries the picture, in bytes.
pub const SINGLE_LIMIT: u64 = 8 << 20;

/// What a probe's object says.
const PROBE: &[u8] = b"put by `pod-identity-demo identity --probe`\n";

/// Why there is no object.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The picture did not arrive whole.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// There were no credentials to ask S3 with.
    #[error(transparent)]
    Credentials(#[from] NoCredentials),
    /// S3 refused, or could not be reached.
    #[error("{} failed: {}", .0.operation, .0.text)]
    S3(S3Failure),
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
            Self::Credentials(_) => "credentials",
            Self::S3(_) => "s3",
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

/// Where objects go, and how they are named.
#[derive(Clone, Debug)]
pub struct Destination {
    /// The bucket.
    pub bucket: String,
    /// What every key begins with.
    pub prefix: String,
    /// This pod, which is the next part of every key.
    pub pod: String,
    /// The region that S3 is asked in.
    pub region: String,
    /// The endpoint, where one is set.
    pub endpoint: Option<String>,
}

impl Destination {
    /// This bucket, as the SDK's settings reach it, and this pod's own place in it.
    #[must_use]
    pub fn new(bucket: &str, prefix: &str, sdk: &SdkConfig) -> Self {
        Self {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            pod: pod_name(),
            region: sdk.region().map(ToString::to_string).unwrap_or_default(),
            endpoint: aws::endpoint(sdk),
        }
    }
}

/// This pod's name (a pod's host name), in characters that are safe in keys and URLs.
fn pod_name() -> String {
    gethostname::gethostname()
        .to_string_lossy()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' })
        .collect()
}

/// Puts objects into a bucket. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Uploader {
    pub(crate) client: Client,
    pub(crate) to: Arc<Destination>,
}

impl Uploader {
    /// Objects go to this destination.
    #[must_use]
    pub fn new(client: Client, to: Destination) -> Self {
        Self { client, to: Arc::new(to) }
    }

    /// Puts a small object where pictures go, to see whether that is allowed; its key.
    pub async fn probe(&self) -> Result<String, UploadError> {
        let key = format!("{}{}/identity-probe.txt", self.to.prefix, self.to.pod);
        let body = Replay::arrived(vec![Bytes::from_static(PROBE)], Duration::ZERO);
        self.client
            .put_object()
            .bucket(&self.to.bucket)
            .key(&key)
            .content_type("text/plain")
            .content_length(content_length(&body))
            .checksum_crc32(body.crc32())
            .body(body.plain())
            .send()
            .await
            .map_err(self.failed("PutObject"))?;
        Ok(key)
    }

    /// What is known of a request that failed.
    pub(crate) fn failed<E>(
        &self,
        operation: &'static str,
    ) -> impl FnOnce(SdkError<E>) -> UploadError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        move |error| {
            if let Some(none) = no_credentials(&error) {
                return UploadError::Credentials(none.clone());
            }
            let response = error.raw_response();
            UploadError::S3(S3Failure {
                operation,
                bucket: self.to.bucket.clone(),
                endpoint: self.to.endpoint.clone(),
                region: self.to.region.clone(),
                code: error
                    .code()
                    .map(str::to_owned)
                    .or_else(|| response.map(|response| response.status().to_string())),
                bucket_region: response
                    .and_then(|response| response.headers().get("x-amz-bucket-region"))
                    .or_else(|| error.message()?.split("expecting '").nth(1)?.split('\'').next())
                    .map(str::to_owned),
                text: explain(&error),
            })
        }
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
                unless(cancel, target.put(body)).await
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
            self.to.prefix,
            self.to.pod,
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

/// One object to be.
pub(crate) struct Target<'a> {
    pub(crate) uploader: &'a Uploader,
    pub(crate) key: String,
    pub(crate) content_type: &'static str,
    pub(crate) source: String,
}

/// What it took to make a picture an object.
pub(crate) struct Done {
    pub(crate) size: u64,
    pub(crate) fetch_time: Duration,
    pub(crate) attempts: u32,
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
            unless(cancel, self.put(body)).await
        } else {
            picture.put_back(first.into_iter().chain(beyond));
            self.in_parts(picture, cancel).await
        }
    }

    /// One request. Its checksum is a header if all has arrived, otherwise a trailer.
    async fn put(&self, body: Replay) -> Result<Done, UploadError> {
        let request = self
            .uploader
            .client
            .put_object()
            .bucket(&self.uploader.to.bucket)
            .key(&self.key)
            .content_type(self.content_type)
            .metadata("source", &self.source)
            .metadata("pod", &self.uploader.to.pod)
            .checksum_algorithm(ChecksumAlgorithm::Crc32);
        let sent = if body.has_arrived() {
            let request = request.content_length(content_length(&body));
            request.checksum_crc32(body.crc32()).body(body.plain()).send().await
        } else {
            let trailer = ChecksumTrailer { length: body.length() };
            let request = request.body(body.with_checksum_trailer());
            request.customize().interceptor(trailer).send().await
        };
        // A picture that broke off breaks the request too: the first is the cause.
        let fetch_time = body.fetch_time()?;
        sent.map_err(self.uploader.failed("PutObject"))?;
        Ok(Done { size: body.length(), fetch_time, attempts: body.attempts() })
    }
}

/// As the SDK wants it; no body is longer than [`SINGLE_LIMIT`] or a part.
pub(crate) fn content_length(body: &Replay) -> i64 {
    i64::try_from(body.length()).unwrap_or(i64::MAX)
}

/// The result of `work`, unless the program ends first: then the work is dropped.
pub(crate) async fn unless<T, E>(
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scheme_host_and_path_of_a_url_are_told() {
        let url = Url::parse("https://me:secret@host:8443/a/b.jpg?token=x#y").expect("a URL");
        assert_eq!(without_secrets(&url), "https://host:8443/a/b.jpg");
    }
}
