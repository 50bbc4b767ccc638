#!/usr/bin/env bats
# The step for the policies: creates, updates and deletes them; and what the policy allows.

# shellcheck disable=SC2030,SC2031,SC2154 # each test is a subshell; status, output and stderr are of bats' run
# shellcheck source-path=SCRIPTDIR source=../lib/wiring.sh
load ../lib/wiring.sh

policy=arn:aws:iam::123456789012:policy/pod-identity-demo-us-east-1
irsa=arn:aws:iam::123456789012:policy/pod-identity-demo-irsa-us-east-1

setup_file() {
  start_cloud
  toolbox aws
}

teardown_file() { stop_cloud; }

versions() {
  admin iam list-policy-versions --policy-arn "$policy" --query 'Versions[].VersionId'
}

@test "both policies are created, found by the second run, and deleted" {
  step policy
  ((status == 0))
  [[ $(admin iam get-policy --policy-arn "$irsa") == *pod-identity-demo* ]]
  step policy
  ((status == 0))
  [[ $stderr == *"already exists"*"already exists"* && -z $(writes) ]]
  step policy delete
  ((status == 0))
  [[ $(admin iam list-policies --scope Local --query 'length(Policies)') == 0 ]]
  step policy delete
  ((status == 0))
  [[ $stderr == *"already deleted"*"already deleted"* ]]
}

@test "a change creates a new default version, and replaces the oldest of five" {
  local bucket
  for bucket in one two three four five; do
    BUCKET=bucket-$bucket step policy
    ((status == 0))
  done
  [[ $(versions | tr '\t' '\n' | sort | tr '\n' ' ') == "v1 v2 v3 v4 v5 " ]]
  BUCKET=bucket-six step policy
  ((status == 0))
  [[ $(versions | tr '\t' '\n' | sort | tr '\n' ' ') == "v2 v3 v4 v5 v6 " ]]
  [[ $(admin iam get-policy --policy-arn "$policy" --query Policy.DefaultVersionId) == v6 ]]
  [[ $(admin iam get-policy-version --policy-arn "$policy" --version-id v6) == *bucket-six* ]]
  step policy delete
  ((status == 0))
}

@test "POLICY_ARN, which the association attaches, changes nothing about which policies are created, changed and deleted" {
  local document
  export POLICY_ARN=$irsa
  step policy
  ((status == 0))
  [[ $(admin iam get-policy-version --policy-arn "$policy" --version-id v1 --output json) == *kubernetes-service-account* ]]
  document=$(admin iam get-policy-version --policy-arn "$irsa" --version-id v1 --output json)
  [[ $document != *kubernetes-service-account* ]]
  step policy
  [[ $status == 0 && $stderr == *"already exists"*"already exists"* && -z $(writes) ]]
  step policy left
  [[ $output == "the policy $policy"$'\n'"the policy $irsa" ]]
  step policy delete
  ((status == 0))
  [[ $(admin iam list-policies --scope Local --query 'length(Policies)') == 0 ]]
}

@test "the policy of another namespace or service account is not replaced, and another name is a second policy" {
  step policy
  ((status == 0))
  NAMESPACE=second step policy
  ((status == 1))
  [[ ${stderr_lines[-1]} == "policy.sh: the policy pod-identity-demo-us-east-1 is that of pod-identity-demo/pod-identity-demo, not of second/pod-identity-demo: set POLICY_NAME to another name, "* ]]
  [[ -z $(writes) ]]
  SERVICE_ACCOUNT=second step policy --dry-run
  [[ $status == 1 && ${stderr_lines[-1]} == *"not of pod-identity-demo/second: "* ]]
  SERVICE_ACCOUNT=second POLICY_NAME=second step policy
  ((status == 0))
  [[ $(admin iam list-policies --scope Local --query 'length(Policies)') == 3 ]]
  POLICY_NAME=second step policy delete
  step policy delete
  ((status == 0))
  [[ $(admin iam list-policies --scope Local --query 'length(Policies)') == 0 ]]
}

@test "a policy that is not ours, or is attached to something else, is not deleted" {
  admin iam create-policy --policy-name pod-identity-demo-us-east-1 --policy-document file://"$repository/scripts/steps/policies/irsa.json"
  step policy
  ((status == 1))
  [[ $stderr == *"these scripts did not create"* && -z $(writes) ]]
  step policy delete
  ((status == 0))
  [[ $stderr == *"left alone"* && -z $(writes) ]]
  admin iam delete-policy --policy-arn "$policy"

  step policy
  admin iam create-user --user-name someone
  admin iam attach-user-policy --user-name someone --policy-arn "$policy"
  step policy delete
  ((status == 1))
  [[ $stderr == *"still attached to: someone"* && -z $(writes) ]]
  admin iam detach-user-policy --user-name someone --policy-arn "$policy"
  admin iam delete-user --user-name someone
  step policy delete
  ((status == 0))
}

