//! Where a redirect leads.

use reqwest::Response;
use reqwest::header::LOCATION;
use url::Url;

use super::error::FetchError;

/// Redirects that are followed for one picture.
pub(super) const MAX_REDIRECTS: usize = 5;

/// The longest `Location` that is followed, in bytes: servers accept no longer URL.
const LONGEST: usize = 8 << 10;

/// The URL to which the response redirects, or `None` if it is no redirect with a place. None leads from
/// https to http, nor to another scheme.
pub(super) fn target(response: &Response) -> Result<Option<Url>, FetchError> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = response.headers().get(LOCATION) else { return Ok(None) };
    next(response.url(), location.as_bytes()).map(Some)
}

/// The URL that a `Location` names, seen from `from`.
fn next(from: &Url, location: &[u8]) -> Result<Url, FetchError> {
    let refused = |why: String| Err(FetchError::Redirect(why));
    if location.len() > LONGEST {
        return refused(format!("its Location has {} bytes, more than {LONGEST}", location.len()));
    }
    let Ok(text) = str::from_utf8(location) else {
        return refused("its Location is not UTF-8, as if in Latin-1: a URL is ASCII".to_owned());
    };
    let to = match from.join(text.trim()) {
        Ok(to) => to,
        Err(why) => return refused(format!("its Location is not a URL ({why})")),
    };
    match (from.scheme(), to.scheme()) {
        ("https", "http") => refused("from https to http".to_owned()),
        (_, "http" | "https") => Ok(to),
        _ => refused("its Location is neither http nor https".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_leads_to_a_url_or_the_reason_names_what_it_is() {
        let from = Url::parse("https://host.example/a/b?c").expect("a URL");
        for (location, to) in [
            (&b"/d"[..], "https://host.example/d"),
            (b"e?f", "https://host.example/a/e?f"),
            (b"//other.example/", "https://other.example/"),
            (b" https://other.example/g ", "https://other.example/g"),
            ("/caf\u{e9}".as_bytes(), "https://host.example/caf%C3%A9"),
        ] {
            assert_eq!(next(&from, location).expect("a URL").as_str(), to);
        }
        let long = vec![b'a'; 70_000];
        for (location, reason) in [
            (&b"/caf\xe9"[..], "Latin-1"),
            (&long, "70000 bytes"),
            (b"http://host.example/", "from https to http"),
            (b"file:///etc/passwd", "neither http nor https"),
            (b"https://", "not a URL"),
        ] {
            let told = next(&from, location).expect_err("it is refused").to_string();
            assert!(told.contains(reason) && told.len() < 200, "{told}");
        }
    }
}
