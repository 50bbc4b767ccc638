//! Connections to AWS, to credential endpoints and to proxies.
//!
//! Each step has an error of its own, so that a diagnosis can say which one failed: the look-up of the
//! name, the connection, the proxy's tunnel, TLS.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::TryFutureExt;
use futures_util::future::BoxFuture;
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::http::{Method, Request, StatusCode, Uri, header};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::dns::{GaiAddrs, GaiResolver, Name};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tower_service::Service;

use super::ends::Ends;
use crate::errors::find_cause;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("the host name {host} cannot be resolved")]
    Name { host: String, source: io::Error },
    #[error("no connection to {0}")]
    Tcp(String, #[source] io::Error),
    #[error("no connection within {0:?}")]
    Timeout(Duration),
    #[error("TLS with {0} failed")]
    Tls(String, #[source] io::Error),
    #[error("the proxy {0} cannot be reached")]
    Proxy(String, #[source] Box<ConnectError>),
    #[error("the proxy {proxy} refused the connection with status {status}")]
    Refused { proxy: String, status: StatusCode },
    #[error("the proxy {0} did not open a tunnel")]
    Tunnel(String, #[source] hyper::Error),
    #[error("{0} is no URL of a host")]
    NoHost(String),
}

/// The certificates of the system or of `SSL_CERT_FILE`, which are read once.
static ROOTS: LazyLock<RootCertStore> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
});

/// Whether any certificate could be read.
pub(crate) fn has_certificates() -> bool {
    !ROOTS.is_empty()
}

/// The system's resolver, whose errors are told from those of the connection.
#[derive(Clone)]
struct Resolver(GaiResolver);

#[derive(Debug, thiserror::Error)]
#[error("the name cannot be resolved: {0}")]
struct Unresolved(io::Error);

impl Service<Name> for Resolver {
    type Response = GaiAddrs;
    type Error = Unresolved;
    type Future = BoxFuture<'static, Result<GaiAddrs, Unresolved>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Unresolved>> {
        self.0.poll_ready(context).map_err(Unresolved)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        Box::pin(self.0.call(name).map_err(Unresolved))
    }
}

/// What connects to a URL, through a proxy if the settings say so. Cheap to clone.
#[derive(Clone)]
pub(super) struct Connector {
    tcp: HttpConnector<Resolver>,
    tls: Arc<ClientConfig>,
    proxies: Option<Arc<Matcher>>,
    limit: Option<Duration>,
}

impl Connector {
    /// A connector that takes at most `limit` for a connection with all its steps.
    pub(super) fn new(proxies: Option<Arc<Matcher>>, limit: Option<Duration>) -> Self {
        let mut tls =
            ClientConfig::builder().with_root_certificates(ROOTS.clone()).with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut tcp = HttpConnector::new_with_resolver(Resolver(GaiResolver::new()));
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        Self { tcp, tls: Arc::new(tls), proxies, limit }
    }

    async fn connect(self, to: Uri) -> Result<Stream, ConnectError> {
        let connecting = self.open(&to);
        match self.limit {
            None => connecting.await,
            Some(limit) => timeout(limit, connecting).await.unwrap_or_else(|_elapsed| {
                Err(through(self.proxy(&to), ConnectError::Timeout(limit)))
            }),
        }
    }

    fn proxy(&self, to: &Uri) -> Option<Intercept> {
        self.proxies.as_ref()?.intercept(to)
    }

    async fn open(&self, to: &Uri) -> Result<Stream, ConnectError> {
        let is_https = to.scheme_str() == Some("https");
        let (stream, is_forward) = match self.proxy(to) {
            None => (self.reach(to, false).await?, false),
            Some(proxy) => {
                let stream = self
                    .reach(proxy.uri(), proxy.uri().scheme_str() == Some("https"))
                    .await
                    .map_err(|error| through(Some(proxy.clone()), error))?;
                if is_https { (tunnel(stream, to, &proxy).await?, false) } else { (stream, true) }
            }
        };
        let stream = if is_https { self.secure(stream, to).await? } else { stream };
        Ok(Stream { is_forward, ..stream })
    }

