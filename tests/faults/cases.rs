//! The table of cases.

use std::time::Duration;

use sandbox::{Answer, ErrorAnswer, Fault, Network};

use crate::bomb::{self, JPEG};
use crate::case::Expect::{Ends, Fails, FailsEach, Masked};
use crate::case::{Case, Ending, Expect, Inject, Place, Size, Stage};
use crate::tls::Flaw;

/// All cases.
pub fn all() -> Vec<Case> {
    let mut cases = networks();
    cases.extend(hosts());
    cases.extend(answers_of_the_host());
    cases.extend(operations());
    cases.extend(parts());
    cases.extend(answers_of_s3());
    cases.extend(agents());
    cases.extend(sts());
    cases.extend(certificates_and_names());
    cases.extend(program());
    cases
}

/// The faults of a network, at each place.
fn networks() -> Vec<Case> {
    let ms = Duration::from_millis;
    // Of the host, S3, the agent, STS.
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
            [Fails(&["broken"]), S3_GONE, Fails(&["unknown"]), STS_GONE],
        ),
        (
            "resets after the last byte of the answer",
            Network::ResetAfterAnswer,
            [Masked, Masked, Masked, Masked],
        ),
        (
            "half-closes in the middle of the answer",
            Network::HalfClose(130),
            [Fails(&["broken"]), S3_GONE, Fails(&["unknown"]), STS_GONE],
        ),
        (
            "is a black hole",
            Network::BlackHole,
            [Fails(&["timeout"]), S3_GONE, Fails(&["agent_timeout"]), STS_GONE],
        ),
        (
            "stops in the middle of the answer",
            Network::Stall(130),
            [Fails(&["timeout"]), S3_GONE, Fails(&["unknown"]), STS_GONE],
        ),
        ("starts slowly", Network::SlowStart(ms(300)), [Masked, Masked, Masked, Masked]),
        ("drips", Network::Drip(40, ms(2)), [Masked, Masked, Masked, Masked]),
    ];
    let places = [Place::ImageHost, Place::S3, Place::Agent, Place::Sts];
    let mut cases = Vec::new();
    for (fault, network, expected) in faults {
        for (place, expect) in places.into_iter().zip(expected) {
            cases.push(Case::new(place, fault, Inject::Network(network.clone()), expect));
        }
    }
    cases
}

const S3_GONE: Expect = Fails(&["endpoint_unreachable"]);
const AGENT_GONE: Expect = Fails(&["agent_unreachable"]);
const STS_GONE: Expect = Fails(&["unknown"]);

/// What the image host itself does wrong.
fn hosts() -> Vec<Case> {
    let mut cases: Vec<Case> = [
        ("announces more bytes than it sends", "short=100", Fails(&["broken"])),
        ("announces fewer bytes than it sends", "long=100", Fails(&["truncated"])),
        ("sends more chunks than it announces", "long=100&framing=chunked", Fails(&["length"])),
        ("sends chunks", "framing=chunked", Masked),
        ("marks the end by closing", "framing=close", Masked),
        ("resets after 300 bytes", "cut=300", Fails(&["broken"])),
        ("resets after 300 bytes of chunks", "cut=300&framing=chunked", Fails(&["broken"])),
        ("resets early without a length", "cut=300&framing=close", Fails(&["broken", "truncated"])),
        ("stalls after 300 bytes", "stall=300", Fails(&["timeout"])),
        ("answers after its time", "delay=3000", Fails(&["timeout"])),
        ("drips within its time", "drip=2000,5", Masked),
        ("drips beyond its time", "drip=10,100", Fails(&["timeout"])),
        ("names another kind of picture", "type=image/gif", Masked),
        ("names a picture text/html", "type=text/html", Masked),
        ("sends HTML with status 200", "body=html", Fails(&["not_an_image"])),
        ("sends text as a picture", "body=text", Fails(&["not_an_image"])),
        ("sends nothing with status 200", "body=empty", Fails(&["empty"])),
        ("redirects in a loop", "redirect=/x", Fails(&["redirect"])),
        ("redirects nine times", "hops=9", Fails(&["redirect"])),
        ("redirects to a scheme it must not", "redirect=file:///etc/passwd", Fails(&["status"])),
        ("is busy for an hour", "status=503&retry_after=3600", Fails(&["status"])),
        ("sends a picture that is too large", "size=13MiB", Fails(&["too_large"])),
    ]
    .into_iter()
    .map(|(fault, parameters, expect)| {
        Case::new(Place::ImageHost, fault, Inject::Host(parameters.to_owned()), expect)
    })
    .collect();
    for status in [400, 401, 403, 404, 408, 410, 418, 429, 451, 500, 501, 502, 503, 504, 599] {
        let inject = Inject::Host(format!("status={status}"));
        let fault = format!("answers {status}");
        cases.push(Case::new(Place::ImageHost, &fault, inject, Fails(&["status"])));
    }
    cases.extend(statuses(Place::ImageHost, "", |_| "`status` each time"));
    cases.push(Case::new(
        Place::ImageHost,
        "redirects from https to http",
        Inject::Downgrade,
        Fails(&["redirect"]),
    ));
    for (fault, parameters, reasons) in [
        ("resets in the middle of a large picture", "cut=6MiB", &["broken"] as &[_]),
        ("stalls in the middle of a large picture", "stall=6MiB", &["timeout"]),
        ("ends a large picture early", "short=100", &["broken"]),
        ("sends chunks that are too many", "size=13MiB&framing=chunked", &["too_large"]),
    ] {
        let inject = Inject::Host(parameters.to_owned());
        cases.push(Case::new(Place::ImageHost, fault, inject, Fails(reasons)).sized(Size::Parts));
    }
    cases
}

