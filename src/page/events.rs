//! Server-sent events: the document, whenever it has changed.
//!
//! Each event has the whole document, so a browser that reconnects or is slow misses nothing, and all
//! browsers share the bytes of the latest one:
//! <https://html.spec.whatwg.org/multipage/server-sent-events.html>.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt, unfold};
use tokio::sync::watch;
use tokio::time::sleep;

use super::Page;
use super::body::PIECE;

/// The shortest pause between two events, so that a fast job does not flood its viewers. It is longer
/// the more viewers there are, so that all of them together get some fifty events a second at most.
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_FOR_EACH: Duration = Duration::from_millis(20);

/// The silence after which a comment is sent: proxies close what seems dead, and a connection whose
/// browser has vanished shows that only when something is sent.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How long the last event may take to leave before the connection closes.
const FLUSH: Duration = Duration::from_millis(20);

struct Viewer {
    page: Page,
    versions: watch::Receiver<u64>,
    next: Next,
}

enum Next {
    /// The first event, with which the browser learns how long to wait before it reconnects.
    First,
    Change,
    /// The rest of an event.
    Rest(Bytes),
    End,
}

impl Page {
    /// The events for one viewer, from a whole document on until the program ends.
    pub(super) fn events(&self) -> BoxStream<'static, Bytes> {
        let versions = self.0.status.version().subscribe();
        let viewer = Viewer { page: self.clone(), versions, next: Next::First };
        unfold(viewer, Viewer::next).boxed()
    }
}

impl Viewer {
    async fn next(mut self) -> Option<(Bytes, Self)> {
        let retry = match std::mem::replace(&mut self.next, Next::Change) {
            Next::First => "retry: 1000\n",
            Next::Rest(mut rest) => {
                let piece = rest.split_to(rest.len().min(PIECE));
                if !rest.is_empty() {
                    self.next = Next::Rest(rest);
                }
                return Some((piece, self));
            }
            Next::Change => {
                let ended = self.page.0.ended.clone();
                if ended.is_cancelled() && !self.versions.has_changed().unwrap_or(false) {
                    self.next = Next::End;
                    return Some((Bytes::from_static(b":\n\n"), self));
                }
                let viewers = u32::try_from(self.page.0.status.version().receiver_count())
                    .unwrap_or(u32::MAX);
                let pause = PAUSE.max(PAUSE_FOR_EACH.saturating_mul(viewers));
                let _ = ended.run_until_cancelled(sleep(pause)).await;
                tokio::select! {
                    _ = self.versions.changed() => {}
                    () = sleep(KEEP_ALIVE) => return Some((Bytes::from_static(b":\n\n"), self)),
                }
                ""
            }
            Next::End => {
                sleep(FLUSH).await;
                return None;
            }
        };
        self.versions.mark_unchanged();
        let document = self.page.document();
        let head = format!("{retry}id: {}\ndata: {}", document.version, document.head());
        self.next = Next::Rest(document.rest);
        Some((head.into(), self))
    }
}
