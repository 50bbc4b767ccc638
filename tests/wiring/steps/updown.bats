#!/usr/bin/env bats
# All the way up and down again; the account is as it was before.

# shellcheck disable=SC2030,SC2031,SC2154 # each test is a subshell; status, output and stderr are of bats' run
# shellcheck source-path=SCRIPTDIR source=../story/story.sh
load ../story/story.sh

setup_file() {
  start_story
  # Someone else's, which must be there in the end.
  admin s3api create-bucket --bucket theirs
  admin iam create-policy --policy-name theirs --policy-document file://"$repository/scripts/steps/policies/irsa.json"
  listing >"$BATS_FILE_TMPDIR/before"
}

teardown_file() { stop_story; }

as_before() {
  diff -u "$BATS_FILE_TMPDIR/before" <(listing)
}

@test "dry runs on an empty account call nothing that writes" {
  step up --dry-run
  ((status == 0))
  [[ $stderr == *'$ aws s3api create-bucket'*'$ aws iam create-policy'*'$ eksctl create cluster'*'$ eksctl create nodegroup'*'$ aws eks create-addon'*'$ kubectl apply'* ]]
  [[ -z $(writes) ]]
  step down --dry-run
  ((status == 0))
  [[ -z $(writes) ]]
  as_before
}

@test "a missing tool is reported in one line before anything is created" {
  mv "$BATS_FILE_TMPDIR/toolbox/eksctl" "$BATS_FILE_TMPDIR/eksctl"
  step up
  mv "$BATS_FILE_TMPDIR/eksctl" "$BATS_FILE_TMPDIR/toolbox/eksctl"
  ((status == 1))
  [[ ${stderr_lines[-1]} == "up.sh: eksctl is missing"* && -z $(writes) ]]
}

@test "interrupted half-way, up goes on where it was; then down leaves the account as it was" {
  fail_on hang 'write eks POST .*/addons'
  interrupted up
  ((status == 130))
  step up
  ((status == 0))
  [[ $output == s3://story-pictures/* ]]

  step up
  ((status == 0))
  [[ $stderr == *"already exists: the bucket"*"already exists: the policy"*"already exists: the cluster"*"already exists: the add-on"*"already exists: the association"* ]]
  [[ -z $(writes) ]]

  step down --dry-run
  ((status == 0))
  # Other pods may use the agent until the cluster is gone.
  [[ $stderr == *"the add-on goes with the cluster story"* && $stderr != *delete-addon* ]]
  [[ $stderr == *'$ eksctl delete podidentityassociation'*'$ aws s3api delete-bucket'*'$ eksctl delete cluster'* ]]
  [[ -z $(writes) ]]

  fail_on hang 'write s3 DELETE'
  interrupted down
  ((status == 130))
  step down
  ((status == 0))
  [[ $stderr == *"nothing is left"* ]]
  as_before

  step down
  ((status == 0))
  [[ -z $(writes) ]]
}

@test "what down cannot remove it lists, and says so by its exit code" {
  "$repository/scripts/steps/policy.sh"
  admin iam create-user --user-name someone
  admin iam attach-user-policy --user-name someone --policy-arn arn:aws:iam::123456789012:policy/story-us-east-1
  step down
  ((status == 1))
  [[ $output == "left: the policy arn:aws:iam::123456789012:policy/story-us-east-1"* ]]
  admin iam detach-user-policy --user-name someone --policy-arn arn:aws:iam::123456789012:policy/story-us-east-1
  admin iam delete-user --user-name someone
  step down
  ((status == 0))
  as_before
}
