//! Profiles that give no credentials.

use super::{Profiles, Right, Wrong, bare};
use crate::harness::World;

const ROLE: &str = "role_arn = arn:aws:iam::123456789012:role/a\n";

#[tokio::test]
async fn each_fault_of_a_profile_has_a_cause_of_its_own() {
    let mut wrong = Wrong::default();
    let world = World::new().await;
    let role = |source: &str| format!("[default]\n{ROLE}{source}\n");
    let process = |command: &str| format!("[default]\ncredential_process = {command}\n");
    for (what, config, id) in [
        ("sso", "[default]\nsso_session = me\nsso_account_id = 123456789012\nsso_role_name = a\n[sso-session me]\nsso_region = us-east-1\nsso_start_url = https://sso.example\n".to_owned(), "profile_sso"),
        ("old sso", "[default]\nsso_start_url = https://sso.example\nsso_region = us-east-1\nsso_account_id = 123456789012\nsso_role_name = a\n".to_owned(), "profile_sso"),
        ("no section", "this is no file of profiles\n".to_owned(), "profile_invalid"),
        ("unclosed", "[default\nregion = us-east-1\n".to_owned(), "profile_invalid"),
        ("loop", "[default]\nrole_arn = arn:aws:iam::123456789012:role/a\nsource_profile = b\n[profile b]\nrole_arn = arn:aws:iam::123456789012:role/b\nsource_profile = default\n".to_owned(), "profile_invalid"),
        ("unknown source", role("credential_source = Moon"), "profile_invalid"),
        ("missing source", role("source_profile = gone"), "profile_not_found"),
        ("process fails", process("/bin/false"), "credential_process"),
        ("process is missing", process("/no/such/program"), "credential_process"),
        ("process prints no JSON", process("/bin/echo hello"), "credential_process"),
        ("process prints half", process("/bin/echo '{\"Version\": 1}'"), "credential_process"),
    ] {
        let profiles = Profiles::new(&config, "");
        let right = Right { id, code: 3, never: &["already taken"], ..Right::default() };
        wrong.told(what, profiles.of(bare(&world, "")), right).await;
    }
    let job = bare(&world, "").env("AWS_PROFILE", "gone");
    let right = Right { id: "profile_not_found", code: 3, cause: &["gone"], ..Right::default() };
    wrong.told("no such profile", job, right).await;
    wrong.none();
}

#[tokio::test]
async fn a_process_that_hangs_or_lacks_its_shell_is_named() {
    let world = World::new().await;
    let mut wrong = Wrong::default();
    let right = Right { id: "credential_process", code: 3, ..Right::default() };
    let hangs = Profiles::new("[default]\ncredential_process = /bin/sleep 1000\n", "");
    wrong.told("hangs", hangs.of(bare(&world, "")), right).await;
    wrong.none();
}

#[tokio::test]
async fn the_first_error_is_told_at_each_attempt() {
    for (config, id) in [
        (
            "[default]\nrole_arn = arn:aws:iam::123456789012:role/a\nsource_profile = gone\n",
            "profile_not_found",
        ),
        ("this is no file of profiles\n", "profile_invalid"),
        ("[default]\ncredential_process = /bin/false\n", "credential_process"),
    ] {
        let world = World::new().await;
        let profiles = Profiles::new(config, "");
        let job =
            world.job("/random", "--startup-grace 3s --interval 100ms").without_pod_identity();
        let done = profiles.of(job).finish().await;
        let text = done.lines.join("\n");
        let lines = done.events("no usable credentials");
        assert!(!lines.is_empty(), "{text}");
        for line in lines {
            assert_eq!(line["diagnosis"], id, "{line}");
        }
        assert!(!text.contains("already taken"), "{text}");
    }
}
