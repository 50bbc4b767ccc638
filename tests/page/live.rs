//! What a person sees of a working job.

use std::collections::HashMap;
use std::time::Duration;

use sandbox::{Network, Wire};
use serde_json::{Value, json};

use crate::browser::Tab;
use crate::harness::World;
use crate::served::Served;

#[tokio::test]
async fn each_picture_is_seen_within_a_second_of_its_upload() {
    let world = World::new().await;
    let served = Served::start(&world, "/random", "--interval 300ms").await;
    let tab = Tab::new().await;
    tab.open(&served.url()).await;
    tab.wait_for("Object.keys(pictures).length >= 1").await;
    let opened: f64 = tab.eval("Date.now() / 1000").await;
    let before: u32 = tab.eval("Object.keys(pictures).length").await;
    tab.wait_for(&format!("Object.keys(pictures).length >= {before} + 5")).await;
    let seen: HashMap<String, f64> = tab.eval("pictures").await;
    let status = served.status().await;
    let mut checked = 0;
    for attempt in status["attempts"].as_array().expect("a list") {
        let (Some(path), Some(at)) = (attempt["picture"].as_str(), attempt["at"].as_f64()) else {
            continue;
        };
        if let Some(seen) = seen.get(path).filter(|_| at > opened) {
            assert!(seen - at < 1.0, "{path} was seen {} s after its upload", seen - at);
            checked += 1;
        }
    }
    assert!(checked >= 3, "only {checked} pictures were uploaded while the page was open");
    tab.expect_quiet(&served.url());
    served.job.terminate().await.expect(143);
}

#[tokio::test]
async fn the_card_names_the_identity_and_the_chain_shows_who_answered() {
    let world = World::new().await;
    let served =
        Served::start(&world, "/random", "--interval 1h --require-identity pod-identity").await;
    let tab = Tab::new().await;
    tab.open(&served.url()).await;
    tab.wait_for_text("#provider", "EKS Pod Identity").await;
    tab.wait_for_text("#required", "as required").await;
    // STS tells the role a moment later.
    tab.wait_for_text("#names", "Role").await;
    let names = tab.text("#names").await;
    for name in ["Account", "123456789012", "Namespace", "Service account", "Pod", "Node", "demo"] {
        assert!(names.contains(name), "{name} is missing: {names}");
    }
    let chain: Vec<(String, String)> = tab
        .eval("[...document.querySelectorAll('#chain li')].map((each) => [each.firstChild.data, each.dataset.state])")
        .await;
    let states: Vec<&str> = chain.iter().map(|(_, state)| state.as_str()).collect();
    assert_eq!(
        states,
        ["not_configured", "not_configured", "not_configured", "answered", "not_asked"]
    );
    assert_eq!(chain[3].0, "EKS Pod Identity");
    let ring: String = tab.eval("document.querySelector('#ring').ariaLabel").await;
    // They were valid for 6 hours when they were issued, which on a busy machine is minutes ago.
    assert!(ring.starts_with("the credentials expire in 5 h 5"), "{ring}");
    tab.expect_quiet(&served.url());
    served.job.terminate().await.expect(143);
}

#[tokio::test]
async fn the_countdowns_move_without_any_event() {
    let world = World::new().await;
    let served = Served::start(&world, "/random", "--interval 1h").await;
    let tab = Tab::new().await;
    tab.open(&served.url()).await;
    tab.wait_for_text("#next", "59 min").await;
    let next = tab.text("#next").await;
    tab.wait_for(&format!("document.querySelector('#next').innerText !== {next:?}")).await;
    let ago = tab.text("#refresh").await;
    tab.wait_for(&format!("document.querySelector('#refresh').innerText !== {ago:?}")).await;
    tab.expect_quiet(&served.url());
    served.job.terminate().await.expect(143);
}

#[tokio::test]
async fn the_ring_runs_down_and_jumps_back_at_a_refresh() {
    let world = World::with_lifetime(Duration::from_secs(6)).await;
    let served = Served::start(&world, "/random", "--interval 300ms").await;
    let tab = Tab::new().await;
    tab.open(&served.url()).await;
    let left = "parseFloat(document.querySelector('#left').getAttribute('stroke-dasharray'))";
    tab.wait_for(&format!("{left} > 0 && {left} < 75")).await;
    let before: f64 = tab.eval(left).await;
    tab.wait_for(&format!("{left} > {before} + 15")).await;
    tab.wait_for("document.querySelector('#ring').classList.contains('refreshed')").await;
    tab.wait_for_text("#refresh", "refreshed ").await;
    tab.expect_quiet(&served.url());
    served.job.terminate().await.expect(143);
}

