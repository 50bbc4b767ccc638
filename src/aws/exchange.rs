//! What happened to a request: recorded where it happened, so that a diagnosis asks nothing again.

use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};
use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use http_body_util::LengthLimitError;
use rustls::{Error as TlsError, InvalidMessage};

use super::connect::ConnectError;
use super::redact::clean;
use crate::errors::{causes, find_cause, innermost, one_line};

/// A request and how it ended. It is also an error: the source of the SDK's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exchange {
    /// Host and port that were asked.
    pub(crate) host: String,
    pub(crate) ending: Ending,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// A response came. A text is kept of an error alone: it is one line, short, and without secrets. Of a
    /// success it says why it cannot be used, or nothing.
    Response {
        status: u16,
        text: String,
    },
    /// The settings make no request, or the SDK refuses to send it; the text says why.
    NotSent(String),
    NameNotResolved(String),
    /// Nothing listens there.
    Refused,
    /// No connection within this time.
    ConnectTimeout(Duration),
    /// The connection is open, and no response came within this time.
    ResponseTimeout(Duration),
    /// The peer closed the connection before its response was complete.
    Closed,
    /// TLS failed; the text names the flaw, such as the certificate's.
    Tls(String),
    /// The peer does not speak TLS.
    PlainHttp,
    /// The proxy answered the request for a tunnel with this status.
    ProxyRefused {
        proxy: String,
        status: u16,
    },
    ProxyUnreachable {
        proxy: String,
        why: String,
    },
    /// The process, or the machine, has as many open files as it may.
    TooManyOpenFiles,
    /// A response that is far too long.
    TooLong,
    /// Another error of the network.
    Network(String),
}

/// EMFILE and ENFILE, for which the standard library has no kind: 24 and 23 on Linux and macOS.
const TOO_MANY_OPEN_FILES: [i32; 2] = [24, 23];

impl Ending {
    /// How a request ended that got no response. `None` if the error is not the network's.
    pub(super) fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        if let Some(error) = find_cause::<ConnectError>(error) {
            return Some(Self::of_connection(error));
        }
        if find_cause::<LengthLimitError>(error).is_some() {
            return Some(Self::TooLong);
        }
        if let Some(Late(time)) = find_cause::<Late>(error) {
            return Some(Self::ResponseTimeout(*time));
        }
        if let Some(hyper) = find_cause::<hyper::Error>(error)
            && (hyper.is_incomplete_message() || hyper.is_closed() || hyper.is_canceled())
        {
            return Some(Self::Closed);
        }
        if let Some(error) = find_cause::<hyper::Error>(error).filter(|error| error.is_parse()) {
            return Some(Self::Network(format!(
                "no HTTP response came: {}",
                clean(&innermost(error))
            )));
        }
        find_cause::<io::Error>(error).map(Self::of_io)
    }

    fn of_connection(error: &ConnectError) -> Self {
        match error {
            ConnectError::Name { source, .. } => Self::NameNotResolved(clean(&source.to_string())),
            ConnectError::Tcp(_, error) => Self::of_io(error),
            ConnectError::Timeout(time) => Self::ConnectTimeout(*time),
            ConnectError::Tls(_, error) => Self::of_tls(error),
            ConnectError::Proxy(proxy, error) => {
                let why = clean(&innermost(&**error));
                Self::ProxyUnreachable { proxy: proxy.clone(), why }
            }
            ConnectError::Tunnel(proxy, error) => {
                let why = clean(&innermost(error));
                Self::ProxyUnreachable { proxy: proxy.clone(), why }
            }
            ConnectError::Refused { proxy, status } => {
                Self::ProxyRefused { proxy: proxy.clone(), status: status.as_u16() }
            }
            ConnectError::NoHost(_) => Self::NotSent(error.to_string()),
        }
    }

    fn of_tls(error: &io::Error) -> Self {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>());
        match tls {
            // What a server of plain HTTP answers is no message of TLS.
            Some(TlsError::InvalidMessage(
                InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
            )) => Self::PlainHttp,
            Some(flaw) => Self::Tls(clean(&flaw.to_string())),
            None => Self::of_io(error),
        }
    }

    fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            _ if error.raw_os_error().is_some_and(|code| TOO_MANY_OPEN_FILES.contains(&code)) => {
                Self::TooManyOpenFiles
            }
            _ if error.to_string().contains("Too many open files") => Self::TooManyOpenFiles,
            ErrorKind::ConnectionRefused => Self::Refused,
            ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::UnexpectedEof => Self::Closed,
            _ => Self::Network(clean(&error.to_string())),
        }
    }

    /// Whether the service, or what is in its place, gave no whole response: an error of the network, and
    /// none of the settings.
    pub(crate) const fn is_without_response(&self) -> bool {
        !matches!(self, Self::Response { .. } | Self::NotSent(_) | Self::TooLong)
    }
}

