//! Error answers of S3 with headers and elements.

use std::fmt::Write as _;

use hyper::header::CONTENT_TYPE;
use s3s::{Body, HttpResponse};
use uuid::Uuid;

/// An error answer of S3: its status, code and text, and additional headers and
/// elements. The answers follow S3's error code reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorAnswer {
    pub(crate) status: u16,
    code: String,
    message: String,
    headers: Vec<(String, String)>,
    elements: Vec<(String, String)>,
}

impl ErrorAnswer {
    /// Creates an error with this status and S3 error code.
    #[must_use]
    pub fn new(status: u16, code: &str) -> Self {
        let message = "as the test asked".to_owned();
        Self { status, code: code.to_owned(), message, headers: Vec::new(), elements: Vec::new() }
    }

    /// Sets the text.
    #[must_use]
    pub fn message(mut self, text: &str) -> Self {
        text.clone_into(&mut self.message);
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds an XML element.
    #[must_use]
    pub fn element(mut self, name: &str, value: &str) -> Self {
        self.elements.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The request went to one region's endpoint, and the bucket is in
    /// another region: 301.
    #[must_use]
    pub fn permanent_redirect(region: &str) -> Self {
        let message = "The bucket you are attempting to access must be addressed using the specified endpoint. Please send all future requests to this endpoint.";
        Self::new(301, "PermanentRedirect")
            .message(message)
            .header("x-amz-bucket-region", region)
            .element("Endpoint", &format!("s3.{region}.amazonaws.com"))
    }

    /// The request was signed for one region, and the bucket is in another:
    /// 400.
    #[must_use]
    pub fn wrong_region(signed: &str, region: &str) -> Self {
        let message = format!(
            "The authorization header is malformed; the region '{signed}' is wrong; expecting '{region}'"
        );
        Self::new(400, "AuthorizationHeaderMalformed")
            .message(&message)
            .header("x-amz-bucket-region", region)
            .element("Region", region)
    }

    /// A policy does not allow the caller to perform `action`, such as
    /// `s3:PutObject`, on `resource_arn`: 403. The end of the text, `reason`,
    /// names the type of the policy, such as `because no session policy allows
    /// the s3:PutObject action` or `with an explicit deny in a resource-based
    /// policy`. The IAM user guide lists these texts in
    /// [Troubleshoot access denied error messages][guide]; S3 quotes the
    /// resource.
    ///
    /// [guide]: https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
    #[must_use]
    pub fn denied(principal_arn: &str, action: &str, resource_arn: &str, reason: &str) -> Self {
        let message = format!(
            "User: {principal_arn} is not authorized to perform: {action} on resource: \"{resource_arn}\" {reason}"
        );
        Self::new(403, "AccessDenied").message(&message)
    }

    /// The bucket encrypts with a KMS key that does not exist: 400.
    #[must_use]
    pub fn kms_not_found(key_arn: &str) -> Self {
        Self::new(400, "KMS.NotFoundException").message(&format!("Key '{key_arn}' does not exist"))
    }

    /// The caller's clock is wrong by more than 15 minutes: 403.
    #[must_use]
    pub fn clock_skew() -> Self {
        Self::new(403, "RequestTimeTooSkewed")
            .message("The difference between the request time and the current time is too large.")
            .element("MaxAllowedSkewMilliseconds", "900000")
    }

    pub(crate) fn into_response(self) -> HttpResponse {
        let id = Uuid::new_v4().simple().to_string().to_uppercase();
        let Self { status, code, message, headers, elements } = self;
        let mut inside = format!("<Code>{code}</Code><Message>{}</Message>", escaped(&message));
        for (name, value) in elements {
            let _ = write!(inside, "<{name}>{}</{name}>", escaped(&value));
        }
        let text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>{inside}<RequestId>{id}</RequestId></Error>"
        );
        let mut response = hyper::Response::builder()
            .status(status)
            .header(CONTENT_TYPE, "application/xml")
            .header("x-amz-request-id", id);
        for (name, value) in headers {
            response = response.header(name, value);
        }
        response.body(Body::from(text)).expect("what a test asks for can be sent")
    }
}

/// Text for the inside of an XML element.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
