//! Tests the keys that EKS Auth fetches.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sandbox::{EksAuth, KeySource};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::{assume, eks_auth, pod, token};

/// An API server that publishes keys to the bearer of a token.
struct KeyServer {
    url: String,
    keys: Arc<Mutex<String>>,
    requests: Arc<AtomicUsize>,
}

impl KeyServer {
    async fn start(keys: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/openid/v1/jwks", listener.local_addr().unwrap());
        let (keys, requests) = (Arc::new(Mutex::new(keys.to_owned())), Arc::default());
        let (shared, counted) = (Arc::clone(&keys), Arc::clone(&requests));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let counted: &AtomicUsize = &counted;
                counted.fetch_add(1, Ordering::SeqCst);
                let mut head = vec![0; 4096];
                let length = stream.read(&mut head).await.unwrap_or_default();
                let head = String::from_utf8_lossy(&head[..length]).to_lowercase();
                let body = shared.lock().unwrap().clone();
                let allowed = head.contains("authorization: bearer let-me-in\r\n");
                let status = if allowed { "200 OK" } else { "401 Unauthorized" };
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                );
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self { url, keys, requests }
    }
}

#[tokio::test]
async fn keys_are_fetched_with_the_bearer_token_and_again_when_they_change() {
    let server = KeyServer::start(r#"{"keys":[]}"#).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "wrong").unwrap();
    let (url, bearer_token_file) = (server.url.clone(), Some(file.path().to_owned()));
    let eks_auth = eks_auth(KeySource::Url { url, bearer_token_file, ca: None }).await;
    let pod = pod().await;
    let token = token(&pod, |_| {});
    let got = assume(&eks_auth.endpoint(), &token).await;
    assert_eq!(
        (got.status(), got.header("x-amzn-errortype")),
        (503, Some("ServiceUnavailableException"))
    );
    assert!(got.text().contains("401"), "{}", got.text());

    std::fs::write(file.path(), "let-me-in\n").unwrap();
    let got = assume(&eks_auth.endpoint(), &token).await;
    assert_eq!(got.header("x-amzn-errortype"), Some("InvalidTokenException"), "{}", got.text());
    assert_eq!(server.requests.load(Ordering::SeqCst), 2);
    // Tokens with unknown keys do not cause a request each.
    assert_eq!(assume(&eks_auth.endpoint(), &token).await.status(), 400);
    assert_eq!(server.requests.load(Ordering::SeqCst), 2);

    *server.keys.lock().unwrap() = EksAuth::own_keys();
    let mut status = 0;
    for _ in 0..100 {
        status = assume(&eks_auth.endpoint(), &token).await.status();
        if status == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(status, 200);
    let asked = server.requests.load(Ordering::SeqCst);
    assert_eq!(assume(&eks_auth.endpoint(), &token).await.status(), 200);
    assert_eq!(server.requests.load(Ordering::SeqCst), asked);
}
