//! The HTTP client through which the SDK talks to S3, STS and the credential endpoints.
//!
//! It limits the size of responses, which the SDK reads into memory without a limit, it says of each
//! request that fails what happened to it, and it keeps that for the requests of a credential provider,
//! because the SDK's providers do not pass on what an endpoint said.

use std::collections::HashMap;
use std::env;
use std::fmt;
use std::mem::take;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::connection::{CaptureSmithyConnection, ConnectionMetadata};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextMut;
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::retries::ErrorKind;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use http_body_util::{BodyExt, Limited};
use hyper::body::Bytes;
use hyper::http::{Extensions, Request, Response, Uri, header};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use percent_encoding::percent_decode_str;
use tokio::time::{Instant, timeout};
use url::Url;

use super::connect::{Connector, name_of};
use super::ends::Ends;
use super::exchange::{Ending, Exchange, Late};
use super::progress::{Progress, Timed};
use super::redact::{clean, keep_secret};
use crate::errors::{find_cause, one_line};
use crate::lock::lock;

/// The longest response, in bytes, unless a request has its own [`LongestResponse`]. Those of the SDK's
/// services have a few kilobytes.
const LONGEST: usize = 1 << 20;

/// The longest text of an error that is kept, in bytes.
const LONGEST_TEXT: usize = 600;

/// How long the Pod Identity Agent may take for a response. It asks EKS Auth up to three times, and gives up
/// after some 8 s (measured with version 0.1.37); the SDK's own limit of 5 s would hide its answer.
const AGENT_TIME: Duration = Duration::from_secs(12);

/// The program's HTTP client. Cheap to clone: all clones share their connections.
#[derive(Clone)]
pub(crate) struct Http(Arc<Shared>);

/// Connections, which are reused.
type Pool = Client<Connector, SdkBody>;

/// How long the response to a request may be, in bytes: an object that is read back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LongestResponse(pub(crate) u64);

#[dyn_dispatch_hint]
impl Intercept for LongestResponse {
    fn name(&self) -> &'static str {
        "LongestResponse"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        context.request_mut().add_extension(*self);
        Ok(())
    }
}

struct Shared {
    /// How long a request to a service may stand still.
    timeout: Duration,
    /// The proxies of the environment, if there are any.
    proxies: Option<Arc<Matcher>>,
    /// For each connect timeout, with and without a proxy.
    clients: Mutex<HashMap<(Option<Duration>, bool), Pool>>,
}

/// What happened to the last request of a credential provider. Cheap to clone: all clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record(Arc<Mutex<Recorded>>);

#[derive(Debug, Default)]
struct Recorded {
    last: Option<Exchange>,
    /// Whether the log has a retry since the last response that was a success.
    has_warned: bool,
}

impl Record {
    pub(crate) fn take(&self) -> Option<Exchange> {
        take(&mut lock(&self.0).last)
    }

    fn set(&self, exchange: Exchange) {
        let mut recorded = lock(&self.0);
        recorded.has_warned &= !exchange.is_success();
        recorded.last = Some(exchange);
    }

    /// Logs a request that follows one without a response, once until one succeeds: that all of them have
    /// failed is known only half a minute later. Other failures come at once, and have a diagnosis.
    fn warn_of_retry(&self) {
        let mut recorded = lock(&self.0);
        if let Some(failed) = recorded.last.as_ref().filter(|last| last.is_late())
            && !recorded.has_warned
        {
            tracing::warn!(host = failed.host, error = %failed, "asking for credentials again");
            recorded.has_warned = true;
        }
    }
}

/// The variables of proxies, by preference.
const PROXIES: [[&str; 2]; 3] =
    [["HTTPS_PROXY", "https_proxy"], ["HTTP_PROXY", "http_proxy"], ["ALL_PROXY", "all_proxy"]];

fn set(names: [&str; 2]) -> Option<String> {
    names.into_iter().find_map(|name| env::var(name).ok())
}

/// Whether `NO_PROXY` is `*`, which means no proxy for any host, as for curl.
pub(crate) fn excludes_all() -> bool {
    set(["NO_PROXY", "no_proxy"])
        .is_some_and(|names| names.split(',').any(|name| name.trim() == "*"))
}

