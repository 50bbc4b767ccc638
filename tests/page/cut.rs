//! A TCP proxy that can be cut, as a port-forward is when its node goes away.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

pub struct Proxy {
    at: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    cut: bool,
    connections: JoinSet<()>,
}

impl Proxy {
    /// Passes connections on to this address.
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = listener.local_addr().expect("an address");
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            loop {
                let (mut client, _) = listener.accept().await.expect("a connection");
                let mut state = shared.lock().expect("no panic");
                if !state.cut {
                    state.connections.spawn(async move {
                        if let Ok(mut server) = TcpStream::connect(server).await {
                            let _ = copy_bidirectional(&mut client, &mut server).await;
                        }
                    });
                }
            }
        });
        Self { at, state }
    }

    /// The URL of the page behind it.
    pub fn url(&self) -> String {
        format!("http://{}/", self.at)
    }

    /// Closes all connections, and each new one at once.
    pub fn cut(&self) {
        let mut state = self.state.lock().expect("no panic");
        state.cut = true;
        state.connections.abort_all();
    }

    /// Passes connections on again.
    pub fn restore(&self) {
        self.state.lock().expect("no panic").cut = false;
    }
}
