//! The pipeline of a picture: it is fetched and uploaded, and a failure is explained.

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::diagnosis::{Diagnosis, Failure, ResolvedBy};
use crate::identity::{NoCredentials, RefreshingCredentials};
use crate::source::{Source, Tee, Tees};
use crate::status::Outcome;
use crate::upload::{UploadError, Uploader, without_secrets};

/// What each picture passes through, one at each tick. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Pipeline {
    pub(crate) source: Source,
    pub(crate) uploader: Uploader,
    pub(crate) credentials: RefreshingCredentials,
    /// When the program started.
    pub(crate) started: Instant,
    /// Cancelled when pictures in flight must end.
    pub(crate) cancel: CancellationToken,
    /// Which pictures are copied for people to look at, if any are.
    pub(crate) tees: Option<Tees>,
}

impl Pipeline {
    /// Fetches and uploads one picture.
    pub(super) async fn run(&self) -> Outcome {
        let error = match self.upload_a_picture().await {
            Ok(uploaded) => return uploaded,
            Err(error) => error,
        };
        let (reason, text) = (error.reason(), error.to_string());
        let diagnosis = match error {
            UploadError::Cancelled => return Outcome::Cancelled,
            UploadError::Fetch(error) => return Outcome::NotFetched(error),
            UploadError::Credentials(error) => self.explain(&error),
            UploadError::S3(failure) => {
                let signer = failure.signer.clone();
                let diagnosis = self.diagnose(Failure::S3(failure));
                if diagnosis.resolved_by == ResolvedBy::FreshCredentials
                    && let Some(signer) = &signer
                {
                    self.credentials.forget(signer);
                }
                diagnosis
            }
        };
        Outcome::NotStored { reason, error: text, diagnosis }
    }

    async fn upload_a_picture(&self) -> Result<Outcome, UploadError> {
        let fetch = self.cancel.run_until_cancelled(self.source.fetch());
        let mut picture = fetch.await.ok_or(UploadError::Cancelled)??;
        let tee = self.tees.as_ref().and_then(|tees| tees.tee(picture.declared_length()));
        picture.copy_to(tee.clone());
        Ok(Outcome::Uploaded {
            kind: picture.kind,
            source: without_secrets(&picture.url),
            fetch_attempts: picture.attempts,
            object: self.uploader.upload(picture, &self.cancel).await?,
            copy: tee.and_then(Tee::into_bytes),
        })
    }

    /// Why there are no credentials.
    pub(super) fn explain(&self, error: &NoCredentials) -> Diagnosis {
        self.diagnose(Failure::of(error, self.credentials.required()))
    }

    fn diagnose(&self, failure: Failure) -> Diagnosis {
        Diagnosis::of(failure, &self.credentials, Some(self.started))
    }
}
