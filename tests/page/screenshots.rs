//! Makes the pictures of the page for the documentation: `scripts/dev/screenshots.sh`.

use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sandbox::{Fault, PAGE_NOTE};
use serde_json::json;

use crate::browser::Tab;
use crate::harness::World;
use crate::served::Served;

async fn save(tab: &Tab, name: &str, folder: &str) {
    // So that the pictures are decoded, and nothing is in the middle of an animation.
    tab.wait_for("[...document.images].every((each) => each.complete)").await;
    tab.wait_for("document.getAnimations().every((each) => each.playState !== 'running')").await;
    let shot = tab.call("Page.captureScreenshot", json!({ "format": "png" })).await;
    let png = BASE64_STANDARD.decode(shot["data"].as_str().expect("text")).expect("base64");
    std::fs::write(Path::new(folder).join(name), png).expect("it can be written");
}

#[tokio::test]
#[ignore = "scripts/dev/screenshots.sh runs it"]
async fn screenshots() {
    let folder = std::env::var("SCREENSHOTS").expect("the folder for them");
    let world = World::new().await;
    // A local run, with the names that it has.
    let job = world
        .job("/random?width=640&height=400", "--interval 1500ms --require-identity pod-identity")
        .env("POD_NAME", "demo")
        .env("PAGE_NOTE", PAGE_NOTE);
    let served = Served::of(&world, job).await;
    let tab = Tab::new().await;
    tab.size(1280, 860).await;
    tab.open(&served.url()).await;
    tab.wait_for("document.querySelectorAll('.attempt.ok').length >= 30").await;
    save(&tab, "page-light.png", &folder).await;
    tab.colours("dark").await;
    save(&tab, "page-dark.png", &folder).await;
    tab.colours("light").await;
    tab.size(412, 915).await;
    save(&tab, "page-narrow.png", &folder).await;
    tab.size(1280, 860).await;
    world.sandbox.s3.fail("PutObject", usize::MAX, Fault::Status(403, "AccessDenied"));
    tab.wait_for("document.querySelectorAll('.attempt.failed').length >= 3").await;
    save(&tab, "page-failing.png", &folder).await;
    served.job.terminate().await.expect(143);
}
