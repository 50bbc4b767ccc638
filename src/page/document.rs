//! The document that browsers and scripts get: everything, as JSON.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::{Serialize, Serializer};
use tokio::time::Instant;

use super::Pictures;
use crate::diagnosis::Diagnosis;
use crate::errors::one_line;
use crate::identity::{
    CredentialStatus, Link, NoCredentials, Principal, RefreshingCredentials, Subject,
};
use crate::status::{Activity, Attempt, Phase, State, Totals, unix};

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
    /// What the page says of itself.
    pub(crate) note: Option<String>,
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
    attempts: Vec<Shown<'a>>,
}

/// A document as it is sent.
#[derive(Clone, Debug)]
pub(super) struct Rendered {
    pub(super) version: u64,
    /// When the oldest picture in flight started.
    oldest: Option<Instant>,
    /// Everything as JSON on one line, but for the beginning, and the empty line that ends an event.
    pub(super) rest: Bytes,
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
    /// Why it is not.
    not_ready: Option<String>,
    exit_code: Option<u8>,
    in_flight: usize,
    /// When each of them started.
    in_flight_since: Vec<f64>,
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

/// An attempt, and the path of its picture, as long as that is kept.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    attempt: &'a Attempt,
    picture: Option<String>,
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
        pictures: Option<&Pictures>,
    ) -> Self {
        let identity = Identity::new(credentials, state);
        let not_ready = state.is_ready(identity.usable).err();
        let shown = |attempt: &'a Attempt| {
            let picture = pictures.zip(attempt.key()).and_then(|(kept, key)| kept.path(key));
            Shown { attempt, picture }
        };
        Self {
            program: Program {
                version: env!("CARGO_PKG_VERSION"),
                commit: env!("GIT_COMMIT"),
                started: unix(state.started),
            },
            job: Job {
                state: state.phase,
                ready: not_ready.is_none(),
                not_ready,
                exit_code: state.exit_code,
                in_flight: state.in_flight().len(),
                in_flight_since: state.in_flight().map(|at| unix(wall_clock(at))).collect(),
                next_tick: state.next_tick.map(|due| unix(wall_clock(due))),
                about,
            },
            identity,
            diagnosis: state.diagnosis.as_ref(),
            uploads: &state.totals,
            activity: &state.activity,
            attempts: state.attempts.iter().map(shown).collect(),
        }
    }

    pub(super) fn render(&self, version: u64, state: &State) -> Rendered {
        // Nothing in it can fail to be serialized: there are only texts and numbers.
        let mut json = serde_json::to_vec(self).unwrap_or_else(|_| b"{}".to_vec());
        json.extend_from_slice(b"\n\n");
        json.shrink_to_fit();
        let oldest = state.in_flight().next();
        Rendered { version, oldest, rest: Bytes::from(json).slice(1..) }
    }
}

impl Rendered {
    /// The beginning: the time at which it is sent, so that a browser can tell how far its own clock is
    /// off, and how long the oldest picture in flight has been under way by then.
    pub(super) fn head(&self) -> String {
        let now = unix(SystemTime::now());
        let oldest = self.oldest.map_or_else(
            || "null".to_owned(),
            |started| format!("{:.3}", started.elapsed().as_secs_f64()),
        );
        format!("{{\"now\":{now:.3},\"oldest_in_flight_seconds\":{oldest},")
    }
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
