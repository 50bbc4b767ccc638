//! Faults of S3.

use std::time::Duration;

use sandbox::{ErrorAnswer, Fault, Network};

use super::{S3_GONE, no_proper_http, raw, redirects, statuses};
use crate::case::Expect::{Fails, Masked};
use crate::case::{Case, Expect, Inject, Place, Size};

/// Something answers that is not S3.
const NOT_S3: Expect = Fails(&["not_s3"]);

/// Errors of S3 to a picture in one request.
pub(super) fn operations() -> Vec<Case> {
    let put = |fault: Fault, times: usize, what: &str, expect: Expect| {
        Case::new(Place::S3, what, Inject::Operation("PutObject", times, fault), expect)
    };
    let mut cases: Vec<Case> = [
        (503, "SlowDown", &["s3_service_error"] as &[_]),
        (500, "InternalError", &["s3_service_error"]),
        (503, "ServiceUnavailable", &["s3_service_error"]),
        (400, "RequestTimeout", &["s3_service_error"]),
        (403, "AccessDenied", &["s3_access_denied"]),
        (404, "NoSuchBucket", &["no_such_bucket"]),
        (400, "ExpiredToken", &["credentials_rejected"]),
        (403, "InvalidAccessKeyId", &["credentials_rejected"]),
        (403, "SignatureDoesNotMatch", &["credentials_rejected"]),
        (400, "BadDigest", &["s3_damaged"]),
        (400, "XAmzContentSHA256Mismatch", &["s3_damaged"]),
        (501, "NotImplemented", &["s3_not_implemented"]),
    ]
    .into_iter()
    .map(|(status, code, ids)| {
        put(Fault::Status(status, code), 99, &format!("answers {status} {code}"), Fails(ids))
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
        put(Fault::Status(429, "TooManyRequests"), 1, "answers 429 TooManyRequests once", Masked),
        put(Fault::Status(507, "XMinioStorageFull"), 1, "answers 507 once", Masked),
        put(Fault::Status(503, "AccessDenied"), 1, "answers 503 with another code once", Masked),
        // Longer than the AWS SDK waits for bytes.
        put(Fault::LateAnswer(Duration::from_secs(27)), 1, "answers after 27 s, once", Masked),
        Case::new(
            Place::S3,
            "revokes the credentials in mid-upload",
            Inject::Revoked,
            Fails(&["credentials_rejected"]),
        ),
        Case::new(
            Place::S3,
            "revokes the credentials after the first part",
            Inject::Revoked,
            Fails(&["credentials_rejected"]),
        )
        .sized(Size::Parts),
    ]);
    cases
}

/// Errors of S3 to a picture in parts.
pub(super) fn parts() -> Vec<Case> {
    let mut cases = Vec::new();
    // Each with the beginning of its answer.
    let operations = [
        ("CreateMultipartUpload", "<InitiateMultipartUploadResult><Bucket>pict"),
        ("UploadPart", "<"),
        ("CompleteMultipartUpload", "<CompleteMultipartUploadResult><Bucket>pict"),
    ];
    for (operation, beginning) in operations {
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
        add("does not answer once", 1, Fault::Hang, Masked);
        for (what, text) in [
            ("answers 200 with truncated XML", beginning),
            ("answers 200 with HTML", "<html><body>Please log in</body></html>"),
            ("answers 200 with nothing", ""),
        ] {
            add(what, 99, Fault::NotOfS3(text), NOT_S3);
        }
        add("takes effect, and its answer is lost", 1, Fault::LoseAnswer, Masked);
        add(
            "meets an expired token",
            99,
            Fault::Status(400, "ExpiredToken"),
            Fails(&["credentials_rejected"]),
        );
    }
    cases.push(
        Case::new(
            Place::S3,
            "UploadPart is reset in the middle of the part, once",
            Inject::Operation("UploadPart", 1, Fault::ResetAfter(3 << 20)),
            Masked,
        )
        .sized(Size::Parts),
    );
    cases.push(
        Case::new(
            Place::S3,
            "takes no more bytes in the middle of a part",
            Inject::Network(Network::DeafAfter(3 << 20)),
            S3_GONE,
        )
        .sized(Size::Parts),
    );
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
pub(super) fn answers_of_s3() -> Vec<Case> {
    let html = b"<html><body>Please log in</body></html>";
    let xml = b"<?xml version=\"1.0\"?><Error><Code>Slow";
    [
        (
            "is a portal that answers 200 with HTML",
            raw("HTTP/1.1 200 OK\nContent-Type: text/html\nContent-Length: 39", html),
            &["not_s3"] as &[_],
        ),
        (
            "answers 503 with truncated XML",
            raw("HTTP/1.1 503 Busy\nContent-Type: application/xml", xml),
            &["s3_service_error"],
        ),
        (
            "answers 403 with HTML",
            raw("HTTP/1.1 403 No\nContent-Type: text/html", html),
            &["not_s3"],
        ),
        (
            "answers 403 and is cut off",
            raw("HTTP/1.1 403 No\nContent-Type: application/xml\nContent-Length: 300", xml),
            &["endpoint_unreachable"],
        ),
        (
            "answers 504 with HTML",
            raw("HTTP/1.1 504 Late\nContent-Type: text/html", html),
            &["s3_service_error"],
        ),
        (
            "answers 307 without saying where",
            raw("HTTP/1.1 307 Elsewhere\nContent-Length: 0", b""),
            &["not_s3"],
        ),
    ]
    .into_iter()
    .map(|(fault, bytes, reasons)| {
        Case::new(Place::S3, fault, Inject::Network(Network::Answer(bytes)), Fails(reasons))
    })
    .chain(no_proper_http(Place::S3, &["endpoint_unreachable"], &["not_s3"]))
    .chain(redirects(Place::S3, &["not_s3"]))
    .chain([("200 OK", NOT_S3), ("503 Busy", Fails(&["s3_service_error"]))].map(
        |(status, expect)| {
            let head = format!("HTTP/1.1 {status}\nContent-Type: application/xml");
            let endless = Network::Endless(raw(&head, xml));
            let fault = format!("answers {status} without end");
            Case::new(Place::S3, &fault, Inject::Network(endless), expect)
        },
    ))
    .chain(statuses(Place::S3, " without a body", |from| match from {
        400 => "`s3_service_error` for 408, otherwise `not_s3`",
        425 => "`s3_service_error` for 429, otherwise `not_s3`",
        500.. => "`s3_service_error` each time",
        _ => "`not_s3` each time",
    }))
    .chain([Case::new(
        Place::S3,
        "takes no bytes of a large picture",
        Inject::Network(Network::Deaf),
        S3_GONE,
    )
    .sized(Size::Large)])
    // A picture takes much longer than the store may stand still.
    .chain([Case::new(
        Place::S3,
        "takes 200 kB a second",
        Inject::Network(Network::Sip(10_000, Duration::from_millis(50))),
        Masked,
    )
    .sized(Size::Large)])
    .collect()
}
