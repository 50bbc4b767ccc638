//! Whether a request still moves: its body, however slowly, or what the kernel has of it.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use aws_smithy_types::body::{Error, SdkBody};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Bytes;
use tokio::time::{Instant, sleep};

use crate::lock::lock;

/// How often a request is looked at.
const LOOK: Duration = Duration::from_secs(5);

/// The addresses of a TCP connection: this machine's and the peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends(pub(super) SocketAddr, pub(super) SocketAddr);

impl Ends {
    /// How many bytes of the connection the peer has not acknowledged yet, if the kernel says it. The
    /// buffer of a connection may have megabytes that a slow peer takes minutes for.
    #[cfg(target_os = "linux")]
    fn unacknowledged(self) -> Option<u64> {
        let Self(local, remote) = self;
        let entries =
            if local.is_ipv4() { procfs::net::tcp() } else { procfs::net::tcp6() }.ok()?;
        let own = entries
            .into_iter()
            .find(|entry| (entry.local_address, entry.remote_address) == (local, remote));
        own.map(|entry| u64::from(entry.tx_queue))
    }

    #[cfg(not(target_os = "linux"))]
    fn unacknowledged(self) -> Option<u64> {
        None
    }
}

/// What is known of a request's body. Cheap to clone: all clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress(Arc<Mutex<State>>);

#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// When bytes were taken from it the last time.
    taken: Option<Instant>,
    /// Whether the next ones have not arrived, so that the peer is not what is waited for.
    is_awaited: bool,
}

impl Progress {
    /// The same body, whose progress is seen from now on.
    pub(super) fn watch(&self, body: SdkBody) -> SdkBody {
        // What is in memory is there at once.
        if body.bytes().is_some() {
            return body;
        }
        SdkBody::from_body_1_x(Watched { body, progress: self.clone() })
    }

    /// Returns once nothing has moved for `limit`, on the connection that `ends` finds.
    pub(super) async fn stalled(&self, limit: Duration, ends: impl Fn() -> Option<Ends>) {
        let mut since = Instant::now();
        let mut left = 0;
        loop {
            sleep(LOOK.min(limit.saturating_sub(since.elapsed()))).await;
            let State { taken, is_awaited } = *lock(&self.0);
            since = since.max(taken.unwrap_or(since));
            let before = left;
            left = ends().and_then(Ends::unacknowledged).unwrap_or(0);
            if left != before || (is_awaited && left == 0) {
                since = Instant::now();
            } else if since.elapsed() >= limit {
                return;
            }
        }
    }
}

struct Watched {
    body: SdkBody,
    progress: Progress,
}

impl Body for Watched {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        let mut state = lock(&self.progress.0);
        state.is_awaited = frame.is_pending();
        if let Poll::Ready(Some(Ok(_))) = &frame {
            state.taken = Some(Instant::now());
        }
        drop(state);
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        Body::size_hint(&self.body)
    }
}
