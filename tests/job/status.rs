//! Tests health checks and metrics as the kubelet, Prometheus and hostile clients request them.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use sandbox::{Answer, Fault};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::{World, until};
use crate::openmetrics::{Family, value};
use crate::served::{Served, TIMEOUT};

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64()
}

#[tokio::test]
async fn a_working_job_is_alive_and_ready_and_counts_its_uploads() {
    let world = World::new().await;
    let served = Served::start(&world, "/random", "--interval 1h").await;
    served.job.wrote("\"uploaded\"", 1).await;
    assert_eq!(served.get("/livez").await, (200, "alive\n".to_owned()));
    assert_eq!(served.get("/healthz").await, (200, "alive\n".to_owned()));
    assert_eq!(served.get("/readyz").await, (200, "ready\n".to_owned()));

    let object = world.objects().await.pop().expect("an object");
    let metrics = served.metrics().await;
    let value = |name: &str, labels: &[(&str, &str)]| {
        value(&metrics, &format!("pod_identity_demo_{name}"), labels)
    };
    for (name, labels, expected) in [
        ("uploads_total", &[("result", "success")][..], 1.0),
        ("uploads_total", &[("result", "failure")], 0.0),
        ("uploads_total", &[("result", "cancelled")], 0.0),
        ("fetch_failures_total", &[("reason", "picture_not_an_image")], 0.0),
        ("skipped_ticks_total", &[], 0.0),
        ("fetch_seconds_count", &[], 1.0),
        ("upload_seconds_count", &[], 1.0),
        ("fetch_seconds_bucket", &[("le", "60.0")], 1.0),
        ("in_flight", &[], 0.0),
        ("consecutive_failures", &[], 0.0),
        ("interval_seconds", &[], 3600.0),
        ("credentials_refreshes_total", &[("result", "success")], 1.0),
        ("credentials_refreshes_total", &[("result", "failure")], 0.0),
        ("build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0),
    ] {
        assert!((value(name, labels) - expected).abs() < f64::EPSILON, "{name} {labels:?}");
    }
    let size = u32::try_from(object.len).expect("a small picture");
    assert!((value("bytes_uploaded_total", &[]) - f64::from(size)).abs() < f64::EPSILON);
    assert!((now() - value("last_success_timestamp_seconds", &[])).abs() < 60.0);
    let left = value("credentials_expiry_timestamp_seconds", &[]) - now();
    assert!((left - 6.0 * 3600.0).abs() < 60.0, "{left}");
    served.job.terminate().await.expect(143);
}

#[tokio::test]
async fn the_identity_metric_names_provider_account_and_role() {
    let world = World::new().await;
    // STS is asked until it answers.
    world.sandbox.sts.set_answer(sandbox::Answer::Status(403, "no".to_owned()));
    let served = Served::start(&world, "/random", "--interval 1h").await;
    until("a refusal", || world.sandbox.sts.requests() > 0).await;
    world.sandbox.sts.set_answer(sandbox::Answer::Normal);
    let poll = async {
        loop {
            let metrics = served.metrics().await;
            // The metric appears when the credentials arrive, and gets its role later.
            let identity = metrics.iter().find(|f| f.name == "pod_identity_demo_identity");
            match identity.map(|family| &family.samples[0].labels) {
                Some(labels) if !labels["role"].is_empty() => return labels.clone(),
                _ => {}
            }
        }
    };
    let labels = timeout(TIMEOUT, poll).await.expect("STS names the role");
    let mut names: Vec<_> = labels.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["account", "provider", "role"]);
    assert_eq!(labels["provider"], "pod-identity");
    assert_eq!(labels["account"], "123456789012");
    assert!(world.sandbox.sts.requests() > 0);
    served.job.terminate().await.expect(143);
}

