//! Checks that the manifests are valid for Kubernetes, without unknown fields.

use std::collections::BTreeSet;
use std::process::{Command, Output};

use crate::built::{SETTINGS, all, fill, kustomize, project, text, tool};

/// Kinds that are not part of Kubernetes. `monitoring.rs` checks them.
const FOREIGN: [&str; 3] = ["PodMonitor", "PrometheusRule", "CiliumNetworkPolicy"];

/// Validates objects against the schemas of a Kubernetes version. An empty text means the newest.
fn validate(version: &str, objects: impl IntoIterator<Item = String>) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("all.yaml");
    let objects: Vec<String> = objects.into_iter().collect();
    std::fs::write(&file, objects.join("\n---\n")).expect("a file");
    let mut command = Command::new(tool("kubernetes-validate"));
    command.args(["--strict", "--quiet"]);
    if !version.is_empty() {
        command.args(["-k", version]);
    }
    command.arg(file).output().expect("kubernetes-validate runs")
}

/// All objects, without duplicates between overlays.
fn objects() -> BTreeSet<String> {
    all().iter().flat_map(|built| built.yaml.split("\n---\n")).map(str::to_owned).collect()
}

fn is_valid_for(version: &str) {
    let output = validate(version, objects());
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "{said}");
    // The validator only warns about kinds without a schema.
    let mut others = said.lines().filter(|line| {
        !line.is_empty()
            && !FOREIGN.iter().any(|kind| line.contains(&format!("schema for kind {kind} ")))
    });
    assert_eq!(others.next(), None);
}

#[test]
fn the_manifests_are_valid_for_kubernetes_1_31() {
    is_valid_for("1.31");
}

#[test]
fn the_manifests_are_valid_for_kubernetes_1_35() {
    is_valid_for("1.35");
}

#[test]
fn the_manifests_are_valid_for_the_newest_kubernetes_with_a_schema() {
    is_valid_for("");
}

#[test]
fn an_unknown_field_is_rejected() {
    for (right, wrong) in [("backoffLimit:", "backOffLimit:"), ("envFrom:", "envfrom:")] {
        let objects = objects().into_iter().map(|object| object.replace(right, wrong));
        assert!(!validate("1.35", objects).status.success(), "{wrong}");
    }
}

#[test]
fn namespaced_objects_are_in_the_namespace_of_the_job() {
    for built in all() {
        let namespace = &built.only("Namespace")["metadata"]["name"];
        for object in &built.objects {
            let kind = object["kind"].as_str().expect("a kind");
            let cluster_scoped =
                kind == "Namespace" || kind.starts_with("ValidatingAdmissionPolicy");
            let metadata = &object["metadata"];
            if cluster_scoped {
                assert!(metadata["namespace"].is_null(), "{kind} in {}", built.name());
            } else {
                assert_eq!(&metadata["namespace"], namespace, "{kind} in {}", built.name());
            }
            let labels = &metadata["labels"];
            for label in ["name", "part-of", "managed-by"] {
                let label = format!("app.kubernetes.io/{label}");
                assert!(labels[&label].is_string(), "{label} of {kind} in {}", built.name());
            }
        }
    }
}

/// Later versions of kustomize give the policy no namespace. Here the filled-in file does not ask for
/// one.
#[test]
fn a_policy_to_which_kustomize_adds_no_namespace_is_built_as_well() {
    let folder = tempfile::tempdir().expect("a folder");
    fill(folder.path(), &["eks", "require-pod-identity"], &SETTINGS);
    let file = folder.path().join("eks/kustomization.yaml");
    let written = std::fs::read_to_string(&file).expect("it was written");
    let without = written.replace("\nnamespace: pictures\n", "\n");
    assert_ne!(without, written);
    std::fs::write(&file, without).expect("it is written");
    let yaml = kustomize(&folder.path().join("eks"));
    let policies =
        yaml.split("\n---\n").filter(|it| it.contains("kind: ValidatingAdmissionPolicy"));
    let of_cluster = policies.filter(|it| !it.contains("\n  namespace:"));
    assert_eq!(of_cluster.count(), 2, "{yaml}");
}

#[test]
fn the_tests_cover_every_component() {
    let chosen = all().iter().flat_map(|built| built.components.iter().flatten());
    let tested: BTreeSet<String> = chosen.map(|&name| name.to_owned()).collect();
    let folders = std::fs::read_dir(project("k8s/components")).expect("a folder");
    let names = folders.map(|folder| folder.expect("a folder").file_name());
    let there: BTreeSet<String> = names.map(|name| name.into_string().expect("text")).collect();
    assert_eq!(there, tested);
}
