//! Tests HTTPS: the program verifies certificates, and follows no redirect to HTTP.

use std::io::Write;
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tempfile::NamedTempFile;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::harness::World;

/// A proxy that adds TLS, with a self-signed certificate, to the world's image host.
struct Https {
    port: u16,
    certificate: NamedTempFile,
    server: JoinHandle<()>,
}

impl Https {
    async fn in_front_of(world: &World) -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let mut certificate = NamedTempFile::new().expect("a file");
        certificate.write_all(cert.pem().as_bytes()).expect("written");
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions of TLS")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .expect("a TLS configuration");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let host = world.sandbox.images.url("").replace("http://", "");
        let server = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (acceptor, host) = (acceptor.clone(), host.clone());
                tokio::spawn(async move {
                    let mut client = acceptor.accept(client).await?;
                    let mut server = TcpStream::connect(host).await?;
                    copy_bidirectional(&mut client, &mut server).await
                });
            }
        });
        Self { port, certificate, server }
    }

    fn url(&self, target: &str) -> String {
        format!("https://localhost:{}{target}", self.port)
    }
}

impl Drop for Https {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[tokio::test]
async fn a_picture_is_fetched_over_https_with_a_trusted_certificate() {
    let world = World::new().await;
    let https = Https::in_front_of(&world).await;
    world
        .job_from(&https.url("/random"), "--count 1")
        .env("SSL_CERT_FILE", https.certificate.path())
        .finish()
        .await
        .expect(0);
    assert_eq!(world.objects().await.len(), 1);
}

#[tokio::test]
async fn an_untrusted_certificate_is_rejected() {
    let world = World::new().await;
    let https = Https::in_front_of(&world).await;
    let job = world.job_from(&https.url("/random"), "--fetch-timeout 5s").start();
    job.wrote("upload failed", 1).await;
    let done = job.terminate().await.expect(143);
    let event = &done.events("upload failed")[0];
    assert_eq!(event["reason"], "connect");
    assert!(event["error"].as_str().is_some_and(|said| said.contains("certificate")), "{event}");
    assert!(world.sandbox.images.requests().is_empty());
}

#[tokio::test]
async fn a_redirect_from_https_to_http_is_not_followed() {
    let world = World::new().await;
    let https = Https::in_front_of(&world).await;
    let target = format!("/x?redirect={}", world.sandbox.images.url("/random"));
    let job = world
        .job_from(&https.url(&target), "")
        .env("SSL_CERT_FILE", https.certificate.path())
        .start();
    job.wrote("upload failed", 1).await;
    let done = job.terminate().await.expect(143);
    assert_eq!(done.events("upload failed")[0]["reason"], "redirect");
    assert_eq!(world.sandbox.images.requests().len(), 1);
    assert_eq!(world.objects().await.len(), 0);
}
