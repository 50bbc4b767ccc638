//! The table of cases: the faults that any place may have are here, those of one place beside it.

mod host;
mod identity;
mod s3;

use std::time::Duration;

use sandbox::Network;

use crate::case::Expect::{Ends, Fails, FailsEach, Masked};
use crate::case::{Case, Ending, Expect, Inject, Place, Stage};
use crate::tls::Flaw;

/// All cases.
pub fn all() -> Vec<Case> {
    let mut cases = networks();
    cases.extend(host::hosts());
    cases.extend(host::answers_of_the_host());
    cases.extend(s3::operations());
    cases.extend(s3::parts());
    cases.extend(s3::answers_of_s3());
    cases.extend(identity::agents());
    cases.extend(identity::sts());
    cases.extend(certificates_and_names());
    cases.extend(program());
    cases
}

/// Answers whose head is not HTTP, or too much of it.
fn malformed_heads() -> Vec<(&'static str, Vec<u8>)> {
    let long = format!("HTTP/1.1 200 OK\nX-Long: {}", "x".repeat(700_000));
    let many = format!("HTTP/1.1 200 OK{}", "\nX-Many: x".repeat(2000));
    let two_lengths = "HTTP/1.1 200 OK\nContent-Length: 9\nContent-Length: 11";
    vec![
        ("sends no HTTP at all", b"hello\r\n\r\n".to_vec()),
        ("sends a status that is no number", raw("HTTP/1.1 OK", b"")),
        ("sends a header without a colon", raw("HTTP/1.1 200 OK\nnonsense", b"")),
        ("sends a header of 700 kB", raw(&long, b"")),
        ("sends 2000 headers", raw(&many, b"")),
        ("sends a length that is no number", raw("HTTP/1.1 200 OK\nContent-Length: -5", b"")),
        ("sends two lengths", raw(two_lengths, b"<html></html>")),
        ("ends in the middle of the head", b"HTTP/1.1 200 OK\r\nContent-".to_vec()),
    ]
}

/// Answers whose body does not come whole.
fn malformed_bodies() -> Vec<(&'static str, Vec<u8>)> {
    let chunked = "HTTP/1.1 200 OK\nTransfer-Encoding: chunked";
    vec![
        ("sends a chunk whose size is no number", raw(chunked, b"zz\r\n")),
        ("sends a chunk whose size overflows", raw(chunked, b"fffffffffffffffff\r\n")),
    ]
}

/// Answers of a service that are no proper HTTP; and one that is cut by its length, which is another's.
fn no_proper_http(
    place: Place,
    gone: &'static [&'static str],
    of_another: &'static [&'static str],
) -> impl Iterator<Item = Case> {
    let long = raw("HTTP/1.1 200 OK\nContent-Length: 300", b"<html></html>");
    let short = raw("HTTP/1.1 200 OK\nContent-Length: 5", b"<html></html>");
    let mut answers = malformed_heads();
    answers.extend(malformed_bodies());
    answers.push(("announces more bytes than it sends", long));
    answers
        .into_iter()
        .map(move |(fault, bytes)| (fault, bytes, gone))
        .chain([("announces fewer bytes than it sends", short, of_another)])
        .map(move |(fault, bytes, told)| {
            Case::new(place, fault, Inject::Network(Network::Answer(bytes)), Fails(told))
        })
}

/// Redirects to another server, which must get no request.
fn redirects(place: Place, told: &'static [&'static str]) -> impl Iterator<Item = Case> {
    [302, 307].into_iter().map(move |status| {
        let fault = format!("redirects to another server with {status}");
        Case::new(place, &fault, Inject::Redirect(status), Fails(told))
    })
}

/// The faults of a network, at each place.
fn networks() -> Vec<Case> {
    let ms = Duration::from_millis;
    // Of the host, S3, the agent and STS.
    let faults: [(&str, Network, [Expect; 4]); 11] = [
        (
            "refuses connections",
            Network::Refuse,
            [Fails(&["connect"]), S3_GONE, Fails(&["agent_not_running"]), STS_GONE],
        ),
        (
            "resets before the first byte of the request",
            Network::ResetRequest(0),
            [Fails(&["connect"]), S3_GONE, AGENT_GONE, STS_GONE],
        ),
        (
            "resets in the middle of the request",
            Network::ResetRequest(100),
            [Fails(&["connect"]), S3_GONE, AGENT_GONE, STS_GONE],
        ),
        (
            "resets before the first byte of the answer",
            Network::ResetAnswer(0),
            [Fails(&["connect"]), S3_GONE, AGENT_GONE, STS_GONE],
        ),
        (
            "resets in the middle of the answer",
            Network::ResetAnswer(130),
            [Fails(&["broken"]), S3_GONE, AGENT_GONE, STS_GONE],
        ),
        (
            "resets after the last byte of the answer",
            Network::ResetAfterAnswer,
            [Masked, Masked, Masked, Masked],
        ),
        (
            "half-closes in the middle of the answer",
            Network::HalfClose(130),
            [Fails(&["broken"]), S3_GONE, AGENT_GONE, STS_GONE],
        ),
        (
            "is a black hole",
            Network::BlackHole,
            [Fails(&["timeout"]), S3_GONE, Fails(&["agent_slow"]), STS_GONE],
        ),
        (
            "stops in the middle of the answer",
            Network::Stall(130),
            [Fails(&["timeout"]), S3_GONE, Fails(&["agent_slow"]), STS_GONE],
        ),
        ("starts slowly", Network::SlowStart(ms(300)), [Masked, Masked, Masked, Masked]),
        ("drips", Network::Drip(40, ms(2)), [Masked, Masked, Masked, Masked]),
    ];
    let places = [Place::ImageHost, Place::S3, Place::Agent, Place::Sts];
    let mut cases = Vec::new();
    for (fault, network, expected) in faults {
        for (place, expect) in places.into_iter().zip(expected) {
            let inject = Inject::Network(network.clone());
            cases.push(Case::new(place, fault, inject, expect));
        }
    }
    cases
}

