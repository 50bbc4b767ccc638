//! Tests that clients, however many, keep neither the kubelet's probes out nor the kernel's memory.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::future::join_all;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::harness::{World, until};
use crate::served::{Served, TIMEOUT};

/// Lets this process open as many files as it may.
fn open_many_files() {
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    setrlimit(Resource::Nofile, files).expect("the limit can be raised");
}

const PROBE: &[u8] = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";

/// A connection from this address, of which a machine has many.
async fn connect(from: &str, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(format!("{from}:0").parse().expect("an address"))?;
    socket.connect(to).await
}

/// The whole answer to a probe.
async fn finish(mut stream: TcpStream) -> String {
    stream.write_all(PROBE).await.expect("the probe is sent");
    let mut said = String::new();
    let read = timeout(TIMEOUT, stream.read_to_string(&mut said)).await.expect("in time");
    read.expect("an answer");
    said
}

#[tokio::test]
async fn each_request_of_a_burst_is_answered() {
    open_many_files();
    let world = World::new().await;
    let served = Served::start(&world, "/random", "--interval 1h").await;
    let requests = (0..1000).map(|_| async {
        let stream = TcpStream::connect(served.at).await.expect("a connection");
        finish(stream).await
    });
    for said in join_all(requests).await {
        assert!(said.starts_with("HTTP/1.1 200 "), "{said:?}");
    }
    // All connections are there before the first request is.
    let streams = join_all((0..400).map(|_| TcpStream::connect(served.at))).await;
    for said in join_all(streams.into_iter().map(|stream| finish(stream.expect("it is")))).await {
        assert!(said.starts_with("HTTP/1.1 200 "), "{said:?}");
    }
    served.job.terminate().await.expect(143);
}

/// Opens connections from this address one after another, sends each these bytes, and keeps the last
/// thousand, until it is told to stop.
async fn flood(from: &str, to: SocketAddr, bytes: &[u8], stop: &AtomicBool, opened: &AtomicUsize) {
    let mut kept = std::collections::VecDeque::new();
    while !stop.load(Ordering::Relaxed) {
        let Ok(mut stream) = connect(from, to).await else { continue };
        let _ = stream.write_all(bytes).await;
        opened.fetch_add(1, Ordering::Relaxed);
        kept.push_back(stream);
        if kept.len() > 1000 {
            kept.pop_front();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg(target_os = "linux")]
async fn probes_get_through_a_flood_of_connections() {
    open_many_files();
    let world = World::new().await;
    let served = Served::start(&world, "/random", "--interval 100ms --concurrency 16").await;
    let (stop, opened) = (Arc::new(AtomicBool::default()), Arc::new(AtomicUsize::default()));
    for bytes in [&b""[..], b"GET /metrics HTT", b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"] {
        let (stop, opened, to) = (Arc::clone(&stop), Arc::clone(&opened), served.at);
        tokio::spawn(async move { flood("127.0.0.2", to, bytes, &stop, &opened).await });
    }
    until("there are more than the server keeps", || opened.load(Ordering::Relaxed) > 3000).await;
    let uploads = world.sandbox.s3.objects().len();
    for from in ["127.0.0.1", "127.0.0.2"] {
        for number in 0..50 {
            let stream = connect(from, served.at).await.expect("a connection");
            let said = finish(stream).await;
            assert!(said.starts_with("HTTP/1.1 200 "), "{number} from {from}: {said:?}");
        }
    }
    until("uploads go on", || world.sandbox.s3.objects().len() > uploads + 5).await;
    stop.store(true, Ordering::Relaxed);
    let done = served.job.terminate().await.expect(143);
    assert!(done.events("upload failed").is_empty());
}

/// Viewers that never read.
const DEAF: usize = 77;

/// What the system may keep for a connection, in bytes: twice what the program asks for, and a piece.
const QUEUE: u64 = 80 << 10;

/// How many bytes the system keeps for each established connection of this server that the client has not
/// taken (`SIOCOUTQ`), by the client's port.
fn queues(server: SocketAddr) -> Vec<(u16, u64)> {
    let port = |address: &str| u16::from_str_radix(address.split(':').nth(1)?, 16).ok();
    let table = fs::read_to_string("/proc/net/tcp").expect("Linux has it");
    let of = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let ours = port(fields[1]) == Some(server.port()) && fields[3] == "01";
        let queue = u64::from_str_radix(fields[4].split(':').next()?, 16).ok()?;
        ours.then_some((port(fields[2])?, queue))
    };
    table.lines().skip(1).filter_map(of).collect()
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn viewers_that_never_read_leave_little_in_the_kernel_and_are_closed() {
    let world = World::new().await;
    // A long name, so that a document has 60 KB.
    let target = format!("/{}", "p".repeat(450));
    let served = Served::start(&world, &target, "--interval 50ms --concurrency 16").await;
    served.job.wrote("\"uploaded\"", 60).await;
    let view = async || {
        let mut stream = TcpStream::connect(served.at).await.expect("a connection");
        stream.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("sent");
        stream
    };
    let mut deaf = Vec::new();
    for _ in 0..DEAF {
        deaf.push(view().await);
    }
    let mut reader = view().await;
    let reading = reader.local_addr().expect("an address").port();
    let reader = tokio::spawn(async move {
        let mut buffer = [0; 4096];
        while let Ok(1..) = reader.read(&mut buffer).await {}
    });
    let was_full = AtomicBool::default();
    until("each viewer that never reads is closed", || {
        let queues = queues(served.at);
        let queue = queues.iter().map(|(_, queue)| *queue).max().unwrap_or(0);
        assert!(queue <= QUEUE, "{queue} bytes are kept for a connection");
        was_full.fetch_or(queue > 0, Ordering::Relaxed);
        was_full.load(Ordering::Relaxed) && queues.iter().all(|(port, _)| *port == reading)
    })
    .await;
    assert!(!reader.is_finished(), "one that reads is not");
    for mut stream in deaf {
        let mut rest = Vec::new();
        let ended = timeout(TIMEOUT, stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "it is still open");
    }
    let done = served.job.terminate().await.expect(143);
    assert!(done.events("upload failed").is_empty());
}
