//! Tests with stores that know less of S3 than S3 does: what counts as stored is proven, and pictures are
//! sent in a form that the store takes.

use std::collections::BTreeMap;
use std::time::Duration;

use sandbox::{Fault, Network, OddStore, Oddity, Wire};

use crate::harness::{Finished, Job, World, until};
use crate::kinds::{Profiles, identity};

/// One request, one whose length is not declared, and one in parts.
const PICTURES: [&str; 3] =
    ["/random?size=300KB", "/random?size=300KB&framing=chunked", "/random?size=12MiB"];

async fn store(oddities: &[Oddity]) -> OddStore {
    OddStore::start(oddities).await.expect("a port")
}

fn at<'w>(store: &OddStore, job: Job<'w>) -> Job<'w> {
    job.env("AWS_ENDPOINT_URL_S3", store.endpoint())
}

/// Every object is a picture that was served, byte for byte, every picture that the log calls uploaded is
/// an object, and nothing else is left.
#[track_caller]
fn are_whole(what: &str, world: &World, store: &OddStore, done: &Finished) {
    let served = world.sandbox.images.served();
    let whole: Vec<_> = served.iter().filter(|picture| picture.whole).collect();
    let objects = store.objects();
    for (key, content) in &objects {
        let crc32 = crc32fast::hash(content);
        assert!(
            whole
                .iter()
                .any(|picture| picture.crc32 == crc32 && picture.len == content.len() as u64),
            "{what}: {key} is no picture that was served"
        );
    }
    let logged = done.events("uploaded");
    for event in &logged {
        let key = format!("pictures/{}", event["key"].as_str().expect("a key"));
        assert!(objects.contains_key(&key), "{what}: {key} is not stored");
    }
    assert_eq!(objects.len(), logged.len(), "{what}: an object of which the log does not know");
    assert_eq!(store.uploads(), 0, "{what}: an upload is left");
}

/// How often each form of a checksum was sent with an object or a part, and how often none.
fn forms(store: &OddStore) -> BTreeMap<&'static str, usize> {
    let mut forms = BTreeMap::new();
    for asked in store.asked().iter().filter(|asked| asked.method == "PUT") {
        let form = if asked.headers.contains_key("x-amz-trailer") {
            "trailer"
        } else if asked.headers.contains_key("x-amz-checksum-crc32") {
            "header"
        } else {
            "none"
        };
        *forms.entry(form).or_default() += 1;
    }
    forms
}

/// What the program logged of the form that it found, which it does once at most.
fn found(done: &Finished) -> Option<serde_json::Value> {
    let found = done.lines.iter().filter(|line| line.contains("\"found\":"));
    let found: Vec<serde_json::Value> =
        found.map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(found.len() <= 1, "it says so more than once: {found:?}");
    found.into_iter().next()
}

/// Uploads pictures of each kind to the store.
async fn upload(world: &World, store: &OddStore) -> Finished {
    let urls = PICTURES.map(|url| world.sandbox.images.url(url)).join(",");
    at(store, world.job_from(&urls, "--count 12 --interval 0s")).finish().await.expect(0)
}

#[tokio::test]
async fn a_store_that_keeps_the_framing_gets_each_picture_again_in_another_form() {
    let world = World::new().await;
    let store = store(&[Oddity::KeepsFraming]).await;
    let done =
        at(&store, world.job(PICTURES[0], "--count 5 --interval 0s")).finish().await.expect(0);
    are_whole("it keeps framing", &world, &store, &done);
    assert_eq!(forms(&store), BTreeMap::from([("trailer", 1), ("header", 5)]));
    let found = found(&done).expect("it says what it found");
    assert_eq!(found["found"], "header");
    assert!(found["cause"].as_str().is_some_and(|cause| cause.contains("CRC-32")), "{found}");
    assert!(
        found["message"].as_str().is_some_and(|text| text.contains("S3_CHECKSUM=header")),
        "{found}"
    );
}

