//! The refusals of the Pod Identity Agent.

use crate::service_error::ServiceError;

/// A refusal, with the status and the plain text of the agent's answer.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) text: String,
}

impl Refusal {
    /// An error of EKS Auth in the form in which the agent relays it
    /// (`HandleCredentialFetchingError` in its `pkg/errors/errors.go`).
    /// `request_id` is the service's.
    pub(crate) fn of_service(request_id: &str, status: u16, error: &ServiceError) -> Self {
        let (code, message, fault) = (&error.code, &error.message, error.fault());
        Self { status, text: format!("[{request_id}]: ({code}): {message}, fault: {fault}") }
    }

    /// The agent's answer if EKS Auth's is no error of its model: the brackets with the request's
    /// ID, if it has one, and nothing else (`HandleCredentialFetchingError`). This is so for the page
    /// of a proxy, also with status 200, because the SDK wraps what it cannot read in a response
    /// error, and without any answer, with status 500 and no ID. The reason is only in the agent's log.
    pub(crate) fn unreadable(request_id: &str, status: u16) -> Self {
        Self { status, text: format!("[{request_id}]") }
    }
}
