//! `/api/status`, for scripts.

use sandbox::Fault;
use serde_json::{Value, json};

use crate::harness::World;
use crate::served::Served;

#[tokio::test]
async fn the_status_has_what_the_log_and_the_metrics_say() {
    let world = World::new().await;
    let served = Served::start(
        &world,
        "/random?kind=png",
        "--interval 1h --require-identity pod-identity --key-prefix demo/ --pod-name pod-1",
    )
    .await;
    let uploaded = served.job.event("uploaded").await;
    let status =
        served.status_when(|status| !status["identity"]["principal"]["role"].is_null()).await;
    let attempt = &status["attempts"][0];
    assert_eq!(attempt["result"], "success");
    for (field, logged) in
        [("key", "key"), ("size", "size"), ("kind", "kind"), ("source", "source")]
    {
        assert_eq!(attempt[field], uploaded[logged], "{field}");
    }
    assert_eq!(attempt["kind"], "image/png");
    let fetch = attempt["fetch_seconds"].as_f64().expect("a number");
    let logged = uploaded["fetch_ms"].as_f64().expect("a number");
    assert!((fetch * 1000.0 - logged).abs() <= 1.0, "{fetch} {logged}");
    assert_eq!(status["uploads"]["success"], 1);
    assert_eq!(status["uploads"]["bytes_uploaded"], uploaded["size"]);
    assert_eq!(status["job"]["state"], "running");
    assert_eq!(status["job"]["ready"], true);
    assert_eq!(status["job"]["destination"], "s3://pictures/demo/pod-1/");
    let identity = &status["identity"];
    assert_eq!(identity["required"], "pod-identity");
    assert_eq!(identity["as_required"], true);
    assert_eq!(identity["principal"]["provider"], "pod-identity");
    assert_eq!(identity["refreshes"], json!({ "success": 1, "failure": 0, "error": null }));
    assert_eq!(
        identity["pod"],
        json!({ "namespace": "demo", "service_account": "demo", "pod": "demo", "node": "demo" })
    );
    let number = |value: &Value| value.as_f64().expect("a number");
    let now = number(&status["now"]);
    let left = number(&identity["expires"]) - now;
    assert!((left - 6.0 * 3600.0).abs() < 60.0, "{left}");
    let next = number(&status["job"]["next_tick"]) - now;
    assert!((next - 3600.0).abs() < 60.0, "{next}");
    served.job.terminate().await.expect(143);
}

/// Every field that docs/page.md documents is there, and no other.
#[tokio::test]
async fn the_documentation_names_every_field() {
    let world = World::new().await;
    world.sandbox.s3.fail("PutObject", 1, Fault::Status(404, "NoSuchBucket"));
    let served = Served::start(&world, "/random", "--interval 100ms").await;
    let status = served
        .status_when(|status| {
            status["uploads"]["success"].as_u64() > Some(0)
                && status["uploads"]["failure"].as_u64() > Some(0)
        })
        .await;
    let mut fields = Vec::new();
    collect(&status, "", &mut fields);
    fields.sort();
    fields.dedup();
    let documentation = include_str!("../../docs/page.md");
    let mut documented: Vec<String> = documentation
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| line.split(" |").next())
        .flat_map(|names| names.split(", "))
        .map(|name| name.trim_matches('`').to_owned())
        .filter(|name| !name.starts_with("--"))
        .collect();
    documented.sort();
    let missing: Vec<_> = fields.iter().filter(|field| !documented.contains(field)).collect();
    assert!(missing.is_empty(), "not in docs/page.md: {missing:?}");
    // A diagnosis is null or an object, and then its fields are there instead.
    let never = |field: &String| field.contains("diagnosis");
    let extra: Vec<_> =
        documented.iter().filter(|field| !fields.contains(field) && !never(field)).collect();
    assert!(extra.is_empty(), "only in docs/page.md: {extra:?}");
    served.job.terminate().await.expect(143);
}

/// The names of all fields, of those in lists with `[]`.
fn collect(value: &Value, path: &str, fields: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                if !value.is_object()
                    && !value.as_array().is_some_and(|list| list.iter().any(Value::is_object))
                {
                    fields.push(path.clone());
                }
                collect(value, &path, fields);
            }
        }
        Value::Array(list) => {
            for value in list {
                collect(value, &format!("{path}[]"), fields);
            }
        }
        _ => {}
    }
}
