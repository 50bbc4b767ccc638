//! The Query protocol: parameters in a form, answers in XML.

use std::collections::HashMap;
use std::fmt::Write as _;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::header::CONTENT_TYPE;
use uuid::Uuid;

use crate::error_answer::escaped;

const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// The parameters of a request.
#[derive(Debug)]
pub(crate) struct Parameters(HashMap<String, String>);

impl Parameters {
    pub(crate) fn parse(form: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(form).into_owned().collect())
    }

    /// The value, or an empty text if the parameter is missing.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// The value, or STS's error for a missing parameter.
    pub(crate) fn need(&self, name: &str) -> Result<&str, QueryError> {
        let value = self.get(name);
        if value.is_empty() {
            let message = format!(
                "1 validation error detected: Value at '{name}' failed to satisfy constraint: Member must not be null"
            );
            return Err(QueryError::new(400, "ValidationError", &message));
        }
        Ok(value)
    }
}

/// An error answer of STS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QueryError {
    pub(crate) status: u16,
    code: String,
    message: String,
}

impl QueryError {
    pub(crate) fn new(status: u16, code: &str, message: &str) -> Self {
        Self { status, code: code.to_owned(), message: message.to_owned() }
    }

    /// `CODE: MESSAGE`.
    pub(crate) fn text(&self) -> String {
        format!("{}: {}", self.code, self.message)
    }

    pub(crate) fn into_response(self) -> Response<Full<Bytes>> {
        let fault = if self.status < 500 { "Sender" } else { "Receiver" };
        let (code, message) = (escaped(&self.code), escaped(&self.message));
        let id = Uuid::new_v4();
        respond(
            self.status,
            format!(
                "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>{fault}</Type><Code>{code}</Code><Message>{message}</Message></Error><RequestId>{id}</RequestId></ErrorResponse>"
            ),
        )
    }
}

/// The result of an action. A slash in a field's name separates an enclosing
/// element from the field; the fields of one element must be adjacent.
pub(crate) fn result(action: &str, fields: &[(&str, &str)]) -> Response<Full<Bytes>> {
    let mut inside = String::new();
    let mut open = "";
    for (name, value) in fields {
        let (outer, name) = name.split_once('/').unwrap_or(("", name));
        if outer != open {
            close(&mut inside, open);
            if !outer.is_empty() {
                let _ = write!(inside, "<{outer}>");
            }
            open = outer;
        }
        let _ = write!(inside, "<{name}>{}</{name}>", escaped(value));
    }
    close(&mut inside, open);
    let id = Uuid::new_v4();
    respond(
        200,
        format!(
            "<{action}Response xmlns=\"{NAMESPACE}\"><{action}Result>{inside}</{action}Result><ResponseMetadata><RequestId>{id}</RequestId></ResponseMetadata></{action}Response>"
        ),
    )
}

fn close(text: &mut String, element: &str) {
    if !element.is_empty() {
        let _ = write!(text, "</{element}>");
    }
}

fn respond(status: u16, xml: String) -> Response<Full<Bytes>> {
    Response::builder()
        .status(status)
        .header(CONTENT_TYPE, "text/xml")
        .body(Full::from(xml))
        .expect("a status that a test asks for is a status")
}
