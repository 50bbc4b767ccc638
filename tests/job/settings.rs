//! Tests that invalid settings are reported, all at once and before the program contacts anything,
//! and tests the output of `--help` and `--version`.

use crate::harness::World;

#[tokio::test]
async fn all_invalid_settings_are_reported_at_once_before_anything_is_contacted() {
    let world = World::new().await;
    let done = world
        .job("/random", "--interval soon --count 0 --concurrency 0 --max-image-size much")
        .env("S3_BUCKET_NAME", "No_Bucket")
        .env("S3_KEY_PREFIX", "/a b")
        .env("IMAGE_URL", "ftp://host/x,nowhere")
        .env("FETCH_TIMEOUT", "0s")
        .env("CONNECT_TIMEOUT", "x")
        .env("READ_TIMEOUT", "")
        .env("ALLOW_PRIVATE_SOURCE", "maybe")
        .env("SHUTDOWN_GRACE", "1000y")
        .env("LISTEN_ADDR", "localhost")
        .env("PAGE", "perhaps")
        .env("KEEP_PICTURES", "101")
        .env("PAGE_HOSTS", "demo.example.com:80")
        .env("LOG_FORMAT", "xml")
        .env("RUST_LOG", "a=b=c")
        .without("AWS_REGION")
        .without("AWS_DEFAULT_REGION")
        .finish()
        .await
        .expect(2);
    for setting in [
        "--bucket / S3_BUCKET_NAME",
        "AWS_REGION",
        "--image-url / IMAGE_URL: the scheme ftp",
        "--image-url / IMAGE_URL: not a URL",
        "--interval / INTERVAL",
        "--count / COUNT",
        "--concurrency / CONCURRENCY",
        "--key-prefix / S3_KEY_PREFIX",
        "--max-image-size / MAX_IMAGE_SIZE",
        "--fetch-timeout / FETCH_TIMEOUT",
        "--connect-timeout / CONNECT_TIMEOUT",
        "--read-timeout / READ_TIMEOUT",
        "--allow-private-source / ALLOW_PRIVATE_SOURCE",
        "--shutdown-grace / SHUTDOWN_GRACE",
        "--listen / LISTEN_ADDR",
        "--page / PAGE",
        "--keep-pictures / KEEP_PICTURES",
        "--page-hosts / PAGE_HOSTS",
        "--log-format / LOG_FORMAT",
        "--log / RUST_LOG",
    ] {
        let said = done.lines.iter().filter(|line| line.starts_with(&format!("error: {setting}")));
        assert_eq!(said.count(), 1, "{setting}\n{}", done.lines.join("\n"));
    }
    assert_eq!(done.lines.len(), 20, "{}", done.lines.join("\n"));
    assert_eq!(world.sandbox.agent.requests(), 0);
    assert!(world.sandbox.images.requests().is_empty());
    assert!(world.sandbox.s3.requests().is_empty());
}

#[tokio::test]
async fn a_missing_bucket_is_reported_in_one_line() {
    let world = World::new().await;
    let done = world.job("/random", "").without("S3_BUCKET_NAME").finish().await.expect(2);
    let [line] = &done.lines[..] else { panic!("{:?}", done.lines) };
    assert_eq!(line, "error: --bucket / S3_BUCKET_NAME: not set: specify the bucket");
}

#[tokio::test]
async fn an_endpoint_that_is_no_url_is_reported_in_one_line_without_its_password() {
    let world = World::new().await;
    for endpoint in ["localhost:4566", "me:endpoint-secret@host:9000"] {
        for (arguments, service) in [("--count 1", "S3"), ("identity", "S3"), ("--count 1", "STS")]
        {
            let name = format!("AWS_ENDPOINT_URL_{service}");
            let job = world.job("/random", arguments).env(&name, endpoint);
            let done = job.finish().await.expect(2);
            let [line] = &done.lines[..] else { panic!("{arguments}: {:?}", done.lines) };
            let expected = format!("error: the endpoint for {service} ({name}, ");
            assert!(line.starts_with(&expected) && !line.contains("secret"), "{line}");
        }
    }
    assert!(world.sandbox.s3.requests().is_empty());
}

#[tokio::test]
async fn unknown_arguments_are_rejected() {
    let world = World::new().await;
    world.job("/random", "--intervall 1s").finish().await.expect(2);
    world.job("/random", "upload").finish().await.expect(2);
}

#[tokio::test]
async fn options_override_environment_variables() {
    let world = World::new().await;
    world
        .job("/random", "run --count 1 --key-prefix flag/ --interval 1ms")
        .env("S3_KEY_PREFIX", "environment/")
        .env("COUNT", "5")
        .finish()
        .await
        .expect(0);
    let objects = world.objects().await;
    assert_eq!(objects.len(), 1);
    assert!(objects[0].key.starts_with("flag/"));
}

