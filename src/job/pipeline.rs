//! The pipeline of a picture: it is fetched and uploaded, and a failure is explained.

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::diagnosis::{Diagnosis, Failure, ResolvedBy};
use crate::identity::{NoCredentials, RefreshingCredentials};
use crate::page::Pictures;
use crate::source::{Source, host};
use crate::status::{Failed, Outcome, Stage};
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
    /// Where pictures are kept for people to look at, if any are.
    pub(crate) pictures: Option<Pictures>,
}

impl Pipeline {
    /// Fetches and uploads one picture.
    pub(super) async fn run(&self) -> Outcome {
        let url = self.source.pick();
        let error = match self.upload_a_picture(url).await {
            Ok(uploaded) => return uploaded,
            Err(error) => error,
        };
        let (reason, text) = (error.reason(), error.to_string());
        let (stage, diagnosis) = match error {
            UploadError::Cancelled => return Outcome::Cancelled,
            UploadError::Fetch(error) => {
                (Stage::Fetch, self.diagnose(Failure::Fetch { host: host(url), error }))
            }
            UploadError::Credentials(error) => (Stage::Upload, self.explain(&error)),
            UploadError::S3(failure) => {
                let signer = failure.signer.clone();
                let diagnosis = self.diagnose(Failure::S3(failure));
                if diagnosis.resolved_by == ResolvedBy::FreshCredentials
                    && let Some(signer) = &signer
                {
                    self.credentials.forget(signer);
                }
                (Stage::Upload, diagnosis)
            }
        };
        Outcome::Failed(Failed { stage, reason, error: text, diagnosis })
    }

    async fn upload_a_picture(&self, url: &Url) -> Result<Outcome, UploadError> {
        let fetch = self.cancel.run_until_cancelled(self.source.fetch(url));
        let mut picture = fetch.await.ok_or(UploadError::Cancelled)??;
        let (kind, fetch_attempts) = (picture.kind, picture.attempts);
        let source = without_secrets(&picture.url);
        let tee = self.pictures.as_ref().and_then(|kept| kept.tee(picture.declared_length()));
        picture.copy_to(tee.clone());
        let object = self.uploader.upload(picture, &self.cancel).await?;
        if let (Some(pictures), Some(tee)) = (&self.pictures, tee) {
            pictures.keep(&object.key, kind, tee);
        }
        Ok(Outcome::Uploaded { object, kind, source, fetch_attempts })
    }

    /// Why there are no credentials.
    pub(super) fn explain(&self, error: &NoCredentials) -> Diagnosis {
        self.diagnose(Failure::of(error, self.credentials.required()))
    }

    fn diagnose(&self, failure: Failure) -> Diagnosis {
        Diagnosis::of(failure, &self.credentials, Some(self.started))
    }
}
