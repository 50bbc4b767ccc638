//! What the image host serves for a URL.

use std::time::Duration;

use url::form_urlencoded;

use crate::picture::Kind;

/// The parameters of one target. [`crate::ImageHost`] documents them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recipe {
    pub(crate) picture: PictureWish,
    pub(crate) framing: Framing,
    pub(crate) refuse: u64,
    pub(crate) times: Option<u64>,
    pub(crate) fault: Misbehaviour,
}

/// The picture to serve.
#[derive(Clone, Debug, Default)]
pub(crate) struct PictureWish {
    pub(crate) kind: Option<Kind>,
    pub(crate) width: Option<u32>,
    pub(crate) height: Option<u32>,
    pub(crate) size: Option<u64>,
    pub(crate) fixed: bool,
    pub(crate) sha256: Option<bool>,
}

/// How the answer marks the end of the body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Framing {
    #[default]
    Length,
    Chunked,
    Close,
}

/// The fault to produce instead of a correct answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Misbehaviour {
    pub(crate) short: u64,
    pub(crate) long: u64,
    pub(crate) cut: Option<u64>,
    pub(crate) stall: Option<u64>,
    pub(crate) delay: Duration,
    pub(crate) drip: Option<(usize, Duration)>,
    pub(crate) status: Option<u16>,
    pub(crate) retry_after: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) body: Option<Instead>,
    pub(crate) redirect: Option<String>,
    pub(crate) code: Option<u16>,
    pub(crate) hops: u64,
}

/// The content that is served as if it were a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Instead {
    Empty,
    Html,
    Text,
}

impl Recipe {
    /// Parses a target. The error names the invalid parameter, so that a test
    /// with a typo fails with a clear message.
    pub(crate) fn parse(target: &str) -> Result<Self, String> {
        let query = target.split_once('?').map_or("", |(_, query)| query);
        let mut recipe = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            recipe.wish(&name, &value).ok_or_else(|| {
                format!("the image host does not understand {name}={value} in {target}")
            })?;
        }
        Ok(recipe)
    }

    fn wish(&mut self, name: &str, value: &str) -> Option<()> {
        let (picture, fault) = (&mut self.picture, &mut self.fault);
        match name {
            "kind" => picture.kind = Some(Kind::named(value)?),
            "width" => picture.width = Some(value.parse().ok()?),
            "height" => picture.height = Some(value.parse().ok()?),
            "size" => picture.size = Some(bytes(value)?),
            "picture" => picture.fixed = (value == "fixed").then_some(true)?,
            "digest" => picture.sha256 = Some(one_of(value, &[("none", false), ("sha256", true)])?),
            "framing" => {
                let all = [
                    ("length", Framing::Length),
                    ("chunked", Framing::Chunked),
                    ("close", Framing::Close),
                ];
                self.framing = one_of(value, &all)?;
            }
            "refuse" => self.refuse = value.parse().ok()?,
            "times" => self.times = Some(value.parse().ok()?),
            "short" => fault.short = bytes(value)?,
            "long" => fault.long = bytes(value)?,
            "cut" => fault.cut = Some(bytes(value)?),
            "stall" => fault.stall = Some(bytes(value)?),
            "delay" => fault.delay = milliseconds(value)?,
            "drip" => {
                let (length, pause) = value.split_once(',')?;
                let length = usize::try_from(bytes(length)?).ok().filter(|&length| length > 0)?;
                fault.drip = Some((length, milliseconds(pause)?));
            }
            "status" => fault.status = Some(value.parse().ok().filter(|code| *code >= 200)?),
            "retry_after" => fault.retry_after = Some(header_value(value)?),
            "type" => fault.content_type = Some(header_value(value)?),
            "body" => {
                let all =
                    [("empty", Instead::Empty), ("html", Instead::Html), ("text", Instead::Text)];
                fault.body = Some(one_of(value, &all)?);
            }
            "redirect" => fault.redirect = Some(header_value(value)?),
            "code" => fault.code = Some(value.parse().ok().filter(|code| *code >= 300)?),
            "hops" => fault.hops = value.parse().ok()?,
            _ => return None,
        }
        Some(())
    }

    /// The answer to the `nth` request of this target, from 1. `None` means to
    /// hang up without an answer.
    pub(crate) fn for_arrival(mut self, nth: u64) -> Option<Self> {
        let nth = nth.checked_sub(self.refuse).filter(|&nth| nth > 0)?;
        if self.times.is_some_and(|times| nth > times) {
            self.fault = Misbehaviour::default();
        }
        Some(self)
    }
}

/// The same target with this number of redirects left.
pub(crate) fn with_hops(target: &str, hops: u64) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut written = form_urlencoded::Serializer::new(String::new());
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let hops = hops.to_string();
        written.append_pair(&name, if name == "hops" { &hops } else { &value });
    }
    format!("{path}?{}", written.finish())
}

/// A number of bytes, with or without a unit.
fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "B" => 1,
        "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

/// A number of milliseconds, or a duration with a unit (`2s`).
fn milliseconds(text: &str) -> Option<Duration> {
    match text.parse() {
        Ok(number) => Some(Duration::from_millis(number)),
        Err(_) => humantime::parse_duration(text).ok(),
    }
}

/// A value that fits in one header line.
fn header_value(text: &str) -> Option<String> {
    (!text.contains(['\r', '\n'])).then(|| text.to_owned())
}

fn one_of<T: Copy>(name: &str, all: &[(&str, T)]) -> Option<T> {
    all.iter().find(|(each, _)| *each == name).map(|(_, meaning)| *meaning)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_and_typos_are_errors() {
        assert_eq!(bytes("200KB"), Some(200_000));
        assert_eq!(bytes("1GiB"), Some(1 << 30));
        assert_eq!(bytes("5 MB"), None);
        assert!(Recipe::parse("/random?siez=4").unwrap_err().contains("siez"));
    }

    #[test]
    fn times_limits_the_fault_and_refuse_comes_first() {
        let recipe = Recipe::parse("/x?status=503&times=1&refuse=1").unwrap();
        assert!(recipe.clone().for_arrival(1).is_none());
        assert_eq!(recipe.clone().for_arrival(2).unwrap().fault.status, Some(503));
        assert_eq!(recipe.for_arrival(3).unwrap().fault.status, None);
    }

    #[test]
    fn with_hops_changes_only_the_number_of_hops() {
        assert_eq!(with_hops("/a?kind=png&hops=3", 2), "/a?kind=png&hops=2");
    }
}
