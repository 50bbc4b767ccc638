//! A server whose answers a test writes: instance metadata, a proxy that refuses, whatever answers
//! in a service's place.

use std::collections::BTreeMap;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};

use crate::net::{Answering, Hangup, Server, serve_http};

/// A request that a [`Scripted`] server received.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The HTTP method: `CONNECT` where the server is asked as a proxy for https.
    pub method: String,
    /// The target as received: a path with its query, the whole URL at a proxy, or with `CONNECT`
    /// the host and port.
    pub target: String,
    /// The headers, with names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Bytes,
}

/// What a [`Scripted`] server does with a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Answers.
    Answer {
        /// The HTTP status.
        status: u16,
        /// The headers.
        headers: Vec<(String, String)>,
        /// The body.
        body: Bytes,
    },
    /// The same after this time.
    Late(Duration, Box<Reply>),
    /// No answer ever comes.
    Hang,
    /// The connection is closed without an answer.
    Close,
}

impl Reply {
    /// An answer without headers.
    pub fn new(status: u16, body: impl Into<Bytes>) -> Self {
        Self::Answer { status, headers: Vec::new(), body: body.into() }
    }

    /// Adds a header. Without effect where there is no answer.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        match &mut self {
            Self::Answer { headers, .. } => headers.push((name.to_owned(), value.to_owned())),
            Self::Late(_, reply) => {
                let later = std::mem::replace(&mut **reply, Self::Close);
                **reply = later.header(name, value);
            }
            Self::Hang | Self::Close => {}
        }
        self
    }
}

/// A server on 127.0.0.1 that records each request, and answers as its script says.
#[derive(Debug)]
pub struct Scripted {
    server: Server,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Scripted {
    /// Starts the server.
    ///
    /// # Errors
    ///
    /// The port cannot be bound.
    pub async fn start(
        script: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (script, record) = (Arc::new(script), Arc::clone(&asked));
        let server = Server::start(move |stream| {
            let (script, record) = (Arc::clone(&script), Arc::clone(&record));
            let handle = move |request| -> Answering<Full<Bytes>> {
                let (script, record) = (Arc::clone(&script), Arc::clone(&record));
                Box::pin(async move {
                    let request = read(request).await?;
                    record.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
                    answer((*script)(&request)).await
                })
            };
            serve_http(stream, handle)
        })
        .await?;
        Ok(Self { server, asked })
    }

    /// The address of the server.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The URL of this path, which begins with a slash or is empty.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.address())
    }

    /// The requests so far, in order of arrival.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn read(request: Request<Incoming>) -> Result<Asked, Hangup> {
    let (head, body) = request.into_parts();
    let value = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let headers = head.headers.iter();
    let headers =
        headers.map(|(name, text)| (name.as_str().to_owned(), value(text.as_bytes()))).collect();
    let body = body.collect().await.map_err(|_| Hangup::Close)?.to_bytes();
    Ok(Asked { method: head.method.to_string(), target: head.uri.to_string(), headers, body })
}

async fn answer(mut reply: Reply) -> Result<Response<Full<Bytes>>, Hangup> {
    while let Reply::Late(time, later) = reply {
        tokio::time::sleep(time).await;
        reply = *later;
    }
    match reply {
        Reply::Answer { status, headers, body } => {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            Ok(response.body(Full::from(body)).expect("what a test asks for can be sent"))
        }
        Reply::Late(..) | Reply::Hang => pending().await,
        Reply::Close => Err(Hangup::Close),
    }
}
