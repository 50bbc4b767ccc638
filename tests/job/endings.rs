//! Ticks, and every way to end.

use std::time::Duration;

use rustix::process::Signal;

use crate::harness::{World, until};

#[tokio::test]
async fn the_count_ends_it_with_success() {
    let world = World::new().await;
    let done = world.job("/random", "--count 3 --interval 10ms").finish().await.expect(0);
    assert_eq!(done.events("uploaded").len(), 3);
    assert_eq!(world.objects().await.len(), 3);
    assert_eq!(world.sandbox.images.requests().len(), 3, "no picture more than asked for");
}

#[tokio::test]
async fn the_count_is_kept_with_many_in_flight() {
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
    // From start to start, in step with the first: a late one does not push the others back.
    let span = arrivals[3].at - arrivals[0].at;
    assert!(span >= Duration::from_millis(1100), "{span:?}");
}

#[tokio::test]
async fn a_late_tick_is_skipped_not_piled_up() {
    let world = World::new().await;
    // Each picture takes a tick and a half: every other tick is skipped.
    world.job("/x?delay=1500", "--count 3 --interval 1s").finish().await.expect(0);
    for pair in world.sandbox.images.arrivals().windows(2) {
        let gap = pair[1].at - pair[0].at;
        assert!(gap >= Duration::from_millis(1700), "{gap:?}");
    }
}

#[tokio::test]
async fn sigterm_is_143_and_sigint_is_130() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let world = World::new().await;
        let job = world.job("/random", "--interval 1h").start();
        job.wrote("\"uploaded\"", 1).await;
        job.signal(signal);
        job.finish().await.expect(code);
    }
}

#[tokio::test]
async fn a_picture_in_flight_may_finish() {
    let world = World::new().await;
    let job = world.job("/x?size=300KB&drip=16KiB%2C30", "--interval 1h").start();
    until("it is on its way", || world.s3_requests("PutObject") == 1).await;
    let done = job.terminate().await.expect(143);
    assert_eq!(done.events("uploaded").len(), 1);
    assert_eq!(world.objects().await.len(), 1);
}

#[tokio::test]
async fn what_does_not_finish_within_the_grace_is_cancelled() {
    for target in ["/x?size=100KB&stall=2KB", "/x?delay=60s"] {
        let world = World::new().await;
        let job = world.job(target, "--shutdown-grace 200ms --read-timeout 1m").start();
        until("it is asked for", || world.sandbox.images.requests().len() == 1).await;
        let done = job.terminate().await.expect(143);
        assert_eq!(done.events("upload failed")[0]["reason"], "cancelled");
        assert_eq!(world.objects().await.len(), 0);
    }
}

#[tokio::test]
async fn a_second_signal_cancels_at_once() {
    let world = World::new().await;
    // A grace that outlasts the harness's patience.
    let job = world
        .job("/x?size=100KB&stall=2KB", "--shutdown-grace 1h --read-timeout 1h --fetch-timeout 1h")
        .start();
    until("it is on its way", || world.sandbox.images.requests().len() == 1).await;
    job.signal(Signal::TERM);
    job.wrote("pictures in flight may finish", 1).await;
    job.signal(Signal::INT);
    let done = job.finish().await.expect(143);
    assert_eq!(done.events("upload failed")[0]["reason"], "cancelled");
    assert_eq!(world.objects().await.len(), 0);
}