/// The variables that name a proxy that no request can go through. Without this they would be left out,
/// and the requests would go past the proxy.
pub(crate) fn unusable_proxies() -> impl Iterator<Item = &'static str> {
    PROXIES.into_iter().flatten().filter(|name| {
        let value = env::var(name).unwrap_or_default();
        let url = Url::parse(&with_scheme(&value));
        let is_usable =
            url.is_ok_and(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
        !value.is_empty() && !is_usable
    })
}

/// The URL of a proxy, whose scheme may be missing.
fn with_scheme(url: &str) -> String {
    if url.contains("://") { url.to_owned() } else { format!("http://{url}") }
}

/// The password in a URL is shown in no text from outside, as it is written there and decoded.
pub(crate) fn keep_password(url: &str) {
    if let Some(password) = Url::parse(&with_scheme(url)).ok().as_ref().and_then(Url::password) {
        keep_secret(password);
        keep_secret(&percent_decode_str(password).decode_utf8_lossy());
    }
}

impl Http {
    /// With the proxies of `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`. `NO_PROXY=*` means none
    /// for IP addresses as well, as for curl. A request to a service that stands still for `timeout` fails.
    pub(crate) fn from_env(timeout: Duration) -> Self {
        for name in PROXIES.into_iter().flatten() {
            keep_password(&env::var(name).unwrap_or_default());
        }
        let none = excludes_all();
        let any =
            PROXIES.into_iter().any(|names| set(names).is_some_and(|proxy| !proxy.is_empty()));
        let proxies = (any && !none).then(|| Arc::new(Matcher::from_env()));
        Self(Arc::new(Shared { timeout, proxies, clients: Mutex::default() }))
    }

    /// For S3, and for questions to STS about credentials that are there.
    pub(crate) fn for_services(&self) -> SharedHttpClient {
        SharedHttpClient::new(Asker { http: self.clone(), record: None })
    }

    /// For a credential provider, whose requests are recorded.
    pub(crate) fn for_provider(&self, record: Record) -> SharedHttpClient {
        SharedHttpClient::new(Asker { http: self.clone(), record: Some(record) })
    }

    /// The proxy that the environment names for this URL, as host and port. The credential endpoints of
    /// this pod and node are asked without it all the same.
    pub(crate) fn proxy_for(&self, url: &str) -> Option<String> {
        let proxies = self.0.proxies.as_ref()?;
        proxies.intercept(&url.parse().ok()?).map(|proxy| name_of(proxy.uri()))
    }

    fn client(&self, connect: Option<Duration>, direct: bool) -> Pool {
        let direct = direct || self.0.proxies.is_none();
        let client = || {
            let proxies = self.0.proxies.clone().filter(|_| !direct);
            Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .build(Connector::new(proxies, connect))
        };
        lock(&self.0.clients).entry((connect, direct)).or_insert_with(client).clone()
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Http")
    }
}

/// Whether this is an endpoint of this pod or node: plain HTTP to a loopback or link-local address, or to
/// the agent's IPv6 address. A proxy has other ones at these addresses, or none.
fn is_local(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_near = match bare.parse() {
        Ok(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_link_local(),
        Ok(IpAddr::V6(ip)) => {
            ip.is_loopback() || ip.is_unicast_link_local() || ip.segments()[..2] == [0xfd00, 0xec2]
        }
        Err(_) => bare == "localhost" || bare.ends_with(".localhost"),
    };
    is_near && uri.scheme_str() == Some("http")
}

#[derive(Clone, Debug)]
struct Asker {
    http: Http,
    /// For a provider.
    record: Option<Record>,
}

impl HttpClient for Asker {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Asking {
            asker: self.clone(),
            connect: settings.connect_timeout(),
            read: settings.read_timeout(),
        })
    }
}

#[derive(Debug)]
struct Asking {
    asker: Asker,
    connect: Option<Duration>,
    read: Option<Duration>,
}

