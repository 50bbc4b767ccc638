//! The page for those who cannot see it, who use a keyboard, or whose screen is small: checked with
//! axe-core.

use std::path::Path;

use sandbox::{Answer, Fault, Network, Wire};
use serde_json::Value;

use crate::browser::Tab;
use crate::harness::World;
use crate::served::Served;

/// Checks what the page shows now, light and dark, narrow and wide.
async fn expect_accessible(tab: &Tab, what: &str) {
    for scheme in ["light", "dark"] {
        // A card that is still appearing is not what is checked.
        tab.prefer(scheme, "reduce").await;
        for (width, height) in [(360, 740), (1440, 1000), (2560, 1440)] {
            tab.size(width, height).await;
            let what = format!("{what}, {scheme}, {width} by {height}");
            expect_no_violations(tab, &what).await;
            let wide: u32 = tab.eval("document.documentElement.scrollWidth").await;
            assert!(wide <= width, "{what}: it scrolls sideways, {wide} pixels");
        }
    }
}

async fn expect_no_violations(tab: &Tab, what: &str) {
    let axe = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(".tools/browser/node_modules/axe-core/axe.min.js");
    let axe = std::fs::read_to_string(axe)
        .expect("axe-core is missing: run scripts/dev/tools.sh browser");
    let _: Value = tab.eval(&format!("{axe};0")).await;
    let violations: Vec<Value> = tab
        .eval("axe.run(document).then((found) => found.violations.map((each) => [each.id, each.help, each.nodes.map((node) => node.html + node.failureSummary)]))")
        .await;
    assert!(violations.is_empty(), "{what}: {violations:#?}");
}

/// So many pictures that none is gone before a browser on a busy machine asks for it.
const ARGUMENTS: &str = "--interval 100ms --keep-pictures 100 --require-identity pod-identity";

#[tokio::test]
async fn axe_finds_nothing_wrong_in_light_and_dark_wide_and_narrow_good_and_bad() {
    let world = World::new().await;
    let served = Served::start(&world, "/random", ARGUMENTS).await;
    let tab = Tab::new().await;
    tab.open(&served.url()).await;
    tab.wait_for("document.querySelectorAll('.attempt.ok').length >= 3").await;
    for fault in [None, Some(Fault::Status(404, "NoSuchBucket"))] {
        if let Some(fault) = &fault {
            world.sandbox.s3.fail("PutObject", usize::MAX, fault.clone());
            tab.wait_for("document.querySelectorAll('.attempt.failed').length >= 1").await;
        }
        expect_accessible(&tab, &format!("{fault:?}")).await;
    }
    tab.expect_quiet(&served.url());
    served.job.terminate().await.expect(143);
}

#[tokio::test]
async fn axe_finds_nothing_wrong_when_the_connection_is_lost_or_the_job_has_ended() {
    let world = World::new().await;
    world.sandbox.s3.fail("PutObject", 1, Fault::Status(404, "NoSuchBucket"));
    let served = Served::start(&world, "/random", "--interval 200ms --keep-pictures 100").await;
    let wire = Wire::start(served.at).await.expect("a port");
    let url = format!("http://{}/", wire.address());
    let tab = Tab::new().await;
    tab.open(&url).await;
    tab.wait_for("document.querySelectorAll('.attempt.failed, .attempt.ok').length >= 3").await;
    wire.set(Network::Refuse).await.expect("it can be closed");
    tab.wait_for_text("#link", "connection lost").await;
    expect_accessible(&tab, "the connection is lost").await;
    wire.set(Network::Good).await.expect("its port is still free");
    tab.wait_for_text("#link", "live").await;
    served.job.terminate().await.expect(143);
    tab.wait_for_text("#link", "the job has ended with exit code 143").await;
    expect_accessible(&tab, "the job has ended").await;
    tab.expect_only_lost_connections(&url);
}

#[tokio::test]
async fn axe_finds_nothing_wrong_when_the_job_waits_for_credentials_or_gets_the_wrong_ones() {
    let world = World::new().await;
    world.sandbox.agent.set_answer(Answer::Status(500, "[]".to_owned()));
    let arguments = "--require-identity ecs --startup-grace 1h";
    let served = Served::start(&world, "/random", arguments).await;
    let tab = Tab::new().await;
    tab.open(&served.url()).await;
    tab.wait_for_text("#link", "waiting for credentials").await;
    expect_accessible(&tab, "waiting for credentials").await;
    world.sandbox.agent.set_answer(Answer::Normal);
    tab.wait_for_text("#link", "the job has ended with exit code 3").await;
    tab.wait_for_text("#required", "not the required identity").await;
    expect_accessible(&tab, "wrong identity").await;
    tab.expect_only_lost_connections(&served.url());
    served.job.finish().await.expect(3);
}

#[tokio::test]
async fn the_keyboard_reaches_every_picture_and_the_reader_hears_of_it() {
    let world = World::new().await;
    let served = Served::start(&world, "/random", "--interval 3s").await;
    let tab = Tab::new().await;
    tab.open(&served.url()).await;
    tab.wait_for("document.querySelectorAll('.attempt a').length >= 1").await;
    let mut reached = Vec::new();
    for _ in 0..4 {
        for kind in ["rawKeyDown", "keyUp"] {
            let key = serde_json::json!({
                "type": kind, "key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9,
            });
            tab.call("Input.dispatchKeyEvent", key).await;
        }
        reached.push(
            tab.eval::<String>(
                "document.activeElement.className || document.activeElement.innerText",
            )
            .await,
        );
    }
    assert_eq!(reached.first().map(String::as_str), Some("skip"), "{reached:?}");
    assert!(reached.contains(&"view".to_owned()), "{reached:?}");
    tab.wait_for_text("#say", "Uploaded picture").await;
    assert_eq!(tab.eval::<String>("document.querySelector('#say').ariaLive").await, "polite");
    tab.expect_quiet(&served.url());
    served.job.terminate().await.expect(143);
}

#[tokio::test]
async fn nothing_moves_for_those_who_do_not_want_it() {
    let world = World::new().await;
    let served = Served::start(&world, "/random", ARGUMENTS).await;
    let tab = Tab::new().await;
    tab.prefer("light", "reduce").await;
    tab.open(&served.url()).await;
    tab.wait_for("document.querySelectorAll('.attempt.new').length >= 2").await;
    assert_eq!(tab.eval::<u32>("document.getAnimations().length").await, 0);
    tab.expect_quiet(&served.url());
    served.job.terminate().await.expect(143);
}
