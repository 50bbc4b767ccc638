//! Nothing is injected, and the metadata service of the instance says no, or nothing.

use std::time::Duration;

use sandbox::{Reply, metadata};

use super::{Right, Wrong, always, bare, scripted};
use crate::harness::{Job, World};

fn asking<'w>(job: Job<'w>, endpoint: &str) -> Job<'w> {
    job.without("AWS_EC2_METADATA_DISABLED").env("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint)
}

#[tokio::test]
async fn what_the_metadata_service_says_is_told_with_what_was_required() {
    let world = World::new().await;
    let mut wrong = Wrong::default();
    for status in [400, 401, 403, 404, 500, 503] {
        let service = always(Reply::new(status, "switched off here")).await;
        for (required, id) in [
            ("any", "no_identity"),
            ("pod-identity", "not_injected"),
            ("container", "not_injected"),
            ("irsa", "not_injected"),
            ("instance", "no_instance_metadata"),
        ] {
            let job = bare(&world, &format!("--require-identity {required}"));
            let says = status.to_string();
            let never: &[&str] = if id == "no_instance_metadata" { &["association"] } else { &[] };
            let right = Right { id, code: 3, cause: &[&says], never, ..Right::default() };
            wrong
                .told(&format!("{status}, {required}"), asking(job, &service.url("")), right)
                .await;
        }
    }
    wrong.none();
}

#[tokio::test]
async fn a_metadata_service_that_is_not_there_or_silent_is_no_identity() {
    let world = World::new().await;
    let mut wrong = Wrong::default();
    let silent = always(Reply::Hang).await;
    let closing = always(Reply::Close).await;
    for (what, url) in [
        ("refused", "http://127.0.0.1:1".to_owned()),
        ("silent", silent.url("")),
        ("closed", closing.url("")),
    ] {
        for (required, id) in
            [("any", "no_identity"), ("pod-identity", "not_injected"), ("irsa", "not_injected")]
        {
            let job = bare(&world, &format!("--require-identity {required}"));
            let right = Right { id, code: 3, ..Right::default() };
            wrong.told(&format!("{what}, {required}"), asking(job, &url), right).await;
        }
    }
    wrong.none();
}

#[tokio::test]
async fn each_requirement_has_an_explanation_of_its_own() {
    let world = World::new().await;
    let mut wrong = Wrong::default();
    for required in ["environment", "profile", "irsa", "ecs", "instance"] {
        let job = bare(&world, &format!("--require-identity {required}"));
        let done = job.finish().await;
        let text = done.lines.join("\n");
        wrong.expect(required, done.code == 3, format!("exit {}", done.code));
        wrong.expect(required, !text.contains("create an association"), &text);
        wrong.expect(required, !text.contains("list-pod-identity-associations"), &text);
    }
    for required in ["pod-identity", "container"] {
        let job = bare(&world, &format!("--require-identity {required}"));
        let right =
            Right { id: "not_injected", code: 3, fix: &["association"], ..Right::default() };
        wrong.told(required, job, right).await;
    }
    wrong.none();
}

#[tokio::test]
async fn the_role_of_the_instance_answers_where_it_may() {
    let world = World::new().await;
    let issued = world.sandbox.credentials.issue(Duration::from_hours(1));
    let service = scripted(metadata("node", issued)).await;
    let mut wrong = Wrong::default();
    for (required, id, code) in
        [("any", "", 0), ("instance", "", 0), ("pod-identity", "node_role_fallback", 3)]
    {
        let job = bare(&world, &format!("--require-identity {required}"));
        let right = Right { id, code, ..Right::default() };
        let report = wrong.told(required, asking(job, &service.url("")), right).await;
        wrong.expect(required, report["principal"]["provider"] == "instance", &report);
    }
    wrong.none();
}
