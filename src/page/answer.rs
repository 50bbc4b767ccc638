//! The answers to a browser: the page's files, its events, its pictures, and its status for scripts.

use bytes::Bytes;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};

use super::{Body, Page};

const HTML: &str = include_str!("index.html");
const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = concat!(
    include_str!("script/text.js"),
    include_str!("script/identity.js"),
    include_str!("script/statistics.js"),
    include_str!("script/pictures.js"),
    include_str!("script/live.js"),
);
const ICON: &str = include_str!("icon.svg");

const TEXT: &str = "text/plain; charset=utf-8";

/// What the page may do: load its own files, and nothing else. Its script cannot turn text into
/// markup, which Trusted Types forbid.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

/// What a picture may do that a hostile image host has made: nothing, whatever a browser takes it
/// for.
const PICTURE_POLICY: &str = "sandbox; default-src 'none'";

/// A path never refers to another picture, so it can be cached forever.
const FOREVER: &str = "private, max-age=86400, immutable";

const NO_STORE: &str = "no-store";

impl Page {
    /// The answer to a GET or HEAD request, if the path is one of the page's.
    pub(crate) fn answer<B>(&self, request: &Request<B>) -> Option<Response<Body>> {
        let path = request.uri().path();
        let picture = path.strip_prefix("/pictures/");
        let known = ["/", "/style.css", "/page.js", "/icon.svg", "/api/status", "/events"];
        if picture.is_none() && !known.contains(&path) {
            return None;
        }
        let file = |kind, text: &'static str| {
            respond(kind, NO_STORE, PAGE_POLICY, Body::Whole(Bytes::from_static(text.as_bytes())))
        };
        Some(match (path, picture) {
            (_, Some(name)) => self.picture(name),
            ("/", _) => file("text/html; charset=utf-8", HTML),
            ("/style.css", _) => file("text/css; charset=utf-8", STYLE),
            ("/page.js", _) => file("text/javascript; charset=utf-8", SCRIPT),
            ("/icon.svg", _) => file("image/svg+xml", ICON),
            ("/events", _) => {
                let is_get = request.method() == Method::GET;
                let body =
                    if is_get { Body::Events(self.events()) } else { Body::Whole(Bytes::new()) };
                respond("text/event-stream", NO_STORE, PICTURE_POLICY, body)
            }
            _ => {
                let document = self.document();
                let mut json = Vec::from(document.head());
                json.extend_from_slice(&document.rest);
                respond("application/json", NO_STORE, PICTURE_POLICY, Body::Whole(json.into()))
            }
        })
    }

    fn picture(&self, name: &str) -> Response<Body> {
        match self.0.pictures.as_ref().and_then(|pictures| pictures.find(name)) {
            Some((kind, bytes)) => {
                respond(kind.media_type, FOREVER, PICTURE_POLICY, Body::Whole(bytes))
            }
            None => text(StatusCode::NOT_FOUND, "this picture is not kept, or no longer\n"),
        }
    }
}

fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    let body = Body::Whole(Bytes::from_static(text.as_bytes()));
    let mut response = respond(TEXT, NO_STORE, PICTURE_POLICY, body);
    *response.status_mut() = status;
    response
}

fn respond(
    kind: &'static str,
    cache: &'static str,
    policy: &'static str,
    body: Body,
) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, cache),
        (CONTENT_SECURITY_POLICY, policy),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
