//! The failures of an emulator's services, as EKS Auth reports them.

use std::error::Error;

use aws_sdk_eks::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};

use crate::service_error::ServiceError;

/// An error that the service does not expect: it is the sandbox's own problem,
/// whether another service refused the request or did not answer.
pub(crate) fn failure<E>(error: &SdkError<E>) -> ServiceError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error.code() {
        Some(code) => {
            let message = error.message().unwrap_or_default();
            ServiceError::new("InternalServerException", format!("{code}: {message}"))
        }
        None => ServiceError::unavailable(DisplayErrorContext(error).to_string()),
    }
}
