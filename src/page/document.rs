//! The document that browsers and scripts get: everything, as JSON.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::{Serialize, Serializer};
use tokio::time::Instant;

use super::activity::Activity;
use super::state::{Phase, State, Totals};
use super::timeline::Attempt;
use crate::diagnosis::Diagnosis;
use crate::errors::one_line;
use crate::identity::{
    CredentialStatus, Link, NoCredentials, Principal, RefreshingCredentials, Subject,
};
use crate::status::unix;

/// What the job is to do. It does not change while the program runs.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct About {
    /// The URLs of the image hosts, without secrets.
    pub(crate) sources: Vec<String>,
    /// `s3://BUCKET/PREFIX`, as every key of this pod begins.
    pub(crate) destination: String,
    pub(crate) endpoint: Option<String>,
    pub(crate) region: String,
    #[serde(rename = "interval_seconds", serialize_with = "as_seconds")]
    pub(crate) interval: Duration,
    pub(crate) count: Option<u64>,
    pub(crate) concurrency: usize,
    pub(crate) keep_pictures: usize,
    /// This pod's name, in keys.
    pub(crate) pod_name: String,
}

/// The names are those of the metrics and of `identity --json` where these have them.
#[derive(Serialize)]
pub(super) struct Document<'a> {
    program: Program,
    job: Job<'a>,
    identity: Identity,
    diagnosis: Option<&'a Diagnosis>,
    uploads: &'a Totals,
    activity: &'a Activity,
    attempts: &'a VecDeque<Attempt>,
}

#[derive(Serialize)]
struct Program {
    version: &'static str,
    commit: &'static str,
    started: f64,
}

#[derive(Serialize)]
struct Job<'a> {
    state: Phase,
    ready: bool,
    exit_code: Option<u8>,
    in_flight: usize,
    next_tick: Option<f64>,
    #[serde(flatten)]
    about: &'a About,
}

#[derive(Serialize)]
struct Identity {
    required: String,
    /// Whether the provider that answered is the required one; `None` before one has.
    as_required: Option<bool>,
    principal: Option<Principal>,
    /// Whether requests can be signed.
    usable: bool,
    since: Option<f64>,
    refresh_due: Option<f64>,
    expires: Option<f64>,
    refreshes: Refreshes,
    chain: Vec<Link>,
    pod: Option<Subject>,
}

#[derive(Serialize)]
struct Refreshes {
    success: u64,
    failure: u64,
    /// Why the last one failed, if it did.
    error: Option<String>,
}

impl<'a> Document<'a> {
    pub(super) fn new(
        about: &'a About,
        credentials: &RefreshingCredentials,
        state: &'a State,
    ) -> Self {
        let identity = Identity::new(credentials, state);
        Self {
            program: Program {
                version: env!("CARGO_PKG_VERSION"),
                commit: env!("GIT_COMMIT"),
                started: unix(state.started),
            },
            job: Job {
                state: state.phase,
                ready: state.is_ready() && identity.usable,
                exit_code: state.exit_code,
                in_flight: state.in_flight,
                next_tick: state.next_tick.map(|due| unix(wall_clock(due))),
                about,
            },
            identity,
            diagnosis: state.diagnosis.as_ref(),
            uploads: &state.totals,
            activity: &state.activity,
            attempts: state.timeline.attempts(),
        }
    }

    /// As JSON on one line, but for the opening brace and the time, and the empty line that ends an
    /// event.
    pub(super) fn render(&self) -> Bytes {
        // Nothing in it can fail to be serialized: there are only texts and numbers.
        let mut json = serde_json::to_vec(self).unwrap_or_else(|_| b"{}".to_vec());
        json.extend_from_slice(b"\n\n");
        json.shrink_to_fit();
        Bytes::from(json).slice(1..)
    }
}

/// The beginning of the document: the time at which it is sent, so that a browser can tell how far
/// its own clock is off.
pub(super) fn head() -> String {
    format!("{{\"now\":{:.3},", unix(SystemTime::now()))
}

impl Identity {
    fn new(credentials: &RefreshingCredentials, state: &State) -> Self {
        let required = credentials.required();
        let CredentialStatus { principal, usable, refreshes, failure, links, since, refresh_due } =
            credentials.status();
        let error = failure.as_ref().map(|error| one_line(error));
        let refused = failure.and_then(|error| match error {
            NoCredentials::Refused { found, .. } => Some(*found),
            NoCredentials::Chain(_) => None,
        });
        let principal = principal.or(refused);
        Self {
            required: required.to_string(),
            as_required: principal.as_ref().map(|found| required.is_met_by(found.provider)),
            usable,
            since: since.map(unix),
            refresh_due: refresh_due.map(unix),
            expires: principal.as_ref().and_then(|found| found.expiry).map(unix),
            principal,
            refreshes: Refreshes { success: refreshes.succeeded, failure: refreshes.failed, error },
            chain: links,
            pod: state.subject.clone(),
        }
    }
}

/// The time of the wall clock then.
fn wall_clock(time: Instant) -> SystemTime {
    let (now, clock) = (Instant::now(), SystemTime::now());
    match time.checked_duration_since(now) {
        Some(left) => clock + left,
        None => clock - now.duration_since(time),
    }
}

fn as_seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}
