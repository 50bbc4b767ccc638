//! Kinds of failures: what `identity` and the job say of each, by what was seen and not by what is
//! configured.

mod accounts;
mod agent;
mod loops;
mod metadata;
mod profiles;
mod providers;
mod proxies;
mod redaction;
mod s3;
mod sts;
mod values;

use sandbox::{Asked, Reply, Scripted};
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Job, World};

/// What must be said of a failure: its diagnosis, the exit code, and words of cause and fix. `never` are
/// words that neither may have.
#[derive(Clone, Copy, Default)]
pub(crate) struct Right<'a> {
    pub(crate) id: &'a str,
    pub(crate) code: i32,
    pub(crate) cause: &'a [&'a str],
    pub(crate) fix: &'a [&'a str],
    pub(crate) never: &'a [&'a str],
}

/// What a table of failures got wrong, so that a run shows all of it.
#[derive(Default)]
pub(crate) struct Wrong(Vec<String>);

impl Wrong {
    /// Runs `identity --json` or another command of the same output, and compares.
    pub(crate) async fn told(&mut self, what: &str, job: Job<'_>, right: Right<'_>) -> Value {
        self.compare(what, job, right, "/verdict/diagnosis").await
    }

    /// The same with the diagnosis of `--probe`.
    pub(crate) async fn probed(&mut self, what: &str, job: Job<'_>, right: Right<'_>) -> Value {
        self.compare(what, job, right, "/access/diagnosis").await
    }

    async fn compare(&mut self, what: &str, job: Job<'_>, right: Right<'_>, at: &str) -> Value {
        let done = job.finish().await;
        let text = done.lines.join("\n");
        let Ok(report) = serde_json::from_str::<Value>(&text) else {
            self.0.push(format!("{what}: exit {}, not a report: {text}", done.code));
            return Value::Null;
        };
        let said = report.pointer(at).unwrap_or(&Value::Null);
        let part = |name: &str| said[name].as_str().unwrap_or_default().to_owned();
        let (cause, fix) = (part("cause"), part("fix"));
        let has = |text: &str, words: &[&str]| words.iter().all(|word| text.contains(word));
        let is_right = done.code == right.code
            && said["id"].as_str().unwrap_or_default() == right.id
            && has(&cause, right.cause)
            && has(&fix, right.fix)
            && !right.never.iter().any(|word| cause.contains(word) || fix.contains(word));
        if !is_right {
            self.0.push(format!("{what}: not {}: exit {}: {said}", right.id, done.code));
        }
        report
    }

    pub(crate) fn expect(&mut self, what: &str, holds: bool, found: impl std::fmt::Display) {
        if !holds {
            self.0.push(format!("{what}: {found}"));
        }
    }

    /// Fails the test if anything was wrong.
    #[track_caller]
    pub(crate) fn none(self) {
        assert!(self.0.is_empty(), "\n{}", self.0.join("\n"));
    }
}

/// `identity --json` in a pod with Pod Identity.
pub(crate) fn identity<'w>(world: &'w World, arguments: &str) -> Job<'w> {
    world.job("/random", &format!("identity --json {arguments}"))
}

/// The same in a pod into which nothing was injected.
pub(crate) fn bare<'w>(world: &'w World, arguments: &str) -> Job<'w> {
    identity(world, arguments).without_pod_identity()
}

/// The same with IRSA alone.
pub(crate) fn irsa<'w>(world: &'w World, arguments: &str) -> Job<'w> {
    bare(world, arguments).with_irsa()
}

/// A server that gives this answer to everything.
pub(crate) async fn always(reply: Reply) -> Scripted {
    scripted(move |_| reply.clone()).await
}

pub(crate) async fn scripted(script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Scripted {
    Scripted::start(script).await.expect("a port")
}

/// A folder with the files `config` and `credentials`, which the job uses.
pub(crate) struct Profiles(TempDir);

impl Profiles {
    pub(crate) fn new(config: &str, credentials: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in [("config", config), ("credentials", credentials)] {
            std::fs::write(folder.path().join(name), text).expect("written");
        }
        Self(folder)
    }

    pub(crate) fn of<'w>(&self, job: Job<'w>) -> Job<'w> {
        job.env("AWS_CONFIG_FILE", self.0.path().join("config"))
            .env("AWS_SHARED_CREDENTIALS_FILE", self.0.path().join("credentials"))
    }
}
