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
        .env("S3_CHECKSUM", "md5")
        .env("S3_ADDRESSING_STYLE", "host")
        .env("S3_TIMEOUT", "0s")
        .env("FETCH_TIMEOUT", "0s")
        .env("CONNECT_TIMEOUT", "x")
        .env("READ_TIMEOUT", "")
        .env("ALLOW_PRIVATE_SOURCE", "maybe")
        .env("SHUTDOWN_GRACE", "1000y")
        .env("LISTEN_ADDR", "localhost")
        .env("PAGE", "perhaps")
        .env("KEEP_PICTURES", "101")
        .env("PAGE_HOSTS", "demo.example.com:80")
        .env("PAGE_NOTE", "two\nlines")
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
        "--checksum / S3_CHECKSUM",
        "--addressing-style / S3_ADDRESSING_STYLE",
        "--s3-timeout / S3_TIMEOUT",
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
        "--page-note / PAGE_NOTE",
        "--log-format / LOG_FORMAT",
        "--log / RUST_LOG",
    ] {
        let said = done.lines.iter().filter(|line| line.starts_with(&format!("error: {setting}")));
        assert_eq!(said.count(), 1, "{setting}\n{}", done.lines.join("\n"));
    }
    assert_eq!(done.lines.len(), 24, "{}", done.lines.join("\n"));
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
    world.job("/random", "--count 1").env("POD_NAME", "fleet-3.x7k2p").finish().await.expect(0);
    let objects = world.objects().await;
    let [stored] = &objects[..] else { panic!("{objects:?}") };
    assert_eq!(stored.metadata["pod"], "fleet-3.x7k2p");
    assert!(stored.key.starts_with("fleet-3.x7k2p/"), "{}", stored.key);
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
        ("--checksum", "S3_CHECKSUM", "auto"),
        ("--addressing-style", "S3_ADDRESSING_STYLE", "auto"),
        ("--s3-timeout", "S3_TIMEOUT", "60s"),
        ("--max-image-size", "MAX_IMAGE_SIZE", "64MiB"),
        ("--fetch-timeout", "FETCH_TIMEOUT", "60s"),
        ("--connect-timeout", "CONNECT_TIMEOUT", "5s"),
        ("--read-timeout", "READ_TIMEOUT", "15s"),
        ("--allow-private-source", "ALLOW_PRIVATE_SOURCE", "false"),
        ("--shutdown-grace", "SHUTDOWN_GRACE", "20s"),
        ("--page", "PAGE", "on"),
        ("--keep-pictures", "KEEP_PICTURES", "12"),
        ("--page-note", "PAGE_NOTE", "none"),
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

/// Runs the job with these variables, and returns what it says of the settings.
async fn refused(world: &World, arguments: &str, variables: &[(&str, &str)]) -> Vec<String> {
    // COUNT ends the job if the value is not refused.
    let job = world.job("/random", arguments).env("COUNT", "1");
    let job = variables.iter().fold(job, |job, (name, value)| job.env(name, value));
    let done = job.finish().await;
    let shown = format!("{arguments} {variables:?}: exit {} {:?}", done.code, done.lines);
    assert_eq!(done.code, 2, "{shown}");
    done.lines
}

