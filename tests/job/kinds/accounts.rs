//! `--expect-role` with a role of the same name in another account or partition.

use super::{Right, Wrong, identity};
use crate::harness::World;

#[tokio::test]
async fn an_arn_of_another_account_or_partition_is_another_role() {
    let world = World::new().await;
    let mut wrong = Wrong::default();
    for (expected, id) in [
        ("arn:aws:iam::123456789012:role/demo", ""),
        ("arn:aws:iam::123456789012:role/a/path/demo", ""),
        ("demo", ""),
        ("arn:aws:iam::999999999999:role/demo", "wrong_account"),
        ("arn:aws:iam::123456789013:role/service/demo", "wrong_account"),
        ("arn:aws-cn:iam::123456789012:role/demo", "wrong_account"),
        ("arn:aws-us-gov:iam::123456789012:role/demo", "wrong_account"),
        ("arn:aws-eusc:iam::123456789012:role/demo", "wrong_account"),
        ("arn:aws:iam::123456789012:role/other", "stale_role"),
        ("arn:aws:iam::123456789012:role/demo/other", "stale_role"),
        ("other", "stale_role"),
    ] {
        let code = if id.is_empty() { 0 } else { 3 };
        let job = identity(&world, &format!("--expect-role {expected}"));
        wrong.told(expected, job, Right { id, code, ..Right::default() }).await;
    }
    wrong.none();
}