fn raw(head: &str, body: &[u8]) -> Vec<u8> {
    [head.replace('\n', "\r\n").as_bytes(), b"\r\n\r\n", body].concat()
}

/// Answers of the image host that are no proper HTTP, or that hide something.
fn answers_of_the_host() -> Vec<Case> {
    let long = format!("HTTP/1.1 200 OK\nX-Long: {}", "x".repeat(700_000));
    let many = format!("HTTP/1.1 200 OK{}", "\nX-Many: x".repeat(2000));
    [
        ("sends no HTTP at all", b"hello\r\n\r\n".to_vec(), &["connect"] as &[_]),
        ("sends a status that is no number", raw("HTTP/1.1 OK", b""), &["connect"]),
        ("sends a header without a colon", raw("HTTP/1.1 200 OK\nnonsense", b""), &["connect"]),
        ("sends a header of 700 kB", raw(&long, b""), &["connect"]),
        ("sends 2000 headers", raw(&many, b""), &["connect"]),
        (
            "sends a length that is no number",
            raw("HTTP/1.1 200 OK\nContent-Length: -5", b""),
            &["connect"],
        ),
        (
            "sends two lengths",
            raw("HTTP/1.1 200 OK\nContent-Length: 9\nContent-Length: 11", JPEG),
            &["connect"],
        ),
        (
            "sends a chunk whose size is no number",
            raw("HTTP/1.1 200 OK\nTransfer-Encoding: chunked", b"zz\r\n"),
            &["broken"],
        ),
        (
            "sends a chunk whose size overflows",
            raw("HTTP/1.1 200 OK\nTransfer-Encoding: chunked", b"fffffffffffffffff\r\n"),
            &["broken"],
        ),
        ("ends in the middle of the head", b"HTTP/1.1 200 OK\r\nContent-".to_vec(), &["connect"]),
        ("redirects without saying where", raw("HTTP/1.1 302 Found", b""), &["status"]),
        (
            "switches protocols",
            raw("HTTP/1.1 101 Switching Protocols\nUpgrade: x", b""),
            &["status"],
        ),
        (
            "sends half a picture and closes",
            raw("HTTP/1.1 200 OK\nContent-Type: image/jpeg", JPEG),
            &["truncated"],
        ),
    ]
    .into_iter()
    .map(|(fault, bytes, reasons)| {
        let inject = Inject::Network(Network::Answer(bytes));
        Case::new(Place::ImageHost, fault, inject, Fails(reasons))
    })
    .chain(bomb::all().into_iter().map(|(coding, bytes)| {
        let length = bytes.len();
        let head = format!(
            "HTTP/1.1 200 OK\nContent-Type: image/jpeg\nContent-Encoding: {coding}\n\
             Content-Length: {length}"
        );
        let inject = Inject::Network(Network::Answer(raw(&head, &bytes)));
        let fault = format!("sends a {coding} that would become 256 MiB");
        Case::new(Place::ImageHost, &fault, inject, Fails(&["not_an_image"]))
    }))
    .chain([Case::new(
        Place::ImageHost,
        "sends a body without end",
        Inject::Network(Network::Endless(raw("HTTP/1.1 200 OK", JPEG))),
        Fails(&["too_large"]),
    )
    .sized(Size::Parts)])
    .collect()
}

