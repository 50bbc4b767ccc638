//! Whoever echoes a secret, and wherever: it is shown nowhere.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sandbox::{Asked, Reply};
use url::form_urlencoded::byte_serialize;

use super::{Profiles, Wrong, identity, irsa, scripted};
use crate::harness::{Job, World};
use crate::served::TIMEOUT;

/// The length of a run that must not be shown.
const RUN: usize = 16;

/// The forms in which a text may be echoed.
fn forms(text: &str) -> Vec<String> {
    let half = text.len() / 2;
    vec![
        text.to_owned(),
        byte_serialize(text.as_bytes()).collect(),
        STANDARD.encode(text),
        URL_SAFE_NO_PAD.encode(text),
        text[..half].to_owned(),
        text[half..].to_owned(),
        text.chars().take(24).collect(),
    ]
}

/// What a request has in secrets: its authorization, its session token, its body's token.
fn secrets_of(asked: &Asked) -> Vec<String> {
    let header = |name: &str| asked.headers.get(name).cloned();
    let body = String::from_utf8_lossy(&asked.body).into_owned();
    let tokens = url::form_urlencoded::parse(body.as_bytes())
        .filter(|(name, _)| name == "WebIdentityToken")
        .map(|(_, value)| value.into_owned());
    let of_headers = ["authorization", "x-amz-security-token", "proxy-authorization"];
    of_headers.into_iter().filter_map(header).chain(tokens).collect()
}

fn leaked(lines: &[String], secrets: &[String]) -> Option<String> {
    let text = lines.join("\n");
    let mut runs = HashSet::new();
    for form in secrets.iter().flat_map(|secret| {
        let at = |skip: usize| STANDARD.encode(&secret[skip..]);
        [secret.clone(), byte_serialize(secret.as_bytes()).collect(), at(0), at(1), at(2)]
    }) {
        runs.extend(form.as_bytes().windows(RUN).map(<[u8]>::to_vec));
    }
    let found = text.as_bytes().windows(RUN).find(|window| runs.contains(*window));
    found.map(|found| String::from_utf8_lossy(found).into_owned())
}

async fn checked(wrong: &mut Wrong, what: &str, job: Job<'_>, world: &World, more: &[&str]) {
    let done = job.finish().await;
    let mut secrets = world.sandbox.credentials.secrets();
    secrets.extend(more.iter().map(|text| (*text).to_owned()));
    let leak = leaked(&done.lines, &secrets);
    wrong.expect(what, leak.is_none(), format!("{leak:?} in {}", done.lines.join("\n")));
}

/// An error of S3 with the text in each of its places.
fn of_s3(text: &str, place: usize) -> Reply {
    let mut parts = ["AccessDenied", "words", "request", "host"].map(str::to_owned);
    parts[place] = text.replace('&', "&amp;").replace('<', "&lt;");
    let [code, message, request, host] = parts;
    Reply::new(403, format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>{message}</Message><RequestId>{request}</RequestId><HostId>{host}</HostId></Error>"))
        .header("content-type", "application/xml")
}

fn of_sts(text: &str, place: usize) -> Reply {
    let mut parts = ["InvalidIdentityToken", "words", "request"].map(str::to_owned);
    parts[place] = text.replace('&', "&amp;").replace('<', "&lt;");
    let [code, message, request] = parts;
    Reply::new(
        400,
        format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error><RequestId>{request}</RequestId></ErrorResponse>"
        ),
    )
}

#[tokio::test]
async fn no_service_gets_a_secret_shown_that_it_echoes() {
    let mut wrong = Wrong::default();
    for form in 0..7 {
        let echo = move |asked: &Asked| {
            secrets_of(asked)
                .iter()
                .map(|secret| forms(secret)[form].clone())
                .collect::<Vec<_>>()
                .join(" ")
        };
        for place in 0..4 {
            let world = World::new().await;
            let s3 = scripted(move |asked| of_s3(&echo(asked), place)).await;
            let job = identity(&world, "--probe").env("AWS_ENDPOINT_URL_S3", s3.url(""));
            checked(&mut wrong, &format!("S3, form {form}, place {place}"), job, &world, &[]).await;
        }
        for place in 0..3 {
            let world = World::new().await;
            let sts = scripted(move |asked| of_sts(&echo(asked), place)).await;
            let job = irsa(&world, "").env("AWS_ENDPOINT_URL_STS", sts.url(""));
            checked(&mut wrong, &format!("STS, form {form}, place {place}"), job, &world, &[])
                .await;
        }
        for status in [200, 400, 403, 500] {
            let world = World::new().await;
            let agent = scripted(move |asked| {
                Reply::new(
                    status,
                    format!("[x]: (InvalidTokenException): {}, fault: client", echo(asked)),
                )
            })
            .await;
            let job = identity(&world, "")
                .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", agent.url("/v1/credentials"));
            checked(&mut wrong, &format!("agent, form {form}, status {status}"), job, &world, &[])
                .await;
        }
        let world = World::new().await;
        let password = "correct-horse-battery-staple";
        let text = forms(password)[form].clone();
        let proxy = scripted(move |_| {
            Reply::new(403, format!("<Error><Code>{text}</Code><Message>{text}</Message></Error>"))
        })
        .await;
        let job = identity(&world, "--probe").env(
            "HTTP_PROXY",
            proxy.url("").replacen("http://", &format!("http://me:{password}@"), 1),
        );
        checked(&mut wrong, &format!("proxy, form {form}"), job, &world, &[password]).await;
    }
    wrong.none();
}

