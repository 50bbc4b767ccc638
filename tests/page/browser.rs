//! A tab of the browser, and what a test asks of it.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{sleep, timeout};

use crate::devtools::DevTools;

const TIMEOUT: Duration = Duration::from_mins(4);

/// Browsers at the same time: more only get in each other's way.
static BROWSERS: Semaphore = Semaphore::const_new(2);

/// Notes when each picture was seen, by the browser's clock, which is the server's.
const WATCH: &str = "
window.pictures = {};
document.addEventListener('load', (event) => {
  if (event.target.tagName === 'IMG') pictures[new URL(event.target.src).pathname] = Date.now() / 1000;
}, true);
";

/// A browser with one tab.
pub struct Tab {
    devtools: DevTools,
    session: String,
    _permit: SemaphorePermit<'static>,
}

impl Tab {
    /// An empty tab, 1440 by 1000 pixels, light.
    pub async fn new() -> Self {
        let permit = BROWSERS.acquire().await.expect("it is never closed");
        let devtools = DevTools::start();
        let target = devtools.call(None, "Target.createTarget", json!({ "url": "about:blank" }));
        let target = target.await["targetId"].clone();
        let attach = json!({ "targetId": target, "flatten": true });
        let attached = devtools.call(None, "Target.attachToTarget", attach).await;
        let session = attached["sessionId"].as_str().expect("text").to_owned();
        let tab = Self { devtools, session, _permit: permit };
        for domain in ["Page", "Runtime", "Log", "Network"] {
            tab.call(&format!("{domain}.enable"), json!({})).await;
        }
        tab.call("Page.addScriptToEvaluateOnNewDocument", json!({ "source": WATCH })).await;
        tab.size(1440, 1000).await;
        tab.colours("light").await;
        tab
    }

    pub async fn call(&self, method: &str, parameters: Value) -> Value {
        self.devtools.call(Some(&self.session), method, parameters).await
    }

    pub async fn open(&self, url: &str) {
        self.call("Page.navigate", json!({ "url": url })).await;
    }

    pub async fn size(&self, width: u32, height: u32) {
        let metrics = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600,
        });
        self.call("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// `light` or `dark`.
    pub async fn colours(&self, scheme: &str) {
        self.prefer(scheme, "no-preference").await;
    }

    /// `light` or `dark`, and whether to `reduce` motion.
    pub async fn prefer(&self, scheme: &str, motion: &str) {
        let features = json!([
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": motion },
        ]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    /// The value of an expression, which may be a promise.
    pub async fn eval<T: DeserializeOwned>(&self, expression: &str) -> T {
        let parameters =
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let result = self.call("Runtime.evaluate", parameters).await;
        assert!(result.get("exceptionDetails").is_none(), "{expression}: {result}");
        let value = result["result"].get("value").cloned().unwrap_or_default();
        serde_json::from_value(value).unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    /// Waits until an expression is true.
    pub async fn wait_for(&self, expression: &str) {
        let poll = async {
            // What is not there yet is not true yet.
            let checked = format!(
                "(() => {{ try {{ return Boolean({expression}) }} catch {{ return false }} }})()"
            );
            while !self.eval::<bool>(&checked).await {
                sleep(Duration::from_millis(10)).await;
            }
        };
        if timeout(TIMEOUT, poll).await.is_err() {
            let text: String = self.eval("document.body.innerText").await;
            panic!("not within {TIMEOUT:?}: {expression}; the page says\n{text}");
        }
    }

    /// The text that a person sees of an element.
    pub async fn text(&self, selector: &str) -> String {
        self.eval(&format!("document.querySelector({selector:?}).innerText")).await
    }

    pub async fn wait_for_text(&self, selector: &str, text: &str) {
        let find = format!("document.querySelector({selector:?})?.innerText.includes({text:?})");
        self.wait_for(&find).await;
    }

    /// The errors and warnings in the console so far, and exceptions.
    fn complaints(&self) -> Vec<String> {
        let log = self.devtools.events(&self.session, "Log.entryAdded");
        let log = log.into_iter().map(|event| event["entry"].clone());
        let log = log.filter(|entry| entry["level"] == "error" || entry["level"] == "warning");
        let exceptions = self.devtools.events(&self.session, "Runtime.exceptionThrown");
        let calls = self.devtools.events(&self.session, "Runtime.consoleAPICalled");
        log.chain(exceptions).chain(calls).map(|each| each.to_string()).collect()
    }

    /// The URLs of all requests so far.
    fn requests(&self) -> Vec<String> {
        let sent = self.devtools.events(&self.session, "Network.requestWillBeSent");
        sent.iter()
            .map(|event| event["request"]["url"].as_str().expect("text").to_owned())
            .collect()
    }

    /// Fails the test if the console has an error, or if another host was asked for anything.
    #[track_caller]
    pub fn expect_quiet(&self, url: &str) {
        self.expect_only(url, |_| false);
    }

    /// Does the same for a page that has lost its server: the browser itself writes an error for
    /// each connection that fails.
    #[track_caller]
    pub fn expect_only_lost_connections(&self, url: &str) {
        self.expect_only(url, |complaint| complaint.contains("net::ERR_"));
    }

    #[track_caller]
    fn expect_only(&self, url: &str, expected: impl Fn(&str) -> bool) {
        let mut complaints = self.complaints();
        complaints.retain(|complaint| !expected(complaint));
        assert_eq!(complaints, Vec::<String>::new(), "the console is not empty");
        let elsewhere: Vec<_> =
            self.requests().into_iter().filter(|each| !each.starts_with(url)).collect();
        assert_eq!(elsewhere, Vec::<String>::new(), "requests to another host than {url}");
    }
}
