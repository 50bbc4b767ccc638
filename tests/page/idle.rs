//! A thousand viewers, and viewers that read nothing.

use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::{World, until};
use crate::served::{Served, TIMEOUT};

/// The streams that the server keeps open, as docs/page.md says.
const STREAMS: usize = 256;

/// What they may cost, in bytes: an unoptimized program needs more than a release build, for which
/// docs/benchmark/figures.md has the figure.
const MEMORY: f64 = 12.0 * 1024.0 * 1024.0;

/// Streams that held up the end would do so for `SHUTDOWN_GRACE`, which is 20 s.
const END: Duration = Duration::from_secs(10);

const OFTEN: &str = "--interval 100ms --concurrency 16";

/// Viewers that read nothing.
const DEAF: usize = 24;

/// More than the system keeps for a stream that nobody reads: 4 MiB at most with Linux's settings.
const BUFFERED: usize = 9 << 19;

/// Opens a stream of events, and reads the beginning of the answer.
async fn view(served: &Served<'_>) -> TcpStream {
    let mut stream = TcpStream::connect(served.at).await.expect("a connection");
    stream.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("sent");
    let mut first = [0; 15];
    let read = timeout(TIMEOUT, stream.read_exact(&mut first)).await.expect("in time");
    read.expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    stream
}

/// Fails the test if the job does not go on: if no more pictures are stored, or if one failed. How many
/// ticks it skips depends on the machine.
async fn expect_undisturbed(served: &Served<'_>) {
    let uploads = |status: &Value| status["uploads"]["success"].as_u64().expect("a number");
    let begun = uploads(&served.status().await);
    let status = served.status_when(|status| uploads(status) > begun + 40).await;
    assert_eq!(status["uploads"]["failure"], 0, "{status}");
}

async fn resident(served: &Served<'_>) -> f64 {
    let metrics = served.response("/metrics").await.text().await.expect("text");
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
    let served = Served::start(&world, "/random", OFTEN).await;
    served.status_when(|status| status["uploads"]["success"].as_u64() >= Some(60)).await;
    let before = resident(&served).await;
    let mut streams = Vec::new();
    for _ in 0..1000 {
        let mut stream = view(&served).await;
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
    expect_undisturbed(&served).await;
    let grown = resident(&served).await - before;
    assert!(grown < MEMORY, "{grown} bytes for {STREAMS} streams");
    assert_eq!(served.response("/livez").await.status(), 200);
    assert!(streams.iter().any(|each| !each.is_finished()));
    let asked = std::time::Instant::now();
    served.job.terminate().await.expect(143);
    assert!(asked.elapsed() < END, "{:?}", asked.elapsed());
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn viewers_that_never_read_have_bounded_memory_and_disturb_neither_the_job_nor_others() {
    let world = World::new().await;
    // A long name, so that a document has 60 KB.
    let target = format!("/{}", "p".repeat(450));
    let served = Served::start(&world, &target, OFTEN).await;
    served.status_when(|status| status["uploads"]["success"].as_u64() >= Some(60)).await;
    let before = resident(&served).await;
    let mut deaf = Vec::new();
    for _ in 0..DEAF {
        deaf.push(view(&served).await);
    }
    let mut reader = view(&served).await;
    let mut read = 0;
    let mut buffer = vec![0; 64 * 1024];
    while read < BUFFERED {
        let more = timeout(TIMEOUT, reader.read(&mut buffer)).await.expect("in time");
        read += more.expect("the stream goes on");
    }
    let grown = resident(&served).await - before;
    assert!(grown < MEMORY, "{grown} bytes for {DEAF} streams that read nothing");
    expect_undisturbed(&served).await;
    let asked = std::time::Instant::now();
    served.job.terminate().await.expect(143);
    assert!(asked.elapsed() < END, "{:?}", asked.elapsed());
    let mut rest = Vec::new();
    let _ = deaf.remove(0).read_to_end(&mut rest).await;
    assert!(rest.len() < BUFFERED, "the system had room for all {} bytes", rest.len());
}