#[tokio::test]
async fn each_unusable_value_is_refused_with_its_reason() {
    let world = World::new().await;
    let long = "x".repeat(250);
    let longer = "x".repeat(254);
    let empty = tempfile::NamedTempFile::new().expect("a file");
    let empty = empty.path().to_str().expect("a plain path");
    for (name, value, reason) in [
        // Amazon S3's rules for the names of buckets.
        ("S3_BUCKET_NAME", "a..b", "two periods must not be adjacent"),
        ("S3_BUCKET_NAME", "192.168.5.4", "it must not look like an IP address"),
        ("S3_BUCKET_NAME", "xn--pictures", "keeps what it begins with for itself"),
        ("S3_BUCKET_NAME", "sthree-pictures", "keeps what it begins with for itself"),
        ("S3_BUCKET_NAME", "amzn-s3-demo-bucket", "keeps what it begins with for itself"),
        ("S3_BUCKET_NAME", "mfzwi23gnjvgw.mrap", "SigV4A"),
        ("S3_BUCKET_NAME", "pictures--table-s3", "tables instead of objects"),
        ("S3_BUCKET_NAME", "pictures\n", "is not a bucket name"),
        ("S3_BUCKET_NAME", "Pictures", "is not a bucket name"),
        ("S3_BUCKET_NAME", "-pictures", "is not a bucket name"),
        ("S3_BUCKET_NAME", "ab", "is not a bucket name"),
        (
            "S3_BUCKET_NAME",
            "arn:aws:s3:::pictures",
            "the ARN of a bucket: give its name, \"pictures\"",
        ),
        (
            "S3_BUCKET_NAME",
            "arn:aws:iam::123456789012:role/pictures",
            "is not the ARN of an access point",
        ),
        (
            "S3_BUCKET_NAME",
            "arn:aws:s3:eu-west-1:123456789012:accesspoint/",
            "is not the ARN of an access point",
        ),
        ("S3_BUCKET_NAME", "arn:aws:s3:eu-west-1:1234:accesspoint/a", "twelve digits"),
        ("S3_BUCKET_NAME", "arn:aws:s3::123456789012:accesspoint/mfzwi23gnjvgw.mrap", "SigV4A"),
        ("S3_KEY_PREFIX", "a/../b/", "is a relative path"),
        ("S3_KEY_PREFIX", "./", "is a relative path"),
        ("S3_KEY_PREFIX", &"x".repeat(1024), "S3 allows 1024: shorten it by "),
        ("POD_NAME", "a/b c", "has '/': use letters, digits and -_."),
        ("POD_NAME", "a b", "has ' ': use letters"),
        ("POD_NAME", "a\u{202e}b", "has '\\u{202e}': use letters"),
        ("POD_NAME", "..", "is not a name"),
        ("POD_NAME", &longer, "longer than 253 characters"),
        ("RUST_LOG", "warning", "\"warning\" is no level"),
        ("RUST_LOG", "verbose", "\"verbose\" is no level"),
        ("RUST_LOG", "info,chatty", "\"chatty\" is no level"),
        ("RUST_LOG", "hyper=debug", "nothing would be logged"),
        ("RUST_LOG", "pod_identity_demo=loud", "is not a filter"),
        ("RUST_LOG", ",", "has no level"),
        ("PAGE", "maybe", "\"maybe\" is neither on nor off"),
        ("ALLOW_PRIVATE_SOURCE", "maybe", "\"maybe\" is neither true nor false"),
        ("IMAGE_URL", "http://127.0.0.1/a\nb", "control character"),
        ("COUNT", "-1", "is not a number of uploads"),
        ("SSL_CERT_FILE", "/nonexistent", "\"/nonexistent\": No such file or directory"),
        ("SSL_CERT_FILE", "/a\nb", "\"/a\\nb\": No such file or directory"),
        ("SSL_CERT_FILE", "/", "is a directory"),
        ("SSL_CERT_FILE", "", "No such file or directory"),
        ("SSL_CERT_FILE", empty, "it has no certificate"),
        ("AWS_ENDPOINT_URL_S3", "localhost:4566", "is not a URL such as"),
        ("HTTPS_PROXY", "socks5://proxy:1080", "not the URL of a proxy"),
        ("HTTP_PROXY", "http://", "not the URL of a proxy"),
    ] {
        let said = refused(&world, "", &[(name, value)]).await;
        let [line] = &said[..] else { panic!("{name}={value:?}: {said:?}") };
        assert!(line.starts_with("error: ") && line.contains(name), "{name}={value:?}: {line}");
        assert!(line.contains(reason), "{name}={value:?}: {line}");
    }
    for (arguments, reason) in [
        ("--count -1", "--count / COUNT: \"-1\" is not a number of uploads"),
        ("--interval -5s", "--interval / INTERVAL: \"-5s\" is not a duration"),
        ("--max-image-size -1", "--max-image-size / MAX_IMAGE_SIZE: \"-1\" is not a size"),
        ("--concurrency -2", "--concurrency / CONCURRENCY: \"-2\" is not a number"),
        ("--keep-pictures -2", "--keep-pictures / KEEP_PICTURES: \"-2\" is not a number"),
        ("--fetch-timeout -1s", "--fetch-timeout / FETCH_TIMEOUT: \"-1s\" is not a duration"),
        ("--log warning", "--log / RUST_LOG: \"warning\" is not a filter"),
    ] {
        let said = refused(&world, arguments, &[]).await;
        let [line] = &said[..] else { panic!("{arguments}: {said:?}") };
        assert!(line.starts_with(&format!("error: {reason}")), "{arguments}: {line}");
    }
    // A prefix and a pod's name that are too long only together.
    let variables = [("S3_KEY_PREFIX", &*"x".repeat(800)), ("POD_NAME", &long)];
    let said = refused(&world, "", &variables).await;
    assert!(
        said[0].contains("--key-prefix / S3_KEY_PREFIX: keys would have up to 1103 bytes"),
        "{said:?}"
    );
    // All at once.
    let variables = [
        ("S3_BUCKET_NAME", "a..b"),
        ("POD_NAME", "a/b"),
        ("RUST_LOG", "loud"),
        ("SSL_CERT_FILE", "/nonexistent"),
        ("AWS_ENDPOINT_URL_S3", "localhost"),
        ("AWS_ENDPOINT_URL_STS", "localhost"),
        ("AWS_SESSION_TOKEN", "a\nb"),
        ("AWS_REGION", "eu west"),
    ];
    let said = refused(&world, "--count -1", &variables).await;
    assert_eq!(said.len(), 9, "{said:?}");
    assert!(world.sandbox.s3.requests().is_empty() && world.sandbox.images.requests().is_empty());
}

#[tokio::test]
async fn usable_values_are_not_refused() {
    let world = World::new().await;
    for (name, value) in [
        // Aliases and directory buckets have names that a new bucket may not have.
        ("S3_BUCKET_NAME", "pictures-metadata-access-point-alias-s3alias"),
        ("S3_BUCKET_NAME", "pictures--usw2-az1--x-s3"),
        ("S3_BUCKET_NAME", "pictures-123456789012-eu-west-1-an"),
        ("S3_BUCKET_NAME", "a.b-c.1"),
        ("S3_BUCKET_NAME", "arn:aws:s3:eu-west-1:123456789012:accesspoint/pictures"),
        ("S3_BUCKET_NAME", "arn:aws-cn:s3:cn-north-1:123456789012:accesspoint:pictures"),
        ("S3_BUCKET_NAME", "arn:aws:s3-outposts:us-west-2:123456789012:outpost/op-1/accesspoint/a"),
        ("POD_NAME", "My_Pod.1"),
        ("S3_KEY_PREFIX", "a//b.c/..d/"),
        ("RUST_LOG", "WARN"),
        ("RUST_LOG", "off"),
        ("RUST_LOG", "hyper=debug, info"),
        ("RUST_LOG", "pod_identity_demo::job=debug"),
        ("PAGE", "yes"),
    ] {
        // The one problem that is left is another setting's.
        let said = refused(&world, "--concurrency 0", &[(name, value)]).await;
        assert_eq!(said.len(), 1, "{name}={value:?}: {said:?}");
    }
}
