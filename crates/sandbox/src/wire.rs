//! A TCP proxy that produces the faults of a network.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::net::{self, Server};

/// The most that is passed on at once, in bytes.
const BUFFER: usize = 16 * 1024;

/// How long bytes may be on their way on this machine.
const ON_THEIR_WAY: Duration = Duration::from_millis(30);

/// What a [`Wire`] does with each connection.
#[derive(Clone, Debug, Default)]
pub enum Network {
    /// It passes everything on.
    #[default]
    Good,
    /// It refuses connections.
    Refuse,
    /// It resets connections once this many bytes of the request have arrived.
    ResetRequest(u64),
    /// It resets connections after this many bytes of the answers.
    ResetAnswer(u64),
    /// It resets connections once an answer has been passed on to its last byte.
    ResetAfterAnswer,
    /// It closes the client's side in an orderly way after this many bytes of
    /// the answers, and still accepts what the client sends.
    HalfClose(u64),
    /// It is a black hole: it accepts connections and everything that is sent,
    /// and passes nothing on.
    BlackHole,
    /// It accepts connections, and takes nothing that is sent.
    Deaf,
    /// It passes this many bytes of the requests on, and takes no more of them.
    DeafAfter(u64),
    /// It passes requests on, and stops passing answers on after this many bytes.
    Stall(u64),
    /// It passes everything on, but the first byte only after this time.
    SlowStart(Duration),
    /// It passes requests on this many bytes at a time, with a pause after each.
    Sip(usize, Duration),
    /// It passes answers on this many bytes at a time, with a pause after each.
    Drip(usize, Duration),
    /// It answers each request with these bytes and closes the connection.
    Answer(Vec<u8>),
    /// It answers each request with these bytes, and then zeros without end.
    Endless(Vec<u8>),
}

/// A proxy on 127.0.0.1 in front of one address, over a network that can be made
/// to fail.
#[derive(Debug)]
pub struct Wire {
    server: Server,
    /// What it is like now. Open connections end when it changes.
    network: watch::Sender<Network>,
    /// Bytes passed on so far, in both directions.
    passed: Arc<AtomicU64>,
}

impl Wire {
    /// Starts the proxy at a free port.
    ///
    /// # Errors
    ///
    /// A port cannot be bound.
    pub async fn start(to: SocketAddr) -> io::Result<Self> {
        let network = watch::Sender::new(Network::Good);
        let passed = Arc::default();
        let (shared, counter) = (network.clone(), Arc::clone(&passed));
        let server = Server::start(move |client| {
            let mut changes = shared.subscribe();
            let passed = Arc::clone(&counter);
            async move {
                let network = changes.borrow_and_update().clone();
                // A connection that breaks is what this proxy is for.
                tokio::select! {
                    _ = converse(client, to, network, &passed) => {}
                    _ = changes.changed() => {}
                }
            }
        })
        .await?;
        Ok(Self { server, network, passed })
    }

    /// The address of the proxy.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The number of bytes passed on so far, in both directions.
    #[must_use]
    pub fn passed(&self) -> u64 {
        self.passed.load(Ordering::SeqCst)
    }

    /// Changes the network, and ends the open connections.
    ///
    /// # Errors
    ///
    /// The network refused connections, and another process has taken the port.
    pub async fn set(&self, network: Network) -> io::Result<()> {
        let refuse = matches!(network, Network::Refuse);
        let refused = matches!(self.network.send_replace(network), Network::Refuse);
        if refuse {
            self.server.close();
        } else if refused {
            self.listen_again().await?;
        }
        Ok(())
    }

