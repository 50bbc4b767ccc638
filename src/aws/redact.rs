//! What comes from outside is cleaned where it enters: of secrets, of characters that do something to a
//! terminal or a reader, and of length.

use std::collections::{HashSet, VecDeque};
use std::sync::Mutex;

use aws_smithy_types::base64;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::lock::lock;

/// How many characters of a secret in a row are not shown. A shorter secret is hidden as a whole.
const RUN: usize = 16;

/// Shorter texts are no secrets: hiding each of their occurrences would hide what a text says.
const SHORTEST: usize = 6;

/// How many secrets are remembered: those in use, and those before them, which a late response may repeat.
const REMEMBERED: usize = 64;

/// The longest text from outside that is kept, in bytes.
const LONGEST: usize = 2000;

/// What is shown in place of a secret.
const HIDDEN: &str = "[redacted]";

/// Names of fields that have secrets, in lower case, and the beginning of every JWT with a header.
const SECRET_FIELDS: [&str; 2] = ["secretaccesskey", "sessiontoken"];
const JWT: &str = "eyJ";

/// What is secret in this process, the latest last.
static SECRETS: Mutex<VecDeque<String>> = Mutex::new(VecDeque::new());

/// From here on, no text from outside that goes through [`redacted`] shows this, or a part of it.
pub(crate) fn keep_secret(secret: &str) {
    let secret = secret.trim();
    if secret.len() < SHORTEST {
        return;
    }
    let mut secrets = lock(&SECRETS);
    if let Some(known) = secrets.iter().position(|known| known == secret) {
        secrets.remove(known);
    } else if secrets.len() >= REMEMBERED {
        secrets.pop_front();
    }
    secrets.push_back(secret.to_owned());
}

/// The text without secrets: each run of [`RUN`] and more characters of one is replaced, as it is, encoded
/// for URLs, or in base64; and so is what looks like a token or like a document of credentials.
pub(crate) fn redacted(text: &str) -> String {
    let secrets = lock(&SECRETS).clone();
    let mut hidden = vec![false; text.len()];
    for secret in &secrets {
        for form in forms(secret) {
            hide(text.as_bytes(), form.as_bytes(), &mut hidden);
        }
    }
    hide_tokens(text, &mut hidden);
    let mut shown = String::with_capacity(text.len());
    let mut in_secret = false;
    for (place, c) in text.char_indices() {
        match (hidden[place], in_secret) {
            (true, false) => shown.push_str(HIDDEN),
            (true, true) => {}
            (false, _) => shown.push(c),
        }
        in_secret = hidden[place];
    }
    let folded: String =
        shown.chars().filter(|c| !"_- ".contains(*c)).collect::<String>().to_ascii_lowercase();
    if SECRET_FIELDS.iter().any(|field| folded.contains(field) && !is_in_prose(&shown)) {
        return "(a text that may contain credentials is not shown)".to_owned();
    }
    shown
}

/// Whether no value follows the names of fields: a service may speak of a "session token".
fn is_in_prose(text: &str) -> bool {
    !text.contains(['{', '<', '=', '&']) && !text.contains("\":")
}

/// The text in one line, without secrets, without control and format characters, and not too long.
pub(crate) fn clean(text: &str) -> String {
    let text = &text[..text.floor_char_boundary(16 * LONGEST)];
    let mut line = redacted(text).replace(does_something, " ");
    line.truncate(line.floor_char_boundary(LONGEST));
    let trimmed = line.trim();
    if trimmed.len() == line.len() { line } else { trimmed.to_owned() }
}

/// Characters that show nothing but do something: control characters, line and paragraph separators,
/// bidirectional overrides, zero-width and other format characters (Unicode's categories Cc, Zl, Zp, Cf).
pub(crate) fn does_something(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}'
            | '\u{8e2}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{110bd}'
            | '\u{110cd}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0001}'..='\u{e007f}')
}

/// What URLs leave as it is: RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A secret as texts may repeat it.
fn forms(secret: &str) -> Vec<String> {
    let mut forms = vec![secret.to_owned()];
    let encoded = utf8_percent_encode(secret, RESERVED).to_string();
    if encoded != secret {
        forms.push(with_lowercase_escapes(&encoded));
        forms.push(encoded);
    }
    if secret.contains('/') {
        forms.push(secret.replace('/', "\\/")); // as some write JSON
    }
    // A secret inside of a longer text that is encoded begins at any of three places of a group of bytes;
    // the characters at its ends depend on its neighbours.
    for before in 0..3 {
        let mut bytes = vec![0; before];
        bytes.extend_from_slice(secret.as_bytes());
        let encoded = base64::encode(&bytes);
        let whole = encoded.trim_end_matches('=');
        let start = [0, 2, 3][before];
        let end = whole.len() - usize::from(bytes.len() % 3 != 0);
        if let Some(inner) = whole.get(start..end).filter(|inner| inner.len() >= SHORTEST) {
            let for_urls = inner.replace('+', "-").replace('/', "_");
            if for_urls != inner {
                forms.push(for_urls);
            }
            forms.push(inner.to_owned());
        }
    }
    forms
}

