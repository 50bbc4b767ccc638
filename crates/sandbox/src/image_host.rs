//! The image host.
//!
//! It implements HTTP/1.1 on plain sockets. A real HTTP server such as hyper
//! does not allow a service to send wrong lengths, to stop in the middle of a
//! body or to reset a connection, and these faults are what this host is for.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::{Buf, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::body::{Body, Digester};
use crate::ledger::{Arrival, Ledger, Served};
use crate::net::{self, Server};
use crate::picture::{self, Kind};
use crate::recipe::{self, Instead, PictureWish, Recipe};
use crate::writer::{self, After};

/// A server of pictures on 127.0.0.1. The query of the URL determines its answer:
///
/// | query parameter | meaning |
/// |---|---|
/// | `kind=jpeg\|png\|gif\|webp`, `width=`, `height=` | the picture; properties that are not given are random (64 to 640 pixels) |
/// | `size=200KB` | exactly this many bytes: a picture followed by filler (B, KB, MB, GB, KiB, MiB, GiB) |
/// | `picture=fixed` | the same picture for all requests with the same parameters, for benchmarks |
/// | `digest=none\|sha256` | omits the SHA-256 in [`Served`], or includes it also for more than 16 MiB |
/// | `framing=length\|chunked\|close` | how the answer marks the end of the body |
/// | `short=N` | Content-Length announces N bytes more than the body has, then the connection closes |
/// | `long=N` | Content-Length announces N bytes fewer than the body has; with `framing=chunked`, the answer has both Content-Length and Transfer-Encoding |
/// | `cut=N` | after N body bytes the connection is reset |
/// | `stall=N` | after N body bytes nothing more is sent until the client disconnects |
/// | `delay=MS` | a delay before the head |
/// | `drip=BYTES,MS` | sends BYTES at a time, with a pause after each |
/// | `status=CODE`, `retry_after=VALUE` | an error with this status and Retry-After |
/// | `refuse=K` | closes the connection on the first K requests of this target |
/// | `type=TEXT` | the Content-Type of the answer |
/// | `body=empty\|html\|text` | a 200 that is not a picture, but has the Content-Type image/jpeg |
/// | `redirect=URL`, `code=302` | a redirect to this percent-encoded URL |
/// | `hops=N`, `code=302` | N redirects to the host itself before the picture |
/// | `times=K` | applies the fault, whichever it is, only to the first K requests of this target |
///
/// The path is ignored. Methods other than GET get a 405, and unknown
/// parameters a 400.
#[derive(Debug)]
pub struct ImageHost {
    server: Server,
    host: Arc<Host>,
}

/// The parameters that identify a fixed picture: kind, size, width, height.
type Fixed = (Kind, Option<u64>, u32, u32);

#[derive(Debug, Default)]
struct Host {
    ledger: Ledger,
    /// The parameters that are added to each target.
    added: Mutex<String>,
    fixed: Mutex<HashMap<Fixed, Body>>,
}

impl ImageHost {
    /// Starts the image host on 127.0.0.1 at a free port.
    ///
    /// # Errors
    ///
    /// A port cannot be bound.
    pub async fn start() -> io::Result<Self> {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into()).await
    }

    /// Starts the image host on this address.
    ///
    /// # Errors
    ///
    /// The address cannot be bound.
    pub async fn start_at(address: SocketAddr) -> io::Result<Self> {
        let host = Arc::new(Host::default());
        let shared = Arc::clone(&host);
        let server = Server::start_at(address, move |stream| {
            let host = Arc::clone(&shared);
            async move {
                // A client that disconnects is not an error of the host.
                let _ = host.converse(stream).await;
            }
        })
        .await?;
        Ok(Self { server, host })
    }

    /// The URL of a path and query, such as `/random` or `/any?size=5MiB`.
    #[must_use]
    pub fn url(&self, path_and_query: &str) -> String {
        format!("http://{}{path_and_query}", self.server.address())
    }

    /// Adds these parameters to every target from now on, as in `status=503`. No
    /// parameters end this.
    pub fn answer_with(&self, parameters: &str) {
        let mut added = self.host.added.lock().unwrap_or_else(PoisonError::into_inner);
        parameters.clone_into(&mut added);
    }

    /// The address of the host.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The targets requested so far, in order of arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.arrivals().into_iter().map(|arrival| arrival.target).collect()
    }

    /// The requests so far with their headers and times, in order of arrival.
    #[must_use]
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.host.ledger.arrivals()
    }

    /// Forgets the requests so far, so that a run may be long. The pictures stay.
    pub fn forget_requests(&self) {
        self.host.ledger.forget_arrivals();
    }

    /// The pictures sent so far, in whole or in part.
    #[must_use]
    pub fn served(&self) -> Vec<Served> {
        self.host.ledger.served()
    }
}

impl Host {
    /// Answers the requests of one connection.
    async fn converse(&self, mut stream: TcpStream) -> io::Result<()> {
        let mut input = BytesMut::new();
        while let Some(request) = read_request(&mut stream, &mut input).await? {
            let after = self.answer(&mut stream, &request).await?;
            match after {
                After::KeepAlive if request.keep_alive => {}
                After::KeepAlive | After::Close => break,
                After::Reset => {
                    net::reset(stream);
                    break;
                }
            }
        }
        Ok(())
    }

