//! The HTTP server for health and metrics: `/livez`, `/healthz`, `/readyz` and `/metrics`.
//!
//! It runs in a thread of its own, so that its clients, however many, take no time from the job. A
//! slow or hostile client cannot keep others out: each connection answers one request within seconds,
//! headers are limited in number and size, and if there are too many connections, the oldest is
//! closed.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
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

use super::health::Status;
use super::metrics;

/// Connections at the same time.
const CONNECTIONS: usize = 32;

const CONNECTION_TIME: Duration = Duration::from_secs(5);

/// Limits for a request's headers, of which a kubelet and Prometheus send about ten.
const HEADER_TIME: Duration = Duration::from_secs(2);
const HEADERS: usize = 64;
const HEADER_BYTES: usize = 8 << 10;

const TEXT: &str = "text/plain; charset=utf-8";

/// Serves this status as long as the process runs. Fails if the system has no more threads or file
/// descriptors.
pub(crate) fn serve(listener: TcpListener, status: Status) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tracing::info!(address = %listener.local_addr()?, "health and metrics are served");
    listener.set_nonblocking(true)?;
    let listener = {
        let _inside = runtime.enter();
        tokio::net::TcpListener::from_std(listener)?
    };
    let serve = move || runtime.block_on(accept(&listener, &status));
    thread::Builder::new().name("server".to_owned()).spawn(serve)?;
    Ok(())
}

async fn accept(listener: &tokio::net::TcpListener, status: &Status) -> ! {
    let mut connections: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // For example out of file descriptors: others may be closed soon.
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        connections.retain(|connection| !connection.is_finished());
        if connections.len() >= CONNECTIONS
            && let Some(oldest) = connections.pop_front()
        {
            oldest.abort();
        }
        let answered = timeout(CONNECTION_TIME, converse(stream, status.clone()));
        connections.push_back(tokio::spawn(answered).abort_handle());
    }
}

/// One request and its answer. An error concerns only the client.
async fn converse(stream: TcpStream, status: Status) {
    let answer = service_fn(|request: Request<Incoming>| {
        let response = respond(&request, &status);
        async { Ok::<_, Infallible>(response) }
    });
    let _ = http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_headers(HEADERS)
        .max_buf_size(HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), answer)
        .await;
}

fn respond<B>(request: &Request<B>, status: &Status) -> Response<String> {
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
            Ok(text) => response(StatusCode::OK, metrics::CONTENT_TYPE, text),
            Err(error) => response(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error}\n")),
        },
        _ => {
            let paths = "not found: the paths are /livez, /healthz, /readyz and /metrics\n";
            response(StatusCode::NOT_FOUND, TEXT, paths.to_owned())
        }
    }
}

fn state(state: Result<(), String>, good: &str) -> Response<String> {
    match state {
        Ok(()) => response(StatusCode::OK, TEXT, format!("{good}\n")),
        Err(why) => response(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("not {good}: {why}\n")),
    }
}

fn response(status: StatusCode, content_type: &'static str, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
