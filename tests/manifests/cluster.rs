//! Checks `k8s/cluster.yaml`, the eksctl configuration, filled in as the scripts do. eksctl is not
//! available in tests, so the fields are copied from its schema for `eksctl.io/v1alpha5`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::built::project;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ClusterConfig {
    api_version: String,
    kind: String,
    metadata: Metadata,
    upgrade_policy: UpgradePolicy,
    managed_node_groups: Vec<NodeGroup>,
    addons_config: AddonsConfig,
    addons: Vec<Addon>,
    iam: Iam,
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
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct UpgradePolicy {
    support_type: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct NodeGroup {
    #[serde(rename = "name")]
    _name: String,
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
struct AddonsConfig {
    auto_apply_pod_identity_associations: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Addon {
    name: String,
    configuration_values: Option<String>,
    tags: Tags,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Iam {
    #[serde(rename = "withOIDC")]
    with_oidc: bool,
    pod_identity_associations: Vec<Association>,
    service_accounts: Vec<ServiceAccount>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Association {
    namespace: String,
    service_account_name: String,
    create_service_account: bool,
    #[serde(rename = "permissionPolicyARNs")]
    permission_policy_arns: Vec<String>,
    tags: Tags,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ServiceAccount {
    metadata: Named,
    #[serde(rename = "attachPolicyARNs")]
    attach_policy_arns: Vec<String>,
    tags: Tags,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
    namespace: String,
}

const PLACEHOLDERS: [&str; 8] = [
    "AWS_REGION",
    "CLUSTER_NAME",
    "IRSA_POLICY_ARN",
    "IRSA_SERVICE_ACCOUNT",
    "NAMESPACE",
    "POLICY_ARN",
    "SERVICE_ACCOUNT",
    "TAG_VALUE",
];

fn template() -> String {
    std::fs::read_to_string(project("k8s/cluster.yaml")).expect("k8s/cluster.yaml can be read")
}

/// The configuration, in which each placeholder is replaced by its own name in lower case.
fn cluster() -> ClusterConfig {
    let filled = PLACEHOLDERS.iter().fold(template(), |text, name| {
        text.replace(&format!("${{{name}}}"), &name.to_lowercase().replace('_', "-"))
    });
    serde_saphyr::from_str(&filled).expect("a ClusterConfig")
}

#[test]
fn the_template_has_the_placeholders_that_the_scripts_fill_in() {
    let template = template();
    let names = template.split("${").skip(1).map(|rest| rest.split_once('}').expect("an end").0);
    assert_eq!(names.collect::<BTreeSet<_>>(), BTreeSet::from(PLACEHOLDERS));
}

#[test]
fn the_cluster_has_a_supported_version_and_pods_cannot_reach_instance_metadata() {
    let cluster = cluster();
    assert_eq!(
        (cluster.api_version.as_str(), cluster.kind.as_str()),
        ("eksctl.io/v1alpha5", "ClusterConfig")
    );
    assert_eq!(
        (cluster.metadata.name.as_str(), cluster.metadata.region.as_str()),
        ("cluster-name", "aws-region")
    );
    let (major, minor) = cluster.metadata.version.split_once('.').expect("a version");
    assert_eq!(major, "1");
    assert!(minor.parse::<u32>().expect("a number") >= 34);
    assert_eq!(cluster.upgrade_policy.support_type, "STANDARD");
    for group in &cluster.managed_node_groups {
        assert!(group.disable_pod_imds && group.volume_encrypted && group.private_networking);
        assert!(
            group.min_size <= group.desired_capacity && group.desired_capacity <= group.max_size
        );
        assert!(group.desired_capacity >= 2 && group.volume_size >= 20);
        assert_eq!(
            (group.ami_family.as_str(), group.instance_type.as_str()),
            ("AmazonLinux2023", "t3.medium")
        );
    }
    assert_eq!(cluster.managed_node_groups.len(), 1);
}

#[test]
fn the_cluster_has_the_agent_the_association_and_the_service_account_for_irsa() {
    let cluster = cluster();
    let addon =
        |name: &str| cluster.addons.iter().find(|addon| addon.name == name).expect("an add-on");
    assert!(addon("eks-pod-identity-agent").configuration_values.is_none());
    let cni = addon("vpc-cni").configuration_values.as_deref().expect("values");
    let cni: serde_json::Value = serde_json::from_str(cni).expect("JSON");
    assert_eq!(cni, serde_json::json!({ "enableNetworkPolicy": "true" }));
    assert!(cluster.addons_config.auto_apply_pod_identity_associations);

    let [association] = cluster.iam.pod_identity_associations.as_slice() else { panic!("one") };
    let Association { namespace, service_account_name, permission_policy_arns, .. } = association;
    assert_eq!(
        (namespace.as_str(), service_account_name.as_str()),
        ("namespace", "service-account")
    );
    assert_eq!(permission_policy_arns, &["policy-arn"]);
    assert!(!association.create_service_account, "the manifests create the service account");

    let [account] = cluster.iam.service_accounts.as_slice() else { panic!("one") };
    let Named { name, namespace } = &account.metadata;
    assert_eq!((name.as_str(), namespace.as_str()), ("irsa-service-account", "namespace"));
    assert_eq!(account.attach_policy_arns, ["irsa-policy-arn"]);
    assert!(cluster.iam.with_oidc);
}

#[test]
fn every_resource_has_the_tag() {
    let cluster = cluster();
    let groups = cluster.managed_node_groups.iter().map(|group| &group.tags);
    let addons = cluster.addons.iter().map(|addon| &addon.tags);
    let associations = cluster.iam.pod_identity_associations.iter().map(|one| &one.tags);
    let accounts = cluster.iam.service_accounts.iter().map(|account| &account.tags);
    let all = groups.chain(addons).chain(associations).chain(accounts);
    let ours = Tags::from([("pod-identity-demo".to_owned(), "tag-value".to_owned())]);
    assert!(all.chain([&cluster.metadata.tags]).all(|tags| *tags == ours));
}
