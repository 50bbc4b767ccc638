#!/usr/bin/env bats
# bats file_tags=go
# The policy in docs/permissions.md is what the steps need: they run as a session of a
# role that has it, and nothing else.

# shellcheck disable=SC2030,SC2031,SC2154 # each test is a subshell; status, output and stderr are of bats' run
# shellcheck source-path=SCRIPTDIR source=../lib/wiring.sh
load ../lib/wiring.sh

setup_file() {
  start_cloud control-plane
  toolbox aws eksctl awk
  a_cluster
  listing >"$BATS_FILE_TMPDIR/before"
}

teardown_file() { stop_cloud; }

# documented: prints the documented policy, and allows some of its actions on every resource: those for
# which MiniStack 1.5.33 finds no resource in the request (`extract_resource_arn`), but AWS does.
documented() {
  local without_resource='["iam:CreatePolicy", "ecr:DescribeRepositories", "ecr:ListTagsForResource", "iam:GetOpenIDConnectProvider"]'
  documented_policy | jq --argjson actions "$without_resource" 'if $actions - [.Statement[].Action[]] == []
      then .Statement += [{Effect: "Allow", Action: $actions, Resource: "*"}] else error("not in the policy") end'
}

# on_roles: what CloudFormation does to create, read and delete a role, according to the schema of AWS::IAM::Role.
# The emulator's CloudFormation asks IAM for none of it.
on_roles() {
  printf 'iam:%s\n' CreateRole PutRolePolicy AttachRolePolicy GetRolePolicy GetRole ListAttachedRolePolicies ListRolePolicies DeleteRole DetachRolePolicy DeleteRolePolicy
}

# all STEPS...: runs the steps in order, runs them again, and deletes in the opposite order.
all() {
  local step back=()
  for step in "$@"; do
    step "$step"
    ((status == 0))
    back=("$step" "${back[@]}")
  done
  for step in "$@"; do
    step "$step"
    [[ $status == 0 && $stderr == *"already exists"* ]]
  done
  for step in "${back[@]}"; do
    step "$step" delete
    ((status == 0))
  done
}

@test "the documented policy is enough to create and delete bucket, policies, repository, add-on and association" {
  become enough "$(documented)"
  all bucket policy registry cluster addon association
  # With a target role, the AWS CLI creates the association, and the role has an inline policy.
  TARGET_ROLE_ARN=arn:aws:iam::111122223333:role/pictures all addon association
  end_session enough admin
  diff -u "$BATS_FILE_TMPDIR/before" <(listing)
  # What IAM was not asked for is at least named.
  cat "$CLUSTER_STATE/unasked"
  [[ $(<"$CLUSTER_STATE/unasked") == *eks:DescribeClusterVersions* ]]
  run -1 grep -vxF -f <(documented_policy | jq -r '.Statement[].Action[]') <(on_roles) "$CLUSTER_STATE/unasked"
}

@test "down leaves nothing under it" {
  become everything "$(documented)"
  "$repository/scripts/steps/bucket.sh"
  "$repository/scripts/steps/policy.sh"
  "$repository/scripts/steps/registry.sh"
  KUBERNETES=none step down
  ((status == 0))
  end_session everything admin
  diff -u "$BATS_FILE_TMPDIR/before" <(listing)
}

@test "what the policy does not name is refused, and the message of AWS says what is missing" {
  local policy
  policy=$(documented)
  become less "${policy//s3:PutBucketPolicy/s3:GetBucketLocation}"
  step bucket
  ((status == 1))
  [[ $stderr == *AccessDenied*PutBucketPolicy* ]]
  BUCKET=another-name step bucket
  ((status == 1))
  end_session less admin
  become more "$policy"
  step bucket delete
  ((status == 0))
  end_session more admin
}