#[tokio::test]
async fn a_store_that_echoes_no_checksum_is_believed_if_its_entity_tags_or_its_objects_prove_it() {
    for (what, oddities, reads) in [
        ("MD5s", &[Oddity::EchoesNothing][..], false),
        ("nothing", &[Oddity::EchoesNothing, Oddity::HasTagsOfItsOwn], true),
    ] {
        let world = World::new().await;
        let store = store(oddities).await;
        let done = upload(&world, &store).await;
        are_whole(what, &world, &store, &done);
        let read = store.asked().iter().filter(|asked| asked.method == "GET").count();
        assert_eq!(read, if reads { 12 } else { 0 }, "{what}");
        assert!(found(&done).is_none(), "{what}");
    }
}

#[tokio::test]
async fn what_a_store_damages_or_does_not_prove_is_never_uploaded_and_is_removed() {
    let unproven = [Oddity::EchoesNothing, Oddity::HasTagsOfItsOwn, Oddity::RefusesReading];
    for (what, oddities, words) in [
        ("it loses a byte", &[Oddity::LosesAByte][..], "checksum in the response"),
        (
            "it loses a byte, silently",
            &[Oddity::LosesAByte, Oddity::EchoesNothing],
            "the object has",
        ),
        ("it cannot be read", &unproven[..], "GetObject failed: AccessDenied"),
    ] {
        for picture in PICTURES {
            let world = World::new().await;
            let store = store(oddities).await;
            let job = at(&store, world.job(picture, "--interval 1h")).start();
            let failed = job.event("upload failed").await;
            // Waiting does not help.
            let done = job.finish().await.expect(4);
            assert_eq!(failed["diagnosis"], "s3_unproven", "{what}: {failed}");
            let cause = failed["cause"].as_str().expect("a cause");
            assert!(cause.contains(words), "{what}, {picture}: {failed}");
            are_whole(what, &world, &store, &done);
            assert!(store.objects().is_empty(), "{what}: {picture}");
        }
    }
    // What cannot be removed is told.
    let world = World::new().await;
    let store = store(&[&unproven[..], &[Oddity::RefusesDeleting]].concat()).await;
    let job = at(&store, world.job(PICTURES[0], "--interval 1h")).start();
    job.wrote("could not be removed", 1).await;
    job.finish().await.expect(4);
}

/// The statuses and codes with which stores refuse what they do not know.
const REFUSALS: [(u16, &str); 10] = [
    (400, "InvalidRequest"),
    (400, "InvalidArgument"),
    (400, "BadDigest"),
    (400, "XAmzContentSHA256Mismatch"),
    (403, "SignatureDoesNotMatch"),
    (403, ""),
    (411, "MissingContentLength"),
    (415, ""),
    (422, "UnprocessableEntity"),
    (501, "NotImplemented"),
];

#[tokio::test]
async fn a_store_that_refuses_trailers_gets_the_checksum_in_a_header() {
    for refusal in REFUSALS {
        let world = World::new().await;
        let store = store(&[Oddity::RefusesTrailers(refusal.0, refusal.1)]).await;
        let done =
            at(&store, world.job(PICTURES[0], "--count 3 --interval 0s")).finish().await.expect(0);
        are_whole(&format!("{refusal:?}"), &world, &store, &done);
        assert_eq!(forms(&store), BTreeMap::from([("trailer", 1), ("header", 3)]), "{refusal:?}");
        assert!(done.events("upload failed").is_empty(), "{refusal:?}");
        assert_eq!(found(&done).expect("it says what it found")["found"], "header", "{refusal:?}");
        // A picture is fetched once, however often it is sent.
        assert_eq!(world.sandbox.images.requests().len(), 3, "{refusal:?}");
    }
}

#[tokio::test]
async fn a_store_that_refuses_checksums_altogether_gets_none() {
    for refusal in REFUSALS {
        for picture in PICTURES {
            let world = World::new().await;
            let store = store(&[Oddity::RefusesChecksums(refusal.0, refusal.1)]).await;
            let done =
                at(&store, world.job(picture, "--count 2 --interval 0s")).finish().await.expect(0);
            are_whole(&format!("{refusal:?} {picture}"), &world, &store, &done);
            assert_eq!(
                found(&done).expect("it says what it found")["found"],
                "none",
                "{refusal:?}"
            );
        }
    }
}

