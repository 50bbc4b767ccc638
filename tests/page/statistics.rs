//! The figures and the plots.

use std::time::Duration;

use sandbox::Fault;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::browser::Tab;
use crate::harness::World;
use crate::served::{Served, TIMEOUT};

/// What the page shows: texts, and the heights of bars and points as they are in the drawings.
const SHOWN: &str = "
(() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const label = (id) => document.getElementById(id).getAttribute('aria-label');
  const heights = (selector) => all(selector).map((each) => (+each.getAttribute('height')).toFixed(1));
  const points = (selector) => (all(selector)[0]?.getAttribute('d') ?? '')
    .split(/[ML]/).slice(1).map((point) => point.split(' ')[1].replace('h.1', ''));
  return {
    success: success.innerText,
    failure: failure.innerText,
    bytes: bytes.innerText,
    uploads: label('plot-uploads'),
    stored: heights('#plot-uploads .ok-fill'),
    failed: heights('#plot-uploads .failed-fill'),
    fetch: points('#plot-times .fetch-line'),
    upload: points('#plot-times .upload-line'),
    sizes: heights('#plot-bytes rect'),
  };
})()
";

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

/// What the page is to show of a status.
fn expected(status: &Value) -> Value {
    let list = |value: &Value| value.as_array().expect("a list").clone();
    let bytes = number(&status["uploads"]["bytes_uploaded"]);

    let slots = list(&status["activity"]["slots"]);
    let count = |slot: &Value| number(&slot["success"]) + number(&slot["failure"]);
    let most = slots.iter().map(count).fold(1.0, f64::max);
    let bars = |result: &str| -> Vec<String> {
        let counts = slots.iter().map(|slot| number(&slot[result]));
        counts.filter(|count| *count > 0.0).map(|count| tenths(count / most * 70.0)).collect()
    };

    let mut stored = list(&status["attempts"]);
    stored.retain(|attempt| attempt["result"] == "success");
    stored.reverse();
    let all = |field: &'static str| stored.iter().map(move |attempt| number(&attempt[field]));
    let slowest = all("fetch_seconds").chain(all("upload_seconds")).fold(0.001, f64::max);
    let line = |field| -> Vec<String> {
        all(field).map(|seconds| tenths(71.0 - seconds / slowest * 68.0)).collect()
    };
    let largest = all("size").fold(1.0, f64::max);
    let height = |size: f64| tenths((size / largest * 70.0).max(1.0));
    let sizes: Vec<String> = all("size").map(height).collect();

    let success = &status["uploads"]["success"];
    let failure = &status["uploads"]["failure"];
    let seconds = &status["activity"]["slot_seconds"];
    json!({
        "success": success.to_string(),
        "failure": failure.to_string(),
        "bytes": size(bytes),
        "uploads": format!("{success} uploads and {failure} failures, at most {most} in {seconds} s"),
        "stored": bars("success"),
        "failed": bars("failure"),
        "fetch": line("fetch_seconds"),
        "upload": line("upload_seconds"),
        "sizes": sizes,
    })
}

/// A size of some kilobytes or more, as the page writes it.
fn size(bytes: f64) -> String {
    let (value, unit) = if bytes < 999_500.0 { (bytes / 1e3, "kB") } else { (bytes / 1e6, "MB") };
    let digits = usize::from(value < 99.5);
    format!("{value:.digits$} {unit}")
}

fn tenths(value: f64) -> String {
    // As JavaScript rounds halves.
    format!("{:.1}", (value * 10.0).round() / 10.0)
}

#[tokio::test]
async fn figures_and_plots_show_the_numbers_of_the_status() {
    let world = World::new().await;
    let served = Served::start(&world, "/random", "--interval 200ms --shutdown-grace 100ms").await;
    let tab = Tab::new().await;
    tab.open(&served.url()).await;
    let s3 = &world.sandbox.s3;
    served.status_when(|status| status["uploads"]["success"].as_u64() >= Some(3)).await;
    s3.fail("PutObject", 2, Fault::Status(404, "NoSuchBucket"));
    served.status_when(|status| status["uploads"]["failure"].as_u64() >= Some(2)).await;
    served.status_when(|status| status["uploads"]["success"].as_u64() >= Some(5)).await;
    // From now on no picture ends any more, so that the page can catch up.
    s3.fail("PutObject", usize::MAX, Fault::Hang);
    let mut last = (Value::Null, Value::Null);
    let agree = async {
        loop {
            last = (expected(&served.status().await), tab.eval(SHOWN).await);
            if last.0 == last.1 {
                break;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    let agreed = timeout(TIMEOUT, agree).await;
    assert!(agreed.is_ok(), "expected {:#}\nshown {:#}", last.0, last.1);
    let points = |field: &str| last.1[field].as_array().map_or(0, Vec::len);
    let uploads: usize = tab.text("#success").await.parse().expect("a number");
    assert!(uploads >= 5 && tab.text("#failure").await == "2");
    for plot in ["fetch", "upload", "sizes"] {
        assert_eq!(points(plot), uploads, "{plot} has a point for each upload");
    }
    tab.expect_quiet(&served.url());
    served.job.terminate().await.expect(143);
}

#[tokio::test]
async fn plots_without_a_picture_say_so() {
    let world = World::new().await;
    let served = Served::start(&world, "/x?status=404", "--interval 1h").await;
    let tab = Tab::new().await;
    tab.open(&served.url()).await;
    tab.wait_for("failure.innerText === '1'").await;
    let shown: Value = tab.eval(SHOWN).await;
    assert_eq!(shown["uploads"], "0 uploads and 1 failure, at most 1 in 1 h");
    assert_eq!((&shown["stored"], &shown["failed"]), (&json!([]), &json!(["70.0"])));
    assert_eq!((&shown["success"], &shown["bytes"]), (&json!("0"), &json!("0 B")));
    for plot in ["plot-times", "plot-bytes"] {
        let label: String = tab.eval(&format!("$({plot:?}).getAttribute('aria-label')")).await;
        assert_eq!(label, "no pictures yet", "{plot}");
    }
    tab.expect_quiet(&served.url());
    served.job.terminate().await.expect(143);
}
