//! A picture in one request.

use aws_sdk_s3::types::ChecksumAlgorithm;
use tokio_util::sync::CancellationToken;

use super::checksum_trailer::ChecksumTrailer;
use super::content::{Shown, shown};
use super::failure::UploadError;
use super::form::Form;
use super::replay::Replay;
use super::uploader::{Object, Uploaded, Uploader, unless_cancelled};

impl Object<'_> {
    /// Stores the bytes as an object, in the first form, beginning with `form`, that the store takes. After
    /// an error, S3 has no object that may be damaged; it has the whole one if only its answer was lost.
    pub(super) async fn put(
        &self,
        body: Replay,
        mut form: Form,
        cancel: &CancellationToken,
    ) -> Result<Uploaded, UploadError> {
        let forms = &self.uploader.forms;
        let mut refused: Option<UploadError> = None;
        let mut may_be_damaged = false;
        let error = loop {
            let error = match unless_cancelled(cancel, self.put_in(form, &body)).await {
                Ok(shown) => {
                    let proof = self.prove("PutObject", body.content(), shown);
                    match unless_cancelled(cancel, proof).await {
                        Ok(()) => {
                            forms.proven(form, refused.as_ref());
                            let fetch_time = body.finish()?;
                            return Ok(self.stored(body.length(), fetch_time, body.attempts()));
                        }
                        Err(error) => {
                            may_be_damaged = true;
                            error
                        }
                    }
                }
                Err(error) => error,
            };
            match forms.after(form, &error) {
                Some(next) => form = next,
                // What all forms have in common is told as it was first.
                None if error.may_be_about_the_checksum(false) => break refused.unwrap_or(error),
                None => break error,
            }
            refused.get_or_insert(error);
        };
        if may_be_damaged {
            self.remove().await;
        }
        Err(error)
    }

    /// One request, and what its answer shows of the object.
    async fn put_in(&self, form: Form, body: &Replay) -> Result<Shown, UploadError> {
        let Uploader { client, to, credentials, .. } = self.uploader;
        if form != Form::Trailer {
            body.arrive().await?;
        }
        let signer = credentials.signer().await?;
        let request = client
            .put_object()
            .bucket(&to.place.bucket)
            .key(&self.key)
            .content_type(self.content_type)
            .metadata("source", &self.source)
            .metadata("pod", &to.place.pod);
        let sent = match form {
            Form::Trailer => {
                let request = request.checksum_algorithm(ChecksumAlgorithm::Crc32);
                let trailer = ChecksumTrailer { length: body.length() };
                let request = request.body(body.with_checksum_trailer());
                request.customize().interceptor(trailer).send().await
            }
            Form::Header => {
                let request = request.checksum_algorithm(ChecksumAlgorithm::Crc32);
                let request = request.content_length(body.content_length());
                request.checksum_crc32(body.content().checksum()).body(body.plain()).send().await
            }
            Form::None => {
                request.content_length(body.content_length()).body(body.plain()).send().await
            }
        };
        let answer = sent.map_err(|error| {
            // If the picture breaks off, the request fails too. Then the picture is the cause.
            let broken = body.failure().map(UploadError::from);
            broken.unwrap_or_else(|| UploadError::of("PutObject", to, Some(signer), &error))
        })?;
        let Some(e_tag) = &answer.e_tag else {
            return Err(UploadError::not_of_s3("PutObject", to, "ETag"));
        };
        Ok(shown(body.content(), &body.chunks(), answer.checksum_crc32(), Some(e_tag)))
    }
}
