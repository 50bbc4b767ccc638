//! A listener on loopback, and the tasks that live as long as it does.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// How long an answered connection is still read from, see [`linger`].
const LINGER: Duration = Duration::from_secs(2);

/// A server on 127.0.0.1 at a free port. Dropping it closes the listener and
/// every connection.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    task: JoinHandle<Infallible>,
}

impl Server {
    /// Binds, and hands each connection to `serve`, in a task of its own.
    pub(crate) async fn start<F, S>(serve: F) -> io::Result<Self>
    where
        F: Fn(TcpStream) -> S + Send + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            // Owned by this task, so that they end with it.
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => match accepted {
                        Ok((stream, _)) => {
                            let _ = stream.set_nodelay(true);
                            connections.spawn(serve(stream));
                        }
                        // Out of file descriptors: not a reason to spin.
                        Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                    },
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Ok(Self { address, task })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A handler's wish that the connection ends without an answer.
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

/// What a handler gives to [`serve_http`].
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

/// Closes for writing and reads what the peer still sends. Closing with
/// unread input makes the kernel reset the connection, and the reset can
/// overtake an answer given before the request's body was read.
async fn linger(mut stream: TcpStream) {
    let drain = async {
        stream.shutdown().await?;
        let mut scrap = vec![0; 64 * 1024];
        while stream.read(&mut scrap).await? > 0 {}
        io::Result::Ok(())
    };
    let _ = tokio::time::timeout(LINGER, drain).await;
}
