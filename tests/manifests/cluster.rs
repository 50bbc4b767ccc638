//! Checks `k8s/cluster.yaml` and `k8s/nodes.yaml`, the eksctl configuration, filled in as the scripts
//! do, without eksctl: the fields are copied from its schema for `eksctl.io/v1alpha5`. The real
//! eksctl reads the files in `tests/cluster/story.bats` and `tests/wiring/steps/faults-cluster.bats`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::built::project;

/// `k8s/cluster.yaml`: the cluster without its nodes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ClusterConfig {
    api_version: String,
    kind: String,
    metadata: Metadata,
    upgrade_policy: UpgradePolicy,
    auto_mode_config: AutoMode,
    addons: Vec<Addon>,
}

/// `k8s/nodes.yaml`: its nodes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct NodesConfig {
    api_version: String,
    kind: String,
    metadata: Named,
    managed_node_groups: Vec<NodeGroup>,
}

type Tags = BTreeMap<String, String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    name: String,
    region: String,
    version: String,
    tags: Tags,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
    region: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct UpgradePolicy {
    support_type: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AutoMode {
    enabled: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct NodeGroup {
    name: String,
    ami_family: String,
    instance_type: String,
    desired_capacity: u32,
    min_size: u32,
    max_size: u32,
    volume_size: u32,
    volume_encrypted: bool,
    private_networking: bool,
    #[serde(rename = "disablePodIMDS")]
    disable_pod_imds: bool,
    tags: Tags,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Addon {
    name: String,
    configuration_values: Option<String>,
    tags: Tags,
}

const PLACEHOLDERS: [&str; 3] = ["AWS_REGION", "CLUSTER_NAME", "TAG_VALUE"];

fn template(file: &str) -> String {
    std::fs::read_to_string(project("k8s").join(file)).expect("the template can be read")
}

/// A file, in which each placeholder is replaced by its own name in lower case.
fn filled<T: DeserializeOwned>(file: &str) -> T {
    let template = template(file).replace("${NODES}", "2");
    let filled = PLACEHOLDERS.iter().fold(template, |text, name| {
        text.replace(&format!("${{{name}}}"), &name.to_lowercase().replace('_', "-"))
    });
    serde_saphyr::from_str(&filled).expect("a ClusterConfig")
}

fn cluster() -> ClusterConfig {
    filled("cluster.yaml")
}

fn nodes() -> NodesConfig {
    filled("nodes.yaml")
}

#[test]
fn the_templates_have_the_placeholders_that_the_scripts_fill_in() {
    for file in ["cluster.yaml", "nodes.yaml"] {
        let template = template(file).replace("${NODES}", "");
        let names = template
            .split("${")
            .skip(1)
            .map(|rest| rest.split_once('}').expect("a closing brace").0);
        assert_eq!(names.collect::<BTreeSet<_>>(), BTreeSet::from(PLACEHOLDERS), "{file}");
    }
}

#[test]
fn both_templates_are_for_the_same_cluster() {
    let (cluster, nodes) = (cluster(), nodes());
    for (version, kind) in [(cluster.api_version, cluster.kind), (nodes.api_version, nodes.kind)] {
        assert_eq!((version.as_str(), kind.as_str()), ("eksctl.io/v1alpha5", "ClusterConfig"));
    }
    for (name, region) in [
        (cluster.metadata.name, cluster.metadata.region),
        (nodes.metadata.name, nodes.metadata.region),
    ] {
        assert_eq!((name.as_str(), region.as_str()), ("cluster-name", "aws-region"));
    }
}

#[test]
fn a_cluster_of_a_supported_version_with_metadata_closed_to_pods() {
    let cluster = cluster();
    let (major, minor) = cluster.metadata.version.split_once('.').expect("a version");
    assert_eq!(major, "1");
    assert!(minor.parse::<u32>().expect("a number") >= 35);
    assert!(!cluster.auto_mode_config.enabled);
    assert_eq!(cluster.upgrade_policy.support_type, "STANDARD");
    let [group] = nodes().managed_node_groups.try_into().ok().expect("one");
    let NodeGroup { name, ami_family, instance_type, desired_capacity, .. } = group;
    // scripts/steps/cluster.sh knows the stack by this name.
    assert_eq!(name, "workers");
    assert!(group.disable_pod_imds && group.volume_encrypted && group.private_networking);
    assert!(group.min_size <= desired_capacity && desired_capacity <= group.max_size);
    assert!(desired_capacity >= 2 && group.volume_size >= 20);
    assert_eq!((ami_family.as_str(), instance_type.as_str()), ("AmazonLinux2023", "t3.medium"));
}

/// The steps create the agent, the association and what IRSA needs, so that each command shows
/// something. The fields for associations, accounts and the OIDC provider are unknown above.
#[test]
fn the_network_enforces_policies_and_the_steps_create_the_rest() {
    let cluster = cluster();
    let names: BTreeSet<&str> = cluster.addons.iter().map(|addon| addon.name.as_str()).collect();
    assert_eq!(names, BTreeSet::from(["coredns", "kube-proxy", "vpc-cni"]));
    let cni = cluster.addons.iter().find(|addon| addon.name == "vpc-cni").expect("the CNI");
    let cni = cni.configuration_values.as_deref().expect("values");
    let cni: serde_json::Value = serde_json::from_str(cni).expect("JSON");
    assert_eq!(cni, serde_json::json!({ "enableNetworkPolicy": "true" }));
}

/// eksctl puts the tags of the metadata on each stack of its own accord. A managed node group
/// would have them twice, which `CloudFormation` refuses, so its file has them on the group alone.
#[test]
fn all_that_is_made_carries_the_tag_once() {
    let (cluster, nodes) = (cluster(), nodes());
    let groups = nodes.managed_node_groups.iter().map(|group| &group.tags);
    let addons = cluster.addons.iter().map(|addon| &addon.tags);
    let ours = Tags::from([("pod-identity-demo".to_owned(), "tag-value".to_owned())]);
    assert!(groups.chain(addons).chain([&cluster.metadata.tags]).all(|tags| *tags == ours));
}
