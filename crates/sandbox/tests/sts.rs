//! Tests the stand-in for STS with the SDK's requests.

mod common;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use common::{Answer as Got, exchange, split};
use sandbox::{Agent, AgentOptions, Answer, Credentials, Issued, Sts, StsOptions};

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
async fn a_web_identity_token_is_exchanged_for_credentials_of_the_role() {
    let (sts, registry) = sts().await;
    let token = std::fs::read_to_string(sts.token_file()).unwrap();
    let answer = assume(&sts, &sts.role_arn(), &token).await;
    let text = answer.text();
    assert_eq!(answer.status(), 200, "{text}");
    let [issued] = &registry.issued()[..] else { panic!("one set of credentials") };
    assert_eq!(element(&text, "AccessKeyId"), issued.access_key_id);
    assert_eq!(element(&text, "SessionToken"), issued.session_token);
    assert_eq!(element(&text, "Arn"), "arn:aws:sts::123456789012:assumed-role/irsa/me");
    assert_eq!(element(&text, "SubjectFromWebIdentityToken"), "system:serviceaccount:demo:demo");
    let expires = humantime::parse_rfc3339(element(&text, "Expiration")).unwrap();
    let left = expires.duration_since(SystemTime::now()).unwrap();
    assert!(left > Duration::from_mins(59) && left <= Duration::from_secs(3601));
    assert!(registry.secrets().contains(&token));
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
    sts.distrust("demo", "demo");
    refused(&assume(&sts, &sts.role_arn(), &good).await, 403, "AccessDenied");
    assert!(registry.issued().is_empty());
    sts.trust("demo", "demo");
    assert_eq!(assume(&sts, &sts.role_arn(), &good).await.status(), 200);
}

#[tokio::test]
async fn get_caller_identity_names_the_role_while_the_credentials_are_valid() {
    let (sts, registry) = sts().await;
    let agent = Agent::start(registry.clone(), AgentOptions::default()).await.unwrap();
    let (uri, token) = (agent.uri(), agent.mint_token(|_| {}));
    let (host, path) = split(&uri);
    let ask = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {token}\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(exchange(host, &[ask.as_bytes()]).await.status(), 200);
    let issued: Issued = registry.issued().remove(0);
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

#[tokio::test]
async fn a_configured_answer_replaces_the_normal_one() {
    let (sts, _registry) = sts().await;
    let token = sts.mint_token(|_| {});
    sts.set_answer(Answer::Status(400, "IDPCommunicationError: try again".to_owned()));
    let answer = assume(&sts, &sts.role_arn(), &token).await;
    refused(&answer, 400, "IDPCommunicationError");
    assert_eq!(element(&answer.text(), "Message"), "try again");
    sts.set_answer(Answer::CloseConnection);
    assert!(assume(&sts, &sts.role_arn(), &token).await.head.is_empty());
    sts.set_answer(Answer::Normal);
    refused(&post(&sts, "", &[("Action", "AssumeRole")]).await, 400, "InvalidAction");
    assert_eq!(sts.requests(), 3);
}
