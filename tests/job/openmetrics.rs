//! Metrics, read as Prometheus reads them.

use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;

use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::served::Served;

/// Parses the metrics with the `OpenMetrics` parser of Prometheus's own Python client.
const PARSER: &str = "
import json, sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
families = [
    {'name': f.name, 'kind': f.type, 'unit': f.unit, 'help': f.documentation,
     'samples': [{'name': s.name, 'labels': s.labels, 'value': s.value} for s in f.samples]}
    for f in parse(sys.stdin.read())
]
json.dump(families, sys.stdout)
";

#[derive(Debug, Deserialize)]
pub struct Family {
    pub name: String,
    pub kind: String,
    pub unit: String,
    pub help: String,
    pub samples: Vec<Sample>,
}

#[derive(Debug, Deserialize)]
pub struct Sample {
    pub name: String,
    pub labels: HashMap<String, String>,
    pub value: f64,
}

impl Served<'_> {
    pub async fn metrics(&self) -> Vec<Family> {
        let response = self.response("/metrics").await;
        let kind = response.headers()["content-type"].to_str().expect("text");
        assert!(kind.starts_with("application/openmetrics-text; version=1.0.0"), "{kind}");
        let (status, text) = self.get("/metrics").await;
        assert_eq!(status, 200);
        parse(&text).await
    }

    pub async fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        value(&self.metrics().await, name, labels)
    }
}

async fn parse(text: &str) -> Vec<Family> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/lint/bin/python");
    assert!(python.exists(), "the parser is missing: run scripts/dev/tools.sh lint");
    let mut child = Command::new(python)
        .args(["-c", PARSER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python starts");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(text.as_bytes()).await.expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().await.expect("it ends");
    assert!(output.status.success(), "not OpenMetrics:\n{text}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The value of the only sample that has this name and at least these labels.
#[track_caller]
pub fn value(families: &[Family], name: &str, labels: &[(&str, &str)]) -> f64 {
    let samples = families.iter().flat_map(|family| &family.samples);
    let mut found = samples.filter(|sample| {
        sample.name == name
            && labels
                .iter()
                .all(|(label, value)| sample.labels.get(*label).is_some_and(|v| v == value))
    });
    let sample = found.next().unwrap_or_else(|| panic!("no {name} {labels:?} in {families:#?}"));
    assert!(found.next().is_none(), "{name} {labels:?} exists more than once");
    sample.value
}
