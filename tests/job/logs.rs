//! Tests the log: its first line, one line for each upload, and no secrets.

use crate::harness::World;

#[tokio::test]
async fn the_first_line_describes_the_job_and_its_identity() {
    let world = World::new().await;
    let host = world.sandbox.images.url("/random?token=hush");
    let host = host.split_once('?').expect("a query").0.to_owned();
    let done = world
        .job("/random", "--count 1 --interval 45s --key-prefix demo/")
        .without("RUST_LOG")
        .finish()
        .await
        .expect(0);
    let first: serde_json::Value = serde_json::from_str(&done.lines[0]).expect("JSON");
    let pod = gethostname::gethostname().into_string().expect("a plain host name");
    assert_eq!(first["level"], "INFO");
    assert_eq!(first["sources"], host);
    assert_eq!(first["interval"], "45s");
    assert_eq!(first["at"], world.sandbox.s3.endpoint());
    assert_eq!(first["destination"], format!("s3://{}/demo/{pod}/", world.sandbox.s3.bucket()));
    let issued = &world.sandbox.agent.issued()[0];
    assert_eq!(first["account"], issued.account_id);
    assert_eq!(first["provider"], "pod-identity");
    let message = first["message"].as_str().expect("a message");
    assert!(message.contains("every 45s") && message.contains(&host), "{message}");
    assert!(
        !done.lines.join("\n").contains(&issued.access_key_id),
        "the log contains the whole access key ID"
    );
}

#[tokio::test]
async fn an_upload_is_logged_in_one_line_with_key_size_and_times() {
    let world = World::new().await;
    let done = world.job("/picture?kind=gif", "--count 1").finish().await.expect(0);
    let [event] = &done.events("uploaded")[..] else { panic!("{:?}", done.lines) };
    let object = &world.objects().await[0];
    assert_eq!(event["key"], object.key);
    assert_eq!(event["size"], object.len);
    assert_eq!(event["kind"], "image/gif");
    assert_eq!(event["fetch_attempts"], 1);
    assert_eq!(event["upload_attempts"], 1);
    for number in ["fetch_ms", "upload_ms", "bytes_per_second"] {
        assert!(event[number].is_u64(), "{number}: {event}");
    }
}

#[tokio::test]
async fn the_text_format_is_readable_and_has_no_colours_without_a_terminal() {
    let world = World::new().await;
    let done = world
        .job("/random", "--count 1 --log-format text")
        .env("RUST_LOG", "info")
        .finish()
        .await
        .expect(0);
    assert!(done.lines[0].contains("INFO uploading a picture every"), "{}", done.lines[0]);
    assert!(done.lines.iter().any(|line| line.contains("INFO uploaded key=")), "{:?}", done.lines);
    assert!(
        !done.lines.iter().any(|line| line.contains('\x1b')),
        "the output is not a terminal, but has colours"
    );
}

#[tokio::test]
async fn rust_log_sets_the_level_of_the_log() {
    let world = World::new().await;
    let done = world.job("/random", "--count 1").env("RUST_LOG", "warn").finish().await.expect(0);
    assert!(done.lines.is_empty(), "{:?}", done.lines);
}

#[tokio::test]
async fn the_query_of_a_failed_url_is_not_logged() {
    let world = World::new().await;
    for target in ["/x?status=404&type=hush", "/x?refuse=9&type=hush", "/x?body=text&type=hush"] {
        let done = world.job(target, "--fetch-timeout 500ms").until_failed().await;
        assert!(!done.lines.join("\n").contains("hush"), "{:?}", done.lines);
    }
}

#[tokio::test]
async fn a_password_in_the_endpoint_is_not_shown() {
    let world = World::new().await;
    let environment = world.sandbox.env();
    let of_s3 = environment.iter().find(|(name, _)| name == "AWS_ENDPOINT_URL_S3");
    let (_, endpoint) = of_s3.expect("the sandbox's endpoint");
    let endpoint = endpoint.replace("://", "://user:endpoint-secret@");
    let job =
        world.job("/random", "--startup-grace 1s --count 1").env("AWS_ENDPOINT_URL_S3", endpoint);
    let done = job.env("RUST_LOG", "info").finish().await;
    let text = done.lines.join("\n");
    assert!(text.contains("http://127.0.0.1:") && !text.contains("endpoint-secret"), "{text}");
}