#[tokio::test]
async fn metric_names_follow_the_conventions_of_prometheus() {
    let world = World::new().await;
    let served = Served::start(&world, "/random", "--interval 1h").await;
    served.job.wrote("\"uploaded\"", 1).await;
    let metrics = served.metrics().await;
    let mut process = Vec::new();
    for Family { name, kind, unit, help, samples } in &metrics {
        assert!(!help.is_empty() && !samples.is_empty(), "{name}");
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
        assert!(
            unit.is_empty() || name.ends_with(unit),
            "{name} does not end with its unit, {unit}"
        );
        assert!(["counter", "gauge", "histogram", "info"].contains(&kind.as_str()), "{name}");
        match name.strip_prefix("process_") {
            Some(rest) => process.push(rest),
            None => assert!(name.starts_with("pod_identity_demo_"), "{name}"),
        }
    }
    if cfg!(target_os = "linux") {
        process.sort_unstable();
        assert_eq!(process, ["cpu_seconds", "resident_memory_bytes"]);
        assert!(value(&metrics, "process_resident_memory_bytes", &[]) > 1e6);
    }
    served.job.terminate().await.expect(143);
}

#[tokio::test]
async fn a_job_without_credentials_is_alive_but_not_ready_and_reports_why() {
    let world = World::new().await;
    world.sandbox.agent.set_answer(Answer::Status(500, "[]".to_owned()));
    let served = Served::start(&world, "/random", "--interval 10ms").await;
    served.job.wrote("waiting for credentials", 1).await;
    let (status, why) = served.get("/readyz").await;
    assert_eq!(status, 503);
    assert!(why.starts_with("not ready: waiting for credentials: agent_service_error: "), "{why}");
    assert_eq!(served.get("/livez").await.0, 200);
    assert!(
        served
            .value("pod_identity_demo_credentials_refreshes_total", &[("result", "failure")])
            .await
            > 0.0
    );
    world.sandbox.agent.set_answer(Answer::Normal);
    served.wait_for("/readyz", 200).await;
    served.job.terminate().await.expect(143);
}

#[tokio::test]
async fn s3_errors_are_counted_by_diagnosis_and_the_next_success_makes_the_job_ready() {
    let world = World::new().await;
    let served = Served::start(&world, "/random", "--interval 100ms").await;
    served.job.wrote("\"uploaded\"", 1).await;
    world.sandbox.s3.fail("PutObject", usize::MAX, Fault::Status(404, "NoSuchBucket"));
    let why = served.wait_for("/readyz", 503).await;
    assert!(why.starts_with("not ready: the last picture failed: no_such_bucket: "), "{why}");
    let labels = [("reason", "no_such_bucket")];
    let failures = served.value("pod_identity_demo_upload_failures_total", &labels).await;
    assert!(failures >= 1.0);
    assert!(served.value("pod_identity_demo_consecutive_failures", &[]).await >= 1.0);
    world.sandbox.s3.stop_failing();
    served.wait_for("/readyz", 200).await;
    assert!(served.value("pod_identity_demo_consecutive_failures", &[]).await < 1.0);
    served.job.terminate().await.expect(143);
}

