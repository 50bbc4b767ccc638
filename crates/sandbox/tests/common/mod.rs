//! A client that sends and receives raw bytes.
#![allow(dead_code, reason = "each test file uses its part")]

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The bytes received until the connection ended.
pub struct Answer {
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (each, value) = line.split_once(':')?;
            each.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Splits `http://HOST:PORT/PATH` into host and target.
pub fn split(url: &str) -> (&str, &str) {
    let rest = url.strip_prefix("http://").expect("a plain URL");
    let slash = rest.find('/').unwrap_or(rest.len());
    rest.split_at(slash)
}

/// Sends a GET request.
pub async fn get(url: &str) -> Answer {
    let (host, target) = split(url);
    let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    exchange(host, &[request.as_bytes()]).await
}

/// Sends the bytes of a request, and reads until the connection ends.
pub async fn exchange(host: &str, request: &[&[u8]]) -> Answer {
    let mut stream = TcpStream::connect(host).await.expect("the server listens");
    for bytes in request {
        // The server may answer and close before it has read the whole request.
        if stream.write_all(bytes).await.is_err() {
            break;
        }
    }
    let mut all = Vec::new();
    let read = stream.read_to_end(&mut all);
    // An error is a reset, which ends the connection too.
    let _ = tokio::time::timeout(Duration::from_secs(20), read).await.expect("it ends in time");
    let end = all.windows(4).position(|four| four == b"\r\n\r\n").map_or(all.len(), |at| at + 4);
    let body = all.split_off(end);
    Answer { head: String::from_utf8_lossy(&all).into_owned(), body }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}
