//! Tests `PodMonitor` and `PrometheusRule`, which Kubernetes's schemas do not cover: their fields,
//! their queries, and the metrics that the queries use.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::built::{NAME, filled, tool};
use crate::harness::World;

/// The fields of `monitoring.coreos.com/v1` that the manifests use. Any other field is an error.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct PodMonitor {
    selector: Selector,
    namespace_selector: Option<NamespaceSelector>,
    #[serde(default)]
    pod_target_labels: Vec<String>,
    pod_metrics_endpoints: Vec<Endpoint>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Selector {
    match_labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct NamespaceSelector {
    match_names: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Endpoint {
    port: String,
    path: String,
    interval: String,
    #[serde(default)]
    relabelings: Vec<Relabeling>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Relabeling {
    source_labels: [String; 1],
    regex: String,
    target_label: String,
    replacement: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PrometheusRule {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    #[serde(rename = "name")]
    _name: String,
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    alert: String,
    expr: String,
    #[serde(rename = "for")]
    pending: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

fn spec<T: DeserializeOwned>(kind: &str, name: &str) -> T {
    let mut objects = filled("eks").of_kind(kind);
    let object = objects.find(|object| object["metadata"]["name"] == name).expect(name);
    assert_eq!(object["apiVersion"], "monitoring.coreos.com/v1");
    serde_json::from_value(object["spec"].clone()).expect(kind)
}

fn rules() -> Vec<Rule> {
    let rule: PrometheusRule = spec("PrometheusRule", NAME);
    rule.groups.into_iter().flat_map(|group| group.rules).collect()
}

/// Whether Prometheus's own parser accepts all of these queries.
fn parses(expressions: &[&str]) -> bool {
    let script = "import sys, promql_parser\nfor text in sys.argv[1:]: promql_parser.parse(text)";
    let mut command = Command::new(tool("python"));
    command.args(["-c", script]).args(expressions).stderr(Stdio::null());
    let has_parser = Command::new(tool("python")).args(["-c", "import promql_parser"]).status();
    assert!(
        has_parser.expect("Python runs").success(),
        "promql_parser is missing: run scripts/test.sh"
    );
    command.status().expect("Python runs").success()
}

/// The metric that the agent counts its answers in (`pkg/handlers/eks_credential_handler.go`).
const OF_AGENT: &str = "pod_identity_http_response";

/// The program's metrics in a query, and the agent's.
fn metrics(query: &str) -> impl Iterator<Item = &str> {
    let names = query.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
    names.filter(|name| name.starts_with("pod_identity_"))
}

#[test]
fn the_job_of_every_overlay_is_scraped() {
    let monitor: PodMonitor = spec("PodMonitor", NAME);
    assert!(monitor.namespace_selector.is_none(), "its own namespace");
    let [endpoint] = monitor.pod_metrics_endpoints.as_slice() else { panic!("one endpoint") };
    assert_eq!((endpoint.path.as_str(), endpoint.interval.as_str()), ("/metrics", "30s"));
    assert_eq!(monitor.pod_target_labels, ["app.kubernetes.io/instance"]);
    for overlay in ["eks", "irsa", "fleet", "localstack"] {
        let built = filled(overlay);
        assert_eq!(built.job_container()["ports"][0]["name"], endpoint.port);
        let labels = &built.job_pod()["metadata"]["labels"];
        let selector = &monitor.selector.match_labels;
        assert!(selector.iter().all(|(label, value)| labels[label] == *value), "{overlay}");
        assert_eq!(selector["app.kubernetes.io/name"], NAME);
    }
}

/// The labels and port names are those of the agent's chart.
#[test]
fn the_agent_is_scraped_on_its_metrics_port() {
    let monitor: PodMonitor = spec("PodMonitor", "pod-identity-agent");
    let labels = BTreeMap::from([("app.kubernetes.io/name", "eks-pod-identity-agent")]);
    let selector = monitor.selector.match_labels;
    assert!(selector.iter().map(|(name, value)| (name.as_str(), value.as_str())).eq(labels));
    assert_eq!(monitor.namespace_selector.expect("a namespace").match_names, ["kube-system"]);
    let [endpoint] = monitor.pod_metrics_endpoints.as_slice() else { panic!("one endpoint") };
    assert_eq!((endpoint.port.as_str(), endpoint.path.as_str()), ("probes-port", "/metrics"));
    let [v4, v6] = endpoint.relabelings.as_slice() else { panic!("two") };
    for relabeling in [v4, v6] {
        assert_eq!(relabeling.source_labels, ["__meta_kubernetes_pod_ip"]);
        assert_eq!(relabeling.target_label, "__address__");
    }
    assert_eq!((v4.regex.as_str(), v4.replacement.as_str()), ("([0-9.]+)", "$1:2705"));
    assert_eq!((v6.regex.as_str(), v6.replacement.as_str()), ("(.*:.*)", "[$1]:2705"));
    assert!(rules().iter().any(|rule| metrics(&rule.expr).any(|metric| metric == OF_AGENT)));
}

#[test]
fn prometheus_can_parse_the_queries() {
    let rules = rules();
    let queries: Vec<&str> = rules.iter().map(|rule| rule.expr.as_str()).collect();
    assert!(parses(&queries), "{queries:?}");
    assert!(!parses(&["rate(pod_identity_demo_uploads_total) >"]));
}

#[tokio::test]
async fn the_queries_use_metrics_that_the_program_serves() {
    let world = World::new().await;
    let job = world.job("/random", "--interval 1h").env("LISTEN_ADDR", "127.0.0.1:0").start();
    let event = job.event("health and metrics are served").await;
    job.event("uploaded").await;
    // As the program does; a second time changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let url = format!("http://{}/metrics", event["address"].as_str().expect("an address"));
    let answer = client.get(url).send().await.expect("an answer");
    let text = answer.text().await.expect("text");
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let served: BTreeSet<&str> = samples.filter_map(|line| line.split(['{', ' ']).next()).collect();
    for Rule { alert, expr, .. } in rules() {
        assert!(metrics(&expr).next().is_some(), "{alert}");
        for metric in metrics(&expr).filter(|metric| *metric != OF_AGENT) {
            assert!(served.contains(metric), "{alert}: {metric} is not in\n{text}");
        }
    }
    job.terminate().await.expect(143);
}

#[test]
fn each_alert_has_a_severity_a_summary_and_a_description() {
    let names: BTreeSet<String> = rules().into_iter().map(|rule| rule.alert).collect();
    let expected =
        ["AgentFailing", "DemoCredentialsExpiring", "DemoDown", "DemoFailing", "DemoNoUploads"];
    assert_eq!(names, expected.map(|name| format!("PodIdentity{name}")).into());
    for rule in rules() {
        let severity = &rule.labels["severity"];
        assert!(["critical", "warning"].contains(&severity.as_str()), "{severity}");
        let minutes = rule.pending.strip_suffix('m').expect("minutes");
        assert!(minutes.parse::<u8>().is_ok());
        for name in ["summary", "description"] {
            let text = &rule.annotations[name];
            for template in text.split("{{").skip(1) {
                let (template, _) = template.split_once("}}").expect("an end");
                let known =
                    ["$labels.namespace", "$labels.pod", "$value", "$value | humanizeDuration"];
                assert!(known.contains(&template.trim()), "{template}");
            }
        }
    }
}
