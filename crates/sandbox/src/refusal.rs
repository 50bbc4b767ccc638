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

    /// The agent's answer if EKS Auth cannot be reached. Its SDK wraps every
    /// failure to send a request in a response error without a request ID, so
    /// that `HandleCredentialFetchingError` writes the brackets and nothing
    /// else: the reason is only in the agent's log.
    pub(crate) fn no_answer() -> Self {
        Self { status: 500, text: "[]".to_owned() }
    }
}
