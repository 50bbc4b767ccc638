//! A network of a given rate in front of a server.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// Which way is slow.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Slow {
    /// From the client to the server.
    Requests,
    /// From the server to the client. nginx's own `limit_rate` sends bursts, or misses the rate.
    Answers,
}

/// Passes connections on to a server until the process ends, and returns where. `rate` is in bytes a
/// second, the slow way, for each connection.
pub fn network(to: SocketAddr, way: Slow, rate: u32) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(to) else { continue };
            // Else the end of a picture waits 40 ms for the receiver's acknowledgement.
            let _ = client.set_nodelay(true).and(server.set_nodelay(true));
            let (from, back) = (client.try_clone(), server.try_clone());
            let (Ok(from), Ok(back)) = (from, back) else { continue };
            let rate = |of| (way == of).then_some(rate);
            let (requests, answers) = (rate(Slow::Requests), rate(Slow::Answers));
            thread::spawn(move || pass(from, server, requests));
            thread::spawn(move || pass(back, client, answers));
        }
    });
    address
}

/// Passes bytes on until the end, no faster than `rate`.
fn pass(mut from: TcpStream, mut to: TcpStream, rate: Option<u32>) {
    let mut buffer = [0; 16 * 1024];
    let (mut begun, mut passed) = (Instant::now(), 0_u32);
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if let Some(rate) = rate {
            let due = |passed| Duration::from_secs(1) * passed / rate;
            // A pause of the sender saves nothing up for later.
            if begun.elapsed() > due(passed) + Duration::from_millis(20) {
                (begun, passed) = (Instant::now(), 0);
            }
            passed += u32::try_from(read).unwrap_or(0);
            thread::sleep(due(passed).saturating_sub(begun.elapsed()));
        }
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Write);
    let _ = from.shutdown(std::net::Shutdown::Read);
}
