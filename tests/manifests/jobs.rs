//! Tests the properties in which the Jobs of the overlays differ.

use serde_json::{Value, json};

use crate::built::{INDEX, NAME, all, filled, list};

/// The value of a variable in the container's `env`, as written.
fn variable<'b>(container: &'b Value, name: &str) -> &'b Value {
    let mut entries = list(&container["env"]).iter();
    entries.find(|entry| entry["name"] == name).map_or(&Value::Null, |entry| &entry["value"])
}

#[test]
fn each_overlay_has_a_job_with_its_name_labels_service_account_and_required_identity() {
    for (overlay, name, account, identity) in [
        ("eks", NAME, "uploader", "pod-identity"),
        ("irsa", "pod-identity-demo-irsa", "uploader-irsa", "irsa"),
        ("fleet", "pod-identity-demo-fleet", "uploader", "pod-identity"),
        ("localstack", NAME, "uploader", "irsa"),
    ] {
        let built = filled(overlay);
        let job = built.only("Job");
        assert_eq!(job["metadata"]["name"], name);
        assert_eq!(built.job_pod()["spec"]["serviceAccountName"], account);
        assert_eq!(built.job_container()["name"], NAME);
        for labels in [&job["metadata"]["labels"], &built.job_pod()["metadata"]["labels"]] {
            assert_eq!(labels["app.kubernetes.io/name"], NAME);
            assert_eq!(labels["app.kubernetes.io/instance"], overlay);
        }
        assert_eq!(variable(built.job_container(), "REQUIRE_IDENTITY"), identity);
        // eksctl creates IRSA's service account, so the manifests must not.
        let accounts: Vec<&Value> =
            built.of_kind("ServiceAccount").map(|account| &account["metadata"]["name"]).collect();
        assert_eq!(accounts, if overlay == "irsa" { vec![] } else { vec![account] });
    }
}

#[test]
fn disruptions_do_not_count_as_failures_and_other_failures_lead_to_a_new_pod() {
    for built in all() {
        let job = &built.only("Job")["spec"];
        let rules = list(&job["podFailurePolicy"]["rules"]);
        assert_eq!(rules.len(), 2);
        let disrupted = json!([{ "type": "DisruptionTarget", "status": "True" }]);
        assert_eq!(rules[1], json!({ "action": "Ignore", "onPodConditions": disrupted }));
        let fleet = built.overlay == "fleet";
        // Failures of the whole life count, and an endless job must not end of them.
        let limit = if fleet { "backoffLimitPerIndex" } else { "backoffLimit" };
        let other = if fleet { "backoffLimit" } else { "backoffLimitPerIndex" };
        assert_eq!((&job[limit], &job[other]), (&json!(i32::MAX), &json!(null)));
        assert!(job["ttlSecondsAfterFinished"].as_u64() >= Some(3600));
        assert!(job["activeDeadlineSeconds"].is_null());
    }
}

#[test]
fn the_pods_run_on_nodes_of_the_architecture_that_the_image_has() {
    for built in all() {
        let selector = &built.job_pod()["spec"]["nodeSelector"];
        assert_eq!(selector["kubernetes.io/os"], "linux");
        // A local cluster has the architecture of this machine, and so has its image.
        let chosen = built.components.is_some() && built.overlay != "localstack";
        let expected = if chosen { json!("arm64") } else { Value::Null };
        assert_eq!(selector["kubernetes.io/arch"], expected, "{}", built.name());
    }
}

#[test]
fn the_webhook_does_not_replace_the_region() {
    // The webhook looks for AWS_REGION only in `env`, and would otherwise add the cluster's region.
    for built in all() {
        let mut entries = list(&built.job_container()["env"]).iter();
        assert!(entries.any(|entry| entry["name"] == "AWS_REGION"), "{}", built.name());
    }
}

#[test]
fn the_program_gets_the_name_of_its_pod() {
    for built in all() {
        let mut entries = list(&built.job_container()["env"]).iter();
        let name = entries.find(|entry| entry["name"] == "POD_NAME").expect("POD_NAME");
        assert_eq!(name["valueFrom"]["fieldRef"]["fieldPath"], "metadata.name");
    }
}

#[test]
fn the_fleet_is_spread_and_each_pod_has_a_prefix_of_its_own() {
    let built = filled("fleet");
    let job = &built.only("Job")["spec"];
    assert_eq!(job["completionMode"], "Indexed");
    assert_eq!((&job["completions"], &job["parallelism"]), (&json!(7), &json!(7)));

    // $(NAME) is expanded only if NAME is defined before it.
    let entries = list(&built.job_container()["env"]);
    let position = |name: &str| entries.iter().position(|entry| entry["name"] == name);
    assert!(position("JOB_COMPLETION_INDEX") < position("S3_KEY_PREFIX"));
    let index = &entries[position("JOB_COMPLETION_INDEX").expect("it is there")];
    let annotation = "metadata.annotations['batch.kubernetes.io/job-completion-index']";
    assert_eq!(index["valueFrom"]["fieldRef"]["fieldPath"], annotation);
    let prefix = &built.environment(built.job_container())["S3_KEY_PREFIX"];
    assert_eq!(prefix, &format!("{INDEX}/"));

    let labels = &built.job_pod()["metadata"]["labels"];
    let constraints = list(&built.job_pod()["spec"]["topologySpreadConstraints"]);
    let keys: Vec<&Value> =
        constraints.iter().map(|constraint| &constraint["topologyKey"]).collect();
    assert_eq!(keys, ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]);
    for constraint in constraints {
        let selector = constraint["labelSelector"]["matchLabels"].as_object().expect("labels");
        assert!(selector.iter().all(|(label, value)| labels[label] == *value), "{selector:?}");
    }
}

/// Properties that the restricted Pod Security Standard, which the namespace enforces, does not require.
#[test]
fn the_pods_have_a_read_only_root_no_api_token_limits_and_a_user_of_their_own() {
    for built in all() {
        let labels = &built.only("Namespace")["metadata"]["labels"];
        assert_eq!(labels["pod-security.kubernetes.io/enforce"], "restricted");
        assert_eq!(built.job_container()["securityContext"]["readOnlyRootFilesystem"], true);
        assert_eq!(built.job_pod()["spec"]["securityContext"]["runAsUser"], 65532);
        for account in built.of_kind("ServiceAccount") {
            assert_eq!(account["automountServiceAccountToken"], false);
        }
        for (name, pod) in built.pod_templates() {
            let spec = &pod["spec"];
            assert_eq!(spec["automountServiceAccountToken"], false, "{name}");
            assert_eq!(spec["enableServiceLinks"], false, "{name}");
            let containers = list(&spec["containers"]).iter().chain(list(&spec["initContainers"]));
            for resources in containers.map(|container| &container["resources"]) {
                for bound in ["/requests/cpu", "/requests/memory", "/limits/cpu", "/limits/memory"]
                {
                    let amount = resources.pointer(bound).unwrap_or(&Value::Null);
                    assert!(amount.is_string(), "{bound}: {name} in {}", built.name());
                }
            }
        }
    }
}
