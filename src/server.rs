//! The HTTP server for health and metrics, `/livez`, `/healthz`, `/readyz` and `/metrics`, and for the
//! page.
//!
//! It runs in a thread of its own, so that its clients, however many, take no time from the job. A
//! slow or hostile client cannot keep others out: each connection answers one request within seconds,
//! headers are limited in number and size, and if there are too many connections, the oldest is
//! closed. The same holds for the page's streams of events, except that they have no end.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use crate::page::{Body, Page};
use crate::status::{CONTENT_TYPE as METRICS, Status};

/// Connections at the same time, without those that are streams of events, and streams.
const CONNECTIONS: usize = 32;
const STREAMS: usize = 256;

/// For one request and its answer, which is a megabyte at most.
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
    let serve = move || runtime.block_on(accept(&listener, &served));
    thread::Builder::new().name("server".to_owned()).spawn(serve)?;
    Ok(())
}

/// A connection, and whether it has become a stream of events.
struct Connection {
    task: AbortHandle,
    streams: Arc<AtomicBool>,
}

async fn accept(listener: &tokio::net::TcpListener, served: &Served) -> ! {
    let mut connections: Vec<Connection> = Vec::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // For example out of file descriptors: others may be closed soon.
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        connections.retain(|connection| !connection.task.is_finished());
        make_room(&mut connections, false, CONNECTIONS);
        make_room(&mut connections, true, STREAMS);
        let streams = Arc::default();
        let conversation = converse(stream, served.clone(), Arc::clone(&streams));
        connections.push(Connection { task: tokio::spawn(conversation).abort_handle(), streams });
    }
}

/// Closes the oldest connections of one sort until there is room for one more.
fn make_room(connections: &mut Vec<Connection>, streams: bool, limit: usize) {
    let of_this_sort =
        |connection: &Connection| connection.streams.load(Ordering::Relaxed) == streams;
    let count = connections.iter().filter(|each| of_this_sort(each)).count();
    for _ in limit..=count {
        if let Some(oldest) = connections.iter().position(of_this_sort) {
            connections.remove(oldest).task.abort();
        }
    }
}

/// One request and its answer. An error concerns only the client.
async fn converse(stream: TcpStream, served: Served, streams: Arc<AtomicBool>) {
    let answer = service_fn(|request: Request<Incoming>| {
        let response = respond(&request, &served);
        if response.body().is_endless() {
            streams.store(true, Ordering::Relaxed);
        }
        async { Ok::<_, Infallible>(response) }
    });
    let mut conversation = pin!(
        http1::Builder::new()
            .keep_alive(false)
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIME)
            .max_headers(HEADERS)
            .max_buf_size(HEADER_BYTES)
            .serve_connection(TokioIo::new(stream), answer)
    );
    let ended = timeout(CONNECTION_TIME, &mut conversation).await.is_ok();
    if !ended && streams.load(Ordering::Relaxed) {
        let _ = conversation.await;
    }
}

fn respond<B>(request: &Request<B>, Served { status, page }: &Served) -> Response<Body> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let refusal = "only GET and HEAD are allowed\n".to_owned();
        let mut response = response(StatusCode::METHOD_NOT_ALLOWED, TEXT, refusal);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
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
