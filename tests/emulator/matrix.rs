//! Tests the matrix: who gets access, by what was set.

use sandbox::{Access, Emulator, Matrix};

use crate::cloud::endpoint;

#[tokio::test]
async fn each_setting_keeps_out_whom_it_should() {
    let matrix = Matrix::of(&Emulator::new(endpoint(), "matrix")).await.expect("a matrix");
    let denied = |by, why: &str| Access::Denied { by, why: why.to_owned() };
    let role = denied("S3", "no identity-based policy allows s3:PutObject");
    let session = denied("S3", "no session policy allows s3:PutObject");
    let trust = "the target role's trust policy does not allow sts:AssumeRole";
    let yes = Access::Allowed;
    let stranger = [yes.clone(), role.clone(), session, denied("EKS Auth", trust)];
    let no_chain = denied("STS", "no identity-based policy allows sts:AssumeRole");
    let expected = [
        // This service account.
        [yes.clone(), yes.clone(), yes.clone(), yes.clone()],
        // Another service account of the namespace, another namespace, another cluster.
        stranger.clone(),
        stranger.clone(),
        stranger,
        // The node.
        [role.clone(), role.clone(), role.clone(), no_chain],
        // Static keys.
        [yes.clone(), role, yes, denied("STS", trust)],
    ];
    assert_eq!(matrix.cells(), expected, "\n{matrix}");

    let printed = matrix.to_string();
    let mut lines = printed.lines();
    assert_eq!(
        lines.next(),
        Some("| who asks | role only | tag-bound policy | session policy | target role |")
    );
    assert_eq!(lines.next(), Some("|---|---|---|---|---|"));
    assert_eq!(
        lines.next(),
        Some("| this service account | allowed | allowed | allowed | allowed |")
    );
    assert_eq!(lines.count(), 5);
}