#[tokio::test]
async fn no_checksum_is_sent_if_the_settings_of_the_sdk_say_so() {
    let profiles = Profiles::new("[default]\nrequest_checksum_calculation = when_required\n", "");
    for by_profile in [false, true] {
        let world = World::new().await;
        let store = store(&[]).await;
        let urls = PICTURES.map(|url| world.sandbox.images.url(url)).join(",");
        let job = at(&store, world.job_from(&urls, "--count 12 --interval 0s"));
        let job = if by_profile {
            profiles.of(job)
        } else {
            job.env("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
        };
        let done = job.finish().await.expect(0);
        are_whole("when_required", &world, &store, &done);
        assert_eq!(forms(&store).keys().copied().collect::<Vec<_>>(), ["none"]);
        let about =
            store.asked().into_iter().flat_map(|asked| asked.headers).find(|(name, value)| {
                name.contains("checksum") && name != "x-amz-checksum-mode"
                    || value.contains("aws-chunked")
            });
        assert_eq!(about, None);
        assert!(found(&done).is_none(), "it was set, not found");
    }
}

#[tokio::test]
async fn a_form_that_is_set_is_used_from_the_start_and_no_other_one_is_tried() {
    for form in ["trailer", "header", "none"] {
        let world = World::new().await;
        let store = store(&[]).await;
        let arguments = format!("--count 3 --interval 0s --checksum {form}");
        let done = at(&store, world.job(PICTURES[0], &arguments)).finish().await.expect(0);
        are_whole(form, &world, &store, &done);
        assert_eq!(forms(&store), BTreeMap::from([(form, 3)]));
    }
    let world = World::new().await;
    let refusing = &[Oddity::RefusesTrailers(501, "NotImplemented")];
    let store = store(refusing).await;
    let job = at(&store, world.job(PICTURES[0], "--interval 1h --checksum trailer")).start();
    let failed = job.event("upload failed").await;
    job.finish().await.expect(4);
    assert_eq!(failed["diagnosis"], "s3_not_implemented", "{failed}");
    assert!(failed["fix"].as_str().is_some_and(|fix| fix.contains("S3_CHECKSUM")), "{failed}");
    assert_eq!(forms(&store), BTreeMap::from([("trailer", 1)]));
}

#[tokio::test]
async fn a_refusal_for_another_reason_is_told_as_it_is_and_changes_nothing() {
    for (status, code, id) in [
        (403, "AccessDenied", "s3_access_denied"),
        (404, "NoSuchBucket", "no_such_bucket"),
        (403, "RequestTimeTooSkewed", "clock_skew"),
    ] {
        let world = World::new().await;
        let refusing = &[Oddity::RefusesFirst(1, status, code)];
        let store = store(refusing).await;
        let job = at(&store, world.job(PICTURES[0], "--interval 1h --startup-grace 0s"));
        let done = job.start();
        let failed = done.event("upload failed").await;
        assert_eq!(failed["diagnosis"], id, "{failed}");
        let done = done.finish().await;
        assert_eq!(forms(&store), BTreeMap::from([("trailer", 1)]), "{code}");
        assert!(found(&done).is_none());
    }
    // A signature that no form makes right is the cause, not the form.
    let world = World::new().await;
    let refusing = &[Oddity::RefusesFirst(99, 403, "SignatureDoesNotMatch")];
    let store = store(refusing).await;
    let job = at(&store, world.job(PICTURES[0], "--interval 1h")).start();
    let failed = job.event("upload failed").await;
    let done = job.terminate().await.expect(143);
    assert_eq!(failed["diagnosis"], "credentials_rejected", "{failed}");
    assert!(found(&done).is_none());
}

#[tokio::test]
async fn a_probe_finds_the_form_that_the_store_takes() {
    for (oddities, form) in [
        (&[][..], "trailer"),
        (&[Oddity::RefusesTrailers(501, "NotImplemented")], "header"),
        (&[Oddity::KeepsFraming], "header"),
        (&[Oddity::RefusesChecksums(400, "InvalidRequest")], "none"),
    ] {
        let world = World::new().await;
        let store = store(oddities).await;
        let done = at(&store, identity(&world, "--probe")).finish().await.expect(0);
        let report = done.lines.iter().skip_while(|line| *line != "{").cloned().collect::<Vec<_>>();
        let report: serde_json::Value = serde_json::from_str(&report.join("\n")).expect("a report");
        assert_eq!(report["access"]["checksum"], form, "{report}");
        let says = report["notes"].to_string().contains(&format!("S3_CHECKSUM={form}"));
        assert_eq!(says, form != "trailer", "{report}");
        let [content] = &store.objects().into_values().collect::<Vec<_>>()[..] else {
            panic!("{form}")
        };
        assert!(content.starts_with(b"put by"), "{form}");
    }
}

#[tokio::test]
async fn white_space_before_the_answer_to_a_completion_is_no_other_service() {
    let world = World::new().await;
    let store = store(&[Oddity::SendsWhiteSpace]).await;
    let done = at(&store, world.job(PICTURES[2], "--count 1")).finish().await.expect(0);
    are_whole("white space", &world, &store, &done);
}

#[tokio::test]
async fn a_store_that_knows_virtual_hosts_alone_gets_them_if_that_is_set() {
    let world = World::new().await;
    let store = knowing_hosts().await;
    let done = through(&store, &world, "virtual").finish().await.expect(0);
    are_whole("virtual hosts", &world, &store, &done);
    for style in ["auto", "path"] {
        let store = knowing_hosts().await;
        let done = through(&store, &world, style).finish().await.expect(4);
        assert_eq!(done.events("upload failed")[0]["diagnosis"], "no_such_bucket", "{style}");
        let targets: Vec<_> = store.asked().into_iter().map(|asked| asked.target).collect();
        let in_path = |target: &String| target.starts_with("http://store.invalid/pictures/");
        assert!(targets.iter().all(in_path), "{style}: {targets:?}");
    }
}

async fn knowing_hosts() -> OddStore {
    store(&[Oddity::HasDomain("store.invalid")]).await
}

/// A job with a store whose name nothing resolves, so that it is also the proxy to itself.
fn through<'w>(store: &OddStore, world: &'w World, style: &str) -> Job<'w> {
    world
        .job(PICTURES[0], "--count 2 --interval 0s --startup-grace 0s")
        .env("AWS_ENDPOINT_URL_S3", "http://store.invalid")
        .env("HTTP_PROXY", store.endpoint())
        .env("NO_PROXY", "127.0.0.1")
        .env("S3_ADDRESSING_STYLE", style)
}

