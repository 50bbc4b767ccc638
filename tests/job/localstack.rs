//! Uploads to LocalStack with only `AWS_ENDPOINT_URL` set, and reads the objects with the AWS CLI.

use std::path::Path;
use std::process::Stdio;

use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};

use crate::harness::World;

/// A running LocalStack. It ends when this value is dropped, because its standard input closes.
struct LocalStack {
    endpoint: String,
    _child: Child,
    _stdin: ChildStdin,
}

impl LocalStack {
    async fn start() -> Self {
        let mut child = Command::new(script("localstack.sh"))
            .arg("--until-stdin-closes")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("LocalStack can be started");
        let stdin = child.stdin.take().expect("piped");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let ready = lines.next_line().await.expect("text").expect("LocalStack starts");
        let endpoint = ready.strip_prefix("ready ").expect("its address").to_owned();
        Self { endpoint, _child: child, _stdin: stdin }
    }

    /// Runs the AWS CLI, which must succeed, and returns its output.
    async fn aws(&self, arguments: &str) -> Vec<u8> {
        let cli = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/aws/bin/aws");
        assert!(cli.exists(), "the AWS CLI is missing: run scripts/dev/tools.sh aws");
        let output = Command::new(cli)
            .args(arguments.split_whitespace())
            .env_clear()
            .env("AWS_ENDPOINT_URL", &self.endpoint)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            .output()
            .await
            .expect("the AWS CLI runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "aws {arguments}: {said}");
        output.stdout
    }
}

fn script(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/dev").join(name)
}

#[tokio::test]
async fn the_aws_cli_reads_every_picture_back_from_localstack_unchanged() {
    let localstack = LocalStack::start().await;
    localstack.aws("s3api create-bucket --bucket pictures").await;
    let world = World::new().await;
    let host = &world.sandbox.images;
    let urls = [
        "/random",
        "/random?framing=chunked",
        "/picture?kind=webp&size=11MiB&digest=sha256",
        "/picture?kind=png&size=17MiB&framing=chunked&digest=sha256",
    ];
    world
        .job_from(&urls.map(|url| host.url(url)).join(","), "--count 24 --interval 0s")
        .without("AWS_ENDPOINT_URL_S3")
        .env("AWS_ENDPOINT_URL", &localstack.endpoint)
        .env("S3_BUCKET_NAME", "pictures")
        .finish()
        .await
        .expect(0);

    let listed = localstack
        .aws("s3api list-objects-v2 --bucket pictures --query Contents[].Key --output text")
        .await;
    let mut read_back = Vec::new();
    for key in String::from_utf8(listed).expect("text").split_whitespace() {
        let bytes = localstack.aws(&format!("s3 cp s3://pictures/{key} -")).await;
        read_back.push(hex(&Sha256::digest(&bytes)));
    }
    let mut served: Vec<String> = host.served().into_iter().map(|picture| picture.sha256).collect();
    read_back.sort();
    served.sort();
    assert_eq!(read_back, served);

    // The program picks a URL at random for each picture, and 24 picks can miss one of the four.
    let requests = host.requests();
    assert!(urls.iter().filter(|url| requests.iter().any(|seen| seen == *url)).count() >= 3);

    let open =
        localstack.aws("s3api list-multipart-uploads --bucket pictures --query Uploads").await;
    assert_eq!(String::from_utf8_lossy(&open).trim(), "null");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
