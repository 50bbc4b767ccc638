//! Checks `k8s/cluster.yaml` and `k8s/nodes.yaml`, the eksctl configuration, filled in as the scripts
//! do. Whether its fields are right, the real eksctl decides, in `tests/cluster/story.bats` and
//! `tests/wiring/steps/faults-cluster.bats`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::built::{list, project};

/// The last one is optional: the line is left out without it.
const PLACEHOLDERS: [&str; 4] =
    ["AWS_REGION", "CLUSTER_NAME", "TAG_VALUE", "PERMISSIONS_BOUNDARY?"];

fn template(file: &str) -> String {
    std::fs::read_to_string(project("k8s").join(file)).expect("the template can be read")
}

/// A file, in which each placeholder is replaced by its own name in lower case.
fn filled(file: &str) -> Value {
    let template = template(file).replace("${NODES}", "2").replace("${INSTANCE_TYPE}", "t3.medium");
    let filled = PLACEHOLDERS.iter().fold(template, |text, name| {
        let value = name.trim_end_matches('?').to_lowercase().replace('_', "-");
        text.replace(&format!("${{{name}}}"), &value)
    });
    serde_saphyr::from_str(&filled).expect("YAML")
}

fn cluster() -> Value {
    filled("cluster.yaml")
}

/// The only group of nodes.
fn group() -> Value {
    let nodes = filled("nodes.yaml");
    let [group] = list(&nodes["managedNodeGroups"]) else { panic!("one group: {nodes}") };
    group.clone()
}

#[test]
fn the_templates_have_the_placeholders_that_the_scripts_fill_in() {
    for file in ["cluster.yaml", "nodes.yaml"] {
        let template = template(file).replace("${NODES}", "").replace("${INSTANCE_TYPE}", "");
        let names = template
            .split("${")
            .skip(1)
            .map(|rest| rest.split_once('}').expect("a closing brace").0);
        assert_eq!(names.collect::<BTreeSet<_>>(), BTreeSet::from(PLACEHOLDERS), "{file}");
    }
}

#[test]
fn both_templates_are_for_the_same_cluster() {
    for file in ["cluster.yaml", "nodes.yaml"] {
        let config = filled(file);
        assert_eq!(config["apiVersion"], "eksctl.io/v1alpha5");
        assert_eq!(config["kind"], "ClusterConfig");
        assert_eq!(config["metadata"]["name"], "cluster-name");
        assert_eq!(config["metadata"]["region"], "aws-region");
    }
}

#[test]
fn a_cluster_of_a_supported_version_with_metadata_closed_to_pods() {
    let cluster = cluster();
    let version = cluster["metadata"]["version"].as_str().expect("a text");
    let (major, minor) = version.split_once('.').expect("a version");
    assert_eq!(major, "1");
    assert!(minor.parse::<u32>().expect("a number") >= 35);
    assert_eq!(cluster["autoModeConfig"]["enabled"], false);
    assert_eq!(cluster["upgradePolicy"]["supportType"], "STANDARD");
    assert_eq!(cluster["iam"]["serviceRolePermissionsBoundary"], "permissions-boundary");
    let group = group();
    assert_eq!(group["iam"]["instanceRolePermissionsBoundary"], "permissions-boundary");
    // scripts/steps/cluster.sh knows the stack by this name.
    for (field, expected) in [
        ("name", json!("workers")),
        ("amiFamily", json!("AmazonLinux2023")),
        ("instanceType", json!("t3.medium")),
        ("disablePodIMDS", json!(true)),
        ("volumeEncrypted", json!(true)),
        ("privateNetworking", json!(true)),
    ] {
        assert_eq!(group[field], expected, "{field}");
    }
    let number = |field: &str| group[field].as_u64().expect(field);
    assert!(number("minSize") <= number("desiredCapacity"));
    assert!(number("desiredCapacity") <= number("maxSize"));
    assert!(number("desiredCapacity") >= 2 && number("volumeSize") >= 20);
}

/// The steps create the agent, the association and what IRSA needs, so that each command shows
/// something.
#[test]
fn the_network_enforces_policies_and_the_steps_create_the_rest() {
    let cluster = cluster();
    let addons = list(&cluster["addons"]);
    let names: BTreeSet<_> = addons.iter().map(|addon| addon["name"].as_str()).collect();
    assert_eq!(names, BTreeSet::from(["coredns", "kube-proxy", "vpc-cni"].map(Some)));
    let cni = addons.iter().find(|addon| addon["name"] == "vpc-cni").expect("the CNI");
    let values = cni["configurationValues"].as_str().expect("values");
    let values: Value = serde_json::from_str(values).expect("JSON");
    assert_eq!(values, json!({ "enableNetworkPolicy": "true" }));
    assert!(cluster["accessConfig"].is_null());
    let iam = cluster["iam"].as_object().expect("an object");
    assert_eq!(iam.keys().collect::<Vec<_>>(), ["serviceRolePermissionsBoundary"]);
}

/// eksctl puts the tags of the metadata on each stack of its own accord. A managed node group
/// would have them twice, which `CloudFormation` refuses, so its file has them on the group alone.
#[test]
fn all_that_is_made_carries_the_tag_once() {
    let (cluster, group) = (cluster(), group());
    let addons = list(&cluster["addons"]).iter();
    let ours = json!({ "pod-identity-demo": "tag-value" });
    assert!(addons.chain([&cluster["metadata"], &group]).all(|made| made["tags"] == ours));
    assert!(filled("nodes.yaml")["metadata"]["tags"].is_null());
}