/// `%2F` as `%2f`, which some write.
fn with_lowercase_escapes(encoded: &str) -> String {
    let mut rest = 0;
    let lower = encoded.chars().map(|c| {
        rest = if c == '%' { 3_u8 } else { rest.saturating_sub(1) };
        if rest > 0 { c.to_ascii_lowercase() } else { c }
    });
    lower.collect()
}

/// Marks what the text has of the secret, in runs of [`RUN`] bytes and more.
fn hide(text: &[u8], secret: &[u8], hidden: &mut [bool]) {
    let run = RUN.min(secret.len());
    if text.len() < run {
        return;
    }
    let runs: HashSet<&[u8]> = secret.windows(run).collect();
    for (place, window) in text.windows(run).enumerate() {
        if runs.contains(window) {
            hidden[place..place + run].fill(true);
        }
    }
}

/// Marks what looks like a JWT.
fn hide_tokens(text: &str, hidden: &mut [bool]) {
    for (place, _) in text.match_indices(JWT) {
        let of_token = |c: char| c.is_ascii_alphanumeric() || "-_.=".contains(c);
        let rest = &text[place..];
        let length = rest.find(|c| !of_token(c)).unwrap_or(rest.len());
        if length >= RUN {
            hidden[place..place + length].fill(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECRET: &str =
        "IQoJb3JpZ2luX2VjEJr//////////wEaCXVzLWVhc3QtMSJHMEUCIQDqfuRYtxbu6gcdWA1+PVT2bJzp==";

    fn shows_a_run(text: &str) -> bool {
        SECRET
            .as_bytes()
            .windows(RUN)
            .any(|run| text.as_bytes().windows(RUN).any(|shown| shown == run))
    }

    proptest! {
        #[test]
        fn no_run_of_a_secret_is_shown_in_any_form(
            before in "\\PC{0,20}", after in "\\PC{0,20}", start in 0..60_usize, length in 16..84_usize,
        ) {
            keep_secret(SECRET);
            let part = &SECRET[start..SECRET.len().min(start + length)];
            let percent = utf8_percent_encode(part, RESERVED).to_string();
            for form in [part.to_owned(), percent.clone(), with_lowercase_escapes(&percent)] {
                let shown = redacted(&format!("{before}{form}{after}"));
                prop_assert!(!shown.contains(&form) || form.len() < RUN, "{shown}");
                prop_assert!(!shows_a_run(&shown), "{shown}");
            }
            // What base64 shows of the part, decoded again, has no run of the secret either.
            let shown = redacted(&base64::encode(format!("{before}{part}{after}")));
            for piece in shown.split(HIDDEN) {
                for skipped in 0..4.min(piece.len()) {
                    let piece = &piece[skipped..];
                    let piece = &piece[..piece.len() / 4 * 4];
                    let decoded = base64::decode(piece).unwrap_or_default();
                    // Of each end, up to two characters of base64 belong to a neighbour.
                    prop_assert!(decoded.windows(RUN + 4).all(|run| !SECRET.as_bytes().windows(RUN + 4).any(|secret| secret == run)));
                }
            }
        }

        #[test]
        fn what_is_clean_is_one_short_line(text in "[\\x00-\\xa0]{0,60}|\\PC*|[\u{200b}-\u{2070}a-z]{0,40}") {
            let line = clean(&text);
            prop_assert!(!line.contains(does_something) && line.len() <= LONGEST);
        }
    }

    #[test]
    fn a_short_secret_is_hidden_as_a_whole_and_prose_is_left_alone() {
        keep_secret("hunter2!");
        assert_eq!(
            redacted("407: user me:hunter2! is unknown"),
            "407: user me:[redacted] is unknown"
        );
        assert_eq!(redacted("The security token is expired"), "The security token is expired");
        assert_eq!(redacted("a session token is missing"), "a session token is missing");
        for text in [
            r#"{"sessionToken": "x"}"#,
            "<SecretAccessKey>x</SecretAccessKey>",
            "secret_access_key=x",
        ] {
            assert!(redacted(text).ends_with("is not shown)"), "{text}");
        }
        assert_eq!(redacted("got eyJhbGciOiJSUzI1NiJ9.e30.c2ln here"), "got [redacted] here");
    }
}
