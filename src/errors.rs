//! Errors as one line for a person to read.

use std::error::Error;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

/// The error itself, then its source, then the source of that one, and so on.
pub(crate) fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// The first error of type `E` among the causes.
pub(crate) fn find_cause<'a, E: Error + 'static>(
    error: &'a (dyn Error + 'static),
) -> Option<&'a E> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// The message of the innermost cause, which names the fact, such as "Connection refused".
pub(crate) fn innermost(error: &(dyn Error + 'static)) -> String {
    causes(error).last().unwrap_or(error).to_string()
}

/// The messages of all causes in one line of printable characters, without repetitions.
pub(crate) fn one_line(error: &(dyn Error + 'static)) -> String {
    let mut line = String::new();
    for cause in causes(error) {
        let cause = cause.to_string();
        if !line.ends_with(&cause) {
            if !line.is_empty() {
                line.push_str(": ");
            }
            line.push_str(&cause);
        }
    }
    printable(&line)
}

/// The longest text of a service that is kept, in bytes: what answers in its place may send any length.
const LONGEST_TEXT: usize = 1000;

/// An error of the AWS SDK in one line: the service's code and message if the service answered,
/// otherwise what prevented an answer. It never quotes the response, which may contain the session
/// token. A long message is cut.
pub(crate) fn explain<E>(error: &SdkError<E>) -> String
where
    E: ProvideErrorMetadata + Error + 'static,
{
    if let Some(code) = error.code() {
        let message = error.message().unwrap_or("no message");
        return beginning(&printable(&format!("{code}: {message}")), LONGEST_TEXT).to_owned();
    }
    match (error.raw_response(), error) {
        // The body did not come whole.
        (Some(response), SdkError::ResponseError(_)) => {
            printable(&format!("HTTP status {}: {}", response.status(), innermost(error)))
        }
        (Some(response), _) => {
            format!("HTTP status {}, without an error code", response.status())
        }
        (None, _) => one_line(error),
    }
}

/// At most so many bytes of a text.
pub(crate) fn beginning(text: &str, longest: usize) -> &str {
    &text[..text.floor_char_boundary(longest)]
}

/// One line that does nothing to a terminal: others wrote parts of it.
pub(crate) fn printable(text: &str) -> String {
    text.replace(char::is_control, " ")
}