#[tokio::test]
async fn the_pod_may_have_another_name_than_the_host() {
    let world = World::new().await;
    for (name, expected) in [("fleet-3-x7k2p", "fleet-3-x7k2p"), ("a b/c", "a-b-c")] {
        world.job("/random", "--count 1").env("POD_NAME", name).finish().await.expect(0);
        let objects = world.objects().await;
        let stored = objects.iter().find(|object| object.metadata["pod"] == expected);
        let stored = stored.unwrap_or_else(|| panic!("{name}: {objects:?}"));
        assert!(stored.key.starts_with(&format!("{expected}/")), "{}", stored.key);
    }
    let done = world.job("/random", "--count 1").env("POD_NAME", "").finish().await.expect(0);
    let host = gethostname::gethostname().into_string().expect("a plain host name");
    let logged = done.events("uploaded")[0]["key"].as_str().expect("a key").to_owned();
    assert!(logged.starts_with(&format!("{host}/")), "{logged}");
}

#[tokio::test]
async fn the_region_may_come_from_a_profile() {
    let world = World::new().await;
    let profile = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(profile.path(), "[default]\nregion = eu-central-1\n").expect("a profile");
    let done = world
        .job("/random", "--count 1")
        .without("AWS_REGION")
        .without("AWS_DEFAULT_REGION")
        .env("AWS_CONFIG_FILE", profile.path())
        .finish()
        .await
        .expect(0);
    assert!(!done.lines.is_empty());
    let requests = world.sandbox.s3.requests();
    assert!(requests[0].headers["authorization"].contains("/eu-central-1/s3/"));
}

#[tokio::test]
async fn help_shows_the_variable_and_default_of_every_setting_but_not_its_value() {
    let world = World::new().await;
    let url = "https://user:password@host/x";
    let help = world.job_from(url, "--help").finish().await.expect(0).lines.join("\n");
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for (flag, variable, default) in [
        ("--bucket", "S3_BUCKET_NAME", "required"),
        ("--image-url", "IMAGE_URL", "https://picsum.photos/1920/1080"),
        ("--interval", "INTERVAL", "30s"),
        ("--count", "COUNT", "none"),
        ("--concurrency", "CONCURRENCY", "1"),
        ("--key-prefix", "S3_KEY_PREFIX", "empty"),
        ("--pod-name", "POD_NAME", "the host name"),
        ("--max-image-size", "MAX_IMAGE_SIZE", "64MiB"),
        ("--fetch-timeout", "FETCH_TIMEOUT", "60s"),
        ("--connect-timeout", "CONNECT_TIMEOUT", "5s"),
        ("--read-timeout", "READ_TIMEOUT", "15s"),
        ("--allow-private-source", "ALLOW_PRIVATE_SOURCE", "false"),
        ("--shutdown-grace", "SHUTDOWN_GRACE", "20s"),
        ("--page", "PAGE", "on"),
        ("--keep-pictures", "KEEP_PICTURES", "12"),
        ("--page-hosts", "PAGE_HOSTS", "none"),
        ("--log-format", "LOG_FORMAT", "text on a terminal"),
        ("--log", "RUST_LOG", "info"),
    ] {
        let entry = help.split(" --").find(|entry| entry.contains(&format!("[env: {variable}")));
        let entry = entry.unwrap_or_else(|| panic!("{variable} is missing from\n{help}"));
        assert!(help.contains(&format!("{flag} ")) || help.contains(&format!("{flag}[")), "{flag}");
        assert!(entry.contains(default), "{variable}: {entry}");
    }
    assert!(help.contains("AWS_REGION") && help.contains("Exit codes"));
    assert!(!help.contains("password"));
}

#[tokio::test]
async fn the_version_includes_the_commit() {
    let world = World::new().await;
    let done = world.job("/random", "--version").finish().await.expect(0);
    let expected = format!("pod-identity-demo {}", pod_identity_demo::VERSION);
    assert_eq!(done.lines, [expected]);
}

#[tokio::test]
async fn the_arn_of_a_bucket_is_answered_with_its_name() {
    let world = World::new().await;
    for (bucket, expected) in [
        ("arn:aws:s3:::pictures", "is the ARN of a bucket: give its name, \"pictures\""),
        ("arn:aws:iam::123456789012:role/pictures", "is not the ARN of an access point"),
    ] {
        let job = world.job("/random", "").env("S3_BUCKET_NAME", bucket);
        let done = job.finish().await.expect(2);
        let [line] = &done.lines[..] else { panic!("{:?}", done.lines) };
        assert!(line.starts_with("error: --bucket / S3_BUCKET_NAME: "), "{line}");
        assert!(line.ends_with(expected), "{line}");
    }
}
