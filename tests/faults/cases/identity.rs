//! Faults of the Pod Identity Agent and of STS, which give the credentials.

use std::time::Duration;

use sandbox::{Answer, Network};

use super::{STS_GONE, no_proper_http, raw, redirects, statuses};
use crate::case::Expect::{Fails, Masked};
use crate::case::{Case, Inject, Place};
use crate::documents::Spoilt;

pub(super) fn agents() -> Vec<Case> {
    let status = |status, text: &str| Inject::Answer(Answer::Status(status, text.to_owned()));
    let node = "arn:aws:sts::123456789012:assumed-role/node/i-1";
    let mut cases: Vec<Case> = [
        (
            "finds no association",
            status(404, "[1]: (ResourceNotFoundException): none, fault: client"),
            &["no_association"] as &[_],
        ),
        ("is not trusted by the role", Inject::Answer(Answer::trust_denied()), &["trust_policy"]),
        (
            "has a node without the permission",
            Inject::Answer(Answer::node_role_denied(node)),
            &["node_role_not_allowed"],
        ),
        (
            "says that the token has expired",
            status(400, "[1]: (ExpiredTokenException): expired, fault: client"),
            &["token_rejected"],
        ),
        (
            "is throttled",
            status(429, "[1]: (ThrottlingException): slow down, fault: client"),
            &["agent_throttled"],
        ),
        ("limits its rate", Inject::Answer(Answer::Busy), &["agent_busy"]),
        (
            "cannot reach EKS Auth",
            status(500, "unable to fetch credentials from EKS Auth"),
            &["agent_service_error"],
        ),
        (
            "refuses the address",
            status(403, "Access Denied. Called agent through invalid address"),
            &["agent_refuses_address"],
        ),
        (
            "refuses the token",
            status(400, "Service account token cannot be parsed"),
            &["agent_refuses_token"],
        ),
        ("never answers", Inject::Answer(Answer::Hang), &["agent_timeout"]),
        (
            "closes without an answer",
            Inject::Answer(Answer::CloseConnection),
            &["agent_unreachable"],
        ),
    ]
    .into_iter()
    .map(|(fault, inject, ids)| Case::new(Place::Agent, fault, inject, Fails(ids)))
    .collect();
    cases.push(unknown(
        Place::Agent,
        "answers 418",
        status(418, "short and stout"),
        &["short and stout"],
    ));
    for (fault, body, quoted) in [
        ("answers 200 with HTML", "<html></html>", &["invalid JSON in response"]),
        ("answers 200 with nothing", "", &["invalid JSON in response"]),
    ] {
        let head = format!(
            "HTTP/1.1 200 OK\nContent-Type: application/json\nContent-Length: {}",
            body.len()
        );
        let inject = Inject::Network(Network::Answer(raw(&head, body.as_bytes())));
        cases.push(unknown(Place::Agent, fault, inject, quoted));
    }
    cases.extend(documents_of_the_agent());
    let endless = Network::Endless(raw("HTTP/1.1 200 OK\nContent-Type: application/json", b"{"));
    cases.push(unknown(
        Place::Agent,
        "answers without end",
        Inject::Network(endless),
        &["length limit exceeded"],
    ));
    cases.extend(no_proper_http(Place::Agent, &["agent_unreachable"]));
    cases.extend(redirects(Place::Agent, &["answered 302", "answered 307"]));
    cases.extend(statuses(Place::Agent, "", |from| match from {
        425 => "`agent_busy` for 429, otherwise `unknown`",
        500.. => "`agent_service_error` each time",
        _ => "`unknown` each time",
    }));
    cases.push(Case::new(
        Place::Agent,
        "cannot be asked, because the program may open no more files",
        Inject::NoFiles,
        Fails(&["too_many_open_files"]),
    ));
    cases.push(Case::new(
        Place::Agent,
        "answers after a second",
        Inject::Answer(Answer::Delay(Duration::from_secs(1))),
        Masked,
    ));
    cases
}

/// A cause that the program does not know: the log quotes this of the SDK's error.
fn unknown(place: Place, fault: &str, inject: Inject, quoted: &'static [&'static str]) -> Case {
    Case::new(place, fault, inject, Fails(&["unknown"])).quotes(quoted)
}

