//! Whether a request still moves: its body, however slowly, or what the kernel has of it.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use aws_smithy_types::body::{Error, SdkBody};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Bytes;
use tokio::time::{Instant, Sleep, sleep};

use super::ends::Ends;
use super::exchange::Late;
use crate::lock::lock;

/// How often a request is looked at.
const LOOK: Duration = Duration::from_secs(5);

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

/// How long the body of a response may take, however it moves. S3 sends white space for minutes while it
/// makes an object of many parts.
const RESPONSE_TIME: Duration = Duration::from_mins(10);

/// The body of a response, which ends with an error after [`RESPONSE_TIME`].
pub(super) struct Timed<B> {
    body: B,
    end: Pin<Box<Sleep>>,
}

impl<B> Timed<B> {
    pub(super) fn new(body: B) -> Self {
        Self { body, end: Box::pin(sleep(RESPONSE_TIME)) }
    }
}

impl<B: Body<Error = Error> + Unpin> Body for Timed<B> {
    type Data = B::Data;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, Error>>> {
        if self.end.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err(Late(RESPONSE_TIME).into())));
        }
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::{BodyExt, StreamBody};
    use tokio::time::timeout;

    use super::*;

    const LIMIT: Duration = Duration::from_mins(1);

    /// A body that has a byte, in time, each time after this pause.
    fn dripping(pause: Duration) -> SdkBody {
        let bytes = futures_util::stream::unfold((), move |()| async move {
            sleep(pause).await;
            Some((Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"x"))), ()))
        });
        SdkBody::from_body_1_x(StreamBody::new(Box::pin(bytes)))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_moves_as_long_as_bytes_are_taken_or_awaited_and_no_longer() {
        let hours = Duration::from_hours(3);
        for pause in [1, 50, 3000] {
            let progress = Progress::default();
            let mut body = progress.watch(dripping(Duration::from_secs(pause)));
            let taken = async { while body.frame().await.is_some() {} };
            tokio::select! {
                () = taken => {}
                () = progress.stalled(LIMIT, || None) => panic!("{pause} s are no stall"),
                () = sleep(hours) => {}
            }
        }
        // Nobody takes a byte, before the first one and after it.
        for first in [false, true] {
            let progress = Progress::default();
            let mut body = progress.watch(dripping(Duration::ZERO));
            if first {
                body.frame().await.expect("a frame").expect("a byte");
            }
            let began = Instant::now();
            progress.stalled(LIMIT, || None).await;
            assert!((LIMIT..LIMIT * 2).contains(&began.elapsed()), "{first}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_ends_however_it_drips() {
        let body = Timed::new(dripping(Duration::from_secs(1)));
        let began = Instant::now();
        body.collect().await.expect_err("it takes too long");
        assert!((RESPONSE_TIME..RESPONSE_TIME * 2).contains(&began.elapsed()));
        let silent = Timed::new(dripping(RESPONSE_TIME * 3));
        let ended = timeout(RESPONSE_TIME * 2, silent.collect()).await;
        ended.expect("in time").expect_err("it is silent");
    }
}
