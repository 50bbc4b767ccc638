//! Tests that the program knows and accepts the settings in the manifests.

use std::collections::BTreeSet;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use crate::built::{Built, all, filled, list, text};

/// Runs the program with only this environment, without instance metadata or profiles.
fn program(arguments: &[&str], environment: impl IntoIterator<Item = (String, String)>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pod-identity-demo"));
    command.args(arguments).env_clear().envs(environment);
    command.envs(sandbox::guard_env("/dev/null".as_ref()));
    command.output().expect("the program runs")
}

/// The output of `--help`, in one line.
fn help() -> String {
    let said = text(&program(&["--help"], []).stdout);
    said.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The variables that `--help` names: the settings, and those of AWS.
fn settings() -> BTreeSet<String> {
    let help = help();
    let name = |text: &str| -> String {
        text.chars()
            .take_while(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || *c == '_')
            .collect()
    };
    let own = help.split("[env: ").skip(1).map(name);
    let of_aws = help.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    own.chain(of_aws.filter(|name| name.starts_with("AWS_")).map(name)).collect()
}

/// The default of a setting, from `--help`.
fn default_of(setting: &str) -> String {
    let help = help();
    let (_, after) = help.split_once(&format!("[env: {setting}=] [default: ")).expect(setting);
    after.split_once(']').expect("an end").0.to_owned()
}

/// The variables of the job's container, without those that only other variables refer to.
fn set(built: &Built) -> BTreeSet<String> {
    let container = built.job_container();
    let entries = list(&container["env"]);
    let used = |name: &String| {
        let mut values = entries.iter().filter_map(|entry| entry["value"].as_str());
        values.any(|value| value.contains(&format!("$({name})")))
    };
    built.environment(container).into_keys().filter(|name| !used(name)).collect()
}

#[test]
fn the_program_knows_every_setting_in_the_manifests() {
    let known = settings();
    assert!(known.contains("S3_BUCKET_NAME") && known.contains("AWS_ENDPOINT_URL"), "{known:?}");
    let set: BTreeSet<String> = all().iter().flat_map(set).collect();
    let unknown: Vec<&String> = set.difference(&known).collect();
    // `--help` does not name the variables of IRSA, but `identity` shows which it reads.
    let given = unknown.iter().map(|name| ((*name).clone(), "/nowhere".to_owned()));
    let region = ("AWS_REGION".to_owned(), "us-east-1".to_owned());
    let output = program(&["identity", "--json"], given.chain([region]));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let read = list(&report["injected"]["variables"]);
    for name in unknown {
        assert!(
            read.iter().any(|variable| variable[0] == **name),
            "the program does not know {name}"
        );
    }
}

#[test]
fn an_overlay_that_was_not_filled_in_ends_with_one_line_and_the_exit_code_that_fails_the_job() {
    for built in all().iter().filter(|built| built.components.is_none()) {
        let output = program(&[], built.environment(built.job_container()));
        assert_eq!(output.status.code(), Some(2), "{}", built.name());
        let said = text(&output.stderr);
        assert!(said.contains("S3_BUCKET_NAME") && said.lines().count() == 1, "{said}");

        let rules = list(&built.only("Job")["spec"]["podFailurePolicy"]["rules"]);
        assert_eq!(rules[0]["action"], "FailJob");
        let codes = &rules[0]["onExitCodes"];
        assert_eq!(codes["values"], serde_json::json!([2]));
        assert_eq!(codes["operator"], "In");
        assert_eq!(codes["containerName"], built.job_container()["name"]);
    }
}

/// A pod without an injected identity: the settings are valid, but the identity is missing.
#[test]
fn a_filled_in_pod_without_its_identity_ends_with_the_exit_code_that_makes_a_new_pod() {
    for overlay in ["eks", "fleet", "irsa"] {
        let built = filled(overlay);
        let mut environment = built.environment(built.job_container());
        environment.insert("LISTEN_ADDR".into(), "off".into());
        let output = program(&[], environment);
        let said = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{overlay}: {said}");
        // No rule matches this exit code, so it counts as a failure, and restartPolicy leads to a
        // new pod.
        let rules = list(&built.only("Job")["spec"]["podFailurePolicy"]["rules"]);
        let codes = rules.iter().flat_map(|rule| list(&rule["onExitCodes"]["values"]));
        assert!(codes.into_iter().all(|code| *code != 3));
        assert_eq!(built.job_pod()["spec"]["restartPolicy"], "Never");
    }
}

#[test]
fn the_termination_grace_period_is_longer_than_the_shutdown_grace() {
    let grace: u64 = default_of("SHUTDOWN_GRACE").trim_end_matches('s').parse().expect("seconds");
    for built in all() {
        assert!(
            !set(built).contains("SHUTDOWN_GRACE"),
            "a manifest sets SHUTDOWN_GRACE, so the default does not apply"
        );
        let pod = &built.job_pod()["spec"];
        let termination = pod["terminationGracePeriodSeconds"].as_u64().expect("seconds");
        let margin = Duration::from_secs(termination).checked_sub(Duration::from_secs(grace));
        assert!(
            margin >= Some(Duration::from_secs(5)),
            "{termination} s are not enough for {grace} s"
        );
    }
}

#[test]
fn the_probes_use_the_address_and_paths_that_the_program_serves() {
    for built in all() {
        let container = built.job_container();
        let address = &built.environment(container)["LISTEN_ADDR"];
        let port = container["ports"][0]["containerPort"].to_string();
        assert_eq!(address, &format!("0.0.0.0:{port}"));
        assert_eq!(container["ports"][0]["name"], "http");
        for (probe, path) in
            [("startup", "/livez"), ("liveness", "/livez"), ("readiness", "/readyz")]
        {
            let get = &container[format!("{probe}Probe")]["httpGet"];
            assert_eq!((&get["path"], &get["port"]), (&path.into(), &"http".into()));
        }
    }
}

#[test]
fn the_version_label_is_the_version_of_the_program() {
    for built in all() {
        let label = &built.job_pod()["metadata"]["labels"]["app.kubernetes.io/version"];
        assert_eq!(label, env!("CARGO_PKG_VERSION"));
    }
}
