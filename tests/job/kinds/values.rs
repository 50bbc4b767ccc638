//! Values that no request can have, wherever they come from.

use sandbox::Reply;
use serde_json::json;

use super::{Profiles, Right, Wrong, always, bare, identity};
use crate::harness::World;

const UNUSABLE: [&str; 5] =
    ["ASIA\nLINE", "ASIA\r\nX-Header: 1", "ASIA\u{1}", "ASIA\u{7f}", "ASIA\u{0}X"];

#[tokio::test]
async fn an_agents_value_that_cannot_be_sent_is_told() {
    let mut wrong = Wrong::default();
    let world = World::new().await;
    for field in ["AccessKeyId", "Token"] {
        for value in UNUSABLE {
            let mut document = json!({
                "AccessKeyId": "ASIAEXAMPLEEXAMPLE12", "SecretAccessKey": "secret", "Token": "token",
                "AccountId": "123456789012", "Expiration": "2099-01-01T00:00:00Z",
            });
            document[field] = value.into();
            let server = always(Reply::new(200, document.to_string())).await;
            let job = identity(&world, "")
                .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", server.url("/v1/credentials"));
            let right = Right {
                id: "unusable_value",
                code: 3,
                cause: &["Pod Identity"],
                never: &[value],
                ..Right::default()
            };
            wrong.told(&format!("{field} {value:?}"), job, right).await;
        }
    }
    wrong.none();
}

#[tokio::test]
async fn a_value_of_a_file_that_cannot_be_sent_is_told() {
    let mut wrong = Wrong::default();
    let world = World::new().await;
    for value in ["AKIA\u{1}", "AKIA\u{7f}X", "AKIA\tX\u{2}"] {
        let file =
            format!("[default]\naws_access_key_id = {value}\naws_secret_access_key = secret\n");
        let profiles = Profiles::new("", &file);
        let done = profiles.of(bare(&world, "")).finish().await;
        let text = done.lines.join("\n");
        wrong.expect(value, done.code == 2, format!("exit {}: {text}", done.code));
        wrong.expect(value, text.contains("profile"), &text);
    }
    wrong.none();
}

#[tokio::test]
async fn a_variable_that_cannot_be_sent_is_refused_with_its_name() {
    let mut wrong = Wrong::default();
    let world = World::new().await;
    for (name, value) in [
        ("AWS_ACCESS_KEY_ID", "AKIA\nX"),
        ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE\n"),
        ("AWS_SESSION_TOKEN", "token\n"),
        ("AWS_SESSION_TOKEN", "to\u{1}ken"),
        ("AWS_REGION", "us-east-1\n"),
        ("AWS_REGION", "\"us-east-1\""),
        ("AWS_REGION", "us east 1"),
    ] {
        let keys = bare(&world, "--probe")
            .env("AWS_ACCESS_KEY_ID", "AKIASTATICSTATICKEYS")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .env(name, value);
        let done = keys.finish().await;
        let text = done.lines.join("\n");
        let is_right = done.code == 2 && text.contains(name);
        wrong.expect(&format!("{name}={value:?}"), is_right, format!("exit {}: {text}", done.code));
    }
    wrong.none();
}

#[tokio::test]
async fn nothing_panics_whatever_a_variable_has() {
    let mut wrong = Wrong::default();
    let world = World::new().await;
    let values = ["\n", " ", "\u{1b}[31m", "é\u{202e}", "http://[", "//", "\u{7f}"];
    for name in [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_REGION",
        "AWS_PROFILE",
        "AWS_ROLE_ARN",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_ROLE_SESSION_NAME",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        "AWS_ENDPOINT_URL_STS",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT",
        "HTTP_PROXY",
        "NO_PROXY",
        "AWS_CONFIG_FILE",
        "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_ACCOUNT_ID",
    ] {
        for value in values {
            let done = identity(&world, "").env(name, value).finish().await;
            let what = format!("{name}={value:?}");
            wrong.expect(
                &what,
                [0, 2, 3].contains(&done.code),
                format!("exit {}: {:?}", done.code, done.lines),
            );
            let controls =
                done.lines.iter().any(|line| line.contains(['\u{1b}', '\u{202e}', '\u{7f}']));
            wrong.expect(&what, !controls, format!("not clean: {:?}", done.lines));
        }
    }
    wrong.none();
}