/// Errors of S3 to a picture in one request.
fn operations() -> Vec<Case> {
    let put = |fault: Fault, times: usize, what: &str, expect: Expect| {
        Case::new(Place::S3, what, Inject::Operation("PutObject", times, fault), expect)
    };
    let mut cases: Vec<Case> = [
        (503, "SlowDown", "s3_service_error"),
        (500, "InternalError", "s3_service_error"),
        (503, "ServiceUnavailable", "s3_service_error"),
        (400, "RequestTimeout", "s3_service_error"),
        (403, "AccessDenied", "s3_access_denied"),
        (404, "NoSuchBucket", "no_such_bucket"),
        (400, "ExpiredToken", "credentials_rejected"),
        (403, "InvalidAccessKeyId", "credentials_rejected"),
        (403, "SignatureDoesNotMatch", "credentials_rejected"),
        (400, "BadDigest", "unknown"),
        (400, "XAmzContentSHA256Mismatch", "unknown"),
        (501, "NotImplemented", "unknown"),
    ]
    .into_iter()
    .map(|(status, code, id)| {
        let expect = Fails(match id {
            "s3_service_error" => &["s3_service_error"],
            "s3_access_denied" => &["s3_access_denied"],
            "no_such_bucket" => &["no_such_bucket"],
            "credentials_rejected" => &["credentials_rejected"],
            _ => &["unknown"],
        });
        put(Fault::Status(status, code), 99, &format!("answers {status} {code}"), expect)
    })
    .collect();
    let redirect = Fault::Error(ErrorAnswer::permanent_redirect("eu-west-1"));
    let region = Fault::Error(ErrorAnswer::wrong_region("us-east-1", "eu-west-1"));
    let skew = Fault::Error(ErrorAnswer::clock_skew());
    let kms = Fault::Error(ErrorAnswer::kms_not_found("k"));
    cases.extend([
        put(redirect, 99, "answers 301 PermanentRedirect", Fails(&["wrong_region"])),
        put(region, 99, "says that the region is another", Fails(&["wrong_region"])),
        put(skew, 99, "says that the clock is wrong", Fails(&["clock_skew"])),
        put(kms, 99, "does not find the key", Fails(&["kms"])),
        put(Fault::Status(503, "SlowDown"), 1, "answers 503 SlowDown once", Masked),
        put(Fault::StatusAfter(500, 500, "InternalError"), 1, "fails in the body once", Masked),
        put(Fault::ResetAfter(500), 1, "resets in the body once", Masked),
        put(Fault::LoseAnswer, 1, "stores the object, and its answer is lost", Masked),
        put(Fault::Delay(Duration::from_secs(1)), 1, "answers after a second", Masked),
        put(Fault::Hang, 1, "does not answer once", Masked),
        Case::new(
            Place::S3,
            "revokes the credentials in mid-upload",
            Inject::Revoked,
            Fails(&["credentials_rejected"]),
        ),
    ]);
    cases
}

/// Errors of S3 to a picture in parts.
fn parts() -> Vec<Case> {
    let mut cases = Vec::new();
    for operation in ["CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"] {
        let mut add = |what: &str, times, fault, expect| {
            let inject = Inject::Operation(operation, times, fault);
            let fault = format!("{operation} {what}");
            cases.push(Case::new(Place::S3, &fault, inject, expect).sized(Size::Parts));
        };
        add("is denied", 99, Fault::Status(403, "AccessDenied"), Fails(&["s3_access_denied"]));
        add("meets SlowDown once", 1, Fault::Status(503, "SlowDown"), Masked);
        add(
            "meets SlowDown always",
            99,
            Fault::Status(503, "SlowDown"),
            Fails(&["s3_service_error"]),
        );
        add("is reset once", 1, Fault::ResetAfter(0), Masked);
        add("takes effect, and its answer is lost", 1, Fault::LoseAnswer, Masked);
        add(
            "meets an expired token",
            99,
            Fault::Status(400, "ExpiredToken"),
            Fails(&["credentials_rejected"]),
        );
    }
    let error = Fault::Status(200, "InternalError");
    let complete = |what, times, fault, expect| {
        let inject = Inject::Operation("CompleteMultipartUpload", times, fault);
        Case::new(Place::S3, what, inject, expect).sized(Size::Parts)
    };
    cases.push(complete(
        "CompleteMultipartUpload answers 200 with an error, once",
        1,
        error.clone(),
        Masked,
    ));
    cases.push(complete(
        "CompleteMultipartUpload answers 200 with an error, always",
        99,
        error,
        Fails(&["s3_service_error"]),
    ));
    cases
}