#[tokio::test]
async fn an_arn_is_never_in_a_path() {
    let arn = "arn:aws:s3:us-east-1:123456789012:accesspoint/pictures";
    let world = World::new().await;
    for style in ["auto", "path", "virtual"] {
        let store = store(&[]).await;
        let job = through(&store, &world, style).env("S3_BUCKET_NAME", arn);
        job.finish().await;
        let targets: Vec<_> = store.asked().into_iter().map(|asked| asked.target).collect();
        assert!(!targets.is_empty(), "{style}");
        assert!(
            targets
                .iter()
                .all(|target| target.starts_with("http://pictures-123456789012.store.invalid/")),
            "{style}: {targets:?}"
        );
    }
}

#[tokio::test]
async fn an_answer_that_takes_25_seconds_is_waited_for() {
    // Longer than the 20 s after which the AWS SDK takes an upload for stalled.
    let time = Duration::from_secs(25);
    for (target, operation) in [
        (PICTURES[0], "PutObject"),
        (PICTURES[2], "UploadPart"),
        (PICTURES[2], "CompleteMultipartUpload"),
    ] {
        let world = World::new().await;
        world.sandbox.s3.fail(operation, 1, Fault::LateAnswer(time));
        let done = world.job(target, "--count 1").finish().await.expect(0);
        assert_eq!(done.events("uploaded")[0]["upload_attempts"], 1, "{operation}");
        assert_eq!(world.objects().await.len(), 1);
        let served = world.sandbox.images.served();
        assert_eq!(
            world.objects().await[0].crc32().expect("readable"),
            served[0].crc32,
            "{operation}"
        );
    }
}

