//! Logging: one line for each event on standard error, as text for people or JSON for collectors.

use std::io;

use tracing::Metadata;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::set_global_default;
use tracing_subscriber::filter::{Targets, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry, fmt};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people, in colour on a terminal.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Starts logging for the process.
///
/// `filter` has the directives of `RUST_LOG`, which apply to the program's own events. Those of its
/// libraries are logged only if they are errors: at other levels they repeat what the program says,
/// and at debug level the SDK and the HTTP clients log signed requests, session token included.
pub(crate) fn init(format: LogFormat, filter: Targets) {
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
    // This fails only if there is a subscriber already, and then that one is wanted.
    let _ = set_global_default(subscriber);
}