/// Answers that are not S3's own.
fn answers_of_s3() -> Vec<Case> {
    let html = b"<html><body>Please log in</body></html>";
    let xml = b"<?xml version=\"1.0\"?><Error><Code>Slow";
    [
        (
            "is a portal that answers 200 with HTML",
            raw("HTTP/1.1 200 OK\nContent-Type: text/html\nContent-Length: 39", html),
            &["endpoint_unreachable"] as &[_],
        ),
        (
            "answers 503 with truncated XML",
            raw("HTTP/1.1 503 Busy\nContent-Type: application/xml", xml),
            &["s3_service_error"],
        ),
        (
            "answers 403 with HTML",
            raw("HTTP/1.1 403 No\nContent-Type: text/html", html),
            &["s3_access_denied"],
        ),
        (
            "answers 502 without a body",
            raw("HTTP/1.1 502 Bad\nContent-Length: 0", b""),
            &["s3_service_error"],
        ),
        (
            "answers 504 with HTML",
            raw("HTTP/1.1 504 Late\nContent-Type: text/html", html),
            &["s3_service_error"],
        ),
        ("sends no HTTP at all", b"hello\r\n\r\n".to_vec(), &["endpoint_unreachable"]),
        (
            "answers 307 without saying where",
            raw("HTTP/1.1 307 Elsewhere\nContent-Length: 0", b""),
            &["unknown"],
        ),
    ]
    .into_iter()
    .map(|(fault, bytes, reasons)| {
        Case::new(Place::S3, fault, Inject::Network(Network::Answer(bytes)), Fails(reasons))
    })
    .chain(statuses(Place::S3, " without a body", |from| match from {
        400 => "`s3_access_denied` for 403, otherwise `unknown`",
        500 => "`s3_service_error` for 500, 502, 503 and 504, otherwise `unknown`",
        _ => "`unknown` each time",
    }))
    .chain([Case::new(
        Place::S3,
        "takes no bytes of a large picture",
        Inject::Network(Network::Deaf),
        S3_GONE,
    )
    .sized(Size::Large)])
    .collect()
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

fn agents() -> Vec<Case> {
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
        Fails(&["token_unreadable"]),
    ));
    cases.push(Case::new(
        Place::Agent,
        "answers after a second",
        Inject::Answer(Answer::Delay(Duration::from_secs(1))),
        Masked,
    ));
    cases
}

fn sts() -> Vec<Case> {
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
            Fails(&["token_unreadable"]),
        ),
    ])
    .collect()
}

fn certificates_and_names() -> Vec<Case> {
    let mut cases = Vec::new();
    // Not of the agent, which is asked by its address over plain HTTP.
    let places =
        [(Place::ImageHost, Fails(&["connect"])), (Place::S3, S3_GONE), (Place::Sts, STS_GONE)];
    for (place, expect) in places {
        for (fault, flaw) in [
            ("has a certificate that has expired", Flaw::Expired),
            ("has a certificate of another host", Flaw::OtherHost),
            ("has a certificate of an unknown issuer", Flaw::UnknownIssuer),
        ] {
            cases.push(Case::new(place, fault, Inject::Certificate(flaw), expect.clone()));
        }
        let renewed = Inject::Certificate(Flaw::None);
        cases.push(Case::new(place, "has a new certificate", renewed, Masked));
        cases.push(Case::new(place, "has a name that does not exist", Inject::NoName, expect));
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
        ("waits for AbortMultipartUpload", Stage::Abort),
        ("waits for the next tick", Stage::BetweenTicks),
    ];
    let mut cases = vec![Case::new(
        Place::Program,
        "may open no more files",
        Inject::NoFiles,
        Fails(&["connect", "endpoint_unreachable"]),
    )];
    for (signal, ending) in [("SIGTERM", Ending::Terminate), ("SIGKILL", Ending::Kill)] {
        for (what, stage) in stages {
            let fault = format!("{signal} while it {what}");
            cases.push(Case::new(Place::Program, &fault, Inject::Signal(stage, ending), Ends));
        }
    }
    cases
}