const S3_GONE: Expect = Fails(&["endpoint_unreachable"]);
const AGENT_GONE: Expect = Fails(&["agent_unreachable"]);
const STS_GONE: Expect = Fails(&["sts_unreachable"]);

/// The bytes of an answer. The lines of `head` end with LF here and with CRLF in the answer.
pub fn raw(head: &str, body: &[u8]) -> Vec<u8> {
    [head.replace('\n', "\r\n").as_bytes(), b"\r\n\r\n", body].concat()
}

/// All statuses that say that there is no picture or no object: in groups, because each takes the
/// second that the program pauses after a failure.
fn statuses(place: Place, how: &str, told: fn(u16) -> &'static str) -> Vec<Case> {
    let group = |from: u16| {
        let all = from..=from + 24;
        let fault = format!("answers each status from {from} to {}{how}", all.end());
        Case::new(place, &fault, Inject::EachStatus(all), FailsEach(told(from)))
    };
    (400..600).step_by(25).map(group).collect()
}

fn certificates_and_names() -> Vec<Case> {
    let mut cases = Vec::new();
    // Not of the agent, which is asked by its address over plain HTTP.
    let places = [
        (Place::ImageHost, Fails(&["connect"]), Fails(&["connect"])),
        (Place::S3, Fails(&["certificate_rejected"]), Fails(&["name_not_resolved"])),
        (Place::Sts, Fails(&["certificate_rejected"]), Fails(&["name_not_resolved"])),
    ];
    for (place, expect, no_name) in places {
        for (fault, flaw, quoted) in [
            ("has a certificate that has expired", Flaw::Expired, &["certificate expired"]),
            (
                "has a certificate of another host",
                Flaw::OtherHost,
                &["certificate not valid for name"],
            ),
            ("has a certificate of an unknown issuer", Flaw::UnknownIssuer, &["BadSignature"]),
        ] {
            let inject = Inject::Certificate(flaw);
            cases.push(Case::new(place, fault, inject, expect.clone()).quotes(quoted));
        }
        let renewed = Inject::Certificate(Flaw::None);
        cases.push(Case::new(place, "has a new certificate", renewed, Masked));
        cases.push(Case::new(place, "has a name that does not exist", Inject::NoName, no_name));
    }
    cases
}

fn program() -> Vec<Case> {
    let stages = [
        ("waits for credentials", Stage::Credentials),
        ("waits for a picture's head", Stage::Head),
        ("waits for a picture's bytes", Stage::Body),
        ("waits for PutObject", Stage::Operation("PutObject")),
        ("waits for CreateMultipartUpload", Stage::Operation("CreateMultipartUpload")),
        ("waits for UploadPart", Stage::Operation("UploadPart")),
        ("waits for CompleteMultipartUpload", Stage::Operation("CompleteMultipartUpload")),
        (
            "waits for the late answer of CreateMultipartUpload",
            Stage::Late("CreateMultipartUpload"),
        ),
        (
            "waits for the late answer of CompleteMultipartUpload",
            Stage::Late("CompleteMultipartUpload"),
        ),
        ("waits for AbortMultipartUpload", Stage::Abort),
        ("waits for the next tick", Stage::BetweenTicks),
    ];
    let mut cases = vec![Case::new(
        Place::Program,
        "may open no more files",
        Inject::NoFiles,
        Fails(&["connect", "too_many_open_files"]),
    )];
    for (signal, ending) in [("SIGTERM", Ending::Terminate), ("SIGKILL", Ending::Kill)] {
        for (what, stage) in stages {
            let fault = format!("{signal} while it {what}");
            cases.push(Case::new(Place::Program, &fault, Inject::Signal(stage, ending), Ends));
        }
    }
    cases
}
