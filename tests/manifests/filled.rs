//! Tests which settings `scripts/steps/manifests.sh` fills in, and which it rejects.

use serde_json::{Value, json};

use crate::built::{SETTINGS, all, fill, kustomize, text};

/// The settings, with one of them changed.
fn with<'v>(name: &'v str, value: &'v str) -> Vec<(&'v str, &'v str)> {
    let others = SETTINGS.iter().copied().filter(|(setting, _)| *setting != name);
    others.chain([(name, value)]).collect()
}

/// The message of one line with which the script rejects its input.
fn refusal(arguments: &[&str], settings: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let output = fill(folder.path(), arguments, settings);
    let said = text(&output.stderr);
    assert!(!output.status.success() && output.stdout.is_empty(), "{arguments:?}: {said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    let written = std::fs::read_dir(folder.path()).expect("a folder").count();
    assert_eq!(written, 0, "{arguments:?}");
    said
}

#[test]
fn all_settings_are_filled_in() {
    for built in all().iter().filter(|built| built.components.is_some()) {
        assert_eq!(built.only("Namespace")["metadata"]["name"], "pictures");
        let environment = built.environment(built.job_container());
        assert_eq!(environment["S3_BUCKET_NAME"], "my-bucket");
        assert_eq!(environment["AWS_REGION"], "eu-west-1");
        let image = &built.job_container()["image"];
        assert_eq!(image, "registry.example:5000/team/pod-identity-demo:0.1.0-abc");
    }
}

#[test]
fn an_image_may_have_a_tag_or_a_digest_or_both_or_neither() {
    let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
    for (image, expected) in [
        ("localhost:5000/a".to_owned(), "localhost:5000/a:latest".to_owned()),
        ("a:1.2".to_owned(), "a:1.2".to_owned()),
        (format!("r.example/a@{digest}"), format!("r.example/a@{digest}")),
        // kustomize supports either a tag or a digest, and the digest is decisive.
        (format!("r.example:5000/a:1@{digest}"), format!("r.example:5000/a@{digest}")),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let output = fill(folder.path(), &["eks"], &with("IMAGE", &image));
        let filled = text(&output.stdout);
        let yaml = kustomize(filled.trim().as_ref());
        assert!(yaml.contains(&format!("image: {expected}\n")), "{image}:\n{yaml}");
    }
}

#[test]
fn the_localstack_overlay_has_a_default_bucket_and_image() {
    let folder = tempfile::tempdir().expect("a folder");
    let none = [("AWS_REGION", "us-east-1"), ("WITH", "aws")];
    let output = fill(folder.path(), &["localstack"], &none);
    let yaml = kustomize(text(&output.stdout).trim().as_ref());
    assert!(yaml.contains("S3_BUCKET_NAME: pod-identity-demo\n"), "{yaml}");
    let image = format!("image: pod-identity-demo:{}-", env!("CARGO_PKG_VERSION"));
    assert!(yaml.contains(&image), "{yaml}");
}

#[test]
fn the_architecture_is_that_of_the_clusters_nodes_and_any_selects_none() {
    let filled_with = |settings: &[(&str, &str)]| {
        let folder = tempfile::tempdir().expect("a folder");
        let output = fill(folder.path(), &["eks"], settings);
        kustomize(text(&output.stdout).trim().as_ref())
    };
    let default: Vec<_> =
        SETTINGS.into_iter().filter(|(name, _)| *name != "ARCHITECTURE").collect();
    assert!(filled_with(&default).contains("kubernetes.io/arch: amd64\n"));
    // tests/wiring/steps/plan.bats holds the type of the nodes to the architecture.
    assert!(!filled_with(&with("ARCHITECTURE", "any")).contains("kubernetes.io/arch"));
}

#[test]
fn the_namespace_default_is_not_changed_and_the_policy_holds_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = ["eks", "require-pod-identity", "network-policy"];
    let output = fill(folder.path(), &arguments, &with("NAMESPACE", "default"));
    let yaml = kustomize(text(&output.stdout).trim().as_ref());
    let objects: Vec<Value> = serde_saphyr::from_multiple(&yaml).expect("YAML");
    let of_kind = |kind: &str| objects.iter().filter(|object| object["kind"] == kind).collect();
    let namespaces: Vec<&Value> = of_kind("Namespace");
    assert!(namespaces.is_empty(), "{yaml}");
    let jobs: Vec<&Value> = of_kind("Job");
    assert_eq!(jobs[0]["metadata"]["namespace"], "default");
    let bindings: Vec<&Value> = of_kind("ValidatingAdmissionPolicyBinding");
    let selected = &bindings[0]["spec"]["matchResources"]["namespaceSelector"]["matchLabels"];
    assert_eq!(*selected, json!({ "kubernetes.io/metadata.name": "default" }));
    assert!(bindings[0]["metadata"]["namespace"].is_null());
}

#[test]
fn a_second_run_replaces_the_files_of_the_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("eks/kustomization.yaml");
    let read = || std::fs::read_to_string(&file).expect("it was written");
    fill(folder.path(), &["eks", "monitoring"], &SETTINGS);
    let first = read();
    fill(folder.path(), &["eks", "monitoring"], &SETTINGS);
    assert_eq!(read(), first);
    fill(folder.path(), &["eks"], &SETTINGS);
    assert!(first.contains("monitoring") && !read().contains("monitoring"));
    assert_eq!(std::fs::read_dir(file.parent().expect("a folder")).expect("a folder").count(), 1);
}

#[test]
fn invalid_input_is_rejected_in_one_line_before_anything_is_written() {
    for (arguments, expected) in [
        (&[][..], "missing argument: the overlay"),
        (&["gke"], "unknown overlay gke"),
        (&["eks", "service-mesh"], "unknown component 'service-mesh'"),
        (&["eks", ""], "unknown component ''"),
        (&["eks", "../base"], "unknown component '../base'"),
        (&["irsa", "require-pod-identity"], "is for eks and fleet"),
        (&["localstack", "require-pod-identity"], "is for eks and fleet"),
        (&["localstack", "network-policy"], "block the traffic to LocalStack"),
        (&["localstack", "network-policy-cilium"], "block the traffic to LocalStack"),
        (&["eks", "network-policy", "network-policy-cilium"], "omit one of them"),
        (&["eks", "network-policy-cilium", "network-policy"], "omit one of them"),
    ] {
        let said = refusal(arguments, &SETTINGS);
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    for (name, value) in [
        ("NAMESPACE", "Pictures"),
        ("SERVICE_ACCOUNT", "a b"),
        ("IRSA_SERVICE_ACCOUNT", "-a"),
        ("BUCKET", "a\"\n  b: c"),
        ("AWS_REGION", "Dublin"),
        ("IMAGE", "a:1 b"),
        ("IMAGE", "a@sha256:123"),
        ("FLEET_SIZE", "0"),
        ("ARCHITECTURE", "x86_64"),
    ] {
        let said = refusal(&["fleet"], &with(name, value));
        let expected = [format!("{name} is "), ": it must be ".to_owned()];
        assert!(expected.iter().all(|text| said.contains(text)), "{said}");
    }
}
