//! Errors of the SDK as one line for a person to read.

use std::error::Error;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::exchange::Exchange;
use super::redact::clean;
use crate::errors::{find_cause, innermost, one_line};

/// An error of the AWS SDK in one line: the service's code and message if the service responded,
/// otherwise what prevented that. It never quotes the whole response, which may contain the session token.
pub(crate) fn explain<E>(error: &SdkError<E, HttpResponse>) -> String
where
    E: ProvideErrorMetadata + Error + 'static,
{
    if let Some(code) = error.code() {
        let message = error.message().unwrap_or("no message");
        return clean(&format!("{code}: {message}"));
    }
    match (error.raw_response(), error) {
        // The body did not come whole.
        (Some(response), SdkError::ResponseError(_)) => {
            clean(&format!("HTTP status {}: {}", response.status(), innermost(error)))
        }
        (Some(response), _) => format!("HTTP status {}, without an error code", response.status()),
        (None, _) => {
            find_cause::<Exchange>(error).map_or_else(|| one_line(error), ToString::to_string)
        }
    }
}
