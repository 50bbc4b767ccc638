//! Causes in the projected token that this pod reads.

use super::super::evidence::Evidence;
use super::ResolvedBy::{Never, Wait};
use super::network::OPEN_FILES;
use super::{Cause, NEW_POD, explanation};
use crate::identity::{Content, Provider, Token};

pub(super) const CAUSES: &[Cause] = &[
    Cause::new("token_missing", Never, |e| {
        let path = file(e, |content| matches!(content, Content::Missing))?;
        Some(explanation(
            format!("the token file {path} does not exist: its projected volume is not mounted"),
            format!("check that nothing removes the volume that the webhook adds, {NEW_POD}"),
        ))
    }),
    Cause::new("token_unreadable", Never, |e| {
        let token = token(e)?;
        let Content::Unreadable(why) = &token.content else { return None };
        Some(explanation(
            format!("the token file {} cannot be read: {why}", token.path),
            "set securityContext.fsGroup to the group that the container runs with",
        ))
    }),
    Cause::new("too_many_open_files", Wait, |e| {
        let path = file(e, |content| matches!(content, Content::TooManyOpenFiles))?;
        Some(explanation(
            format!("the program may open no more files, and so cannot read the token file {path}"),
            OPEN_FILES,
        ))
    }),
    Cause::new("token_empty", Wait, |e| {
        let path = file(e, |content| matches!(content, Content::Empty))?;
        Some(explanation(
            format!("the token file {path} is empty"),
            "check the kubelet of this node, which writes the file (journalctl -u kubelet)",
        ))
    }),
    Cause::new("token_malformed", Never, |e| {
        // A token with a line break after it, for example, decodes but cannot be sent.
        let is_unsendable = || {
            let failure = e.failed(Provider::PodIdentity)?;
            failure.to_string().contains("HTTP header value").then_some(())?;
            token(e).map(|token| token.path.as_str())
        };
        let path =
            file(e, |content| matches!(content, Content::Malformed)).or_else(is_unsendable)?;
        Some(explanation(
            format!("the token file {path} does not contain a JWT and nothing else"),
            "check what is mounted there: it should be a projected service account token",
        ))
    }),
    Cause::new("token_wrong_audience", Never, |e| {
        e.failed(Provider::PodIdentity)?;
        let claims = token(e)?.claims()?;
        let wanted = "pods.eks.amazonaws.com";
        let found = &claims.aud;
        if found.iter().any(|audience| audience == wanted) {
            return None;
        }
        Some(explanation(
            format!("the token's audience is {}, not {wanted}", found.join(", ")),
            format!(
                "set the audience of the projected token to {wanted}, or let the webhook inject it"
            ),
        ))
    }),
    Cause::new("token_expired", Wait, |e| {
        let token = token(e)?;
        let since = token.claims()?.time_left().err()?;
        Some(explanation(
            format!("the token in {} expired {} s ago", token.path, since.as_secs()),
            "check this node's kubelet, which renews the token, and its clock",
        ))
    }),
];

/// The token of the provider that failed.
fn token(e: &Evidence) -> Option<&Token> {
    match e.chain()?.provider? {
        Provider::Irsa => e.tokens.irsa.as_ref(),
        Provider::PodIdentity => e.tokens.pod_identity.as_ref(),
        _ => None,
    }
}

/// The path of the token's file, if this was found there.
fn file(e: &Evidence, is_found: impl Fn(&Content) -> bool) -> Option<&str> {
    token(e).filter(|token| is_found(&token.content)).map(|token| token.path.as_str())
}
