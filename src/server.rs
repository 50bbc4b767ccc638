//! The HTTP server for health and metrics, `/livez`, `/healthz`, `/readyz` and `/metrics`, and for the
//! page.
//!
//! It runs in a thread of its own, so that its clients, however many, take no time from the job. A
//! slow or hostile client cannot keep others out: each connection answers one request within seconds,
//! headers are limited in number and size, and if there are too many connections, those are closed of
//! whoever has the most. The same holds for the page's streams of events, except that they have no end; one
//! is closed whose client has taken nothing for a while.

mod connections;
mod hosts;

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Socket, Type};
use tokio::net::TcpStream;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;

use self::connections::{Connections, Marks};
pub(crate) use self::hosts::Hosts;
use crate::page::{Body, Page};
use crate::status::{CONTENT_TYPE as METRICS, Status};

/// Connections that the system accepts while the server is busy with others.
const BACKLOG: i32 = 4096;

/// What the system keeps for a client that does not read, in bytes. Left to itself it would be megabytes,
/// which count as the pod's memory.
const SEND_BUFFER: usize = 32 << 10;

/// How long a client may take nothing of what there is for it.
const STALL_TIME: Duration = Duration::from_secs(15);

/// For the first byte of a request, and then for the request and its answer, which is a megabyte at most.
const CONNECTION_TIME: Duration = Duration::from_secs(10);

/// Limits for a request's headers, of which a kubelet and Prometheus send about ten.
const HEADER_TIME: Duration = Duration::from_secs(2);
const HEADERS: usize = 64;
const HEADER_BYTES: usize = 8 << 10;

const TEXT: &str = "text/plain; charset=utf-8";

/// What is served. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    pub(crate) status: Status,
    pub(crate) page: Option<Page>,
    /// The host names under which it may be read.
    pub(crate) hosts: Hosts,
}

/// A socket that listens there.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    // The connections inherit it.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Serves this as long as the process runs. Fails if the system has no more threads or file
/// descriptors.
pub(crate) fn serve(listener: TcpListener, served: Served) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let address = listener.local_addr()?;
    let page = served.page.as_ref().map(|_| format!("http://{address}/"));
    tracing::info!(%address, page, "health and metrics are served");
    listener.set_nonblocking(true)?;
    let listener = {
        let _inside = runtime.enter();
        tokio::net::TcpListener::from_std(listener)?
    };
    let served = Listening { served, is_loopback: address.ip().to_canonical().is_loopback() };
    let serve = move || runtime.block_on(accept(&listener, &Arc::new(served)));
    thread::Builder::new().name("server".to_owned()).spawn(serve)?;
    Ok(())
}

/// What is served, and whether only this machine can reach it.
struct Listening {
    served: Served,
    is_loopback: bool,
}

async fn accept(listener: &tokio::net::TcpListener, listening: &Arc<Listening>) -> ! {
    let mut connections = Connections::new(open_files());
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            // For example out of file descriptors: others may be closed soon.
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        while !connections.make_room() {
            yield_now().await;
        }
        let marks = Arc::<Marks>::default();
        let conversation = converse(stream, Arc::clone(listening), Arc::clone(&marks));
        connections.add(peer.ip(), tokio::spawn(conversation).abort_handle(), marks);
    }
}

/// How many files the process may open, which are as many as the system lets it.
#[cfg(target_os = "linux")]
fn open_files() -> usize {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    let _ = setrlimit(Resource::Nofile, files);
    let files = getrlimit(Resource::Nofile).current;
    files.and_then(|files| usize::try_from(files).ok()).unwrap_or(usize::MAX)
}

#[cfg(not(target_os = "linux"))]
fn open_files() -> usize {
    256 // macOS's limit, unless it has been raised
}

/// Does the work, and marks that a connection had its turn once it has to wait.
async fn turns<T>(mut work: Pin<&mut impl Future<Output = T>>, marks: &Marks) -> T {
    poll_fn(|context| {
        let polled = work.as_mut().poll(context);
        marks.had_turn();
        polled
    })
    .await
}

/// One request and its answer. An error concerns only the client.
async fn converse(stream: TcpStream, listening: Arc<Listening>, marks: Arc<Marks>) {
    let answer = service_fn(|request: Request<Incoming>| {
        let response = respond(&request, &listening);
        if response.body().is_endless() {
            marks.streams();
        }
        async { Ok::<_, Infallible>(response) }
    });
    // Until the first byte comes, a connection needs next to no memory.
    let silent = timeout(CONNECTION_TIME, turns(pin!(stream.readable()), &marks)).await.is_err();
    if silent {
        return;
    }
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(STALL_TIME));
    let mut conversation = pin!(
        http1::Builder::new()
            .keep_alive(false)
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIME)
            .max_headers(HEADERS)
            .max_buf_size(HEADER_BYTES)
            .serve_connection(TokioIo::new(Box::pin(stream)), answer)
    );
    let ended = timeout(CONNECTION_TIME, turns(conversation.as_mut(), &marks)).await.is_ok();
    if !ended && marks.is_stream() {
        let _ = conversation.await;
    }
}

fn respond<B>(request: &Request<B>, listening: &Listening) -> Response<Body> {
    let Listening { served: Served { status, page, hosts }, is_loopback } = listening;
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let refusal = "only GET and HEAD are allowed\n".to_owned();
        let mut response = response(StatusCode::METHOD_NOT_ALLOWED, TEXT, refusal);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let path = request.uri().path();
    // From other machines, kubelets and Prometheus call these by many names; only a browser on this one
    // calls loopback by a web site's.
    let restricted = match path {
        "/livez" | "/healthz" => None,
        "/readyz" | "/metrics" => is_loopback.then_some(path),
        _ => page.as_ref().map(|_| "the page"),
    };
    if let Some(what) = restricted.filter(|_| !hosts.allow(request)) {
        let refusal = format!(
            "{what} is not available under this name: use an IP address or localhost, or name the host in \
             --page-hosts / PAGE_HOSTS\n"
        );
        return response(StatusCode::MISDIRECTED_REQUEST, TEXT, refusal);
    }
    match path {
        "/livez" | "/healthz" => state(status.is_alive(), "alive"),
        "/readyz" => state(status.is_ready(), "ready"),
        "/metrics" => match status.metrics() {
            Ok(text) => response(StatusCode::OK, METRICS, text),
            Err(error) => response(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error}\n")),
        },
        _ => page.as_ref().and_then(|page| page.answer(request)).unwrap_or_else(|| {
            let pages = if page.is_some() { "/, /api/status, " } else { "" };
            let paths =
                format!("not found: the paths are {pages}/livez, /healthz, /readyz and /metrics\n");
            response(StatusCode::NOT_FOUND, TEXT, paths)
        }),
    }
}

fn state(state: Result<(), String>, good: &str) -> Response<Body> {
    match state {
        Ok(()) => response(StatusCode::OK, TEXT, format!("{good}\n")),
        Err(why) => response(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("not {good}: {why}\n")),
    }
}

fn response(status: StatusCode, content_type: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::Whole(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