#[tokio::test]
async fn an_answer_that_takes_longer_than_the_timeout_is_not_waited_for() {
    let world = World::new().await;
    world.sandbox.s3.fail("PutObject", 1, Fault::LateAnswer(Duration::from_secs(20)));
    let done = world.job(PICTURES[0], "--count 1 --s3-timeout 2s").finish().await.expect(0);
    assert_eq!(done.events("uploaded")[0]["upload_attempts"], 2);
}

#[tokio::test]
async fn a_store_that_takes_40_kilobytes_a_second_is_no_dead_one() {
    let world = World::new().await;
    let wire = Wire::start(world.sandbox.s3.address()).await.expect("a port");
    wire.set(Network::Sip(4000, Duration::from_millis(100))).await.expect("a port");
    // Far less time than the picture takes.
    let job = world
        .job("/random?size=1200KB", "--count 1 --s3-timeout 8s")
        .env("AWS_ENDPOINT_URL_S3", format!("http://{}", wire.address()));
    let done = job.finish().await.expect(0);
    let uploaded = &done.events("uploaded")[0];
    assert_eq!(uploaded["upload_attempts"], 1, "{uploaded}");
    assert!(uploaded["upload_ms"].as_u64().is_some_and(|time| time > 20_000), "{uploaded}");
    let objects = world.objects().await;
    let served = world.sandbox.images.served();
    assert_eq!(objects[0].sha256().expect("readable"), served[0].sha256);
}

#[tokio::test]
async fn a_store_that_is_too_busy_is_asked_again() {
    for (status, code) in [
        (429, "TooManyRequests"),
        (429, ""),
        (507, "XMinioStorageFull"),
        (520, ""),
        (503, "AccessDenied"),
    ] {
        let world = World::new().await;
        let busy = &[Oddity::RefusesFirst(2, status, code)];
        let store = store(busy).await;
        let done = at(&store, world.job(PICTURES[0], "--count 1")).finish().await.expect(0);
        assert_eq!(done.events("uploaded")[0]["upload_attempts"], 3, "{status} {code}");
        are_whole(code, &world, &store, &done);
        assert!(found(&done).is_none(), "{status} {code}");
    }
}

#[tokio::test]
async fn a_proof_that_the_end_of_the_program_interrupts_leaves_no_object() {
    let world = World::new().await;
    let store = store(&[Oddity::KeepsFraming]).await;
    let wire = Wire::start(store.address()).await.expect("a port");
    let job = world
        .job(PICTURES[0], "--interval 1h --shutdown-grace 0s")
        .env("AWS_ENDPOINT_URL_S3", format!("http://{}", wire.address()))
        .start();
    until("the object is there", || !store.objects().is_empty()).await;
    let done = job.terminate().await.expect(143);
    are_whole("the end", &world, &store, &done);
}

#[tokio::test]
async fn the_objects_of_the_local_s3_are_proven_without_a_further_request() {
    let world = World::new().await;
    let urls = PICTURES.map(|url| world.sandbox.images.url(url)).join(",");
    world.job_from(&urls, "--count 12 --interval 0s").finish().await.expect(0);
    assert_eq!(world.s3_requests("Other"), 0, "nothing is read back");
    let mut stored: Vec<_> =
        world.objects().await.iter().map(|object| object.sha256().expect("readable")).collect();
    let mut served: Vec<_> =
        world.sandbox.images.served().into_iter().map(|picture| picture.sha256).collect();
    stored.sort();
    served.sort();
    assert_eq!(stored, served);
}
