//! Tests the ticks of the job, and every way in which it ends.

use std::time::Duration;

use rustix::process::Signal;

use crate::harness::{World, until};

#[tokio::test]
async fn the_job_ends_with_0_after_the_requested_count() {
    let world = World::new().await;
    let done = world.job("/random", "--count 3 --interval 10ms").finish().await.expect(0);
    assert_eq!(done.events("uploaded").len(), 3);
    assert_eq!(world.objects().await.len(), 3);
    assert_eq!(
        world.sandbox.images.requests().len(),
        3,
        "the job did not fetch exactly three pictures"
    );
}

#[tokio::test]
async fn the_job_goes_on_if_its_output_cannot_be_written() {
    let world = World::new().await;
    let job = world.job("/random", "--count 3 --interval 10ms");
    assert_eq!(job.finish_on_a_full_disk().await.code(), Some(0));
    assert_eq!(world.objects().await.len(), 3);
}

#[tokio::test]
async fn nothing_aborts_if_its_output_cannot_be_written() {
    let world = World::new().await;
    // A report that nobody gets is none.
    for (arguments, code) in [("identity", 1), ("identity --json", 1), ("--interval never", 2)] {
        let status = world.job("/random", arguments).finish_on_a_full_disk().await;
        assert_eq!(status.code(), Some(code), "{arguments}: {status}");
    }
}

#[tokio::test]
async fn the_count_is_exact_with_concurrent_uploads() {
    let world = World::new().await;
    world.job("/random", "--count 21 --interval 0s --concurrency 8").finish().await.expect(0);
    assert_eq!(world.objects().await.len(), 21);
    assert_eq!(world.sandbox.images.requests().len(), 21);
}

#[tokio::test]
async fn pictures_start_an_interval_apart() {
    let world = World::new().await;
    world.job("/random", "--count 4 --interval 500ms").finish().await.expect(0);
    let arrivals = world.sandbox.images.arrivals();
    // Each tick is a multiple of the interval after the first, so a late picture does not delay the
    // next ones.
    let span = arrivals[3].at - arrivals[0].at;
    assert!(span >= Duration::from_millis(1100), "{span:?}");
}

#[tokio::test]
async fn ticks_during_a_slow_picture_are_skipped() {
    let world = World::new().await;
    // Each picture takes one and a half intervals, so every other tick is skipped.
    world.job("/x?delay=1500", "--count 3 --interval 1s").finish().await.expect(0);
    for pair in world.sandbox.images.arrivals().windows(2) {
        let gap = pair[1].at - pair[0].at;
        assert!(gap >= Duration::from_millis(1700), "{gap:?}");
    }
}

#[tokio::test]
async fn sigterm_ends_the_job_with_143_and_sigint_with_130() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let world = World::new().await;
        let job = world.job("/random", "--interval 1h").start();
        job.wrote("\"uploaded\"", 1).await;
        job.signal(signal);
        job.finish().await.expect(code);
    }
}

#[tokio::test]
async fn a_picture_in_flight_is_completed_after_sigterm() {
    let world = World::new().await;
    let job = world.job("/x?size=300KB&drip=16KiB%2C30", "--interval 1h").start();
    until("the upload has started", || world.s3_requests("PutObject") == 1).await;
    let done = job.terminate().await.expect(143);
    assert_eq!(done.events("uploaded").len(), 1);
    assert_eq!(world.objects().await.len(), 1);
}

#[tokio::test]
async fn a_picture_that_outlasts_the_shutdown_grace_is_cancelled() {
    for target in ["/x?size=100KB&stall=2KB", "/x?delay=60s"] {
        let world = World::new().await;
        let job = world.job(target, "--shutdown-grace 200ms --read-timeout 1m").start();
        until("the picture is requested", || world.sandbox.images.requests().len() == 1).await;
        let done = job.terminate().await.expect(143);
        assert_eq!(done.events("upload failed")[0]["reason"], "cancelled");
        assert_eq!(world.objects().await.len(), 0);
    }
}

#[tokio::test]
async fn a_second_signal_cancels_the_picture_at_once() {
    let world = World::new().await;
    // The shutdown grace is longer than the harness waits.
    let job = world
        .job("/x?size=100KB&stall=2KB", "--shutdown-grace 1h --read-timeout 1h --fetch-timeout 1h")
        .start();
    until("the picture is requested", || world.sandbox.images.requests().len() == 1).await;
    job.signal(Signal::TERM);
    job.wrote("pictures in flight may finish", 1).await;
    job.signal(Signal::INT);
    let done = job.finish().await.expect(143);
    assert_eq!(done.events("upload failed")[0]["reason"], "cancelled");
    assert_eq!(world.objects().await.len(), 0);
}
