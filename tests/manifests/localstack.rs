//! Tests the overlay for LocalStack: runs the program with the environment in its manifest, and
//! LocalStack with the settings and the script in its manifest.

use std::process::Command;

use sandbox::{Admin, Emulator, MiniStack};
use serde_json::{Value, json};

use crate::built::{filled, list, project, text};
use crate::harness::World;

/// The variable with the path of the projected token.
const TOKEN_FILE: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";

fn localstack_container() -> &'static Value {
    &filled("localstack").only("Deployment")["spec"]["template"]["spec"]["containers"][0]
}

#[tokio::test]
async fn the_job_of_the_overlay_uploads_with_credentials_from_localstacks_sts() {
    let built = filled("localstack");
    // `MiniStack::start` also works with LocalStack's script.
    let localstack =
        MiniStack::start(&project("scripts/dev/localstack.sh")).expect("LocalStack starts");
    let endpoint = localstack.endpoint();
    create_bucket(endpoint);

    let world = World::new().await;
    let mut job = world.job("/random", "--count 3 --interval 0s");
    for (name, _) in world.sandbox.env() {
        job = job.without(&name);
    }
    for (name, value) in built.environment(built.job_container()) {
        job = match name.as_str() {
            "AWS_ENDPOINT_URL" => {
                assert_eq!(value, service_url());
                job.env(&name, endpoint)
            }
            TOKEN_FILE => job.env(&name, world.sandbox.sts.token_file()),
            // The test does not serve health and metrics, and uses its own image host.
            "LISTEN_ADDR" => job.env(&name, "off"),
            "IMAGE_URL" => job,
            _ => job.env(&name, value),
        };
    }
    let job = job.env("IMAGE_URL", world.sandbox.images.url("/random"));
    let done = job.env("ALLOW_PRIVATE_SOURCE", "true").finish().await.expect(0);
    let events = done.lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut events = events.filter(|event| event["destination"].is_string());
    let first = events.next().expect("the line that announces the run");
    assert_eq!((&first["provider"], &first["account"]), (&json!("irsa"), &json!("000000000000")));

    let admin = Admin::new(&Emulator::new(endpoint, "none"));
    assert_eq!(admin.objects("my-bucket").await.expect("a bucket").len(), 3);
}

/// Runs the script that LocalStack runs when it is ready, in the environment of its container.
fn create_bucket(endpoint: &str) {
    let built = filled("localstack");
    let mut maps = built.of_kind("ConfigMap");
    let map = maps.find(|map| map["metadata"]["name"] == "localstack-ready").expect("a ConfigMap");
    let folder = tempfile::tempdir().expect("a folder");
    // As in LocalStack's image, awslocal is the AWS CLI with LocalStack's endpoint.
    let cli = project(".tools/aws/bin/aws");
    assert!(cli.exists(), "the AWS CLI is missing: run scripts/test.sh");
    let awslocal = format!("#!/bin/sh\nexec {} --endpoint-url {endpoint} \"$@\"\n", cli.display());
    executable(&folder.path().join("awslocal"), &awslocal);
    let script = folder.path().join("bucket.sh");
    executable(&script, map["data"]["bucket.sh"].as_str().expect("a script"));
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    let output = Command::new(&script)
        .env_clear()
        .envs(built.environment(localstack_container()))
        .env("PATH", path)
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .output()
        .expect("the script runs");
    assert!(output.status.success(), "{}", text(&output.stderr));
}

fn executable(path: &std::path::Path, content: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, content).expect("a file");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("its mode");
}

/// The URL of the Service for pods of its namespace.
fn service_url() -> String {
    let service = filled("localstack").only("Service");
    let name = service["metadata"]["name"].as_str().expect("a name");
    format!("http://{name}:{}", service["spec"]["ports"][0]["port"])
}

#[test]
fn the_service_selects_localstack_and_localstack_runs_the_script() {
    let built = filled("localstack");
    let deployment = &built.only("Deployment")["spec"];
    let service = &built.only("Service")["spec"];
    let pod = &deployment["template"];
    for selector in [&service["selector"], &deployment["selector"]["matchLabels"]] {
        let selects = |pod: &Value| {
            let mut selector = selector.as_object().expect("labels").iter();
            selector.all(|(label, value)| pod["metadata"]["labels"][label] == *value)
        };
        assert!(selects(pod) && !selects(built.job_pod()), "{selector:?}");
    }
    let container = localstack_container();
    assert_eq!(service["ports"][0]["targetPort"], container["ports"][0]["name"]);
    assert_eq!(built.environment(container)["SERVICES"], "s3,iam,sts");

    let mounts = list(&container["volumeMounts"]);
    let path = "/etc/localstack/init/ready.d";
    let mount = mounts.iter().find(|mount| mount["mountPath"] == path).expect("a mount");
    let mut volumes = list(&pod["spec"]["volumes"]).iter();
    let volume = volumes.find(|volume| volume["name"] == mount["name"]).expect("a volume");
    let scripts = json!({ "name": "localstack-ready", "defaultMode": 0o555 });
    assert_eq!(volume["configMap"], scripts);
}

#[test]
fn the_token_for_sts_is_projected_to_the_path_in_the_variable() {
    let built = filled("localstack");
    let container = built.job_container();
    let mount = &container["volumeMounts"][0];
    let volume = &built.job_pod()["spec"]["volumes"][0];
    assert_eq!(mount["name"], volume["name"]);
    let token = &volume["projected"]["sources"][0]["serviceAccountToken"];
    assert_eq!(token["audience"], "sts.amazonaws.com");
    let folder = mount["mountPath"].as_str().expect("a path");
    let file = format!("{folder}/{}", token["path"].as_str().expect("a name"));
    assert_eq!(built.environment(container)[TOKEN_FILE], file);
    // The path that the webhook for IRSA uses.
    assert_eq!(file, "/var/run/secrets/eks.amazonaws.com/serviceaccount/token");
}