@test "IAM is eventually consistent: what was created is waited for, and so is what a deleted role leaves in a list" {
  echo '2 read iam GetPolicy$' >"$CLUSTER_STATE/stale"
  step policy
  [[ $status == 0 && $(<"$CLUSTER_STATE/stale") == 0* ]]
  rm "$CLUSTER_STATE/stale"

  admin iam create-role --role-name ended --assume-role-policy-document "$trust"
  admin iam attach-role-policy --role-name ended --policy-arn "$policy"
  echo '2 read iam ListEntitiesForPolicy' >"$CLUSTER_STATE/stale"
  aws iam list-entities-for-policy --policy-arn "$policy"
  admin iam detach-role-policy --role-name ended --policy-arn "$policy"
  admin iam delete-role --role-name ended
  step policy delete
  [[ $status == 0 && $(<"$CLUSTER_STATE/stale") == 0* ]]
  rm "$CLUSTER_STATE/stale"
  [[ $(admin iam list-policies --scope Local --query 'length(Policies)') == 0 ]]
}

# assume TAG...: from here on `aws` uses a session of the role with these tags.
assume() {
  local keys
  unset AWS_SESSION_TOKEN
  keys=$(AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test admin sts assume-role --role-arn arn:aws:iam::123456789012:role/workload --role-session-name test \
    --query 'Credentials.[AccessKeyId, SecretAccessKey, SessionToken]' ${1+--tags "$@"})
  read -r AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN <<<"$keys"
  export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN
}

refused() {
  run --separate-stderr aws s3api "$@"
  # shellcheck disable=SC2154
  [[ $status -ne 0 && $stderr =~ \((AccessDenied|403)\) ]] || {
    echo "not refused: $*: $stderr" && return 1
  }
}

@test "under the policy the workload uploads, single, multipart and abort, and ten other actions are refused" {
  local bucket=pod-identity-demo-123456789012-us-east-1 body=$BATS_TEST_TMPDIR/body upload
  # shellcheck disable=SC2054
  local tags=(Key=eks-cluster-name,Value=pod-identity-demo Key=kubernetes-namespace,Value=pod-identity-demo Key=kubernetes-service-account,Value=pod-identity-demo)
  step policy
  admin s3api create-bucket --bucket "$bucket"
  admin s3api create-bucket --bucket another
  admin iam create-role --role-name workload --assume-role-policy-document "$trust"
  admin iam attach-role-policy --role-name workload --policy-arn "$policy"
  head -c 5242880 /dev/zero >"$body"

  assume "${tags[@]}"
  aws s3api put-object --bucket "$bucket" --key single --body "$body"
  upload=$(aws s3api create-multipart-upload --bucket "$bucket" --key parts --query UploadId --output text)
  aws s3api upload-part --bucket "$bucket" --key parts --upload-id "$upload" --part-number 1 --body "$body"
  aws s3api complete-multipart-upload --bucket "$bucket" --key parts --upload-id "$upload" --multipart-upload \
    "Parts=[{PartNumber=1,ETag=$(aws s3api upload-part --bucket "$bucket" --key parts --upload-id "$upload" --part-number 1 --body "$body" --query ETag --output text)}]"
  upload=$(aws s3api create-multipart-upload --bucket "$bucket" --key aborted --query UploadId --output text)
  aws s3api abort-multipart-upload --bucket "$bucket" --key aborted --upload-id "$upload"

  refused get-object --bucket "$bucket" --key single "$BATS_TEST_TMPDIR/out"
  refused head-object --bucket "$bucket" --key single
  refused delete-object --bucket "$bucket" --key single
  refused list-objects-v2 --bucket "$bucket"
  refused list-multipart-uploads --bucket "$bucket"
  refused list-buckets
  refused put-object --bucket another --key single --body "$body"
  refused put-object-tagging --bucket "$bucket" --key single --tagging 'TagSet=[{Key=a,Value=b}]'
  refused put-bucket-policy --bucket "$bucket" --policy '{}'
  refused delete-bucket --bucket "$bucket"
  refused create-bucket --bucket mine-now

  # Another workload cannot use the role, and nobody can without tags.
  assume "${tags[@]:0:2}" Key=kubernetes-service-account,Value=another
  refused put-object --bucket "$bucket" --key single --body "$body"
  assume
  refused put-object --bucket "$bucket" --key single --body "$body"
}
