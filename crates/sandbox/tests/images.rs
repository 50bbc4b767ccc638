//! Tests what the image host sends.

mod common;

use std::collections::HashSet;
use std::time::Duration;

use common::{exchange, get, split, until};
use sandbox::{ImageHost, Kind};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn pictures_can_be_decoded_and_are_all_different() {
    let host = ImageHost::start().await.unwrap();
    let mut seen = HashSet::new();
    for kind in Kind::ALL.into_iter().chain(Kind::ALL) {
        let url = host.url(&format!("/picture?kind={}&width=48&height=40", kind.name()));
        let answer = get(&url).await;
        assert_eq!(answer.header("content-type"), Some(kind.media_type()));
        let picture = image::load_from_memory(&answer.body).expect("it decodes");
        assert_eq!((picture.width(), picture.height()), (48, 40));
        let served = host.served().pop().expect("it is in the record");
        assert!(served.whole && served.kind == kind, "{served:?}");
        assert_eq!(served.sha256, common::hex(&Sha256::digest(&answer.body)));
        assert_eq!(served.crc32, crc32fast::hash(&answer.body));
        assert!(seen.insert(served.sha256), "the same picture twice");
    }
}

#[tokio::test]
async fn a_picture_has_exactly_the_requested_size_and_can_be_decoded() {
    let host = ImageHost::start().await.unwrap();
    for size in ["20000", "3MiB", "700001"] {
        for framing in ["length", "close"] {
            let path = format!("/any?kind=png&size={size}&framing={framing}&digest=sha256");
            let answer = get(&host.url(&path)).await;
            let served = host.served().pop().unwrap();
            assert_eq!(served.len, answer.body.len() as u64);
            assert_eq!(served.crc32, crc32fast::hash(&answer.body));
            assert_eq!(served.sha256, common::hex(&Sha256::digest(&answer.body)));
            assert_eq!(answer.header("content-length").is_some(), framing == "length");
            assert!(image::load_from_memory(&answer.body).is_ok());
        }
    }
    let lengths: Vec<u64> = host.served().iter().map(|served| served.len).collect();
    assert_eq!(lengths, [20_000, 20_000, 3 << 20, 3 << 20, 700_001, 700_001]);
}

#[tokio::test]
async fn a_body_of_one_gibibyte_is_streamed() {
    let host = ImageHost::start().await.unwrap();
    let url = host.url("/big?size=1GiB");
    let (address, target) = split(&url);
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let (mut total, mut buffer) = (0, vec![0; 1 << 20]);
    loop {
        match stream.read(&mut buffer).await.unwrap() {
            0 => break,
            length => total += length as u64,
        }
    }
    assert!(total > 1 << 30);
    assert_eq!(host.served()[0].len, 1 << 30);
    assert!(host.served()[0].sha256.is_empty(), "the URL does not request the SHA-256");
}

#[tokio::test]
async fn a_fixed_picture_is_the_same_for_every_request() {
    let host = ImageHost::start().await.unwrap();
    let url = host.url("/fixed?picture=fixed&size=200KB");
    let (first, second) = (get(&url).await, get(&url).await);
    assert!(first.body == second.body && first.body.len() == 200_000);
    assert_eq!(host.served()[1].crc32, crc32fast::hash(&second.body));
}

#[tokio::test]
async fn the_content_length_is_wrong_by_the_requested_number_of_bytes() {
    let host = ImageHost::start().await.unwrap();
    let short = get(&host.url("/?size=5000&short=10")).await;
    assert_eq!((short.header("content-length"), short.body.len()), (Some("5010"), 5000));
    let long = get(&host.url("/?size=5000&long=10")).await;
    assert_eq!((long.header("content-length"), long.body.len()), (Some("4990"), 5000));
    let both = get(&host.url("/?size=5000&long=10&framing=chunked")).await;
    assert_eq!(both.header("content-length"), Some("4990"));
    assert_eq!(both.header("transfer-encoding"), Some("chunked"));
    assert!(both.body.ends_with(b"\r\n0\r\n\r\n"));
    assert!(host.served().iter().all(|served| !served.whole && served.len == 5000));
}

#[tokio::test]
async fn a_cut_resets_the_connection_and_a_stall_keeps_it_open() {
    let host = ImageHost::start().await.unwrap();
    let cut = get(&host.url("/?size=50000&cut=20000")).await;
    assert!(cut.broken && cut.body.len() <= 20_000);
    assert_eq!(cut.header("content-length"), Some("50000"));

    let url = host.url("/?size=50000&stall=20000");
    let (address, target) = split(&url);
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET {target} HTTP/1.1\r\n\r\n").as_bytes()).await.unwrap();
    let mut buffer = vec![0; 20_000];
    stream.read_exact(&mut buffer).await.unwrap();
    let mut rest = Vec::new();
    let silence = tokio::time::timeout(Duration::from_millis(200), stream.read_to_end(&mut rest));
    assert!(silence.await.is_err(), "the host must neither send more nor close the connection");
    assert!(host.served().iter().all(|served| !served.whole && served.len == 20_000));
}

#[tokio::test]
async fn a_fault_ends_after_the_requested_number_of_times() {
    let host = ImageHost::start().await.unwrap();
    let url = host.url("/flaky?status=503&times=1&refuse=1&retry_after=7");
    assert!(get(&url).await.head.is_empty());
    let refused = get(&url).await;
    assert_eq!((refused.status(), refused.header("retry-after")), (503, Some("7")));
    assert_eq!(get(&url).await.status(), 200);
    assert_eq!(get(&host.url("/flaky?cut=1&times=0")).await.status(), 200);
    assert_eq!(host.requests().len(), 4);
}

#[tokio::test]
async fn redirects_lead_to_the_requested_url() {
    let host = ImageHost::start().await.unwrap();
    let away = get(&host.url("/?redirect=http%3A%2F%2F169.254.170.23%2Fv1%3Fa%3Db&code=307")).await;
    assert_eq!(
        (away.status(), away.header("location")),
        (307, Some("http://169.254.170.23/v1?a=b"))
    );
    let hop = get(&host.url("/p?hops=1&kind=gif")).await;
    let next = hop.header("location").expect("it redirects").to_owned();
    assert_eq!(get(&host.url(&next)).await.header("content-type"), Some("image/gif"));
}

#[tokio::test]
async fn a_connection_serves_more_than_one_request() {
    let host = ImageHost::start().await.unwrap();
    let url = host.url("/a?size=400&kind=png&type=text/plain");
    let (address, target) = split(&url);
    let once = format!("GET {target} HTTP/1.1\r\nUser-Agent: t\r\n\r\n");
    let post = "POST / HTTP/1.1\r\nConnection: close\r\n\r\n";
    let answer = exchange(address, &[once.as_bytes(), once.as_bytes(), post.as_bytes()]).await;
    let rest = answer.text();
    assert_eq!(rest.matches("HTTP/1.1 200 OK").count(), 1, "the other 200 is in the head");
    assert!(rest.contains("HTTP/1.1 405 "));
    assert_eq!(answer.header("content-type"), Some("text/plain"));
    assert_eq!(host.arrivals()[1].header("user-agent"), Some("t"));
    until("both served", || host.served().len() == 2).await;
}