/// Documents with real credentials that are spoilt.
fn documents_of_the_agent() -> impl Iterator<Item = Case> {
    let cases: [(_, _, &[_]); 7] = [
        ("half a document", Spoilt::CutInToken, &["unexpected end of stream"]),
        ("no access key", Spoilt::Without("AccessKeyId"), &["`AccessKeyId`"]),
        ("no secret key", Spoilt::Without("SecretAccessKey"), &["`SecretAccessKey`"]),
        ("no expiry", Spoilt::Without("Expiration"), &["`Expiration`"]),
        ("a secret key that is no text", Spoilt::Nested("SecretAccessKey"), &["`SecretAccessKey`"]),
        ("a session token that is no text", Spoilt::Nested("Token"), &["`Token`"]),
        ("an expiry that is no time", Spoilt::Nonsense("Expiration"), &["invalid date-time"]),
    ];
    cases.into_iter().map(|(what, spoilt, quoted)| {
        unknown(Place::Agent, &format!("answers 200 with {what}"), Inject::Document(spoilt), quoted)
    })
}

/// The same. The SDK takes what is missing in STS's documents for an empty text or for 1970.
fn documents_of_sts() -> impl Iterator<Item = Case> {
    let cases: [(_, _, _, &[_]); 7] = [
        ("half a document", Spoilt::CutInToken, STS_GONE, &["answer has no expiry"]),
        ("no access key", Spoilt::Without("AccessKeyId"), STS_GONE, &["no access key ID"]),
        ("no secret key", Spoilt::Without("SecretAccessKey"), STS_GONE, &["no secret access key"]),
        ("no expiry", Spoilt::Without("Expiration"), STS_GONE, &["answer has no expiry"]),
        (
            "a secret key that is no text",
            Spoilt::Nested("SecretAccessKey"),
            STS_GONE,
            &["looking for a data element"],
        ),
        (
            "a session token that is no text",
            Spoilt::Nested("SessionToken"),
            STS_GONE,
            &["looking for a data element"],
        ),
        (
            "an expiry that is no time",
            Spoilt::Nonsense("Expiration"),
            STS_GONE,
            &["expected (timestamp"],
        ),
    ];
    cases.into_iter().map(|(what, spoilt, expect, quoted)| {
        let fault = format!("answers 200 with {what}");
        Case::new(Place::Sts, &fault, Inject::Document(spoilt), expect).quotes(quoted)
    })
}

pub(super) fn sts() -> Vec<Case> {
    let status = |status, text: &str| Inject::Answer(Answer::Status(status, text.to_owned()));
    [
        (
            "does not trust the service account",
            status(403, "AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity"),
            &["irsa_trust_policy"] as &[_],
            &[] as &[_],
        ),
        (
            "does not know the provider",
            status(400, "InvalidIdentityToken: No OpenIDConnect provider found in your account"),
            &["irsa_provider"],
            &[],
        ),
        (
            "says that the token has expired",
            status(400, "ExpiredTokenException: Token expired"),
            &["unknown"],
            &["ExpiredTokenException: Token expired"],
        ),
        ("is throttled", status(400, "Throttling: Rate exceeded"), &["unknown"], &["Throttling"]),
        ("fails", status(500, "InternalFailure: try later"), &["unknown"], &["InternalFailure"]),
        ("never answers", Inject::Answer(Answer::Hang), &["unknown"], &["timed out"]),
        (
            "closes without an answer",
            Inject::Answer(Answer::CloseConnection),
            &["unknown"],
            &["connection closed before message completed"],
        ),
        (
            "answers truncated XML",
            Inject::Network(Network::Answer(raw(
                "HTTP/1.1 200 OK\nContent-Type: text/xml",
                b"<AssumeRoleWith",
            ))),
            &["unknown"],
            &["no root element"],
        ),
        (
            "answers 200 with HTML",
            Inject::Network(Network::Answer(raw(
                "HTTP/1.1 200 OK\nContent-Type: text/html",
                b"<html></html>",
            ))),
            &["unknown"],
            &["expected AssumeRoleWithWebIdentityResponse got"],
        ),
    ]
    .into_iter()
    .map(|(fault, inject, ids, quoted)| {
        Case::new(Place::Sts, fault, inject, Fails(ids)).quotes(quoted)
    })
    .chain(documents_of_sts())
    .chain(no_proper_http(Place::Sts, &["unknown"]))
    .chain(redirects(Place::Sts, &["no root element"]))
    .chain(statuses(Place::Sts, "", |_| "`unknown` each time"))
    .chain([
        unknown(
            Place::Sts,
            "answers without end",
            Inject::Network(Network::Endless(raw(
                "HTTP/1.1 200 OK\nContent-Type: text/xml",
                b"<AssumeRoleWith",
            ))),
            &["length limit exceeded"],
        ),
        Case::new(
            Place::Sts,
            "cannot be asked, because the program may open no more files",
            Inject::NoFiles,
            Fails(&["too_many_open_files"]),
        ),
    ])
    .collect()
}
