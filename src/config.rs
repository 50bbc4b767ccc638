//! Checked settings, and the checks.

mod environment;
mod place;
mod problems;

use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::time::Duration;

use bytesize::ByteSize;
use tracing_subscriber::filter::{LevelFilter, Targets};
use url::Url;

pub(crate) use environment::{check_environment, region_name};
pub(crate) use place::place;
pub(crate) use problems::Problems;

use crate::identity::{ExpectedRole, Requirement};
use crate::page::PageOptions;
use crate::server::Hosts;
use crate::source::Limits;
use crate::telemetry::LogFormat;
use crate::upload::Place;

/// The settings of the job, all of them usable. The options in `cli` say what each is for.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) place: Place,
    /// At least one, each http or https.
    pub(crate) image_urls: Vec<Url>,
    /// Zero means at once.
    pub(crate) interval: Duration,
    pub(crate) count: Option<u64>,
    /// At least one.
    pub(crate) concurrency: usize,
    pub(crate) limits: Limits,
    pub(crate) allow_private_source: bool,
    pub(crate) shutdown_grace: Duration,
    pub(crate) listen: Option<SocketAddr>,
    /// `None` if the page is not served.
    pub(crate) page: Option<PageOptions>,
    pub(crate) hosts: Hosts,
    pub(crate) log_format: LogFormat,
    pub(crate) log_filter: Targets,
    /// The bucket's region.
    pub(crate) region: String,
    pub(crate) require_identity: Requirement,
    pub(crate) startup_grace: Duration,
}

/// The settings of `identity`.
#[derive(Clone, Debug)]
pub(crate) struct IdentityConfig {
    pub(crate) require_identity: Requirement,
    pub(crate) expect_role: Option<ExpectedRole>,
    /// Whether to print JSON instead of text.
    pub(crate) json: bool,
    /// Where to upload an object, if one is to be uploaded.
    pub(crate) probe: Option<Place>,
    /// The region; without one, everything that needs no region is still reported.
    pub(crate) region: Option<String>,
}

/// The longest accepted duration; longer ones could overflow a clock.
pub(crate) const LONGEST: Duration = Duration::from_hours(366 * 24);

/// The longest note on the page, in characters.
const LONGEST_NOTE: usize = 200;

/// S3's largest object in bytes: 5 TiB in every region and every compatible store.
pub(crate) const LARGEST_OBJECT: u64 = 5 << 40;

/// Checks a setting that may be omitted. An empty value counts as not set.
pub(crate) fn optional<T>(
    text: Option<&str>,
    check: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, String> {
    text.filter(|text| !text.is_empty()).map(check).transpose()
}

pub(crate) fn image_url(text: &str) -> Result<Url, String> {
    let text = text.trim();
    // The parser would leave it out, and ask another host or for another picture.
    if text.contains(char::is_control) {
        return Err("has a line break or another control character: write it without".to_owned());
    }
    let url = Url::parse(text).map_err(|why| {
        // Without the text itself, which may contain a password even if it is not a URL.
        format!(
            "not a URL ({why}): give one such as https://picsum.photos/1920/1080; a comma separates \
             URLs, so write one in a URL as %2C"
        )
    })?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        scheme => Err(format!("the scheme {scheme} is not supported; use http or https")),
    }
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text.trim()) {
        Ok(time) if time <= LONGEST => Ok(time),
        Ok(_) => Err(format!("{text:?} is longer than a year")),
        Err(why) => {
            Err(format!("{text:?} is not a duration ({why}): give one such as 30s, 500ms or 2m"))
        }
    }
}

pub(crate) fn timeout(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("must be greater than zero, for example 15s".to_owned()),
        time => Ok(time),
    }
}

pub(crate) fn count(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(0) => Err("must be 1 or more; omit it to run without a limit".to_owned()),
        Ok(count) => Ok(count),
        Err(why) => Err(format!("{text:?} is not a number of uploads ({why})")),
    }
}

pub(crate) fn concurrency(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..=1024) => Ok(number),
        _ => Err(format!("{text:?} is not a number from 1 to 1024")),
    }
}

pub(crate) fn size(text: &str) -> Result<u64, String> {
    // Without the parser's reason, which has the text as it is, line breaks and all.
    let size: ByteSize = text
        .parse()
        .map_err(|_| format!("{text:?} is not a size: give one such as 64MiB or 500kB"))?;
    match size.as_u64() {
        bytes @ 1..=LARGEST_OBJECT => Ok(bytes),
        _ => Err(format!("{text:?} is not between 1 byte and 5 TiB, S3's largest object")),
    }
}

/// `words` are those that the setting's documentation has for yes and no.
pub(crate) fn boolean(text: &str, words: [&str; 2]) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" | "" => Ok(false),
        _ => Err(format!("{text:?} is neither {} nor {}", words[0], words[1])),
    }
}

pub(crate) fn listen(text: &str) -> Result<Option<SocketAddr>, String> {
    match text.trim() {
        "off" | "" => Ok(None),
        address => address.parse().map(Some).map_err(|_| {
            format!(
                "{text:?} is not an IP address with a port: give one such as 0.0.0.0:8080, or off"
            )
        }),
    }
}

