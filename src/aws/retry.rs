//! Which responses of S3 are a reason to try again, beside those that the SDK knows.

use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::retries::classifiers::{
    ClassifyRetry, RetryAction, RetryClassifierPriority,
};
use aws_smithy_types::retry::ErrorKind;

/// Judges a response by its status, whatever code it carries: 429 says what `SlowDown` says, and a status
/// of 500 and more is the server's fault, so that it may be over soon. The SDK knows four of these.
#[derive(Debug)]
pub(crate) struct RetriedStatus;

impl ClassifyRetry for RetriedStatus {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let status = context.response().map_or(0, |response| response.status().as_u16());
        match status {
            429 => RetryAction::retryable_error(ErrorKind::ThrottlingError),
            // What is not implemented does not come into being by waiting.
            501 | 505 => RetryAction::NoActionIndicated,
            500.. => RetryAction::transient_error(),
            _ => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "status of S3"
    }

    fn priority(&self) -> RetryClassifierPriority {
        RetryClassifierPriority::http_status_code_classifier()
    }
}
