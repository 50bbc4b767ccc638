//! The instance metadata service, as far as the SDK asks it for the credentials of a node's role.

use sandbox::Issued;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Starts a service that gives these credentials, and returns its endpoint.
pub async fn start(credentials: &Issued) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let document = json!({
        "Code": "Success",
        "Type": "AWS-HMAC",
        "AccessKeyId": credentials.access_key_id,
        "SecretAccessKey": credentials.secret_access_key,
        "Token": credentials.session_token,
        "AccountId": credentials.account_id,
        "LastUpdated": "2026-01-01T00:00:00Z",
        "Expiration": humantime::format_rfc3339_seconds(credentials.expires).to_string(),
    })
    .to_string();
    let role = credentials.role.name.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            tokio::spawn(answer(stream, role.clone(), document.clone()));
        }
    });
    endpoint
}

/// Answers one request: for a session token, for the name of the role, or for its credentials.
async fn answer(mut stream: TcpStream, role: String, document: String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8_lossy(&head);
    let target = head.split(' ').nth(1).unwrap_or_default();
    let body = match target {
        "/latest/api/token" => "session".to_owned(),
        target if target.ends_with(&format!("/{role}")) => document,
        _ => role,
    };
    let answer = format!(
        "HTTP/1.1 200 OK\r\nx-aws-ec2-metadata-token-ttl-seconds: 21600\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let _ = stream.write_all(answer.as_bytes()).await;
}
