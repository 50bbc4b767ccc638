//! Whether S3 has what was sent, if its answer does not show it: the object is read back.

use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use tokio::time::timeout;

use super::content::{Content, Shown};
use super::failure::{Doubt, UploadError};
use super::uploader::{Object, Uploader};
use crate::aws::{LongestResponse, explain};
use crate::errors::one_line;

/// How long it may take to remove an object. It is short, because the program may be killed soon.
const REMOVAL_TIME: Duration = Duration::from_secs(5);

impl Object<'_> {
    /// Proves that S3 has this content under the object's key, given what the answer to `operation` has
    /// shown.
    pub(super) async fn prove(
        &self,
        operation: &'static str,
        content: Content,
        shown: Shown,
    ) -> Result<(), UploadError> {
        let to = &self.uploader.to;
        let damaged = |what: String| UploadError::doubted(operation, to, Doubt::Damaged, what);
        match shown {
            Shown::Same => return Ok(()),
            Shown::Other => {
                let why = "the checksum in the response is not that of the picture";
                return Err(damaged(why.to_owned()));
            }
            Shown::Nothing => {}
        }
        match self.read_back(content.length).await {
            Ok(found) if found == content => Ok(()),
            Ok(found) => Err(damaged(format!(
                "the object has {} bytes with the CRC-32 {:08x}, not {} bytes with {:08x}",
                found.length, found.crc32, content.length, content.crc32
            ))),
            Err(why) => {
                let why = format!(
                    "the response has no checksum of the picture, and GetObject failed: {why}"
                );
                Err(UploadError::doubted(operation, to, Doubt::Unproven, why))
            }
        }
    }

    /// What S3 has under the object's key. It is not read much further than to the expected length.
    async fn read_back(&self, expected: u64) -> Result<Content, String> {
        let Uploader { client, to, .. } = self.uploader;
        let limit = LongestResponse(expected + (1 << 20));
        let request = client.get_object().bucket(&to.place.bucket).key(&self.key);
        let sent = request.customize().interceptor(limit).send().await;
        let mut body: ByteStream = sent.map_err(|error| explain(&error))?.body;
        let mut crc32 = crc32fast::Hasher::new();
        let mut length = 0;
        while length <= expected
            && let Some(chunk) = body.next().await
        {
            let chunk = chunk.map_err(|error| one_line(&error))?;
            crc32.update(&chunk);
            length += chunk.len() as u64;
        }
        Ok(Content { length, crc32: crc32.finalize() })
    }

    /// Removes the object, of which is not known that it is the picture, or logs that it stays.
    pub(super) async fn remove(&self) {
        let Uploader { client, to, .. } = self.uploader;
        let removal = client.delete_object().bucket(&to.place.bucket).key(&self.key).send();
        let why = match timeout(REMOVAL_TIME, removal).await {
            Ok(Ok(_)) => return,
            Ok(Err(error)) => explain(&error),
            Err(_elapsed) => format!("no answer within {REMOVAL_TIME:?}"),
        };
        tracing::warn!(
            key = self.key,
            cause = why,
            "an object that may be damaged could not be removed: allow s3:DeleteObject, or remove it"
        );
    }
}
