//! Tests the live page in a real browser, Chromium without a window, and its server with hostile
//! clients.
//!
//! The browser is driven over a pipe with its own `DevTools` protocol. Each test has a sandbox and a
//! job of its own, and fails if the browser's console has an error that the test does not provoke, or
//! if the page asked another host for anything. `scripts/dev/tools.sh browser` installs what is needed.

#[allow(dead_code, reason = "the harness is the job tests', and not all of it is needed here")]
#[path = "../job/harness.rs"]
mod harness;
#[allow(dead_code, reason = "likewise")]
#[path = "../job/served.rs"]
mod served;

mod accessible;
mod browser;
mod devtools;
mod failing;
mod files;
mod hostile;
mod idle;
mod live;
mod providers;
mod screenshots;
mod statistics;
mod status;
