//! Logging: one line an event on standard error, as text for people or JSON for collectors.

use std::io;

use tracing::Metadata;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::set_global_default;
use tracing_subscriber::filter::{Targets, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry, fmt};

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For a person at a terminal, in colour if it is one.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging, once for the process.
///
/// `filter` has `RUST_LOG`'s directives. They are for this program's own events; its libraries' are
/// let through only as errors. Above that they repeat what the program says, and further up the SDK
/// and the HTTP clients log requests as signed, session token included.
pub fn init(format: LogFormat, filter: Targets) {
    let own_or_error = filter_fn(|event: &Metadata<'_>| {
        *event.level() <= LevelFilter::ERROR || event.target().starts_with("pod_identity_demo")
    });
    let lines = fmt::layer().with_writer(io::stderr);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match format {
        LogFormat::Text => {
            lines.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).with_target(false).boxed()
        }
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let subscriber = Registry::default().with(lines.with_filter(filter).with_filter(own_or_error));
    // It fails only where a subscriber is set already: then that one is wanted.
    let _ = set_global_default(subscriber);
}
