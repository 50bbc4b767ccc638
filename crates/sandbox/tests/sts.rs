//! Tests the stand-in for STS with the SDK's requests.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Answer as Got, exchange, split};
use sandbox::{Credentials, Sts, StsOptions};

async fn sts() -> (Sts, Arc<Credentials>) {
    let registry = Credentials::new();
    (Sts::start(registry.clone(), StsOptions::default()).await.unwrap(), registry)
}

async fn post(sts: &Sts, headers: &str, form: &[(&str, &str)]) -> Got {
    let endpoint = sts.endpoint();
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let length = body.len();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: sts\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    exchange(split(&endpoint).0, &[head.as_bytes(), body.as_bytes()]).await
}

async fn assume(sts: &Sts, role: &str, token: &str) -> Got {
    let form = [
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", "2011-06-15"),
        ("RoleArn", role),
        ("RoleSessionName", "me"),
        ("WebIdentityToken", token),
    ];
    post(sts, "", &form).await
}

async fn who(sts: &Sts, key: &str, token: Option<&str>) -> Got {
    let token = token.map(|token| format!("X-Amz-Security-Token: {token}\r\n")).unwrap_or_default();
    let headers = format!(
        "Authorization: AWS4-HMAC-SHA256 Credential={key}/20261123/us-east-1/sts/aws4_request, SignedHeaders=host, Signature=0\r\n{token}"
    );
    post(sts, &headers, &[("Action", "GetCallerIdentity"), ("Version", "2011-06-15")]).await
}

fn element<'a>(text: &'a str, name: &str) -> &'a str {
    let (_, rest) =
        text.split_once(&format!("<{name}>")).unwrap_or_else(|| panic!("{name}: {text}"));
    rest.split('<').next().unwrap()
}

fn refused(answer: &Got, status: u16, code: &str) {
    assert_eq!((answer.status(), element(&answer.text(), "Code")), (status, code));
}

#[tokio::test]
async fn invalid_web_identity_tokens_get_the_error_codes_of_sts() {
    let (sts, registry) = sts().await;
    let expired = sts.mint_token(|claims| claims.exp = claims.iat - 1);
    let elsewhere = sts.mint_token(|claims| claims.aud = vec!["pods.eks.amazonaws.com".to_owned()]);
    let stranger = self::sts().await.0.mint_token(|_| {});
    let good = sts.mint_token(|_| {});
    let forged = format!("{}AAAA", &good[..good.len() - 4]);
    for (token, status, code) in [
        (expired.as_str(), 400, "ExpiredTokenException"),
        (&elsewhere, 400, "InvalidIdentityToken"),
        (&stranger, 400, "InvalidIdentityToken"),
        (&forged, 400, "InvalidIdentityToken"),
        ("nonsense", 400, "InvalidIdentityToken"),
        ("", 400, "ValidationError"),
    ] {
        refused(&assume(&sts, &sts.role_arn(), token).await, status, code);
    }
    refused(
        &assume(&sts, "arn:aws:iam::123456789012:role/other", &good).await,
        403,
        "AccessDenied",
    );
    assert!(registry.issued().is_empty());
    assert_eq!(assume(&sts, &sts.role_arn(), &good).await.status(), 200);
}

#[tokio::test]
async fn get_caller_identity_names_the_role_while_the_credentials_are_valid() {
    let (sts, registry) = sts().await;
    let issued = registry.issue(Duration::from_hours(1));
    let (key, token) = (&issued.access_key_id, issued.session_token.as_str());

    let answer = who(&sts, key, Some(token)).await;
    let text = answer.text();
    assert_eq!((answer.status(), element(&text, "Account")), (200, "123456789012"), "{text}");
    assert_eq!(element(&text, "Arn"), issued.arn());
    assert_eq!(element(&text, "UserId"), format!("{}:{}", issued.role.id, issued.session_name));

    refused(&who(&sts, key, None).await, 403, "InvalidClientTokenId");
    refused(&who(&sts, key, Some("another")).await, 403, "InvalidClientTokenId");
    refused(&who(&sts, "ASIAZZZZZZZZZZZZZZZZ", Some(token)).await, 403, "InvalidClientTokenId");
    let unsigned = post(&sts, "", &[("Action", "GetCallerIdentity")]).await;
    refused(&unsigned, 403, "MissingAuthenticationToken");
    registry.expire_all();
    refused(&who(&sts, key, Some(token)).await, 403, "ExpiredToken");
}