    /// A TCP connection, and TLS on it if `secure`.
    async fn reach(&self, to: &Uri, secure: bool) -> Result<Stream, ConnectError> {
        let (host, port) = host_and_port(to)?;
        let stream = self.tcp.clone().call(to.clone()).await.map_err(|error| {
            let io = |error: &io::Error| io::Error::new(error.kind(), error.to_string());
            match find_cause::<Unresolved>(&error) {
                Some(Unresolved(why)) => {
                    ConnectError::Name { host: host.to_owned(), source: io(why) }
                }
                None => ConnectError::Tcp(
                    format!("{host} port {port}"),
                    find_cause(&error).map_or_else(|| io::Error::other(error.to_string()), io),
                ),
            }
        })?;
        let ends = ends_of(stream.inner());
        let stream = Stream { ends, ..Stream::new(stream) };
        if secure { self.secure(stream, to).await } else { Ok(stream) }
    }

    async fn secure(&self, stream: Stream, to: &Uri) -> Result<Stream, ConnectError> {
        let (host, _) = host_and_port(to)?;
        let ends = stream.ends;
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| ConnectError::NoHost(host.to_owned()))?;
        let connecting =
            TlsConnector::from(Arc::clone(&self.tls)).connect(name, TokioIo::new(stream));
        let stream = connecting.await.map_err(|error| ConnectError::Tls(host.to_owned(), error))?;
        Ok(Stream { ends, ..Stream::new(TokioIo::new(stream)) })
    }
}

fn ends_of(stream: &TcpStream) -> Option<Ends> {
    Some(Ends(stream.local_addr().ok()?, stream.peer_addr().ok()?))
}

/// The error as one of the way to the proxy, if there is one.
fn through(proxy: Option<Intercept>, error: ConnectError) -> ConnectError {
    match proxy {
        Some(proxy) => ConnectError::Proxy(name_of(proxy.uri()), Box::new(error)),
        None => error,
    }
}

/// Host and port of a URL: nothing of it is secret.
pub(super) fn name_of(uri: &Uri) -> String {
    match host_and_port(uri) {
        Ok((host, port)) => format!("{host}:{port}"),
        Err(_) => "without a host".to_owned(),
    }
}

/// The host, an IPv6 address without its brackets, and the port.
fn host_and_port(uri: &Uri) -> Result<(&str, u16), ConnectError> {
    let host = uri.host().filter(|host| !host.is_empty());
    let host = host.ok_or_else(|| ConnectError::NoHost("an address".to_owned()))?;
    let default = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Ok((bare, uri.port_u16().unwrap_or(default)))
}

/// A tunnel through the proxy to this host: <https://www.rfc-editor.org/rfc/rfc9110#CONNECT>.
async fn tunnel(stream: Stream, to: &Uri, proxy: &Intercept) -> Result<Stream, ConnectError> {
    let name = name_of(proxy.uri());
    let failed = |error| ConnectError::Tunnel(name.clone(), error);
    let ends = stream.ends;
    let (mut sender, connection) = http1::handshake(stream).await.map_err(failed)?;
    tokio::spawn(connection.with_upgrades());
    let authority = format!("{}:{}", to.host().unwrap_or_default(), to.port_u16().unwrap_or(443));
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.method_mut() = Method::CONNECT;
    let target = Uri::builder().authority(authority.as_str()).build();
    *request.uri_mut() = target.map_err(|_| ConnectError::NoHost(authority.clone()))?;
    if let Ok(host) = authority.parse() {
        request.headers_mut().insert(header::HOST, host);
    }
    if let Some(authorization) = proxy.basic_auth() {
        request.headers_mut().insert(header::PROXY_AUTHORIZATION, authorization.clone());
    }
    let response = sender.send_request(request).await.map_err(failed)?;
    if !response.status().is_success() {
        return Err(ConnectError::Refused { proxy: name, status: response.status() });
    }
    let upgraded = hyper::upgrade::on(response).await.map_err(failed)?;
    Ok(Stream { ends, ..Stream::new(upgraded) })
}

trait Transport: Read + Write + Send + Unpin {}

impl<T: Read + Write + Send + Unpin> Transport for T {}

/// An open connection.
pub(super) struct Stream {
    inner: Box<dyn Transport>,
    /// Whether a proxy forwards requests for plain HTTP, which then name the whole URL.
    is_forward: bool,
    /// Those of the TCP connection.
    ends: Option<Ends>,
}

impl Stream {
    fn new(inner: impl Transport + 'static) -> Self {
        Self { inner: Box::new(inner), is_forward: false, ends: None }
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        let connected = Connected::new().proxy(self.is_forward);
        match self.ends {
            Some(ends) => connected.extra(ends),
            None => connected,
        }
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.inner).poll_read(context, buffer)
    }
}

impl Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.inner).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.inner).poll_shutdown(context)
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = ConnectError;
    type Future = BoxFuture<'static, Result<Stream, ConnectError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        Box::pin(self.clone().connect(to))
    }
}
