//! The live page: the identity of the job, the pictures that it uploads and statistics, as they
//! change.
//!
//! The job reports to [`Page`], which is an observer of `status`, and nobody waits for the page. A
//! browser gets one document of all that there is to see, as JSON, whenever something has changed;
//! `/api/status` gives scripts the same. `docs/page.md` documents it. Everything here is read-only,
//! bounded in memory, and without secrets.

mod activity;
mod answer;
mod body;
mod document;
mod events;
mod hosts;
mod state;
mod timeline;

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub(crate) use body::Body;
pub(crate) use document::About;
pub(crate) use hosts::Hosts;

use crate::identity::{RefreshingCredentials, Subject};
use crate::lock::lock;
use crate::source::Tees;
use crate::status::{Event, Observer};
use document::Document;
use state::State;
use timeline::LARGEST_PICTURE;

/// The pause between two copies of pictures. Nobody could see more of them.
const COPY_PAUSE: Duration = Duration::from_millis(200);

/// How long the end of the program waits for browsers to take note of it.
const FAREWELL: Duration = Duration::from_millis(500);

/// The settings of the page.
#[derive(Clone, Debug)]
pub(crate) struct PageOptions {
    /// How many of the last pictures are kept in memory.
    pub(crate) keep_pictures: usize,
    /// Additional host names that browsers may use to open it.
    pub(crate) hosts: Hosts,
}

/// What there is to see. Cheap to clone: all clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Page(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    options: PageOptions,
    about: About,
    credentials: RefreshingCredentials,
    state: Mutex<State>,
    /// Counts the changes of the state.
    version: watch::Sender<u64>,
    /// The document of a version, which all who ask for it share.
    rendered: Mutex<Option<(u64, Bytes)>>,
    ended: CancellationToken,
}

impl Page {
    pub(crate) fn new(
        options: PageOptions,
        about: About,
        credentials: RefreshingCredentials,
    ) -> Self {
        let state = State::new(SystemTime::now(), about.interval, options.keep_pictures);
        Self(Arc::new(Inner {
            options,
            about,
            credentials,
            state: Mutex::new(state),
            version: watch::Sender::new(0),
            rendered: Mutex::default(),
            ended: CancellationToken::new(),
        }))
    }

    /// Which pictures are to be copied for the page.
    pub(crate) fn tees(&self) -> Option<Tees> {
        (self.0.options.keep_pictures > 0).then(|| Tees::new(LARGEST_PICTURE, COPY_PAUSE))
    }

    /// Shows each change of the credentials. Never returns.
    pub(crate) async fn follow_credentials(self) {
        let mut changes = self.0.credentials.changes();
        loop {
            let subject = Subject::read(self.0.credentials.injected());
            self.change(|state| {
                state.subject = subject;
                true
            });
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// The program ends with this exit code: browsers are told, and their connections are closed.
    pub(crate) async fn end(&self, exit_code: u8) {
        self.change(|state| {
            state.end(exit_code);
            true
        });
        self.0.ended.cancel();
        // A browser that does not read is not waited for any longer.
        let _ = timeout(FAREWELL, self.0.version.closed()).await;
    }

    /// Everything as JSON, without the time, which belongs in front: see [`document::head`].
    fn document(&self) -> (u64, Bytes) {
        let mut rendered = lock(&self.0.rendered);
        let state = lock(&self.0.state);
        let version = *self.0.version.borrow();
        if let Some((of, document)) = &*rendered
            && *of == version
        {
            return (version, document.clone());
        }
        let document = Document::new(&self.0.about, &self.0.credentials, &state).render();
        drop(state);
        *rendered = Some((version, document.clone()));
        (version, document)
    }

    fn change(&self, change: impl FnOnce(&mut State) -> bool) {
        let mut state = lock(&self.0.state);
        if change(&mut state) {
            self.0.version.send_modify(|version| *version += 1);
        }
    }
}

impl Observer for Page {
    fn observe(&self, event: &Event<'_>) {
        self.change(|state| state.see(event));
    }
}
