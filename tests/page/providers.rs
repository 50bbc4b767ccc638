//! The card of the identity with each provider that can answer here.

use std::time::Duration;

use sandbox::{Scripted, metadata};

use crate::browser::Tab;
use crate::harness::{Job, World};
use crate::served::Served;

const LIFETIME: Duration = Duration::from_hours(6);

/// What the card is to show.
struct Card {
    provider: &'static str,
    /// Its name in the document.
    name: &'static str,
    required: &'static str,
    /// How the label of the ring begins, and what stands in the ring.
    ring: &'static str,
    expiry: &'static str,
    role: String,
}

async fn expect_card(world: &World, job: Job<'_>, card: Card) {
    let served = Served::of(world, job).await;
    let tab = Tab::new().await;
    tab.open(&served.url()).await;
    tab.wait_for_text("#provider", card.provider).await;
    assert_eq!(tab.eval::<String>("identity.dataset.provider").await, card.name);
    assert!(!tab.eval::<bool>("identity.classList.contains('wrong')").await);
    assert_eq!(tab.text("#required").await, card.required);
    // STS tells the role a moment later.
    tab.wait_for_text("#names", &card.role).await;
    let ring: String = tab.eval("document.querySelector('#ring').ariaLabel").await;
    assert!(ring.starts_with(card.ring), "{ring}");
    let expiry = tab.text("#ring p").await.replace('\n', " ");
    assert!(expiry.contains(card.expiry), "{expiry}");
    let answered: Vec<String> = tab
        .eval("[...document.querySelectorAll('#chain li[data-state=answered]')].map((each) => each.firstChild.data)")
        .await;
    assert_eq!(answered, [card.provider]);
    let status = served.status().await;
    assert_eq!(status["identity"]["principal"]["provider"], card.name);
    assert_eq!(status["identity"]["principal"]["role"], card.role);
    tab.wait_for("document.querySelectorAll('.attempt.ok').length === 1").await;
    tab.expect_quiet(&served.url());
    served.job.terminate().await.expect(143);
}

/// A job without what the webhook injects.
fn without_pod_identity<'w>(world: &'w World, arguments: &str) -> Job<'w> {
    world.job("/random", arguments).without_pod_identity()
}

#[tokio::test]
async fn keys_in_the_environment_have_no_expiry() {
    let world = World::new().await;
    let keys = world.sandbox.credentials.issue(LIFETIME);
    let job = without_pod_identity(&world, "--interval 1h")
        .env("AWS_ACCESS_KEY_ID", &keys.access_key_id)
        .env("AWS_SECRET_ACCESS_KEY", &keys.secret_access_key)
        .env("AWS_SESSION_TOKEN", &keys.session_token);
    let card = Card {
        provider: "Environment variables",
        name: "environment",
        required: "any identity is accepted",
        ring: "the credentials do not expire",
        expiry: "no expiry",
        role: keys.role.name,
    };
    expect_card(&world, job, card).await;
}

#[tokio::test]
async fn keys_in_a_profile_have_no_expiry() {
    let world = World::new().await;
    let keys = world.sandbox.credentials.issue(LIFETIME);
    let file = tempfile::NamedTempFile::new().expect("a file");
    let profile = format!(
        "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\naws_session_token = {}\n",
        keys.access_key_id, keys.secret_access_key, keys.session_token
    );
    std::fs::write(file.path(), profile).expect("it can be written");
    let job = without_pod_identity(&world, "--interval 1h --require-identity profile")
        .env("AWS_SHARED_CREDENTIALS_FILE", file.path());
    let card = Card {
        provider: "Profile",
        name: "profile",
        required: "✓ as required",
        ring: "the credentials do not expire",
        expiry: "no expiry",
        role: keys.role.name,
    };
    expect_card(&world, job, card).await;
}

#[tokio::test]
async fn irsa_has_a_card_of_its_own() {
    let world = World::new().await;
    let mut job = without_pod_identity(&world, "--interval 1h --require-identity irsa");
    job = job.with_irsa();
    let role = world.sandbox.sts.role_arn();
    let card = Card {
        provider: "IRSA",
        name: "irsa",
        required: "✓ as required",
        ring: "the credentials expire in ",
        expiry: "left",
        role: role.rsplit('/').next().expect("a name").to_owned(),
    };
    expect_card(&world, job, card).await;
}

#[tokio::test]
async fn a_node_role_has_a_card_of_its_own() {
    let world = World::new().await;
    let credentials = world.sandbox.credentials.issue(LIFETIME);
    let service = Scripted::start(metadata(&credentials.role.name, credentials.clone())).await;
    let service = service.expect("a port");
    let job = without_pod_identity(&world, "--interval 1h --require-identity instance")
        .without("AWS_EC2_METADATA_DISABLED")
        .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", service.url(""));
    let card = Card {
        provider: "Node role",
        name: "instance",
        required: "✓ as required",
        ring: "the credentials expire in ",
        expiry: "left",
        role: credentials.role.name,
    };
    expect_card(&world, job, card).await;
}
