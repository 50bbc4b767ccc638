//! Tests which faults `pod-identity-demo identity` diagnoses, and how.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::harness::World;
use crate::identity::report;

/// The diagnosis in the verdict after `change` has introduced a fault into the world.
async fn diagnosis_after(change: impl FnOnce(&World)) -> Value {
    let world = World::new().await;
    change(&world);
    let report = report(world.job("/random", "identity --json"), 3).await;
    report["verdict"]["diagnosis"].clone()
}

#[tokio::test]
async fn each_fault_of_the_token_file_has_a_diagnosis_of_its_own() {
    let file = |world: &World| world.sandbox.agent.token_file();
    let diagnosis =
        diagnosis_after(|world| std::fs::remove_file(file(world)).expect("removed")).await;
    assert_eq!(diagnosis["id"], "token_missing");
    let diagnosis =
        diagnosis_after(|world| std::fs::write(file(world), "").expect("written")).await;
    assert_eq!(diagnosis["id"], "token_empty");
    let diagnosis =
        diagnosis_after(|world| std::fs::write(file(world), "no.jwt").expect("written")).await;
    assert_eq!(diagnosis["id"], "token_malformed");
    let mint = |world: &World, change: fn(&mut sandbox::Claims)| {
        let agent = &world.sandbox.agent;
        agent.write_token(&agent.mint_token(change)).expect("written");
    };
    let expired = diagnosis_after(|world| mint(world, |claims| claims.exp = claims.iat - 60)).await;
    assert_eq!(expired["id"], "token_expired");
    let other = diagnosis_after(|world| {
        mint(world, |claims| claims.aud = vec!["sts.amazonaws.com".to_owned()]);
    })
    .await;
    assert_eq!(other["id"], "token_wrong_audience");
}

#[tokio::test]
async fn the_fix_for_an_unreadable_token_file_mentions_fs_group() {
    let world = World::new().await;
    let mut job = world.job("/random", "identity --json");
    if rustix::process::geteuid().is_root() {
        // Root can read every file, so the program runs as nobody, who cannot read root's file.
        job = job.run_by(65534);
    } else {
        let none = std::fs::Permissions::from_mode(0o000);
        std::fs::set_permissions(world.sandbox.agent.token_file(), none).expect("set");
    }
    let report = report(job, 3).await;
    let diagnosis = &report["verdict"]["diagnosis"];
    assert_eq!(diagnosis["id"], "token_unreadable", "{report:#}");
    assert!(diagnosis["fix"].as_str().is_some_and(|fix| fix.contains("fsGroup")));
}

#[tokio::test]
async fn a_container_that_the_annotation_skips_is_diagnosed() {
    let world = World::new().await;
    let skipped = |names: &str| {
        world
            .job("/random", "identity --json --require-identity pod-identity")
            .without_pod_identity()
            .env("SKIP_CONTAINERS", names)
    };
    for (names, id) in [
        ("proxy, pod-identity-demo", "container_skipped"),
        ("proxy", "not_injected"),
        ("", "not_injected"),
    ] {
        let report = report(skipped(names), 3).await;
        assert_eq!(report["verdict"]["diagnosis"]["id"], id, "{names:?}");
    }
}

#[tokio::test]
async fn the_token_is_not_sent_to_hosts_to_which_the_sdk_sends_none() {
    let world = World::new().await;
    let recorder = tokio::net::TcpListener::bind("0.0.0.0:0").await.expect("a port");
    let port = recorder.local_addr().expect("an address").port();
    // An address of this machine that is neither loopback nor the agent's.
    let job = world
        .job("/random", "identity --json")
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("http://0.0.0.0:{port}/v1/credentials"));
    let report = report(job, 3).await;
    assert_eq!(report["verdict"]["diagnosis"]["id"], "agent_uri", "{report:#}");
    let connection = tokio::time::timeout(std::time::Duration::ZERO, recorder.accept()).await;
    assert!(connection.is_err(), "the program connected: {connection:?}");
}
