//! Faults of the image host.

use sandbox::Network;

use super::{malformed_bodies, malformed_heads, raw, statuses};
use crate::bomb::{self, JPEG};
use crate::case::Expect::{Fails, Masked};
use crate::case::{Case, Inject, Place, Size};

/// What the image host itself does wrong.
pub(super) fn hosts() -> Vec<Case> {
    let mut cases: Vec<Case> = [
        ("announces more bytes than it sends", "short=100", Fails(&["broken"])),
        ("announces fewer bytes than it sends", "long=100", Fails(&["truncated"])),
        ("sends more chunks than it announces", "long=100&framing=chunked", Fails(&["length"])),
        ("sends chunks", "framing=chunked", Masked),
        ("sends chunks of one byte", "drip=1,0&framing=chunked", Masked),
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
        ("redirects to a scheme it must not", "redirect=file:///etc/passwd", Fails(&["redirect"])),
        // Longer than a picture may take, and so short that the case sees its end.
        ("is busy for 25 s", "status=503&retry_after=25", Fails(&["status"])),
        ("sends a picture that is too large", "size=13MiB", Fails(&["too_large"])),
    ]
    .into_iter()
    .map(|(fault, parameters, expect)| {
        Case::new(Place::ImageHost, fault, Inject::Host(parameters.to_owned()), expect)
    })
    .collect();
    // All others are below, from a host that wants to be left alone: these are asked for again, if at all.
    for status in [404, 503] {
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
    cases.push(
        Case::new(
            Place::ImageHost,
            "sends a large picture in tiny chunks",
            Inject::Host("drip=512,0&framing=chunked".to_owned()),
            Masked,
        )
        .sized(Size::Large),
    );
    cases
}

/// A PNG with another one in a chunk, of which the rest is missing.
fn signed_and_cut() -> Vec<u8> {
    let chunk = |name: &[u8], data: &[u8]| {
        let length = u32::try_from(data.len()).expect("short").to_be_bytes();
        [&length[..], name, data, b"crc."].concat()
    };
    let start = [b"\x89PNG\r\n\x1a\n", &chunk(b"IHDR", &[1; 13])[..]].concat();
    let inner = [&start[..], &chunk(b"IDAT", &[2; 600]), &chunk(b"IEND", b"")].concat();
    [&start[..], &chunk(b"caBX", &inner), &chunk(b"IDAT", &[3; 600])].concat()
}

/// Answers of the image host that are no proper HTTP, or that hide something.
pub(super) fn answers_of_the_host() -> Vec<Case> {
    let of = |answers: Vec<(&'static str, Vec<u8>)>, reasons: &'static [&'static str]| {
        answers.into_iter().map(move |(fault, bytes)| (fault, bytes, reasons))
    };
    of(malformed_heads(), &["connect"])
        .chain(of(malformed_bodies(), &["broken"]))
        .chain([
            ("redirects without saying where", raw("HTTP/1.1 302 Found", b""), &["status"] as &[_]),
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
            (
                "sends a cut PNG with another PNG in it",
                raw("HTTP/1.1 200 OK\nContent-Type: image/png", &signed_and_cut()),
                &["truncated"],
            ),
            (
                "sends a part that nobody asked for",
                raw("HTTP/1.1 206 Partial Content\nContent-Range: bytes 0-99/1000", JPEG),
                &["partial"],
            ),
            (
                "redirects to a place of 70 kB",
                raw(&format!("HTTP/1.1 302 Found\nLocation: /{}", "x".repeat(70_000)), b""),
                &["redirect"],
            ),
            (
                "redirects to itself with a cookie",
                raw("HTTP/1.1 302 Found\nLocation: /x\nSet-Cookie: a=b\nContent-Length: 0", b""),
                &["redirect"],
            ),
        ])
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
