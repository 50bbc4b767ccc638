//! Holds the chain to what the SDK's own answers in the same environment.
//!
//! Both read the environment of their process, so each case runs in a process of its own: this test again,
//! which then runs the case that a variable names.

use std::io::Write as _;
use std::process::{Command, Stdio};

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::provider_config::ProviderConfig;
use sandbox::{Answer, Sandbox, SandboxOptions};

use super::*;

/// The name of this test, and the variable that names the case.
const TEST: &str = "identity::chain::tests::the_chain_answers_as_the_sdks_own_does";
const CASE: &str = "CHAIN_CASE";

type Variables<'a> = Vec<(&'a str, String)>;

/// Environments, by the variables in them.
#[expect(clippy::too_many_lines, reason = "a table")]
fn environments<'a>(sandbox: &Sandbox, folder: &std::path::Path) -> Vec<Variables<'a>> {
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::File::create(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .expect("a file");
        path.display().to_string()
    };
    let set = |name: &'a str, value: &str| (name, value.to_owned());
    let keys =
        || vec![set("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"), set("AWS_SECRET_ACCESS_KEY", "secret")];
    let config = |name: &str, text: &str| vec![("AWS_CONFIG_FILE", file(name, text))];
    let shared = |name: &str, text: &str| vec![("AWS_SHARED_CREDENTIALS_FILE", file(name, text))];
    let agent = |uri: String| {
        let token = sandbox.agent.token_file().display().to_string();
        vec![
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token),
        ]
    };
    let uri = sandbox.agent.uri();
    let irsa: Variables<'a> = vec![
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/demo".to_owned()),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", sandbox.agent.token_file().display().to_string()),
        ("AWS_ENDPOINT_URL_STS", sandbox.sts.endpoint()),
    ];
    let both = |mut one: Variables<'a>, other: Variables<'a>| {
        one.extend(other);
        one
    };
    let default = "[default]\naws_access_key_id = AKIDPROFILE\naws_secret_access_key = secret\n";
    let nobody = "http://127.0.0.1:9/latest";
    vec![
        vec![],
        keys(),
        vec![set("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")],
        vec![set("AWS_SECRET_ACCESS_KEY", "secret")],
        vec![set("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"), set("SECRET_ACCESS_KEY", "secret")],
        vec![set("AWS_ACCESS_KEY_ID", ""), set("AWS_SECRET_ACCESS_KEY", "")],
        vec![set("AWS_ACCESS_KEY_ID", "  "), set("AWS_SECRET_ACCESS_KEY", "secret")],
        both(keys(), vec![set("AWS_SESSION_TOKEN", "token")]),
        both(keys(), vec![set("AWS_SESSION_TOKEN", " ")]),
        both(keys(), vec![set("AWS_ACCOUNT_ID", "123456789012")]),
        both(keys(), agent(uri.clone())),
        both(keys(), irsa.clone()),
        both(vec![set("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")], agent(uri.clone())),
        shared("default", default),
        both(shared("default-and-agent", default), agent(uri.clone())),
        both(shared("default-and-irsa", default), irsa.clone()),
        both(
            shared("other", "[other]\naws_access_key_id = A\naws_secret_access_key = b\n"),
            agent(uri.clone()),
        ),
        both(
            shared("named", "[other]\naws_access_key_id = A\naws_secret_access_key = b\n"),
            vec![set("AWS_PROFILE", "other")],
        ),
        vec![set("AWS_PROFILE", "missing")],
        both(vec![set("AWS_PROFILE", "missing")], agent(uri.clone())),
        both(vec![set("AWS_PROFILE", "")], agent(uri.clone())),
        shared("half", "[default]\naws_access_key_id = A\n"),
        both(
            shared("empty-keys", "[default]\naws_access_key_id =\naws_secret_access_key =\n"),
            agent(uri.clone()),
        ),
        both(shared("broken", "no profile\n"), agent(uri.clone())),
        shared("broken-alone", "[default\nx"),
        config(
            "process",
            "[default]\ncredential_process = echo '{\"Version\": 1, \"AccessKeyId\": \"A\", \"SecretAccessKey\": \"b\"}'\n",
        ),
        config("process-fails", "[default]\ncredential_process = false\n"),
        config("process-prints", "[default]\ncredential_process = echo no JSON\n"),
        both(
            config("process-fails-agent", "[default]\ncredential_process = false\n"),
            agent(uri.clone()),
        ),
        config(
            "sso",
            "[default]\nsso_start_url = https://a.example\nsso_region = us-east-1\nsso_account_id = 1\nsso_role_name = r\n",
        ),
        both(
            config(
                "environment-source",
                "[default]\nrole_arn = arn:aws:iam::123456789012:role/a\ncredential_source = Environment\n",
            ),
            agent(uri.clone()),
        ),
        config(
            "unknown-source",
            "[default]\nrole_arn = arn:aws:iam::123456789012:role/a\ncredential_source = Nowhere\n",
        ),
        config(
            "loop",
            "[default]\nrole_arn = arn:aws:iam::123456789012:role/a\nsource_profile = b\n[profile b]\nrole_arn = arn:aws:iam::123456789012:role/b\nsource_profile = default\n",
        ),
        config("region-only", "[default]\nregion = eu-west-1\n"),
        both(config("region-and-agent", "[default]\nregion = eu-west-1\n"), agent(uri.clone())),
        irsa.clone(),
        both(irsa.clone(), agent(uri.clone())),
        vec![irsa[0].clone(), irsa[2].clone()],
        vec![irsa[1].clone(), irsa[2].clone()],
        both(vec![irsa[0].clone(), set("AWS_WEB_IDENTITY_TOKEN_FILE", "")], agent(uri.clone())),
        both(
            vec![irsa[0].clone(), set("AWS_WEB_IDENTITY_TOKEN_FILE", "/nonexistent")],
            agent(uri.clone()),
        ),
        both(vec![set("AWS_ROLE_ARN", ""), irsa[1].clone(), irsa[2].clone()], vec![]),
        agent(uri.clone()),
        agent("http://192.0.2.1/v1/credentials".to_owned()),
        agent(String::new()),
        agent(format!("{uri}/nothing-here")),
        vec![("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri.clone())],
        vec![
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri.clone()),
            set("AWS_CONTAINER_AUTHORIZATION_TOKEN", "x"),
        ],
        vec![
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri.clone()),
            set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/nonexistent"),
        ],
        both(agent(uri), vec![set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "")]),
        vec![
            set("AWS_EC2_METADATA_DISABLED", "false"),
            set("AWS_EC2_METADATA_SERVICE_ENDPOINT", nobody),
        ],
    ]
}

