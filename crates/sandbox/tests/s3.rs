//! Tests the S3: access, stored objects and faults.

mod common;
mod signed;

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sandbox::Fault;
use signed::{Signed, store};

fn crc(body: &[u8]) -> String {
    STANDARD.encode(crc32fast::hash(body).to_be_bytes())
}

#[tokio::test]
async fn only_requests_with_valid_credentials_are_accepted() {
    let (store, registry, key) = store().await;
    let right = Signed::new(&store, &key);
    let bare = Signed { token: None, ..Signed::new(&store, &key) };
    let wrong = Signed { token: Some("another"), ..Signed::new(&store, &key) };
    let mut stolen = key.clone();
    stolen.secret_access_key = "x".repeat(40);
    let forged = Signed::new(&store, &stolen);
    let mut unknown = key.clone();
    unknown.access_key_id = "ASIAZZZZZZZZZZZZZZZZ".to_owned();
    let stranger = Signed::new(&store, &unknown);
    // The body does not fit into the socket buffers, but the answer must arrive nevertheless.
    let body = vec![7; 8 << 20];
    for (request, status, code) in [
        (&bare, 403, "InvalidAccessKeyId"),
        (&wrong, 400, "InvalidToken"),
        (&forged, 403, "SignatureDoesNotMatch"),
        (&stranger, 403, "InvalidAccessKeyId"),
    ] {
        let answer = request.send("PUT", "/pictures/a", &[], &body).await;
        assert_eq!(answer.status(), status, "{code}: {}", answer.text());
        assert!(answer.text().contains(code), "{code}: {}", answer.text());
    }
    registry.expire_all();
    let answer = right.send("PUT", "/pictures/a", &[], &body).await;
    assert_eq!(answer.status(), 400);
    assert!(answer.text().contains("<Code>ExpiredToken</Code>"), "{}", answer.text());
    assert!(answer.text().contains("The provided token has expired."));
    let anonymous = common::get(&format!("{}/pictures/a", store.endpoint())).await;
    assert_eq!(anonymous.status(), 403);
    assert!(store.objects().is_empty());
}

#[tokio::test]
async fn a_missing_bucket_is_not_created() {
    let (store, _registry, key) = store().await;
    let request = Signed::new(&store, &key);
    for (method, path) in [("PUT", "/missing/a"), ("POST", "/missing/a?uploads=")] {
        let answer = request.send(method, path, &[], b"").await;
        assert_eq!(answer.status(), 404);
        assert!(answer.text().contains("NoSuchBucket"), "{}", answer.text());
    }
    assert!(!store.root().join("missing").exists());
}

#[tokio::test]
async fn a_checksum_that_does_not_match_leaves_no_object() {
    let (store, _registry, key) = store().await;
    let request = Signed::new(&store, &key);
    let body = b"one body";
    let wrong = crc(b"another body");
    let extra = [("x-amz-checksum-crc32", wrong.as_str())];
    let sum = common::hex(&[7; 32]);
    let signed = Signed { content: &sum, ..Signed::new(&store, &key) };
    for (answer, code) in [
        (request.send("PUT", "/pictures/a", &extra, body).await, "BadDigest"),
        (request.send_trailing("/pictures/a", body, &wrong).await, "BadDigest"),
        (signed.send("PUT", "/pictures/a", &[], body).await, "XAmzContentSHA256Mismatch"),
    ] {
        assert_eq!(answer.status(), 400, "{}", answer.text());
        assert!(answer.text().contains(code), "{}", answer.text());
    }
    assert!(store.objects().is_empty() && store.leftovers().is_empty());
    let answer = request.send_trailing("/pictures/a", body, &crc(body)).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(store.objects()[0].crc32().unwrap(), crc32fast::hash(body));
}

fn between<'a>(text: &'a str, tag: &str) -> &'a str {
    let (_, rest) = text.split_once(&format!("<{tag}>")).expect("the tag is there");
    rest.split_once('<').map_or(rest, |(value, _)| value)
}

#[tokio::test]
async fn a_multipart_upload_continues_with_new_credentials_and_checks_its_parts() {
    let (store, registry, key) = store().await;
    let old = Signed::new(&store, &key);
    let extra = [("content-type", "image/gif")];
    let created = old.send("POST", "/pictures/big?uploads=", &extra, b"").await.text();
    let id = between(&created, "UploadId");
    let renewed = registry.issue(Duration::from_hours(1));
    let request = Signed::new(&store, &renewed);
    let first = vec![1; 5 << 20];
    let path = |number: u8| format!("/pictures/big?partNumber={number}&uploadId={id}");

    let wrong = request.send_trailing(&path(1), &first, &crc(b"x")).await;
    assert!(wrong.status() == 400 && wrong.text().contains("BadDigest"), "{}", wrong.text());
    assert_eq!(store.leftovers().parts, 0);
    let one = old.send_trailing(&path(1), &first, &crc(&first)).await;
    assert_eq!(one.header("x-amz-checksum-crc32"), Some(crc(&first).as_str()));
    let two = request.send("PUT", &path(2), &[], b"the end").await;
    assert_eq!((store.leftovers().uploads, store.leftovers().parts), (1, 2));

    let document = |first: &str, second: &str| {
        format!(
            "<CompleteMultipartUpload><Part><ETag>{first}</ETag><PartNumber>1</PartNumber></Part><Part><ETag>{second}</ETag><PartNumber>2</PartNumber></Part></CompleteMultipartUpload>"
        )
    };
    let tags = (one.header("etag").unwrap(), two.header("etag").unwrap());
    let complete = format!("/pictures/big?uploadId={id}");
    let mixed = document(tags.1, tags.0);
    let refused = request.send("POST", &complete, &[], mixed.as_bytes()).await;
    assert!(refused.text().contains("InvalidPart"), "{}", refused.text());
    let good = document(tags.0, tags.1);
    store.fail("CompleteMultipartUpload", 1, Fault::LoseAnswer);
    assert!(request.send("POST", &complete, &[], good.as_bytes()).await.head.is_empty());
    let again = request.send("POST", &complete, &[], good.as_bytes()).await;
    assert!(again.status() == 200 && again.text().contains("<ETag>"), "{}", again.text());

    let object = &store.objects()[0];
    assert_eq!(object.len, (5 << 20) + 7);
    assert_eq!(object.content_type.as_deref(), Some("image/gif"));
    assert!(store.leftovers().is_empty());
    let gone = request.send("DELETE", &complete, &[], b"").await;
    assert!(gone.text().contains("NoSuchUpload"), "{}", gone.text());
}
