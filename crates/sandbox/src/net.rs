//! A listener on the loopback address, and the tasks that end with it.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// How long [`linger`] continues to read from an answered connection.
const LINGER: Duration = Duration::from_secs(2);

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// A server on one address. Dropping it closes the listener and
/// every connection.
pub(crate) struct Server {
    address: SocketAddr,
    serve: Arc<Serve>,
    running: Mutex<Running>,
    /// While the server is closed: its port, at which nothing listens, so that
    /// no other process takes it.
    reserved: Mutex<Option<TcpSocket>>,
}

/// Serves one connection until it ends.
type Serve = dyn Fn(TcpStream) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync;

/// The listener, which the task accepts from; `None` while the server is closed.
type Listener = Arc<Mutex<Option<TcpListener>>>;

impl Server {
    /// Binds 127.0.0.1 at a free port, and serves each connection: see
    /// [`Server::start_at`].
    pub(crate) async fn start<F, S>(serve: F) -> io::Result<Self>
    where
        F: Fn(TcpStream) -> S + Send + Sync + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into(), serve).await
    }

    /// Binds an address, and runs `serve` for each connection in a task of its
    /// own.
    pub(crate) async fn start_at<F, S>(address: SocketAddr, serve: F) -> io::Result<Self>
    where
        F: Fn(TcpStream) -> S + Send + Sync + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let serve: Arc<Serve> = Arc::new(move |stream| Box::pin(serve(stream)));
        let running = Mutex::new(Running::new(listener, Arc::clone(&serve)));
        Ok(Self { address, serve, running, reserved: Mutex::default() })
    }

    /// The address of the listener.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops listening, and ends the open connections.
    pub(crate) fn close(&self) {
        lock(&self.running).stop();
        *lock(&self.reserved) = reserve(self.address).ok();
    }

    /// Listens again, on the same address, after [`Server::close`].
    pub(crate) async fn open(&self) -> io::Result<()> {
        let reserved = lock(&self.reserved).take();
        let listener = match reserved {
            Some(socket) => socket.listen(BACKLOG)?,
            None => TcpListener::bind(self.address).await?,
        };
        *lock(&self.running) = Running::new(listener, Arc::clone(&self.serve));
        Ok(())
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Binds the address without listening, so that connections are refused.
fn reserve(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // As listeners have it: connections of the last one may not be gone yet.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// The listener, and the task that accepts connections from it.
struct Running {
    listener: Listener,
    task: JoinHandle<Infallible>,
}

impl Running {
    fn new(listener: TcpListener, serve: Arc<Serve>) -> Self {
        let listener: Listener = Arc::new(Mutex::new(Some(listener)));
        let task = tokio::spawn(accept(Arc::clone(&listener), serve));
        Self { listener, task }
    }

    /// Drops the listener here rather than in the task: an aborted task ends
    /// some time later, and the very next connection must be refused.
    fn stop(&self) {
        drop(lock(&self.listener).take());
        self.task.abort();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Accepts connections until the task is aborted.
async fn accept(listener: Listener, serve: Arc<Serve>) -> Infallible {
    // This task owns the connections, so that they end with it.
    let mut connections = JoinSet::new();
    loop {
        let accepted = poll_fn(|cx| match &*lock(&listener) {
            Some(listener) => listener.poll_accept(cx),
            None => Poll::Pending,
        });
        tokio::select! {
            accepted = accepted => match accepted {
                Ok((stream, _)) => {
                    let _ = stream.set_nodelay(true);
                    connections.spawn(serve(stream));
                }
                // Without file descriptors, accepting again at once would only spin.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How a handler ends a connection without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hangup {
    /// An orderly close (FIN).
    Close,
    /// A reset (RST).
    Reset,
}

impl fmt::Display for Hangup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the connection is to end: {self:?}")
    }
}

impl Error for Hangup {}

/// The future that a handler returns to [`serve_http`].
pub(crate) type Answering<B> = Pin<Box<dyn Future<Output = Result<Response<B>, Hangup>> + Send>>;

/// Serves HTTP/1.1 on one connection until it ends.
pub(crate) async fn serve_http<H, B>(stream: TcpStream, handle: H)
where
    H: Fn(Request<Incoming>) -> Answering<B> + Unpin,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let service = service_fn(handle);
    let mut connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let ended = poll_fn(|cx| connection.poll_without_shutdown(cx)).await;
    let stream = connection.into_parts().io.into_inner();
    let hangup = ended.err().and_then(|error| error.source()?.downcast_ref::<Hangup>().copied());
    match hangup {
        Some(Hangup::Close) => {}
        Some(Hangup::Reset) => reset(stream),
        None => linger(stream).await,
    }
}

/// Ends a connection with RST instead of FIN.
pub(crate) fn reset(stream: TcpStream) {
    let _ = stream.set_zero_linger();
    drop(stream);
}

/// Closes the connection for writing, and reads what the peer still sends. If
/// input is unread at the close, the kernel resets the connection, and the
/// reset can overtake an answer that was sent before the request's body was
/// read.
pub(crate) async fn linger(mut stream: TcpStream) {
    let drain = async {
        stream.shutdown().await?;
        let mut scrap = vec![0; 64 * 1024];
        while stream.read(&mut scrap).await? > 0 {}
        io::Result::Ok(())
    };
    let _ = tokio::time::timeout(LINGER, drain).await;
}