pub(crate) fn keep_pictures(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 0..=100) => Ok(number),
        _ => Err(format!("{text:?} is not a number from 0 to 100")),
    }
}

pub(crate) fn page_note(text: &str) -> Result<String, String> {
    match text.chars().find(|c| c.is_control()) {
        Some(_) => Err(format!("{text:?} is more than one line: give one")),
        None if text.chars().count() > LONGEST_NOTE => {
            Err(format!("longer than {LONGEST_NOTE} characters"))
        }
        None => Ok(text.to_owned()),
    }
}

/// Names without ports, comma-separated.
pub(crate) fn hosts(text: &str) -> Result<Hosts, String> {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    let check = |name: &str| {
        if name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
            Ok(name.to_owned())
        } else {
            Err(format!("{name:?} is not a host's name: give one such as demo.example.com"))
        }
    };
    names.map(check).collect::<Result<_, _>>().map(Hosts)
}

pub(crate) fn log_format(text: Option<&str>) -> Result<LogFormat, String> {
    match text.filter(|text| !text.is_empty()) {
        None if io::stderr().is_terminal() => Ok(LogFormat::Text),
        None | Some("json") => Ok(LogFormat::Json),
        Some("text") => Ok(LogFormat::Text),
        Some(other) => Err(format!("{other:?} is neither text nor json")),
    }
}

/// What the targets of the program's own events begin with. All others are left out of the log anyway.
const OWN_TARGET: &str = "pod_identity_demo";

/// A filter that shows something, or that turns the log off in so many words: a misspelt level would be
/// taken for a target, and nothing would be logged.
pub(crate) fn log_filter(text: &str) -> Result<Targets, String> {
    let unusable = |why: String| {
        format!(
            "{text:?} {why}: give a level (off, error, warn, info, debug or trace), or target=level"
        )
    };
    let directives: Vec<_> =
        text.split(',').map(str::trim).filter(|directive| !directive.is_empty()).collect();
    if directives.is_empty() {
        return Err(unusable("has no level".to_owned()));
    }
    let mut concerns_this_program = false;
    for directive in &directives {
        concerns_this_program |= match directive.split_once('=') {
            Some((target, _)) => target.starts_with(OWN_TARGET),
            None if directive.parse::<LevelFilter>().is_ok() => true,
            None => return Err(unusable(format!("is not a filter ({directive:?} is no level)"))),
        };
    }
    if !concerns_this_program {
        return Err(unusable(
            "says nothing about this program, so that nothing would be logged".to_owned(),
        ));
    }
    directives.join(",").parse().map_err(|why| unusable(format!("is not a filter ({why})")))
}

/// What holds for all texts of settings: for property tests and `fuzz/`.
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz_logic {
    use super::place::{bucket, key_prefix, pod_name};
    use super::{
        LARGEST_OBJECT, LONGEST, boolean, concurrency, count, duration, hosts, image_url,
        keep_pictures, listen, log_filter, log_format, page_note, size, timeout,
    };
    use crate::identity::{ExpectedRole, Requirement};

    /// A text is a setting within its own limits, or the error is one line that says why not.
    pub fn setting(input: &[u8]) {
        let text = &*String::from_utf8_lossy(input);
        let checked = [
            bucket(Some(text.to_owned())).map(|name| !name.is_empty()),
            key_prefix(text.to_owned(), "pod").map(|prefix| !prefix.starts_with('/')),
            pod_name(Some(text.to_owned())).map(|name| !name.is_empty() && !name.contains('/')),
            duration(text).map(|time| time <= LONGEST),
            timeout(text).map(|time| !time.is_zero()),
            size(text).map(|bytes| (1..=LARGEST_OBJECT).contains(&bytes)),
            count(text).map(|count| count != 0),
            concurrency(text).map(|number| (1..=1024).contains(&number)),
            image_url(text).map(|url| url.has_host()),
            text.parse::<ExpectedRole>().map(|role| !role.name.contains('/')),
            keep_pictures(text).map(|number| number <= 100),
            hosts(text).map(|_| true),
            page_note(text).map(|note| !note.contains('\n')),
            listen(text).map(|_| true),
            boolean(text, ["on", "off"]).map(|_| true),
            log_format(Some(text)).map(|_| true),
            log_filter(text).map(|_| true),
            text.parse::<Requirement>().map(|_| true),
        ];
        for (number, setting) in checked.into_iter().enumerate() {
            match setting {
                Ok(holds) => assert!(holds, "setting {number} is beyond its own limit: {text:?}"),
                Err(why) => assert!(!why.is_empty() && !why.contains('\n'), "{why:?}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::fuzz_logic::setting;
    use crate::seeds::{TEXT, each_seed};

    #[test]
    fn the_property_holds_for_the_seeds() {
        each_seed("setting", setting);
    }

    proptest! {
        #[test]
        fn any_text_is_a_usable_setting_or_one_line_that_says_why_not(text in TEXT, simple in "[0-9a-zA-Z:./\\s]{0,20}") {
            setting(text.as_bytes());
            setting(simple.as_bytes());
        }
    }
}