    async fn answer(&self, stream: &mut TcpStream, request: &Asked) -> io::Result<After> {
        let target = &self.with_added(&request.arrival.target);
        let nth = self.ledger.arrived(request.arrival.clone());
        if request.method != "GET" {
            return writer::send_text(stream, 405, &[("Allow", "GET")], "GET only\n").await;
        }
        let recipe = match Recipe::parse(target) {
            Ok(recipe) => recipe,
            Err(error) => return writer::send_text(stream, 400, &[], &error).await,
        };
        let Some(recipe) = recipe.for_arrival(nth) else {
            return Ok(After::Close);
        };
        let fault = &recipe.fault;
        tokio::time::sleep(fault.delay).await;
        if let Some(status) = fault.status {
            let mut headers = vec![("Content-Type", "text/plain")];
            headers.extend(fault.retry_after.as_deref().map(|value| ("Retry-After", value)));
            return writer::send_text(stream, status, &headers, "as you asked\n").await;
        }
        let elsewhere = (fault.hops > 0).then(|| recipe::with_hops(target, fault.hops - 1));
        if let Some(location) = fault.redirect.clone().or(elsewhere) {
            let headers = [("Location", location.as_str())];
            return writer::send_text(stream, fault.code.unwrap_or(302), &headers, "").await;
        }
        if let Some(instead) = fault.body {
            let claimed = fault.content_type.as_deref().unwrap_or("image/jpeg");
            let text = match instead {
                Instead::Empty => "",
                Instead::Html => "<!DOCTYPE html><html><body><h1>Not today</h1></body></html>\n",
                Instead::Text => "not a picture\n",
            };
            return writer::send_text(stream, 200, &[("Content-Type", claimed)], text).await;
        }
        let (kind, body) = self.body(&recipe.picture).await?;
        writer::send_picture(stream, &self.ledger, target, &recipe, kind, &body).await
    }

    /// The target with the added parameters, which replace its own.
    fn with_added(&self, target: &str) -> String {
        let added = self.added.lock().unwrap_or_else(PoisonError::into_inner);
        match (added.as_str(), target.contains('?')) {
            ("", _) => target.to_owned(),
            (added, true) => format!("{target}&{added}"),
            (added, false) => format!("{target}?{added}"),
        }
    }

    async fn body(&self, wish: &PictureWish) -> io::Result<(Kind, Body)> {
        let wish = wish.clone();
        if !wish.fixed {
            // Encoding takes milliseconds, and much more without optimization.
            let made = tokio::task::spawn_blocking(move || {
                let kind = wish.kind.unwrap_or_else(|| Kind::ALL[fastrand::usize(..4)]);
                (kind, make(&wish, kind))
            });
            return made.await.map_err(io::Error::other);
        }
        let kind = wish.kind.unwrap_or(Kind::Jpeg);
        let size = (wish.width.unwrap_or(320), wish.height.unwrap_or(240));
        let mut fixed = self.fixed.lock().unwrap_or_else(PoisonError::into_inner);
        let body = fixed.entry((kind, wish.size, size.0, size.1)).or_insert_with(|| {
            let mut body =
                make(&PictureWish { width: Some(size.0), height: Some(size.1), ..wish }, kind);
            let mut digester = Digester::new(true);
            body.segments().for_each(|segment| digester.update(&segment));
            body.digests = Some(digester.finish());
            body
        });
        Ok((kind, body.clone()))
    }
}

fn make(wish: &PictureWish, kind: Kind) -> Body {
    // If filler provides the size, a small picture saves encoding time.
    let range = if wish.size.is_some() { 32..=96 } else { 64..=640 };
    let pick = |wish: Option<u32>| wish.unwrap_or_else(|| fastrand::u32(range.clone()));
    let (width, height) = (pick(wish.width), pick(wish.height));
    let seed = picture::seed();
    let mut bytes = picture::make(kind, width, height, seed);
    if wish.size.is_some_and(|size| (bytes.len() as u64) > size) {
        bytes = picture::make(kind, 8, 8, seed);
    }
    Body::new(bytes, wish.size, seed)
}

/// The head of a request.
struct Asked {
    method: String,
    keep_alive: bool,
    arrival: Arrival,
}

/// Reads the next head. Returns `None` if the client has closed the connection.
async fn read_request(stream: &mut TcpStream, input: &mut BytesMut) -> io::Result<Option<Asked>> {
    loop {
        if let Some((asked, length)) = parse(input)? {
            input.advance(length);
            return Ok(Some(asked));
        }
        if stream.read_buf(input).await? == 0 {
            return Ok(None);
        }
    }
}

fn parse(input: &[u8]) -> io::Result<Option<(Asked, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let parsed = request.parse(input);
    let bad = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    let httparse::Status::Complete(length) = parsed.map_err(bad)? else {
        return Ok(None);
    };
    let headers: Vec<(String, String)> = request
        .headers
        .iter()
        .map(|header| {
            let value = String::from_utf8_lossy(header.value).into_owned();
            (header.name.to_ascii_lowercase(), value)
        })
        .collect();
    let target = request.path.unwrap_or("/").to_owned();
    let arrival = Arrival { target, headers, at: Instant::now() };
    let closing =
        arrival.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    // The body of a request is not read, so the connection ends after the
    // answer.
    let has_body = arrival.header("content-length").is_some_and(|value| value != "0")
        || arrival.header("transfer-encoding").is_some();
    let keep_alive = request.version == Some(1) && !closing && !has_body;
    let method = request.method.unwrap_or_default().to_owned();
    Ok(Some((Asked { method, keep_alive, arrival }, length)))
}
