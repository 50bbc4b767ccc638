//! What holds for tokens and answers that are not trusted: see [`crate::fuzzing`].

use aws_smithy_types::base64;

use super::agent::Answer;
use super::causes::diagnose;
use super::evidence::{Evidence, Failure};
use super::injected::{FULL_URI, Injected, TOKEN_FILE};
use super::provider::{Provider, Requirement};
use super::s3_failure::S3Failure;
use super::token::{Content, Token, Tokens};

const REQUIRED: Requirement = Requirement::Provider(Provider::PodIdentity);

/// A text is a token or is none; it is never taken for a missing file.
pub fn token(text: &str) {
    check(&Content::of(text));
}

/// A token with these claims, which should be JSON, is read or is malformed.
pub fn claims(json: &str) {
    check(&Content::of(&with_claims(json)));
}

/// A token with these claims, in base64 for URLs without padding.
pub(super) fn with_claims(json: &str) -> String {
    let encoded =
        |text: &str| base64::encode(text).trim_end_matches('=').replace('+', "-").replace('/', "_");
    format!("{}.{}.c2lnbmF0dXJl", encoded(r#"{"alg":"RS256"}"#), encoded(json))
}

fn check(content: &Content) {
    match content {
        Content::Claims(claims) => {
            let (Ok(time) | Err(time)) = claims.time_left();
            assert!(!humantime::format_duration(time).to_string().is_empty());
        }
        Content::Empty | Content::Malformed => {}
        Content::Missing | Content::Unreadable(_) | Content::TooManyOpenFiles => {
            panic!("no file was read: {content:?}")
        }
    }
}

/// Whatever the agent answers, the diagnosis is printable, in one line each. Of a document with credentials,
/// it has at most the names of fields.
///
/// # Panics
///
/// The property does not hold.
pub fn agent_answer(status: u16, text: &str) {
    let answer = match status {
        200..300 => Answer::success(text.as_bytes()),
        _ => Answer::refusal(status, text),
    };
    if let Answer::Unusable(why) = &answer {
        let known = ["is too long", "is not JSON", "has no ", "has an Expiration that is no time"];
        assert!(known.iter().any(|known| why.contains(known)) && why.len() < 50, "{why}");
    }

    let failure = Failure::Chain {
        none: false,
        required: REQUIRED,
        sts: None,
        text: "the provider failed".to_owned(),
    };
    diagnosed(failure, Some(answer));
}

/// The same for a failure of S3.
pub(crate) fn s3_failure(failure: Box<S3Failure>) {
    diagnosed(Failure::S3(failure), None);
}

/// In a pod in order, so that the answer itself is what is diagnosed.
fn diagnosed(failure: Failure, agent: Option<Answer>) {
    let good = with_claims(r#"{"aud":["pods.eks.amazonaws.com"],"exp":1099511627776}"#);
    let token = Token { path: "/token".to_owned(), content: Content::of(&good) };
    let diagnosis = diagnose(&Evidence {
        failure,
        agent,
        injected: Injected::default()
            .set(FULL_URI, "http://169.254.170.23/v1/credentials")
            .set(TOKEN_FILE, "/token"),
        tokens: Tokens { pod_identity: Some(token), irsa: None },
        proxied: false,
        principal: None,
        agent_may_be_starting: false,
    });
    for line in [&diagnosis.cause, &diagnosis.fix] {
        assert!(!line.is_empty() && !line.contains(char::is_control), "{diagnosis:?}");
    }
}
