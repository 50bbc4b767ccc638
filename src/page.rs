//! The live page: the identity of the job, the pictures that it uploads and statistics, as they
//! change.
//!
//! It reads the state of the job in `status`, and nobody waits for it. Only the pictures themselves come
//! to it directly, from the tee of each. A browser gets one document of all that there is to see, as JSON,
//! whenever something has changed; `/api/status` gives scripts the same. `docs/page.md` documents it.
//! Everything here is read-only, bounded in memory, and without secrets.

mod answer;
mod body;
mod document;
mod events;
mod pictures;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub(crate) use body::Body;
pub(crate) use document::About;
pub(crate) use pictures::Pictures;

use crate::identity::RefreshingCredentials;
use crate::lock::lock;
use crate::status::Status;
use document::{Document, Rendered};

/// How long the end of the program waits for browsers to take note of it.
const FAREWELL: Duration = Duration::from_millis(500);

/// The settings of the page.
#[derive(Clone, Debug)]
pub(crate) struct PageOptions {
    /// How many of the last pictures are kept in memory.
    pub(crate) keep_pictures: usize,
    /// What the page says of itself at its top.
    pub(crate) note: Option<String>,
}

/// What there is to see. Cheap to clone: all clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Page(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    about: About,
    credentials: RefreshingCredentials,
    status: Status,
    pictures: Option<Pictures>,
    /// The document of the last version that was asked for, which all who ask for it share.
    rendered: Mutex<Option<Rendered>>,
    ended: CancellationToken,
}

impl Page {
    pub(crate) fn new(about: About, credentials: RefreshingCredentials, status: Status) -> Self {
        Self(Arc::new(Inner {
            pictures: Pictures::new(about.keep_pictures),
            about,
            credentials,
            status,
            rendered: Mutex::default(),
            ended: CancellationToken::new(),
        }))
    }

    /// Where pictures are kept, if any are.
    pub(crate) fn pictures(&self) -> Option<Pictures> {
        self.0.pictures.clone()
    }

    /// The program has ended: browsers are told, and their connections are closed.
    pub(crate) async fn end(&self) {
        self.0.ended.cancel();
        // A browser that does not read is not waited for any longer.
        let _ = timeout(FAREWELL, self.0.status.version().closed()).await;
    }

    /// The document of all that there is to see.
    fn document(&self) -> Rendered {
        let Inner { about, credentials, status, pictures, rendered, .. } = &*self.0;
        let mut rendered = lock(rendered);
        let state = status.state();
        let version = *status.version().borrow();
        if let Some(rendered) = rendered.as_ref().filter(|rendered| rendered.version == version) {
            return rendered.clone();
        }
        let document = Document::new(about, credentials, &state, pictures.as_ref());
        let new = document.render(version, &state);
        drop(state);
        *rendered = Some(new.clone());
        new
    }
}
