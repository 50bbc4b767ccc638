//! The errors of EKS Auth, as its API model (`eks-auth`, 2023-11-26) has them.

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::header::CONTENT_TYPE;
use serde_json::json;

/// The errors of `AssumeRoleForPodIdentity`, with their statuses.
const MODEL: [(&str, u16); 9] = [
    ("AccessDeniedException", 400),
    ("ExpiredTokenException", 400),
    ("InternalServerException", 500),
    ("InvalidParameterException", 400),
    ("InvalidRequestException", 400),
    ("InvalidTokenException", 400),
    ("ResourceNotFoundException", 404),
    ("ServiceUnavailableException", 503),
    ("ThrottlingException", 429),
];

/// An error of EKS Auth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceError {
    pub(crate) code: String,
    pub(crate) message: String,
}

impl ServiceError {
    pub(crate) fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into() }
    }

    /// The API has no such operation, as AWS answers for `restJson1`.
    pub(crate) fn unknown_operation() -> Self {
        Self::new("UnknownOperationException", "")
    }

    /// There is no such cluster: EKS's own text.
    pub(crate) fn no_cluster(name: &str) -> Self {
        Self::new("ResourceNotFoundException", format!("No cluster found for name: {name}."))
    }

    /// There is no association. AWS does not publish the text, so this one
    /// follows EKS's text for a missing cluster.
    pub(crate) fn no_association(cluster: &str, namespace: &str, account: &str) -> Self {
        let message = format!(
            "No association found for service account {account} in namespace {namespace} of cluster {cluster}."
        );
        Self::new("ResourceNotFoundException", message)
    }

    /// The associated role does not trust EKS: AWS's own text.
    pub(crate) fn unauthorized() -> Self {
        let message =
            "Unauthorized Exception! EKS does not have permissions to assume the associated role.";
        Self::new("AccessDeniedException", message)
    }

    /// A principal may not perform an action: IAM's own text. `reason` names
    /// the kind of policy, as in `because no identity-based policy allows the
    /// sts:AssumeRole action`; IAM leaves it out where a trust policy decides.
    pub(crate) fn denied(
        principal: &str,
        action: &str,
        resource: &str,
        reason: Option<&str>,
    ) -> Self {
        let mut message = format!(
            "User: {principal} is not authorized to perform: {action} on resource: {resource}"
        );
        if let Some(reason) = reason {
            message = format!("{message} {reason}");
        }
        Self::new("AccessDeniedException", message)
    }

    /// An association that EKS Auth cannot use.
    pub(crate) fn unusable(message: impl Into<String>) -> Self {
        Self::new("InvalidRequestException", message)
    }

    /// Another service, or the cluster's key server, does not answer.
    pub(crate) fn unavailable(why: impl Into<String>) -> Self {
        Self::new("ServiceUnavailableException", why)
    }

    /// The model's status, or 400 or 404 for an error outside the model.
    pub(crate) fn status(&self) -> u16 {
        let modelled = MODEL.iter().find(|(code, _)| *code == self.code).map(|(_, status)| *status);
        modelled.unwrap_or(if self.code == "UnknownOperationException" { 404 } else { 400 })
    }

    /// Whose fault it is, as the SDK for Go says it.
    pub(crate) fn fault(&self) -> &'static str {
        match MODEL.iter().find(|(code, _)| *code == self.code) {
            Some((_, 500..)) => "server",
            Some(_) => "client",
            None => "unknown",
        }
    }

    /// The answer in `restJson1`, with another status than the model's if a
    /// test wants that.
    pub(crate) fn into_response(self, status: u16, request_id: &str) -> Response<Full<Bytes>> {
        Response::builder()
            .status(status)
            .header(CONTENT_TYPE, "application/json")
            .header("x-amzn-RequestId", request_id)
            .header("x-amzn-ErrorType", &self.code)
            .body(Full::from(json!({ "message": self.message }).to_string()))
            .expect("a status that a test asks for is a status")
    }
}