#[tokio::test]
async fn a_reconnected_page_catches_up() {
    let world = World::new().await;
    let served = Served::start(&world, "/random", "--interval 200ms").await;
    let wire = Wire::start(served.at).await.expect("a port");
    let url = format!("http://{}/", wire.address());
    let tab = Tab::new().await;
    tab.open(&url).await;
    tab.wait_for("drawn.size >= 2").await;
    wire.set(Network::Refuse).await.expect("it can be closed");
    tab.wait_for_text("#link", "connection lost").await;
    tab.wait_for_text("#stale", "The connection is lost.").await;
    let missed = served.status().await["uploads"]["success"].as_u64().expect("a number") + 3;
    served.status_when(|status| status["uploads"]["success"].as_u64() >= Some(missed)).await;
    let drawn: u64 = tab.eval("Math.max(...drawn.keys())").await;
    assert!(drawn < missed, "the connection was not cut");
    wire.set(Network::Good).await.expect("its port is still free");
    tab.wait_for_text("#link", "live").await;
    assert!(tab.eval::<bool>("document.querySelector('#stale').hidden").await);
    let numbers: Vec<u64> = tab.eval("[...drawn.keys()].sort((a, b) => a - b)").await;
    assert!(numbers.last() >= Some(&missed), "{numbers:?}");
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "with gaps: {numbers:?}");
    tab.expect_only_lost_connections(&url);
    served.job.terminate().await.expect(143);
}

#[tokio::test]
async fn the_page_is_good_with_200_ms_of_latency() {
    let world = World::new().await;
    let served = Served::start(&world, "/random", "--interval 1h").await;
    served.job.wrote("\"uploaded\"", 1).await;
    let tab = Tab::new().await;
    let network = json!({
        "offline": false, "latency": 200, "downloadThroughput": -1, "uploadThroughput": -1,
    });
    tab.call("Network.emulateNetworkConditions", network).await;
    tab.open(&served.url()).await;
    tab.wait_for("Object.keys(pictures).length === 1").await;
    let took: f64 = tab.eval("Object.values(pictures)[0] - performance.timeOrigin / 1000").await;
    // The page, its script, its events, its picture: four after one another.
    assert!(took < 3.0, "the first picture was there after {took} s");
    // The clocks are the same, so what the page takes for the difference is the error of its
    // countdowns.
    let error: f64 = tab.eval("Math.abs(now() - Date.now() / 1000)").await;
    assert!(error < 0.5, "the countdowns are {error} s off");
    tab.expect_quiet(&served.url());
    served.job.terminate().await.expect(143);
}

#[tokio::test]
async fn the_end_of_the_job_is_seen_and_delays_it_by_less_than_a_second() {
    let world = World::new().await;
    let served = Served::start(&world, "/random", "--interval 1h").await;
    served.job.wrote("\"uploaded\"", 1).await;
    let url = served.url();
    let tab = Tab::new().await;
    tab.open(&url).await;
    tab.wait_for_text("#link", "live").await;
    let asked = std::time::Instant::now();
    served.job.terminate().await.expect(143);
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    tab.wait_for_text("#link", "the job has ended with exit code 143").await;
    assert_eq!(tab.text("#next").await, "ended");
    tab.wait_for_text("#stale", "The job has ended.").await;
    tab.expect_only_lost_connections(&url);
}

#[tokio::test]
async fn a_hidden_page_has_no_connection_and_comes_back() {
    let world = World::new().await;
    let served = Served::start(&world, "/random", "--interval 1h").await;
    let tab = Tab::new().await;
    tab.open(&served.url()).await;
    tab.wait_for("events && events.readyState === 1").await;
    let _: Value = tab
        .eval("Object.defineProperty(document, 'hidden', { value: true, configurable: true }), document.dispatchEvent(new Event('visibilitychange'))")
        .await;
    tab.wait_for("events === null").await;
    let _: Value = tab
        .eval("delete document.hidden, document.dispatchEvent(new Event('visibilitychange'))")
        .await;
    tab.wait_for("events && events.readyState === 1").await;
    tab.expect_quiet(&served.url());
    served.job.terminate().await.expect(143);
}
