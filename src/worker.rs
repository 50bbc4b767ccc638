//! One picture at a time: fetched, uploaded and, if it fails, explained.

use tokio_util::sync::CancellationToken;

use crate::identity::Requirement;
use crate::identity::diagnosis::{CREDENTIALS_REJECTED, Diagnosis, diagnose};
use crate::identity::evidence::{Evidence, Failure};
use crate::identity::steady::{NoCredentials, Steady};
use crate::image_kind::ImageKind;
use crate::source::Source;
use crate::upload::{UploadError, Uploaded, Uploader, without_secrets};

/// What it takes to make one picture an object. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Worker {
    pub(crate) source: Source,
    pub(crate) uploader: Uploader,
    pub(crate) identity: Steady,
    pub(crate) required: Requirement,
    pub(crate) cancel: CancellationToken,
}

pub(crate) struct Done {
    pub(crate) kind: ImageKind,
    pub(crate) source: String,
    pub(crate) fetch_attempts: u32,
    pub(crate) uploaded: Uploaded,
}

/// Why there is no object and, where it is a matter of identity or of S3, what mends it.
pub(crate) struct Failed {
    pub(crate) error: UploadError,
    pub(crate) diagnosis: Option<Diagnosis>,
}

impl Worker {
    pub(crate) async fn picture(&self) -> Result<Done, Failed> {
        match self.attempt().await {
            Ok(done) => Ok(done),
            Err(error) => {
                let diagnosis = match &error {
                    UploadError::Fetch(_) | UploadError::Cancelled => None,
                    UploadError::Credentials(error) => Some(self.diagnose(error).await),
                    UploadError::S3(failure) => {
                        let who = self.identity.in_hand();
                        let failure = Failure::S3(failure.clone());
                        let diagnosis = diagnose(&Evidence::gather(failure, who).await);
                        if diagnosis.id == CREDENTIALS_REJECTED {
                            self.identity.forget();
                        }
                        Some(diagnosis)
                    }
                };
                Err(Failed { error, diagnosis })
            }
        }
    }

    async fn attempt(&self) -> Result<Done, UploadError> {
        let fetch = self.cancel.run_until_cancelled(self.source.fetch());
        let picture = fetch.await.ok_or(UploadError::Cancelled)??;
        Ok(Done {
            kind: picture.kind,
            source: without_secrets(&picture.url),
            fetch_attempts: picture.attempts,
            uploaded: self.uploader.upload(picture, &self.cancel).await?,
        })
    }

    pub(crate) async fn diagnose(&self, error: &NoCredentials) -> Diagnosis {
        diagnose(&Evidence::gather(Failure::of(error, self.required), None).await)
    }
}