impl HttpConnector for Asking {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let mut request = match request.try_into_http1x() {
            Ok(request) => request,
            Err(error) => {
                return HttpConnectorFuture::ready(Err(ConnectorError::user(error.into())));
            }
        };
        let record = self.asker.record.clone();
        let direct = record.is_some() && is_local(request.uri());
        let Http(shared) = &self.asker.http;
        if let Some(proxies) = shared.proxies.as_ref().filter(|_| !direct) {
            authorize(proxies, &mut request);
        }
        let connection = capture_connection(&mut request);
        if let Some(capture) = request.extensions().get::<CaptureSmithyConnection>() {
            let connection = connection.clone();
            capture.set_connection_retriever(move || metadata(&connection));
        }
        let client = self.asker.http.client(self.connect, direct);
        let connect = self.connect;
        let read = if direct { self.read.map(|time| time.max(AGENT_TIME)) } else { self.read };
        let limit = shared.timeout;
        HttpConnectorFuture::new(async move {
            let host = name_of(request.uri());
            match record {
                None => {
                    let progress = Progress::default();
                    let request = request.map(|body| progress.watch(body));
                    let stalled = progress.stalled(limit, || ends_of(&connection));
                    tokio::select! {
                        sent = send(&client, request, read, host.clone()) => sent,
                        () = stalled => Err(failed(&Late(limit), host)),
                    }
                }
                Some(record) => {
                    keep_what_is_sent(&request);
                    record.warn_of_retry();
                    let waiting = Waiting::new(record, host.clone(), connect);
                    let sent = send(&client, request, read, host.clone()).await;
                    let kept = match sent {
                        Ok(response) => keep(response, host).await,
                        Err(error) => Err(error),
                    };
                    waiting.end(kept)
                }
            }
        })
    }
}

/// Sends the request. The response has a limited body.
async fn send(
    client: &Pool,
    request: Request<SdkBody>,
    read: Option<Duration>,
    host: String,
) -> Result<HttpResponse, ConnectorError> {
    let own = request.extensions().get::<LongestResponse>().copied();
    let longest = own.map_or(LONGEST, |own| usize::try_from(own.0).unwrap_or(usize::MAX));
    let responding = client.request(request);
    let responded: Result<_, Box<dyn std::error::Error + Send + Sync>> = match read {
        None => responding.await.map_err(Into::into),
        Some(time) => match timeout(time, responding).await {
            Ok(responded) => responded.map_err(Into::into),
            Err(_elapsed) => Err(Late(time).into()),
        },
    };
    match responded {
        Ok(response) => {
            sdk_response(response.map(|body| {
                let body = Limited::new(body, longest);
                match own {
                    None => SdkBody::from_body_1_x(Timed::new(body)),
                    // What is read back may take its time, as what was sent.
                    Some(_) => SdkBody::from_body_1_x(body),
                }
            }))
        }
        Err(error) => Err(failed(&*error, host)),
    }
}

fn sdk_response(response: Response<SdkBody>) -> Result<HttpResponse, ConnectorError> {
    HttpResponse::try_from(response).map_err(|error| ConnectorError::other(error.into(), None))
}