#[tokio::test]
async fn failures_of_the_image_host_are_counted_by_diagnosis() {
    for (target, arguments, id) in [
        ("/x?status=404", "", "image_host_refuses"),
        ("/x?status=503", "--fetch-timeout 500ms", "image_host_busy"),
        ("/x?refuse=1000", "--fetch-timeout 500ms", "image_host_unreachable"),
        ("/x?delay=60s", "--read-timeout 300ms --fetch-timeout 500ms", "image_host_slow"),
        ("/random", "--allow-private-source=false", "image_host_address"),
        ("/x?body=empty", "", "picture_empty"),
        ("/x?body=html", "", "picture_not_an_image"),
        ("/x?size=2MiB", "--max-image-size 1MiB", "picture_too_large"),
        ("/x?size=300KiB&long=1&framing=chunked", "", "picture_length"),
        ("/picture?kind=png&width=300&height=200&long=40", "", "picture_truncated"),
        ("/x?size=300KiB&short=1", "", "picture_broken"),
    ] {
        let world = World::new().await;
        let served = Served::start(&world, target, &format!("--interval 1h {arguments}")).await;
        let event = served.job.event("upload failed").await;
        assert_eq!(event["diagnosis"], id, "{event}");
        let host = world.sandbox.images.address().to_string();
        assert!(event["cause"].as_str().is_some_and(|cause| cause.contains(&host)), "{event}");
        let (status, why) = served.get("/readyz").await;
        assert_eq!(status, 503);
        assert!(why.starts_with(&format!("not ready: the last picture failed: {id}: ")), "{why}");
        let api: Value = serde_json::from_str(&served.get("/api/status").await.1).expect("JSON");
        for shown in [&api["diagnosis"], &api["attempts"][0]["diagnosis"]] {
            for (field, logged) in [("id", "diagnosis"), ("cause", "cause"), ("fix", "fix")] {
                assert_eq!(shown[field], event[logged], "{id}");
            }
        }
        let metrics = served.metrics().await;
        let count = |name: &str, label: &str, of: &str| {
            value(&metrics, &format!("pod_identity_demo_{name}_total"), &[(label, of)])
        };
        assert!((count("fetch_failures", "reason", id) - 1.0).abs() < f64::EPSILON, "{id}");
        assert!((count("uploads", "result", "failure") - 1.0).abs() < f64::EPSILON, "{id}");
        served.job.terminate().await.expect(143);
    }
}

#[tokio::test]
async fn a_silent_s3_leaves_the_job_not_ready_and_shows_for_how_long() {
    let world = World::new().await;
    world.sandbox.s3.fail("PutObject", usize::MAX, Fault::Hang);
    let served = Served::start(&world, "/random", "--interval 100ms --shutdown-grace 1s").await;
    served.job.wrote("tick skipped", 12).await;
    let (status, why) = served.get("/readyz").await;
    assert_eq!(status, 503);
    let before = "not ready: no picture has been stored yet: the first has been under way for ";
    let age = why.strip_prefix(before).unwrap_or_else(|| panic!("{why}"));
    assert!(
        age.trim_end().trim_end_matches(" s").parse::<u64>().is_ok_and(|age| age >= 1),
        "{why}"
    );
    let api: Value = serde_json::from_str(&served.get("/api/status").await.1).expect("JSON");
    assert_eq!(api["job"]["ready"], false);
    assert_eq!(api["job"]["in_flight"], 1);
    let number = |value: &Value| value.as_f64().expect("a number");
    let age = number(&api["oldest_in_flight_seconds"]);
    assert!(age > 1.0, "{api}");
    let since = number(&api["now"]) - number(&api["job"]["in_flight_since"][0]);
    assert!((since - age).abs() < 0.1, "{api}");
    assert!(number(&api["uploads"]["skipped_ticks"]) >= 12.0, "{api}");
    assert!(served.value("pod_identity_demo_oldest_in_flight_seconds", &[]).await > 1.0);
    assert_eq!(served.get("/livez").await.0, 200);
    served.job.terminate().await.expect(143);
}

#[tokio::test]
async fn a_job_becomes_ready_with_its_first_object_and_stays_so_while_the_next_is_under_way() {
    let world = World::new().await;
    let served = Served::start(&world, "/random", "--interval 200ms --shutdown-grace 1s").await;
    served.job.wrote("\"uploaded\"", 1).await;
    assert_eq!(served.get("/readyz").await, (200, "ready\n".to_owned()));
    world.sandbox.s3.fail("PutObject", usize::MAX, Fault::Hang);
    served.job.wrote("tick skipped", 5).await;
    assert_eq!(served.get("/readyz").await, (200, "ready\n".to_owned()));
    served.job.terminate().await.expect(143);
}

