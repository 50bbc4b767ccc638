//! Errors as one line for a person to read.

use std::error::Error;

use crate::aws::clean;

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
        let cause = without_quotations(cause.to_string());
        if !line.ends_with(&cause) {
            if !line.is_empty() {
                line.push_str(": ");
            }
            line.push_str(&cause);
        }
    }
    clean(&line)
}

/// The SDK's text about an endpoint that is no URL, without the endpoint and the whole request, which it
/// quotes: a password may be in the one, IRSA's token is in the other.
fn without_quotations(text: String) -> String {
    for before in ["Custom endpoint `", "failed to apply endpoint `"] {
        if let Some((start, rest)) = text.split_once(before) {
            let end = rest.rsplit_once('`').map_or("", |(_, end)| end);
            return format!("{start}{before}…`{end}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_and_a_request_that_the_sdk_quotes_are_left_out() {
        for (text, shown) in [
            (
                "failed to apply endpoint `me:secret@host` to request `Request { body: secret }`: endpoint \
                 must contain scheme",
                "failed to apply endpoint `…`: endpoint must contain scheme",
            ),
            (
                "Custom endpoint `me:secret@host` was not a valid URI",
                "Custom endpoint `…` was not a valid URI",
            ),
            ("failed to apply endpoint `secret, without an end", "failed to apply endpoint `…`"),
        ] {
            assert_eq!(one_line(&std::io::Error::other(text)), shown);
        }
    }
}
