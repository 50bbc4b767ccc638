//! Tests that the memory of the program does not depend on how the image host cuts a body.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use crate::harness::World;

/// How much more memory than for a picture that arrives in large pieces is allowed, in bytes.
const SLACK: u64 = 12 << 20;

/// How a body is cut.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// Not at all.
    Whole,
    /// HTTP chunks of this many bytes, many of them in one TCP segment.
    Chunks(usize),
    /// TCP segments of this many bytes, of a body with this framing.
    Segments(usize, bool),
    /// A segment that fills the buffer of the connection, then a small one, and so on.
    Alternating,
}

/// A JPEG of this many bytes.
fn jpeg(length: usize) -> Vec<u8> {
    let mut bytes = vec![7; length];
    bytes[..6].copy_from_slice(b"\xff\xd8\xff\xe0\0\x02");
    bytes[length - 2..].copy_from_slice(b"\xff\xd9");
    bytes
}

/// An image host that sends one picture to each connection.
fn serve(picture: Vec<u8>, cut: Cut) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            stream.set_nodelay(true).expect("an option");
            let _ = stream.read(&mut [0; 4096]);
            let chunked = matches!(cut, Cut::Chunks(_) | Cut::Segments(_, true));
            let framing = if chunked {
                "Transfer-Encoding: chunked".to_owned()
            } else {
                format!("Content-Length: {}", picture.len())
            };
            let head = format!("HTTP/1.1 200 OK\r\n{framing}\r\nConnection: close\r\n\r\n");
            let _ = stream.write_all(head.as_bytes());
            let mut send = |bytes: &[u8], pause: u64| {
                let _ = stream.write_all(bytes);
                if pause > 0 {
                    thread::sleep(Duration::from_micros(pause));
                }
            };
            match cut {
                Cut::Whole => send(&picture, 0),
                Cut::Chunks(size) => {
                    let framed = picture.chunks(size).map(|chunk| {
                        [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat()
                    });
                    send(&framed.collect::<Vec<_>>().concat(), 0);
                    send(b"0\r\n\r\n", 0);
                }
                Cut::Segments(size, chunked) => {
                    if chunked {
                        send(format!("{:x}\r\n", picture.len()).as_bytes(), 100);
                    }
                    picture.chunks(size).for_each(|segment| send(segment, 100));
                    if chunked {
                        send(b"\r\n0\r\n\r\n", 0);
                    }
                }
                Cut::Alternating => {
                    for pair in picture.chunks(256 << 10) {
                        let (large, small) = pair.split_at(pair.len() - pair.len() / 16);
                        send(large, 2000);
                        send(small, 2000);
                    }
                }
            }
        }
    });
    address
}

/// The most memory that the program has at a time while it uploads one such picture, in bytes.
async fn peak(length: usize, cut: Cut) -> u64 {
    let world = World::new().await;
    let picture = jpeg(length);
    let url = format!("http://{}/", serve(picture.clone(), cut));
    // Without the page, which copies a small picture once more.
    let job = world.job_from(&url, "--interval 1h").env("RUST_LOG", "info").start();
    job.event("uploaded").await;
    let peak = job.peak_memory();
    job.terminate().await.expect(143);
    let stored = std::fs::read(&world.objects().await[0].path).expect("an object");
    assert!(stored == picture, "{cut:?}: the object is another one");
    peak
}

#[tokio::test]
async fn memory_is_bounded_however_a_body_is_cut() {
    for (length, cuts) in [
        (3 << 20, vec![Cut::Chunks(1), Cut::Chunks(100), Cut::Segments(1500, false)]),
        (8 << 20, vec![Cut::Chunks(16), Cut::Alternating]),
        // In parts.
        (12 << 20, vec![Cut::Chunks(16), Cut::Chunks(4000), Cut::Alternating]),
        (20_000, vec![Cut::Segments(1, false), Cut::Segments(1, true)]),
    ] {
        let usual = peak(length, Cut::Whole).await;
        for cut in cuts {
            let peak = peak(length, cut).await;
            assert!(peak < usual + SLACK, "{length} bytes, {cut:?}: {peak} bytes, not {usual}");
        }
    }
}