/// What a job says of a failure, in its log and to everybody who asks its server.
async fn of_a_job(wrong: &mut Wrong, what: &str, world: &World, environment: &[(&str, String)]) {
    let job = world.job("/random", "--interval 100ms").env("LISTEN_ADDR", "127.0.0.1:0");
    let job = environment.iter().fold(job, |job, (name, value)| job.env(name, value)).start();
    let event = job.event("health and metrics are served").await;
    let at = event["address"].as_str().expect("an address").to_owned();
    job.wrote("\"diagnosis\":", 1).await;
    let mut said = Vec::new();
    for path in ["/api/status", "/readyz", "/metrics", "/"] {
        let url = format!("http://{at}{path}");
        let response = reqwest::Client::builder().no_proxy().build().expect("a client").get(url);
        let response = response.timeout(TIMEOUT).send().await.expect("a response");
        said.push(response.text().await.expect("text"));
    }
    let is_explained = said[0].contains("\"cause\"") && said[1].contains("not ready");
    wrong.expect(what, is_explained, said[..2].join("\n"));
    said.extend(job.terminate().await.lines);
    let leak = leaked(&said, &world.sandbox.credentials.secrets());
    wrong.expect(what, leak.is_none(), format!("{leak:?} in {}", said.join("\n")));
}

#[tokio::test]
async fn a_job_shows_no_secret_that_is_echoed_in_its_log_or_to_who_asks() {
    let mut wrong = Wrong::default();
    let whole = |asked: &Asked| secrets_of(asked).join(" ");
    for place in 0..4 {
        let world = World::new().await;
        let s3 = scripted(move |asked| of_s3(&whole(asked), place)).await;
        let s3 = [("AWS_ENDPOINT_URL_S3", s3.url(""))];
        of_a_job(&mut wrong, &format!("S3, place {place}"), &world, &s3).await;
    }
    for status in [400, 500] {
        let world = World::new().await;
        let refused = move |asked: &Asked| {
            Reply::new(
                status,
                format!("[x]: (ThrottlingException): {}, fault: client", whole(asked)),
            )
        };
        let agent = scripted(refused).await;
        let agent = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", agent.url("/v1/credentials"))];
        of_a_job(&mut wrong, &format!("agent, status {status}"), &world, &agent).await;
    }
    wrong.none();
}

#[tokio::test]
async fn an_arn_of_a_success_with_the_session_token_is_redacted() {
    let world = World::new().await;
    let sts = scripted(|asked| {
        let token = asked.headers.get("x-amz-security-token").cloned().unwrap_or_default();
        Reply::new(200, format!("<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:sts::123456789012:assumed-role/demo/{token}</Arn><UserId>{token}</UserId><Account>{token}</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"))
    })
    .await;
    let mut wrong = Wrong::default();
    let job = identity(&world, "").env("AWS_ENDPOINT_URL_STS", sts.url(""));
    checked(&mut wrong, "ARN", job, &world, &[]).await;
    wrong.none();
}

#[tokio::test]
async fn the_error_output_of_a_process_is_redacted() {
    let world = World::new().await;
    let token = world.sandbox.agent.token_file();
    let profiles = Profiles::new(
        &format!(
            "[default]\ncredential_process = /bin/sh -c \"cat {} >&2; exit 1\"\n",
            token.display()
        ),
        "",
    );
    let mut wrong = Wrong::default();
    checked(&mut wrong, "process", profiles.of(identity(&world, "")), &world, &[]).await;
    wrong.none();
}

#[tokio::test]
async fn what_enters_is_clean_and_short() {
    let hostile = "a\u{1b}[31mb\u{202e}c\u{200b}d\u{2028}e\u{9b}f";
    let mut wrong = Wrong::default();
    let world = World::new().await;
    let said = hostile.to_owned();
    let sts = scripted(move |_| {
        Reply::new(200, format!("<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:sts::123456789012:assumed-role/demo/{}</Arn><UserId>x</UserId><Account>{}</Account></GetCallerIdentityResult></GetCallerIdentityResponse>", said.replace('\u{1b}', ""), "1".repeat(900_000)))
    })
    .await;
    let job = identity(&world, "").env("AWS_ENDPOINT_URL_STS", sts.url(""));
    let job = job.env("AWS_PROFILE", hostile);
    let done = job.finish().await;
    let text = done.lines.join("\n");
    let dirty = ['\u{1b}', '\u{202e}', '\u{200b}', '\u{2028}', '\u{9b}'];
    wrong.expect("clean", !text.contains(dirty), text.get(..2000).unwrap_or(&text));
    wrong.expect("short", text.len() < 50_000, text.len());
    let s3 = scripted(move |_| of_s3(&hostile.replace('\u{1b}', ""), 1)).await;
    let job = identity(&world, "--probe").env("AWS_ENDPOINT_URL_S3", s3.url(""));
    let text = job.finish().await.lines.join("\n");
    wrong.expect("S3's text", !text.contains(dirty), &text);
    wrong.none();
}