/// The SDK's error, which says by its kind whether the request is to be repeated.
fn failed(error: &(dyn std::error::Error + 'static), host: String) -> ConnectorError {
    let is_users = find_cause::<hyper::Error>(error).is_some_and(hyper::Error::is_user);
    let ending = Ending::of(error).filter(|_| !is_users);
    let Some(ending) = ending else {
        let exchange = Exchange { host, ending: Ending::NotSent(one_line(error)) };
        return ConnectorError::user(Box::new(exchange));
    };
    let exchange = Box::new(Exchange { host, ending });
    match exchange.ending {
        Ending::ConnectTimeout(_) | Ending::ResponseTimeout(_) => ConnectorError::timeout(exchange),
        Ending::NotSent(_) => ConnectorError::user(exchange),
        Ending::Closed | Ending::TooLong => {
            ConnectorError::other(exchange, Some(ErrorKind::TransientError))
        }
        _ => ConnectorError::io(exchange),
    }
}

/// A proxy that forwards plain HTTP wants its password with each request.
fn authorize(proxies: &Matcher, request: &mut Request<SdkBody>) {
    if request.uri().scheme_str() == Some("http")
        && let Some(proxy) = proxies.intercept(request.uri())
        && let Some(authorization) = proxy.basic_auth()
    {
        request.headers_mut().insert(header::PROXY_AUTHORIZATION, authorization.clone());
    }
}

/// With which the SDK closes a connection that it does not trust any more.
fn metadata(connection: &CaptureConnection) -> Option<ConnectionMetadata> {
    let poisoned = connection.clone();
    let proxied = connection.connection_metadata().as_ref()?.is_proxied();
    let poison = move || {
        if let Some(connected) = poisoned.connection_metadata().as_ref() {
            connected.poison();
        }
    };
    Some(ConnectionMetadata::builder().proxied(proxied).poison_fn(poison).build())
}

/// The addresses of the connection, if it is there.
fn ends_of(connection: &CaptureConnection) -> Option<Ends> {
    let mut extras = Extensions::new();
    connection.connection_metadata().as_ref()?.get_extras(&mut extras);
    extras.get().copied()
}

/// The tokens in a request of a provider, which no text may repeat.
fn keep_what_is_sent(request: &Request<SdkBody>) {
    for name in ["authorization", "x-amz-security-token", "x-aws-ec2-metadata-token"] {
        let values = request.headers().get_all(name).iter();
        values.filter_map(|value| value.to_str().ok()).for_each(keep_secret);
    }
    // AssumeRoleWithWebIdentity has its token in the body.
    let form = request.body().bytes().unwrap_or_default();
    for (name, value) in url::form_urlencoded::parse(form) {
        if name == "WebIdentityToken" {
            keep_secret(&value);
        }
    }
}

/// A request of a provider that is under way. If the caller does not wait for its end, that is its end.
struct Waiting {
    record: Record,
    host: String,
    /// The time within which a connection must be there.
    connect: Option<Duration>,
    since: Instant,
    ended: bool,
}

impl Waiting {
    fn new(record: Record, host: String, connect: Option<Duration>) -> Self {
        Self { record, host, connect, since: Instant::now(), ended: false }
    }

    /// Records how the request ended.
    fn end(
        mut self,
        ended: Result<(Exchange, HttpResponse), ConnectorError>,
    ) -> Result<HttpResponse, ConnectorError> {
        self.ended = true;
        match ended {
            Ok((exchange, response)) => {
                self.record.set(exchange);
                Ok(response)
            }
            Err(error) => {
                if let Some(exchange) = find_cause::<Exchange>(&error) {
                    self.record.set(exchange.clone());
                }
                Err(error)
            }
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let last = &mut lock(&self.record.0).last;
        // What an earlier attempt of this request has met says more.
        if !self.ended && last.is_none() {
            let waited = self.since.elapsed();
            let ending = match self.connect {
                Some(limit) if waited < limit => Ending::ConnectTimeout(waited),
                _ => Ending::ResponseTimeout(waited),
            };
            *last = Some(Exchange { host: take(&mut self.host), ending });
        }
    }
}

/// Reads the response of a credential endpoint, and keeps what an error says. A success is kept without a
/// text, because it has the credentials.
async fn keep(
    response: HttpResponse,
    host: String,
) -> Result<(Exchange, HttpResponse), ConnectorError> {
    let status = response.status().as_u16();
    let response =
        response.try_into_http1x().map_err(|error| ConnectorError::other(error.into(), None))?;
    let (parts, body) = response.into_parts();
    let bytes = match body.collect().await {
        Ok(body) => body.to_bytes(),
        // A refusal of which the end is missing still has its status.
        Err(_) if status >= 300 => Bytes::new(),
        Err(error) => return Err(failed(&*error, host)),
    };
    let text = if (200..300).contains(&status) {
        String::new()
    } else {
        let text = clean(&String::from_utf8_lossy(&bytes));
        text[..text.floor_char_boundary(LONGEST_TEXT)].to_owned()
    };
    let exchange = Exchange { host, ending: Ending::Response { status, text } };
    Ok((exchange, sdk_response(Response::from_parts(parts, SdkBody::from(bytes)))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_http_to_this_pod_or_node_is_local() {
        for (url, local) in [
            ("http://169.254.170.23/v1/credentials", true),
            ("http://169.254.169.254/latest", true),
            ("http://[fd00:ec2::23]/v1/credentials", true),
            ("http://127.0.0.1:8080/", true),
            ("http://localhost/", true),
            ("https://127.0.0.1/", false),
            ("http://10.0.0.1/", false),
            ("http://sts.us-east-1.amazonaws.com/", false),
        ] {
            assert_eq!(is_local(&url.parse().expect("a URL")), local, "{url}");
        }
    }
}
