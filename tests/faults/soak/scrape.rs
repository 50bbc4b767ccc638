//! The metrics, as Prometheus reads them.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Reads the metrics, which must be whole.
pub async fn scrape(address: SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let whole = answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("# EOF\n");
    if whole { Ok(()) } else { Err(std::io::Error::other(answer)) }
}
