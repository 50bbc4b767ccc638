//! Tests which addresses the network policy allows and which it blocks.

use std::net::IpAddr;

use serde_json::{Value, json};

use crate::built::{NAME, all, filled, list};

fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (u128::from(u32::from(address)), 32),
        IpAddr::V6(address) => (u128::from(address), 128),
    }
}

fn within(address: &str, cidr: &Value) -> bool {
    let (network, prefix) = cidr.as_str().and_then(|cidr| cidr.split_once('/')).expect("a CIDR");
    let (address, width) = bits(address.parse().expect("an address"));
    let (network, other) = bits(network.parse().expect("an address"));
    let shift = other - prefix.parse::<u32>().expect("a length");
    width == other
        && address.checked_shr(shift).unwrap_or(0) == network.checked_shr(shift).unwrap_or(0)
}

/// Whether the policy allows the job to open a TCP connection to an address outside the cluster.
fn may_reach(address: &str, port: u16) -> bool {
    let policy = &filled("eks").only("NetworkPolicy")["spec"];
    list(&policy["egress"]).iter().any(|rule| {
        assert!(!list(&rule["to"]).is_empty(), "a rule without `to` allows every address");
        let ports = list(&rule["ports"]);
        ports.iter().any(|allowed| allowed["port"] == port && allowed["protocol"] == "TCP")
            && list(&rule["to"])
                .iter()
                .map(|to| &to["ipBlock"])
                .filter(|block| block.is_object())
                .any(|block| {
                    within(address, &block["cidr"])
                        && !list(&block["except"]).iter().any(|cidr| within(address, cidr))
                })
    })
}

#[test]
fn the_network_policy_allows_the_agent_and_https_and_blocks_everything_else() {
    for (address, port) in [
        ("169.254.170.23", 80),
        ("fd00:ec2::23", 80),
        ("52.218.1.1", 443),
        // A VPC endpoint.
        ("10.0.3.4", 443),
        ("2a05:d018::1", 443),
    ] {
        assert!(may_reach(address, port), "{address} port {port}");
    }
    for (address, port) in [
        // Instance metadata.
        ("169.254.169.254", 80),
        ("169.254.169.254", 443),
        ("fd00:ec2::254", 80),
        ("fd00:ec2::254", 443),
        // The agent of ECS.
        ("169.254.170.2", 80),
        ("169.254.170.23", 443),
        ("52.218.1.1", 80),
        ("10.0.3.4", 22),
        ("10.100.0.1", 6443),
    ] {
        assert!(!may_reach(address, port), "{address} port {port}");
    }
}

#[test]
fn dns_is_allowed_to_the_cluster_and_only_the_health_port_is_open() {
    let policy = &filled("eks").only("NetworkPolicy")["spec"];
    assert_eq!(policy["policyTypes"], json!(["Ingress", "Egress"]));
    assert_eq!(policy["ingress"], json!([{ "ports": [{ "protocol": "TCP", "port": 8080 }] }]));
    let dns = list(&policy["egress"]).iter().filter(|rule| {
        list(&rule["to"]).iter().any(|to| to["podSelector"]["matchLabels"]["k8s-app"] == "kube-dns")
    });
    let ports: Vec<&Value> = dns.flat_map(|rule| list(&rule["ports"])).collect();
    let [udp, tcp] = ["UDP", "TCP"].map(|protocol| json!({ "protocol": protocol, "port": 53 }));
    assert_eq!(ports, [&udp, &tcp]);
}

#[test]
fn the_network_policy_selects_the_job_of_every_overlay_that_supports_it() {
    for overlay in ["eks", "irsa", "fleet"] {
        let built = filled(overlay);
        let selector = &built.only("NetworkPolicy")["spec"]["podSelector"];
        assert_eq!(selector, &json!({ "matchLabels": { "app.kubernetes.io/name": NAME } }));
        assert_eq!(built.job_pod()["metadata"]["labels"]["app.kubernetes.io/name"], NAME);
    }
}

/// Cilium takes the agent for the node, and adds up what all policies allow.
#[test]
fn with_cilium_the_node_is_reached_on_the_agents_port_too() {
    let cilium = ["network-policy-cilium"];
    let mut builds = all().iter();
    let built = builds.find(|built| built.components.as_deref() == Some(&cilium)).expect("built");
    let policy = built.only("CiliumNetworkPolicy");
    assert_eq!(policy["apiVersion"], "cilium.io/v2");
    assert_eq!(
        policy["metadata"]["namespace"],
        built.only("NetworkPolicy")["metadata"]["namespace"]
    );
    let selector = json!({ "matchLabels": { "app.kubernetes.io/name": NAME } });
    let ports = json!([{ "ports": [{ "port": "80", "protocol": "TCP" }] }]);
    let egress = json!([{ "toEntities": ["host"], "toPorts": ports }]);
    assert_eq!(policy["spec"], json!({ "endpointSelector": selector, "egress": egress }));
    assert_eq!(built.only("NetworkPolicy")["spec"]["podSelector"], selector);
}
