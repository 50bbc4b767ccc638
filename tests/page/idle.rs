//! A thousand viewers.

use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::{World, until};
use crate::served::{Served, TIMEOUT};

/// The streams that the server keeps open, as docs/page.md says.
const STREAMS: usize = 256;

/// What they may cost, in bytes: an unoptimized program needs more than a release build, for which
/// docs/benchmark.md has the figure.
const MEMORY: f64 = 12.0 * 1024.0 * 1024.0;

async fn resident(served: &Served<'_>) -> f64 {
    let metrics = served.get("/metrics").await.text().await.expect("text");
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix("process_resident_memory_bytes ").map(str::to_owned));
    line.expect("Linux has it").parse().expect("a number")
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_thousand_idle_streams_have_bounded_memory_and_do_not_disturb_the_job() {
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    setrlimit(Resource::Nofile, files).expect("the limit can be raised");

    let world = World::new().await;
    let served = Served::start(&world, "/random", "--interval 50ms").await;
    served.status_when(|status| status["uploads"]["success"].as_u64() >= Some(60)).await;
    let before = resident(&served).await;
    let mut streams = Vec::new();
    for _ in 0..1000 {
        let mut stream = TcpStream::connect(served.at).await.expect("a connection");
        stream.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("sent");
        // Once the first event is there, the stream is one.
        let mut first = [0; 15];
        let read = timeout(TIMEOUT, stream.read_exact(&mut first)).await.expect("in time");
        read.expect("an answer");
        assert_eq!(&first, b"HTTP/1.1 200 OK");
        streams.push(tokio::spawn(async move {
            // Reads until the server closes the stream.
            let mut rest = [0; 4096];
            while let Ok(1..) = stream.read(&mut rest).await {}
        }));
    }
    until("the oldest streams are closed", || {
        streams.iter().filter(|each| !each.is_finished()).count() <= STREAMS
    })
    .await;
    let uploads = world.sandbox.s3.objects().len();
    until("uploads continue", || world.sandbox.s3.objects().len() > uploads + 40).await;
    let grown = resident(&served).await - before;
    assert!(grown < MEMORY, "{grown} bytes for {STREAMS} streams");
    assert_eq!(served.get("/livez").await.status(), 200);
    let status = served.status().await;
    assert_eq!(status["uploads"]["failure"], 0, "{status}");
    assert!(streams.iter().any(|each| !each.is_finished()));
    let asked = std::time::Instant::now();
    served.job.terminate().await.expect(143);
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_viewer_that_never_reads_delays_nobody() {
    let world = World::new().await;
    let served = Served::start(&world, "/random", "--interval 50ms").await;
    let mut deaf = TcpStream::connect(served.at).await.expect("a connection");
    deaf.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("sent");
    served.status_when(|status| status["uploads"]["success"].as_u64() >= Some(20)).await;
    let asked = std::time::Instant::now();
    served.job.terminate().await.expect(143);
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
}
