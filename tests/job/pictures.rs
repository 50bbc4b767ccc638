//! Tests the objects that complete pictures become.

use std::collections::BTreeMap;

use sandbox::Stored;

use crate::harness::World;

fn sorted<T: Ord>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.into_iter().collect();
    items.sort();
    items
}

fn sha256(object: &Stored) -> String {
    object.sha256().expect("the object can be read")
}

#[tokio::test]
async fn two_hundred_pictures_of_all_kinds_and_sizes_are_stored_byte_for_byte() {
    let world = World::new().await;
    let host = &world.sandbox.images;
    let urls = [
        "/random",
        "/random?framing=chunked",
        "/random?framing=close",
        "/picture?kind=jpeg&width=900&height=700",
        "/picture?kind=png&width=16&height=16",
        "/picture?kind=gif&framing=chunked",
        "/picture?kind=webp",
        "/random?size=300KB&digest=sha256",
    ];
    let urls = urls.map(|url| host.url(url)).join(",");
    world.job_from(&urls, "--count 200 --interval 0s --concurrency 4").finish().await.expect(0);

    let objects = world.objects().await;
    let served = host.served();
    assert_eq!(objects.len(), 200);
    assert!(served.iter().all(|picture| picture.whole));
    assert_eq!(
        sorted(objects.iter().map(sha256)),
        sorted(served.iter().map(|picture| picture.sha256.clone())),
    );
    let kinds = served.iter().map(|picture| (picture.sha256.clone(), picture.kind.media_type()));
    let kinds: BTreeMap<_, _> = kinds.collect();
    for object in &objects {
        assert_eq!(object.content_type.as_deref(), Some(kinds[&sha256(object)]), "{}", object.key);
    }
}

#[tokio::test]
async fn every_upload_carries_a_checksum_for_s3_to_verify() {
    let world = World::new().await;
    let host = &world.sandbox.images;
    let urls =
        ["/random", "/random?framing=chunked", "/random?size=12MiB"].map(|url| host.url(url));
    world.job_from(&urls.join(","), "--count 20 --interval 0s").finish().await.expect(0);
    for request in world.sandbox.s3.requests() {
        if ["PutObject", "UploadPart"].contains(&request.operation) {
            let header = |name| request.headers.get(name).map(String::as_str);
            assert!(
                header("x-amz-checksum-crc32").is_some()
                    || header("x-amz-trailer") == Some("x-amz-checksum-crc32"),
                "{request:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_key_has_prefix_pod_date_and_a_uuid_that_sorts_by_time() {
    let world = World::new().await;
    let host = world.sandbox.images.url("/a/path.php?kind=png&type=text/html");
    let url = host.replacen("http://", "http://user:password@", 1);
    let done = world
        .job_from(&url, "--count 3 --interval 0s --key-prefix team/demo-")
        .finish()
        .await
        .expect(0);

    let pod = gethostname::gethostname().into_string().expect("a plain host name");
    let objects = world.objects().await;
    for object in &objects {
        let rest = object.key.strip_prefix(&format!("team/demo-{pod}/")).expect(&object.key);
        let parts: Vec<&str> = rest.split('/').collect();
        let [year, month, day, name] = parts[..] else { panic!("{}", object.key) };
        assert_eq!([year.len(), month.len(), day.len()], [4, 2, 2]);
        let (id, extension) = name.split_once('.').expect(name);
        assert_eq!(extension, "png");
        let id = uuid::Uuid::parse_str(id).expect(id);
        assert_eq!(id.get_version_num(), 7);
        let safe = |c: char| c.is_ascii_alphanumeric() || "/-_.".contains(c);
        assert!(object.key.chars().all(safe), "{}", object.key);

        assert_eq!(object.content_type.as_deref(), Some("image/png"));
        assert_eq!(object.metadata["pod"], pod);
        let source = host.split_once('?').expect("it has a query").0;
        assert_eq!(object.metadata["source"], source);
    }
    let logged = done.events("uploaded");
    let logged = logged.iter().map(|event| event["key"].as_str().expect("a key").to_owned());
    let logged: Vec<String> = logged.collect();
    assert_eq!(logged, sorted(logged.clone()), "the keys do not sort in the order of the uploads");
    assert_eq!(logged, objects.iter().map(|object| object.key.clone()).collect::<Vec<_>>());
    assert!(!done.lines.iter().any(|line| line.contains("password") || line.contains("type=text")));
}

#[tokio::test]
async fn a_picture_of_one_gibibyte_and_unknown_length_is_uploaded() {
    let world = World::new().await;
    world
        .job("/huge?size=1GiB&framing=chunked&digest=none", "--count 1 --max-image-size 2GiB")
        .finish()
        .await
        .expect(0);
    let objects = world.objects().await;
    assert_eq!(objects[0].len, 1 << 30);
    let served = world.sandbox.images.served();
    assert_eq!(objects[0].crc32().expect("readable"), served[0].crc32);
    assert_eq!(world.s3_requests("UploadPart"), (1 << 30) / (5 << 20) + 1);
}

#[tokio::test]
async fn a_picture_of_more_than_8_mib_is_uploaded_in_parts() {
    for (target, single) in [
        ("/random?size=8MiB", true),
        ("/random?size=8388609", false),
        ("/random?size=8MiB&framing=chunked", true),
        ("/random?size=8388609&framing=chunked", false),
        ("/random?size=8MiB&framing=close", true),
        ("/random?framing=close", true),
    ] {
        let world = World::new().await;
        world.job(target, "--count 1").finish().await.expect(0);
        let objects = world.objects().await;
        let served = world.sandbox.images.served();
        assert_eq!(objects[0].crc32().expect("readable"), served[0].crc32, "{target}");
        let (puts, parts) = (world.s3_requests("PutObject"), world.s3_requests("UploadPart"));
        assert_eq!((puts, parts), if single { (1, 0) } else { (0, 2) }, "{target}");
    }
}

#[tokio::test]
async fn the_upload_starts_before_the_picture_is_complete() {
    let world = World::new().await;
    // The image host sends 64 KiB, and then nothing until the program disconnects.
    let job = world
        .job("/random?size=1MiB&stall=64KiB", "--read-timeout 60s --shutdown-grace 0s")
        .start();
    crate::harness::until("S3 has the request", || world.s3_requests("PutObject") == 1).await;
    job.terminate().await.expect(143);
    assert_eq!(world.objects().await.len(), 0);
}

#[tokio::test]
async fn the_image_host_is_blamed_for_its_silence_however_long_it_may_last() {
    let world = World::new().await;
    // Longer than the 20 s after which the AWS SDK gives a stalled upload up.
    let done = world
        .job("/random?size=1MiB&stall=64KiB", "--read-timeout 23s --count 1 --interval 1h")
        .start();
    done.wrote("upload failed", 1).await;
    let done = done.terminate().await.expect(143);
    let failed = &done.events("upload failed")[0];
    assert_eq!(failed["reason"], "timeout", "{failed}");
    assert!(failed["error"].as_str().is_some_and(|error| error.contains("--read-timeout")));
    assert_eq!(world.s3_requests("PutObject"), 1);
}