/// What a chain answers: whose key, or which kind of error.
fn answer(result: Result<&Credentials, &CredentialsError>) -> String {
    match result {
        // The agent and STS give new ones each time.
        Ok(found) => {
            format!("key {}", &found.access_key_id()[..4.min(found.access_key_id().len())])
        }
        Err(CredentialsError::CredentialsNotLoaded(_)) => "nothing is configured".to_owned(),
        Err(_) => "a provider fails".to_owned(),
    }
}

async fn run_case() -> String {
    let settings =
        Settings::load(Some("us-east-1"), Duration::from_mins(1)).await.expect("settings");
    let own = Chain::new(settings.clone(), Injected::from_env()).ask().await;
    let own = match &own.result {
        Ok((_, found)) => answer(Ok(found)),
        // The own chain refuses keys without a text, of which the SDK's makes credentials.
        Err(failure) => answer(Err(&failure.error)),
    };
    let config = ProviderConfig::without_region()
        .with_region(settings.sdk.region().cloned())
        .with_http_client(settings.http.for_services());
    let chain = DefaultCredentialsChain::builder().configure(config);
    let chain = chain.region(settings.sdk.region().cloned().expect("a region")).build().await;
    let theirs = match chain.provide_credentials().await.and_then(usable) {
        Ok(found) => answer(Ok(&found)),
        Err(error) => answer(Err(&error)),
    };
    if own == theirs { "agree".to_owned() } else { format!("own: {own}; the SDK's: {theirs}") }
}

#[tokio::test]
async fn the_chain_answers_as_the_sdks_own_does() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    if std::env::var_os(CASE).is_some() {
        println!("case: {}", run_case().await);
        return;
    }
    let sandbox = Sandbox::start(SandboxOptions::default()).await.expect("a sandbox");
    sandbox.agent.set_answer(Answer::Normal);
    let folder = tempfile::tempdir().expect("a folder");
    let environments = environments(&sandbox, folder.path());
    assert!(environments.len() >= 40);
    let this = std::env::current_exe().expect("a path");
    let mut running = Vec::new();
    for (number, variables) in environments.into_iter().enumerate() {
        let child = Command::new(&this)
            .args([TEST, "--exact", "--nocapture"])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            .env(CASE, number.to_string())
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        running.push((variables, child));
    }
    let ended = tokio::task::spawn_blocking(move || {
        running
            .into_iter()
            .map(|(variables, child)| {
                let output = child.wait_with_output().expect("its output");
                (
                    variables
                        .into_iter()
                        .map(|(name, value)| format!("{name}={value}"))
                        .collect::<Vec<_>>(),
                    output,
                )
            })
            .collect::<Vec<_>>()
    });
    for (variables, output) in ended.await.expect("no panic") {
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("case: agree"), "{variables:?}: {said}");
    }
}
