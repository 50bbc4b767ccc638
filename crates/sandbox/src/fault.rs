//! The front end of the S3: it records requests and applies planned faults.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Method, Uri};

use crate::error_answer::ErrorAnswer;

/// The operations that are distinguished. All others are `Other`.
const OPERATIONS: [&str; 6] = [
    "PutObject",
    "CreateMultipartUpload",
    "UploadPart",
    "CompleteMultipartUpload",
    "AbortMultipartUpload",
    "Other",
];

/// A fault of a request to the S3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An immediate error with this status and S3 error code, without reading
    /// the body. With status 200, it is the error inside a successful response
    /// that `CompleteMultipartUpload` can return.
    Status(u16, &'static str),
    /// The same error after this many bytes of the body, as encoded on the
    /// wire.
    StatusAfter(u64, u16, &'static str),
    /// An immediate error with headers and elements, without reading the body.
    Error(ErrorAnswer),
    /// A reset of the connection after this many bytes of the body.
    ResetAfter(u64),
    /// A normal answer, after this delay.
    Delay(Duration),
    /// The body is read, but no answer ever comes.
    Hang,
    /// The request takes effect, but the connection is reset instead of an
    /// answer.
    LoseAnswer,
    /// The request takes effect, and its answer comes after this delay.
    LateAnswer(Duration),
    /// Status 200 and this text, without effect: the answer of a proxy, or the
    /// beginning of one of S3.
    NotOfS3(&'static str),
}

/// A request that the S3 received.
#[derive(Clone, Debug)]
pub struct Request {
    /// The HTTP method, such as `PUT`.
    pub method: String,
    /// The path, percent-encoded as received.
    pub path: String,
    /// The query without the question mark, or an empty text.
    pub query: String,
    /// `PutObject`, `CreateMultipartUpload`, `UploadPart`,
    /// `CompleteMultipartUpload`, `AbortMultipartUpload` or `Other`.
    pub operation: &'static str,
    /// The status of the answer, or `None` before there is one.
    pub status: Option<u16>,
    /// The headers, with names in lower case. They include the session token.
    pub headers: BTreeMap<String, String>,
    /// The access key ID in the signature.
    pub access_key_id: Option<String>,
}

/// The planned faults and the record of requests.
#[derive(Debug, Default)]
pub(crate) struct Front(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    planned: Vec<(&'static str, usize, Fault)>,
    requests: Vec<Request>,
    /// The number of requests before those.
    forgotten: usize,
}

impl Front {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn plan(&self, operation: &str, times: usize, fault: Fault) {
        let known = OPERATIONS.into_iter().find(|each| *each == operation);
        let operation = known.unwrap_or_else(|| panic!("no operation is called {operation} here"));
        self.entries().planned.push((operation, times, fault));
    }

    pub(crate) fn unplan(&self) {
        self.entries().planned.clear();
    }

    /// Records a request. Returns its number and the fault to apply to it.
    pub(crate) fn arrived(&self, request: &hyper::Request<Incoming>) -> (usize, Option<Fault>) {
        let record = Request::new(request);
        let mut entries = self.entries();
        let mut planned = entries.planned.iter_mut();
        let fault =
            planned.find(|(operation, times, _)| *operation == record.operation && *times > 0);
        let fault = fault.map(|(_, times, fault)| {
            *times -= 1;
            fault.clone()
        });
        entries.requests.push(record);
        (entries.forgotten + entries.requests.len() - 1, fault)
    }

    pub(crate) fn answered(&self, number: usize, status: u16) {
        let mut entries = self.entries();
        let number = number.checked_sub(entries.forgotten);
        if let Some(request) = number.and_then(|number| entries.requests.get_mut(number)) {
            request.status = Some(status);
        }
    }

    pub(crate) fn forget(&self) {
        let mut entries = self.entries();
        entries.forgotten += std::mem::take(&mut entries.requests).len();
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.entries().requests.clone()
    }
}

impl Request {
    fn new(request: &hyper::Request<Incoming>) -> Self {
        let headers: BTreeMap<String, String> = request
            .headers()
            .iter()
            .map(|(name, value)| {
                (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            })
            .collect();
        let access_key_id = headers
            .get("authorization")
            .and_then(|value| value.split_once("Credential="))
            .and_then(|(_, scope)| scope.split('/').next())
            .map(str::to_owned);
        Self {
            method: request.method().to_string(),
            path: request.uri().path().to_owned(),
            query: request.uri().query().unwrap_or_default().to_owned(),
            operation: operation(request.method(), request.uri()),
            status: None,
            headers,
            access_key_id,
        }
    }
}

fn operation(method: &Method, uri: &Uri) -> &'static str {
    let query = uri.query().unwrap_or_default().as_bytes();
    let names: Vec<Cow<'_, str>> =
        url::form_urlencoded::parse(query).map(|(name, _)| name).collect();
    let has = |name: &str| names.iter().any(|each| each == name);
    let has_key = uri.path().trim_start_matches('/').contains('/');
    match method.as_str() {
        "PUT" if has("partNumber") => "UploadPart",
        "PUT" if has_key && !has("tagging") && !has("acl") => "PutObject",
        "POST" if has("uploads") => "CreateMultipartUpload",
        "POST" if has("uploadId") => "CompleteMultipartUpload",
        "DELETE" if has("uploadId") => "AbortMultipartUpload",
        _ => "Other",
    }
}
