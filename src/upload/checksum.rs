//! Which form of a checksum the store takes.

use std::sync::Mutex;

use aws_config::SdkConfig;
use aws_sdk_s3::config::RequestChecksumCalculation;

use super::failure::UploadError;
use super::form::{ChecksumSetting, Form};
use crate::aws;
use crate::lock::lock;

/// The form in which pictures are sent now. All pictures share it.
#[derive(Debug)]
pub(super) struct Forms {
    current: Mutex<Current>,
    /// Whether another form is tried if a store refuses this one.
    adapts: bool,
}

#[derive(Clone, Debug)]
struct Current {
    form: Form,
    /// The forms in which a picture, or its parts, were stored.
    proven: Vec<Form>,
}

impl Forms {
    /// The form that is set, by `--checksum`, `AWS_REQUEST_CHECKSUM_CALCULATION` or the profile. Only if
    /// none is, and only at an endpoint that is not Amazon's, another one may be found.
    pub(super) fn new(setting: ChecksumSetting, sdk: &SdkConfig) -> Self {
        let when_required =
            sdk.request_checksum_calculation() == Some(RequestChecksumCalculation::WhenRequired);
        let set = setting.0.or_else(|| when_required.then_some(Form::None));
        let form = set.unwrap_or(Form::Trailer);
        let current = Mutex::new(Current { form, proven: Vec::new() });
        Self { current, adapts: set.is_none() && !aws::is_at_amazon(sdk) }
    }

    pub(super) fn current(&self) -> Form {
        lock(&self.current).form
    }

    /// The form to try after the store has refused this one with this error, or has not proven what it
    /// stored.
    pub(super) fn after(&self, form: Form, error: &UploadError) -> Option<Form> {
        let is_proven = lock(&self.current).proven.contains(&form);
        let may_try = self.adapts && error.may_be_about_the_checksum(is_proven);
        form.next().filter(|_| may_try)
    }

    /// A picture was stored in this form. If that was after `refused`, the error of the first form that was
    /// tried, it is used from now on.
    pub(super) fn proven(&self, form: Form, refused: Option<&UploadError>) {
        let mut current = lock(&self.current);
        if !current.proven.contains(&form) {
            current.proven.push(form);
        }
        let Some(refused) = refused.filter(|_| current.form != form) else { return };
        let earlier = current.form;
        current.form = form;
        drop(current);
        tracing::warn!(
            cause = %refused,
            found = form.name(),
            "S3 does not take the checksum of a picture in the form {}: from now on {}; \
             S3_CHECKSUM={} (or --checksum) sets that from the start",
            earlier.name(),
            form.meaning(),
            form.name(),
        );
    }
}