/// No response within this time, although the connection is open.
#[derive(Debug, thiserror::Error)]
#[error("no response within {0:?}")]
pub(super) struct Late(pub(super) Duration);

impl Exchange {
    /// Whether it ended because nothing came in time.
    pub(super) fn is_late(&self) -> bool {
        matches!(self.ending, Ending::ConnectTimeout(_) | Ending::ResponseTimeout(_))
    }

    /// Whether a response came that is no error.
    pub(super) fn is_success(&self) -> bool {
        matches!(self.ending, Ending::Response { status: 200..300, .. })
    }

    /// What is known of the request to `host` that ended with this error of the SDK.
    pub(crate) fn of_sdk<E>(host: &str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: Error + 'static,
    {
        // The innermost: a request that another one needs first, such as S3 Express's CreateSession.
        let recorded = causes(error).filter_map(|cause| cause.downcast_ref::<Self>()).last();
        if let Some(recorded) = recorded {
            return recorded.clone();
        }
        let ending = match error {
            SdkError::TimeoutError(_) => Ending::ResponseTimeout(Duration::ZERO),
            // The SDK itself gives up a transfer that stands still.
            SdkError::DispatchFailure(failure) if failure.is_timeout() || failure.is_io() => {
                Ending::of(error).unwrap_or_else(|| Ending::Network(one_line(error)))
            }
            SdkError::ResponseError(_) | SdkError::DispatchFailure(_) => {
                Ending::of(error).unwrap_or_else(|| Ending::NotSent(one_line(error)))
            }
            _ => Ending::NotSent(one_line(error)),
        };
        Self { host: host.to_owned(), ending }
    }
}

impl Error for Exchange {}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = &self.host;
        match &self.ending {
            Ending::Response { status, text } if text.is_empty() => {
                write!(f, "HTTP status {status}")
            }
            Ending::Response { status, text } => write!(f, "HTTP status {status}: {text}"),
            Ending::NotSent(why) => f.write_str(why),
            Ending::NameNotResolved(why) => {
                write!(f, "the name of {host} cannot be resolved: {why}")
            }
            Ending::Refused => write!(f, "Connection refused by {host}"),
            Ending::ConnectTimeout(time) => write!(f, "no connection to {host} within {time:?}"),
            Ending::ResponseTimeout(Duration::ZERO) => write!(f, "no response from {host} in time"),
            Ending::ResponseTimeout(time) => write!(f, "no response from {host} within {time:?}"),
            Ending::Closed => {
                write!(f, "{host} closed the connection before its response was complete")
            }
            Ending::Tls(flaw) => write!(f, "TLS with {host} failed: {flaw}"),
            Ending::PlainHttp => write!(f, "{host} does not speak TLS"),
            Ending::ProxyRefused { proxy, status } => {
                write!(f, "the proxy {proxy} refused a connection to {host} with status {status}")
            }
            Ending::ProxyUnreachable { proxy, why } => {
                write!(f, "the proxy {proxy} cannot be used: {why}")
            }
            Ending::TooManyOpenFiles => f.write_str("the program may open no more files"),
            Ending::TooLong => write!(f, "the response of {host} is too long"),
            Ending::Network(why) => write!(f, "{host}: {why}"),
        }
    }
}