#[tokio::test]
async fn skipped_ticks_pictures_in_flight_and_the_shutdown_are_reported() {
    let world = World::new().await;
    world.sandbox.s3.fail("PutObject", usize::MAX, Fault::Hang);
    let served = Served::start(&world, "/random", "--interval 50ms --concurrency 2").await;
    served.job.wrote("tick skipped", 3).await;
    assert!(served.value("pod_identity_demo_skipped_ticks_total", &[]).await >= 3.0);
    assert!(served.value("pod_identity_demo_in_flight", &[]).await > 1.0);
    assert_eq!(served.get("/livez").await.0, 200);
    served.job.signal(rustix::process::Signal::TERM);
    assert_eq!(served.wait_for("/readyz", 503).await, "not ready: ending\n");
    served.job.terminate().await.expect(143);
}

#[tokio::test]
async fn a_port_in_use_is_reported_in_one_line_with_exit_code_2() {
    let world = World::new().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let done = world.job("/random", "--count 1").env("LISTEN_ADDR", &address).finish().await;
    let done = done.expect(2);
    assert_eq!(done.lines.len(), 1, "{:?}", done.lines);
    let line = &done.lines[0];
    assert!(line.starts_with("error: --listen / LISTEN_ADDR: cannot listen on "), "{line}");
    assert!(line.contains(&address) && line.contains("another address, or off"), "{line}");
    assert_eq!(world.sandbox.agent.requests(), 0);
    assert!(world.sandbox.images.requests().is_empty());
}

#[tokio::test]
async fn unknown_paths_other_methods_and_malformed_requests_are_rejected() {
    let world = World::new().await;
    let served = Served::start(&world, "/random", "--interval 1h").await;
    let (status, text) = served.get("/../../etc/passwd?x=y").await;
    assert_eq!((status, text.contains("/readyz")), (404, true), "{text}");
    for (request, answer) in [
        ("POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 405 "),
        ("HEAD /livez HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 "),
        ("GET /livez HTTP/1.0\r\n\r\n", "HTTP/1.0 200 "),
        ("complete nonsense\r\n\r\n", "HTTP/1.1 400 "),
    ] {
        let said = exchange(served.at, request.as_bytes()).await;
        assert!(said.starts_with(answer), "{request:?}: {said:?}");
    }
    served.job.terminate().await.expect(143);
}

#[tokio::test]
async fn slow_clients_and_large_requests_block_neither_the_job_nor_other_clients() {
    let world = World::new().await;
    let served = Served::start(&world, "/random", "--interval 50ms").await;
    let mut headers = b"GET /metrics HTTP/1.1\r\nHost: x\r\n".to_vec();
    headers.extend("X-Much: of it\r\n".repeat(100_000).bytes());
    let said = exchange(served.at, &headers).await;
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 431 "), "{said:?}");

    // Clients that start a request, never complete it, and keep their connections open.
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(served.at).await.expect("a connection");
        stream.write_all(b"GET /metrics HTT").await.expect("the bytes are sent");
        slow.push(stream);
    }
    let before = world.sandbox.s3.objects().len();
    assert_eq!(served.get("/livez").await.0, 200);
    assert_eq!(served.get("/metrics").await.0, 200);
    until("uploads continue", || world.sandbox.s3.objects().len() > before + 5).await;
    for mut stream in slow {
        let mut rest = Vec::new();
        let ended = timeout(TIMEOUT, stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "the server does not disconnect a slow client");
    }
    let done = served.job.terminate().await.expect(143);
    assert!(done.events("upload failed").is_empty());
}

/// Sends bytes, and returns what the server answers until it closes or resets the connection.
async fn exchange(at: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(at).await.expect("a connection");
    let mut said = Vec::new();
    let (mut read, mut write) = stream.split();
    let _ = timeout(TIMEOUT, async {
        tokio::join!(write.write_all(bytes), read.read_to_end(&mut said))
    })
    .await
    .expect("the server closes it");
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn listen_off_serves_nothing() {
    let world = World::new().await;
    let done = world.job("/random", "--count 1 --listen off").finish().await.expect(0);
    assert!(done.events("health and metrics are served").is_empty());
    assert_eq!(world.sandbox.sts.requests(), 0, "the program asked STS for the name of the role");
}
