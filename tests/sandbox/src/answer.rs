//! How a server of credentials answers: as the real one would, or worse.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::net::Hangup;

/// How an [`crate::Agent`] or an [`crate::Sts`] answers from now on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Answer {
    /// As the real one would.
    #[default]
    Normal,
    /// With this status and this text, whoever asks: the agent's plain text,
    /// and of STS an error `CODE: MESSAGE`.
    Status(u16, String),
    /// Normally, but so much later.
    Delay(Duration),
    /// Never.
    Hang,
    /// By closing the connection.
    CloseConnection,
}

/// The answer that was asked for, and the requests and refusals so far.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    answer: Mutex<Answer>,
    requests: AtomicUsize,
    refusals: Mutex<Vec<String>>,
}

impl Answers {
    pub(crate) fn set(&self, answer: Answer) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// Notes a refusal.
    pub(crate) fn refused(&self, status: u16, text: &str) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.push(format!("{status} {text}"));
    }

    /// Each as `STATUS TEXT`.
    pub(crate) fn refusals(&self) -> Vec<String> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts a request. Gives the status and the text that it is to get, or
    /// nothing (after a while, maybe) where the answer is the normal one.
    pub(crate) async fn next(&self) -> Result<Option<(u16, String)>, Hangup> {
        self.requests.fetch_add(1, Ordering::SeqCst);
        let answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match answer {
            Answer::Normal => Ok(None),
            Answer::Status(status, text) => Ok(Some((status, text))),
            Answer::Delay(time) => {
                tokio::time::sleep(time).await;
                Ok(None)
            }
            Answer::Hang => std::future::pending().await,
            Answer::CloseConnection => Err(Hangup::Close),
        }
    }
}
