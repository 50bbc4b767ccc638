//! TLS in front of a server, with certificates in order or not.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use tempfile::NamedTempFile;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// What is wrong with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    None,
    Expired,
    OtherHost,
    UnknownIssuer,
}

/// The certificate authority that the program trusts.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub file: NamedTempFile,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let mut file = NamedTempFile::new().expect("a file");
        file.write_all(certificate.pem().as_bytes()).expect("written");
        Self { issuer: Issuer::new(params, key), file }
    }

    fn server(&self, flaw: Flaw) -> TlsAcceptor {
        let name = if flaw == Flaw::OtherHost { "example.org" } else { "localhost" };
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        if flaw == Flaw::Expired {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        }
        let key = KeyPair::generate().expect("a key");
        let other = Self::new();
        let issuer = if flaw == Flaw::UnknownIssuer { &other.issuer } else { &self.issuer };
        let certificate = params.signed_by(&key, issuer).expect("a certificate");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions of TLS")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("a TLS configuration");
        TlsAcceptor::from(Arc::new(config))
    }
}

/// A proxy that adds TLS.
pub struct Tls {
    pub port: u16,
    acceptor: Arc<Mutex<TlsAcceptor>>,
    /// Changes when the open connections must end.
    changed: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl Tls {
    pub async fn start(authority: &Authority, to: SocketAddr) -> Self {
        let acceptor = Arc::new(Mutex::new(authority.server(Flaw::None)));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let changed = watch::Sender::new(());
        let (shared, change) = (Arc::clone(&acceptor), changed.clone());
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let tls = shared.lock().expect("no panic").clone();
                let mut change = change.subscribe();
                tokio::spawn(async move {
                    let serve = async {
                        let mut client = tls.accept(client).await?;
                        let mut server = TcpStream::connect(to).await?;
                        copy_bidirectional(&mut client, &mut server).await
                    };
                    tokio::select! {
                        _ = serve => {}
                        _ = change.changed() => {}
                    }
                });
            }
        });
        Self { port, acceptor, changed, task }
    }

    pub fn set(&self, authority: &Authority, flaw: Flaw) {
        *self.acceptor.lock().expect("no panic") = authority.server(flaw);
        self.changed.send_replace(());
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        self.task.abort();
    }
}
