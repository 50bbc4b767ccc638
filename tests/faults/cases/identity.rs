//! Faults of the Pod Identity Agent and of STS, which give the credentials.

use std::time::Duration;

use sandbox::{Answer, Network};

use super::{STS_GONE, raw};
use crate::case::Expect::{Fails, Masked};
use crate::case::{Case, Inject, Place};

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
        ("answers 418", status(418, "short and stout"), &["unknown"]),
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
    for (fault, body) in [
        ("answers 200 with HTML", "<html></html>"),
        ("answers 200 with half a document", "{\"AccessKeyId\":\"ASIA\",\"SecretAc"),
        ("answers 200 without a key", "{\"Token\":\"t\",\"Expiration\":\"2030-01-01T00:00:00Z\"}"),
        ("answers 200 with nothing", ""),
    ] {
        let head = format!(
            "HTTP/1.1 200 OK\nContent-Type: application/json\nContent-Length: {}",
            body.len()
        );
        let inject = Inject::Network(Network::Answer(raw(&head, body.as_bytes())));
        cases.push(Case::new(Place::Agent, fault, inject, Fails(&["unknown"])));
    }
    let endless = Network::Endless(raw("HTTP/1.1 200 OK\nContent-Type: application/json", b"{"));
    cases.push(Case::new(
        Place::Agent,
        "answers without end",
        Inject::Network(endless),
        Fails(&["unknown"]),
    ));
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

pub(super) fn sts() -> Vec<Case> {
    let status = |status, text: &str| Inject::Answer(Answer::Status(status, text.to_owned()));
    [
        (
            "does not trust the service account",
            status(403, "AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity"),
            &["irsa_trust_policy"] as &[_],
        ),
        (
            "does not know the provider",
            status(400, "InvalidIdentityToken: No OpenIDConnect provider found in your account"),
            &["irsa_provider"],
        ),
        (
            "says that the token has expired",
            status(400, "ExpiredTokenException: Token expired"),
            &["unknown"],
        ),
        ("is throttled", status(400, "Throttling: Rate exceeded"), &["unknown"]),
        ("fails", status(500, "InternalFailure: try later"), &["unknown"]),
        ("never answers", Inject::Answer(Answer::Hang), &["unknown"]),
        ("closes without an answer", Inject::Answer(Answer::CloseConnection), &["unknown"]),
        (
            "answers truncated XML",
            Inject::Network(Network::Answer(raw(
                "HTTP/1.1 200 OK\nContent-Type: text/xml",
                b"<AssumeRoleWith",
            ))),
            &["unknown"],
        ),
        (
            "answers 200 with HTML",
            Inject::Network(Network::Answer(raw(
                "HTTP/1.1 200 OK\nContent-Type: text/html",
                b"<html></html>",
            ))),
            &["unknown"],
        ),
    ]
    .into_iter()
    .map(|(fault, inject, ids)| Case::new(Place::Sts, fault, inject, Fails(ids)))
    .chain([
        Case::new(
            Place::Sts,
            "answers without end",
            Inject::Network(Network::Endless(raw(
                "HTTP/1.1 200 OK\nContent-Type: text/xml",
                b"<AssumeRoleWith",
            ))),
            STS_GONE,
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
