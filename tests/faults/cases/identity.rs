//! Faults of the Pod Identity Agent and of STS, which give the credentials.

use std::time::Duration;

use sandbox::{Answer, Network};

use super::{STS_GONE, no_proper_http, raw, redirects, statuses};
use crate::case::Expect::{Fails, Masked};
use crate::case::{Case, Expect, Inject, Place};
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
        ("never answers", Inject::Answer(Answer::Hang), &["agent_slow"]),
        (
            "closes without an answer",
            Inject::Answer(Answer::CloseConnection),
            &["agent_unreachable"],
        ),
    ]
    .into_iter()
    .map(|(fault, inject, ids)| Case::new(Place::Agent, fault, inject, Fails(ids)))
    .collect();
    // Not the agent's own form: the log quotes what answers in its place.
    let teapot = status(418, "short and stout");
    cases.push(
        Case::new(Place::Agent, "answers 418", teapot, Fails(&["not_the_agent"]))
            .quotes(&["short and stout"]),
    );
    for (fault, body) in
        [("answers 200 with HTML", "<html></html>"), ("answers 200 with nothing", "")]
    {
        let head = format!(
            "HTTP/1.1 200 OK\nContent-Type: application/json\nContent-Length: {}",
            body.len()
        );
        let inject = Inject::Network(Network::Answer(raw(&head, body.as_bytes())));
        cases.push(Case::new(Place::Agent, fault, inject, NOT_CREDENTIALS));
    }
    cases.extend(documents(Place::Agent, "Token", NOT_CREDENTIALS));
    let endless = Network::Endless(raw("HTTP/1.1 200 OK\nContent-Type: application/json", b"{"));
    let endless = Inject::Network(endless);
    cases.push(Case::new(Place::Agent, "answers without end", endless, NOT_CREDENTIALS));
    cases.extend(no_proper_http(Place::Agent, &["agent_unreachable"], &["not_credentials"]));
    cases.extend(redirects(Place::Agent, &["agent_path"]));
    cases.extend(statuses(Place::Agent, "", |from| match from {
        425 => "`agent_busy` for 429, otherwise `not_the_agent`",
        _ => "`not_the_agent` each time",
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

/// A document with success that is none of the agent's.
const NOT_CREDENTIALS: Expect = Fails(&["not_credentials"]);

/// One that is none of STS's.
const NOT_STS: Expect = Fails(&["not_sts"]);

/// Documents with real credentials that are spoilt. The field `token` is the session token.
fn documents(place: Place, token: &'static str, expect: Expect) -> impl Iterator<Item = Case> {
    [
        ("half a document", Spoilt::CutInToken),
        ("no access key", Spoilt::Without("AccessKeyId")),
        ("no secret key", Spoilt::Without("SecretAccessKey")),
        ("no expiry", Spoilt::Without("Expiration")),
        ("a secret key that is no text", Spoilt::Nested("SecretAccessKey")),
        ("a session token that is no text", Spoilt::Nested(token)),
        ("an expiry that is no time", Spoilt::Nonsense("Expiration")),
    ]
    .into_iter()
    .map(move |(what, spoilt)| {
        let fault = format!("answers 200 with {what}");
        Case::new(place, &fault, Inject::Document(spoilt), expect.clone())
    })
}

pub(super) fn sts() -> Vec<Case> {
    let status = |status, text: &str| Inject::Answer(Answer::Status(status, text.to_owned()));
    let xml = |kind: &str, body: &[u8]| {
        let head = format!("HTTP/1.1 200 OK\nContent-Type: text/{kind}");
        Inject::Network(Network::Answer(raw(&head, body)))
    };
    [
        (
            "does not trust the service account",
            status(403, "AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity"),
            Fails(&["irsa_trust_policy"]),
        ),
        (
            "does not know the provider",
            status(400, "InvalidIdentityToken: No OpenIDConnect provider found in your account"),
            Fails(&["irsa_provider"]),
        ),
        (
            "says that the token has expired",
            status(400, "ExpiredTokenException: Token expired"),
            Fails(&["irsa_token_rejected"]),
        ),
        (
            "cannot read the issuer's keys",
            status(400, "InvalidIdentityToken: Couldn't retrieve verification key"),
            Fails(&["irsa_issuer"]),
        ),
        (
            "is switched off in the region",
            status(403, "RegionDisabledException: STS is not activated in this region"),
            Fails(&["sts_region_disabled"]),
        ),
        ("is throttled", status(400, "Throttling: Rate exceeded"), Fails(&["sts_service_error"])),
        ("fails", status(500, "InternalFailure: try later"), Fails(&["sts_service_error"])),
        ("never answers", Inject::Answer(Answer::Hang), STS_GONE),
        ("closes without an answer", Inject::Answer(Answer::CloseConnection), STS_GONE),
        ("answers truncated XML", xml("xml", b"<AssumeRoleWith"), NOT_STS),
        ("answers 200 with HTML", xml("html", b"<html></html>"), NOT_STS),
    ]
    .into_iter()
    .map(|(fault, inject, expect)| Case::new(Place::Sts, fault, inject, expect))
    .chain(documents(Place::Sts, "SessionToken", NOT_STS))
    .chain(no_proper_http(Place::Sts, &["sts_unreachable"], &["not_sts"]))
    .chain(redirects(Place::Sts, &["not_sts"]))
    .chain(statuses(Place::Sts, "", |from| match from {
        425 => "`sts_service_error` for 429, otherwise `not_sts`",
        500.. => "`sts_service_error` each time",
        _ => "`not_sts` each time",
    }))
    .chain([
        Case::new(
            Place::Sts,
            "answers without end",
            Inject::Network(Network::Endless(raw(
                "HTTP/1.1 200 OK\nContent-Type: text/xml",
                b"<AssumeRoleWith",
            ))),
            NOT_STS,
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