    /// A connection of another process may have the port for a moment.
    async fn listen_again(&self) -> io::Result<()> {
        let mut tries = 0;
        loop {
            match self.server.open().await {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries < 500 => tries += 1,
                done => return done,
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn converse(
    mut client: TcpStream,
    to: SocketAddr,
    network: Network,
    counter: &AtomicU64,
) -> io::Result<()> {
    match &network {
        Network::Refuse => return Ok(()),
        Network::ResetRequest(bytes) => {
            discard(&mut client, *bytes).await?;
            net::reset(client);
            return Ok(());
        }
        Network::Deaf => return std::future::pending().await,
        Network::BlackHole => return discard(&mut client, u64::MAX).await,
        Network::Answer(bytes) => {
            head(&mut client).await?;
            client.write_all(bytes).await?;
            net::linger(client).await;
            return Ok(());
        }
        Network::Endless(bytes) => {
            head(&mut client).await?;
            client.write_all(bytes).await?;
            loop {
                client.write_all(&[0; 16 * 1024]).await?;
            }
        }
        Network::SlowStart(time) => sleep(*time).await,
        _ => {}
    }
    pass(client, to, &network, counter).await
}

/// Passes requests and answers on, until the connection ends or the network
/// ends it.
async fn pass(
    mut client: TcpStream,
    to: SocketAddr,
    network: &Network,
    counter: &AtomicU64,
) -> io::Result<()> {
    let mut server = TcpStream::connect(to).await?;
    let (mut request, mut answer) = (vec![0; BUFFER], vec![0; BUFFER]);
    let limit = match network {
        Network::ResetAnswer(bytes) | Network::HalfClose(bytes) | Network::Stall(bytes) => *bytes,
        _ => u64::MAX,
    };
    let piece = if let Network::Drip(bytes, _) = network { *bytes } else { BUFFER };
    let sip = if let Network::Sip(bytes, _) = network { *bytes } else { BUFFER };
    let resets = matches!(network, Network::ResetAfterAnswer);
    let most = if let Network::DeafAfter(bytes) = network { *bytes } else { u64::MAX };
    let (mut asked, mut passed) = (0, 0);
    loop {
        tokio::select! {
            length = client.read(&mut request[..sip]), if asked < most => match length? {
                0 => return Ok(()),
                length => {
                    server.write_all(&request[..length]).await?;
                    if let Network::Sip(_, pause) = network {
                        sleep(*pause).await;
                    }
                    asked += length as u64;
                    counter.fetch_add(length as u64, Ordering::SeqCst);
                }
            },
            length = server.read(&mut answer[..piece]), if passed < limit || limit == 0 => {
                let length = length?;
                if length == 0 {
                    // If the client is still sending, a reset could overtake the answer.
                    net::linger(client).await;
                    return Ok(());
                }
                let allowed = usize::try_from(limit - passed).map_or(length, |left| left.min(length));
                client.write_all(&answer[..allowed]).await?;
                passed += allowed as u64;
                counter.fetch_add(allowed as u64, Ordering::SeqCst);
                match network {
                    Network::ResetAnswer(_) if passed == limit => {
                        // The bytes would be lost with the reset if they were still on their way.
                        sleep(ON_THEIR_WAY).await;
                        net::reset(client);
                        return Ok(());
                    }
                    Network::HalfClose(_) if passed == limit => client.shutdown().await?,
                    Network::Drip(_, pause) => sleep(*pause).await,
                    _ => {}
                }
            }
            () = sleep(ON_THEIR_WAY), if resets && passed > 0 => {
                net::reset(client);
                return Ok(());
            }
        }
    }
}

/// Reads and drops this many bytes, or all that the client sends.
async fn discard(client: &mut TcpStream, bytes: u64) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    let mut seen = 0;
    while seen < bytes {
        match client.read(&mut buffer).await? {
            0 => break,
            length => seen += length as u64,
        }
    }
    Ok(())
}

/// Reads the head of a request.
async fn head(client: &mut TcpStream) -> io::Result<()> {
    let mut seen = Vec::new();
    while !seen.windows(4).any(|four| four == b"\r\n\r\n") && client.read_buf(&mut seen).await? > 0
    {
    }
    Ok(())
}
