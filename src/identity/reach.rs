//! How far a request to a service of AWS came.

use std::error::Error;

use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use http_body_util::LengthLimitError;

use crate::errors::{find_cause, one_line};

/// How far a request that failed came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The SDK could not make a request of the settings.
    Unsent,
    /// There was no answer, or not all of it.
    #[default]
    NoAnswer,
    /// The service answered with an error, or something between.
    Answer,
    /// Something answered that is not the service: with success but without what the service always
    /// sends, or with an error without a code. A gateway in front of the service may answer with a status
    /// of 500 and more.
    Other,
}

impl Reach {
    pub(crate) fn of<E>(error: &SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        // The SDK has a name of its own for a 404 without a code.
        let has_code = error.code().is_some_and(|code| code != "NotFound");
        let status = error.raw_response().map(|response| response.status().as_u16());
        match (status, error) {
            // The body of the answer did not come whole, unless it is far too long.
            (Some(..500), SdkError::ResponseError(_))
                if find_cause::<LengthLimitError>(error).is_none() =>
            {
                Self::NoAnswer
            }
            (Some(..500), _) if !has_code => Self::Other,
            (Some(_), _) => Self::Answer,
            (None, SdkError::ConstructionFailure(_)) => Self::Unsent,
            // An endpoint that is no URL is an error of the dispatch.
            (None, _) if one_line(error).contains("was not a valid URI") => Self::Unsent,
            (None, _) => Self::NoAnswer,
        }
    }
}
