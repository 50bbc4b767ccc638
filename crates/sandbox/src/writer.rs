//! Writes the answers of the image host, correct or faulty.

use std::fmt::Write as _;
use std::io;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::body::{Body, Digester, Segment};
use crate::ledger::Ledger;
use crate::picture::Kind;
use crate::recipe::{Framing, Recipe};

/// The maximum length of bodies that get a SHA-256 by default, in bytes.
const HASHED: u64 = 16 * 1024 * 1024;

/// What happens to the connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    KeepAlive,
    Close,
    Reset,
}

/// Writes an answer that is not a picture, with the correct length.
pub(crate) async fn send_text(
    stream: &mut TcpStream,
    status: u16,
    headers: &[(&str, &str)],
    text: &str,
) -> io::Result<After> {
    let mut head = format!("HTTP/1.1 {status} {}\r\n", reason(status));
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    let _ = write!(head, "Content-Length: {}\r\n\r\n{text}", text.len());
    stream.write_all(head.as_bytes()).await?;
    Ok(After::KeepAlive)
}

/// Writes a picture with the framing and the faults of `recipe`, and records it
/// in the ledger.
pub(crate) async fn send_picture(
    stream: &mut TcpStream,
    ledger: &Ledger,
    target: &str,
    recipe: &Recipe,
    kind: Kind,
    body: &Body,
) -> io::Result<After> {
    let fault = &recipe.fault;
    let mut end = body.len();
    for limit in [fault.cut, fault.stall].into_iter().flatten() {
        end = end.min(limit);
    }
    let honest =
        fault.short == 0 && fault.long == 0 && fault.cut.is_none() && fault.stall.is_none();

    let mut out = Framed {
        stream,
        pending: head(recipe, kind, body.len()).into(),
        chunked: recipe.framing == Framing::Chunked,
    };
    let mut digester = Digester::new(recipe.picture.sha256.unwrap_or(body.len() <= HASHED));
    let known = body.digests.as_ref().filter(|_| end == body.len());
    let enter = |digester: &Digester| {
        let sums = known.cloned().unwrap_or_else(|| digester.finish());
        ledger.serving(target, kind, end, sums, honest)
    };
    if end == 0 {
        enter(&digester);
    }
    let mut sent = 0;
    let mut segments = body.segments();
    while sent < end
        && let Some(mut segment) = segments.next()
    {
        segment.truncate(end - sent);
        sent += segment.len();
        if known.is_none() {
            digester.update(&segment);
        }
        let entry = (sent == end).then(|| enter(&digester));
        let written = out.write(segment, recipe).await;
        if written.is_err() {
            // Nothing has been recorded before the last segment.
            let entry = entry
                .unwrap_or_else(|| ledger.serving(target, kind, sent, digester.finish(), false));
            ledger.broke(entry);
        }
        written?;
    }
    out.flush().await?;
    if fault.cut.is_some_and(|cut| cut <= body.len()) {
        return Ok(After::Reset);
    }
    if fault.stall.is_some() {
        hold(out.stream).await;
        return Ok(After::Close);
    }
    out.finish().await?;
    let close = fault.short > 0 || fault.long > 0 || recipe.framing == Framing::Close;
    Ok(if close { After::Close } else { After::KeepAlive })
}

/// Sends nothing until the client disconnects.
async fn hold(stream: &mut TcpStream) {
    let mut scrap = [0; 4096];
    while let Ok(1..) = stream.read(&mut scrap).await {}
}

/// The head of an answer with a picture, including the requested faults.
fn head(recipe: &Recipe, kind: Kind, len: u64) -> String {
    let fault = &recipe.fault;
    let media_type = fault.content_type.as_deref().unwrap_or_else(|| kind.media_type());
    let mut head = format!("HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\n");
    let claimed = (len + fault.short).saturating_sub(fault.long);
    match recipe.framing {
        Framing::Length => {
            let _ = write!(head, "Content-Length: {claimed}\r\n");
        }
        Framing::Chunked => {
            head.push_str("Transfer-Encoding: chunked\r\n");
            if claimed != len {
                let _ = write!(head, "Content-Length: {claimed}\r\n");
            }
        }
        Framing::Close => head.push_str("Connection: close\r\n"),
    }
    head.push_str("\r\n");
    head
}

/// The stream, and the head that precedes its next bytes.
struct Framed<'a> {
    stream: &'a mut TcpStream,
    /// Sends the head together with the first bytes, which takes one system
    /// call for a small picture.
    pending: Bytes,
    chunked: bool,
}

impl Framed<'_> {
    async fn write(&mut self, mut segment: Segment, recipe: &Recipe) -> io::Result<()> {
        let Some((length, pause)) = recipe.fault.drip else {
            return self.write_piece(segment).await;
        };
        while !segment.is_empty() {
            let piece = segment.split_to(length);
            self.write_piece(piece).await?;
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }

    async fn write_piece(&mut self, piece: Segment) -> io::Result<()> {
        let before = std::mem::take(&mut self.pending);
        let (size, after) = if self.chunked {
            (Bytes::from(format!("{:x}\r\n", piece.len())), Bytes::from_static(b"\r\n"))
        } else {
            (Bytes::new(), Bytes::new())
        };
        let mut all = before.chain(size).chain(piece.first).chain(piece.rest).chain(after);
        self.stream.write_all_buf(&mut all).await
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all_buf(&mut self.pending).await
    }

    async fn finish(&mut self) -> io::Result<()> {
        if self.chunked {
            self.stream.write_all(b"0\r\n\r\n").await?;
        }
        Ok(())
    }
}

fn reason(status: u16) -> &'static str {
    hyper::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Unknown")
}
