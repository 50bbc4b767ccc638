#!/usr/bin/env bats
# bats file_tags=go
# The step for the association, with eksctl and without: creates, finds, completes and deletes it.

# shellcheck disable=SC2030,SC2031,SC2154 # each test is a subshell; status, output and stderr are of bats' run
# shellcheck source-path=SCRIPTDIR source=../lib/wiring.sh
load ../lib/wiring.sh

stack=podidentityrole-pod-identity-demo-pod-identity-demo

setup_file() {
  start_cloud control-plane
  toolbox aws eksctl
  ROLE=$(a_cluster)
  "$repository/scripts/steps/policy.sh"
  export ROLE
}

teardown_file() { stop_cloud; }

associations() {
  admin eks list-pod-identity-associations --cluster-name pod-identity-demo --query 'length(associations)'
}

stacks() {
  admin cloudformation describe-stacks --query 'Stacks[].StackName'
}

@test "without the add-on the step says so in one line; the add-on is created, found and deleted" {
  step association
  ((status == 1))
  [[ $stderr == *"install it with scripts/steps/addon.sh"* && -z $(writes) ]]
  step addon
  ((status == 0))
  [[ $stderr == *"kubectl is not available"* ]]
  step addon
  ((status == 0))
  [[ $stderr == *"already exists"* && -z $(writes) ]]
  step addon delete
  ((status == 0))
  step addon delete
  [[ $stderr == *"already deleted"* ]]
  admin eks create-addon --cluster-name pod-identity-demo --addon-name eks-pod-identity-agent
  step addon delete
  ((status == 0))
  [[ $stderr == *"left alone"* && -z $(writes) ]]
}

both_ways() {
  step association
  ((status == 0))
  [[ $stderr == *"$1$stack"*sts:TagSession*policy/pod-identity-demo-us-east-1*"some seconds more"* ]]
  [[ $(associations) == 1 ]]
  step association
  ((status == 0))
  [[ $stderr == *"already exists"* && -z $(writes) ]]
  step association delete
  ((status == 0))
  [[ $(associations) == 0 && -z $(stacks) ]]
  step association delete
  ((status == 0))
  [[ $stderr == *"already deleted"* && -z $(writes) ]]
}

@test "eksctl creates it, the step shows what was created, and eksctl deletes it" {
  both_ways eksctl-pod-identity-demo-
}

@test "so does the AWS CLI alone" {
  WITH=aws both_ways pod-identity-demo-
}

@test "where the API server cannot be reached, the AWS CLI deletes what eksctl made" {
  step association
  ((status == 0))
  # eksctl looks for a service account of its own to delete.
  KUBERNETES=none step association delete
  ((status == 0))
  [[ $stderr == *'$ aws eks delete-pod-identity-association'*'$ aws cloudformation delete-stack'* && $stderr != *'$ eksctl'* ]]
  [[ $(associations) == 0 && -z $(stacks) ]]
}

# described QUERY: of the association.
described() {
  admin eks describe-pod-identity-association --cluster-name pod-identity-demo --query "association.$1" \
    --association-id "$(admin eks list-pod-identity-associations --cluster-name pod-identity-demo --query 'associations[0].associationId')"
}

@test "with a target role, its trust policy is printed with the external ID of EKS, and the role may assume it" {
  export TARGET_ROLE_ARN=arn:aws:iam::111122223333:role/pictures
  local external
  step association
  ((status == 0))
  external=$(described externalId)
  [[ $(described targetRoleArn) == "$TARGET_ROLE_ARN" ]]
  [[ $stderr == *'because eksctl cannot give its role the permission to assume the target role'* ]]
  [[ $stderr == *'"Action": ["sts:AssumeRole", "sts:TagSession"]'*"\"sts:ExternalId\": \"$external\""*UploadAsThisWorkloadAlone* ]]
  [[ $stderr == *"It is in another account, so the policy of the bucket "*'"Principal": { "AWS": "'"$TARGET_ROLE_ARN"'" }'*'/*"'* ]]
  [[ $(admin iam get-role-policy --role-name "$(described roleArn | cut -d / -f 2)" --policy-name assume-target-role --output json) == *sts:AssumeRole*"$TARGET_ROLE_ARN"* ]]
  step association
  ((status == 0))
  [[ $stderr == *"already exists"*"$external"* && -z $(writes) ]]
  TARGET_ROLE_ARN='' step association
  ((status == 1))
  [[ $stderr == *"exists with other options (target role $TARGET_ROLE_ARN, session tags on, session policy no)"* && -z $(writes) ]]
  step association delete
  ((status == 0))
  [[ $(associations) == 0 && -z $(stacks) ]]
}

@test "a target role without session tags is not asked to allow them, and it may have a session policy" {
  export TARGET_ROLE_ARN=arn:aws:iam::111122223333:role/pictures SESSION_TAGS=off
  step association
  ((status == 0))
  [[ $(described targetRoleArn) == "$TARGET_ROLE_ARN" && $(described disableSessionTags) == True && $(described policy) == None ]]
  # The policy that is printed requires no tags.
  [[ $stderr == *'"Action": ["sts:AssumeRole"],'*"\"sts:ExternalId\": \"$(described externalId)\""*\"Upload\"* ]]
  [[ ${stderr#*with this trust policy} != *[Tt]ag* ]]
  step association delete
  ((status == 0))
  export SESSION_POLICY=$BATS_TEST_TMPDIR/policy.json
  echo '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:PutObject", "Resource": "*"}]}' >"$SESSION_POLICY"
  step association
  ((status == 0))
  [[ $(described targetRoleArn) == "$TARGET_ROLE_ARN" && $(described disableSessionTags) == True && $(described policy) == *'"s3:PutObject"'* ]]
  step association delete
  ((status == 0))
  [[ $(associations) == 0 && -z $(stacks) ]]
}

@test "session tags can be off with nothing else, if the policy requires none" {
  export SESSION_TAGS=off POLICY_ARN=arn:aws:iam::123456789012:policy/pod-identity-demo-irsa-us-east-1
  for WITH in eksctl aws; do
    export WITH
    step association
    ((status == 0))
    [[ $(described disableSessionTags) == True && $(described policy) == None && $(described targetRoleArn) == None ]]
    step association
    [[ $status == 0 && $stderr == *"already exists"* && -z $(writes) ]]
    SESSION_TAGS=on step association
    [[ $status == 1 && $stderr == *"exists with other options (target role None, session tags off, session policy no)"* && -z $(writes) ]]
    step association delete
    ((status == 0))
  done
}

@test "with a session policy, without tags, it has the policy that requires none" {
  export SESSION_TAGS=off SESSION_POLICY=$BATS_TEST_TMPDIR/policy.json POLICY_ARN=arn:aws:iam::123456789012:policy/pod-identity-demo-irsa-us-east-1
  local first
  echo '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:PutObject", "Resource": "*"}]}' >"$SESSION_POLICY"
  for WITH in eksctl aws; do
    export WITH
    step association
    ((status == 0))
    [[ $(described disableSessionTags) == True && $(described policy) == *'"s3:PutObject"'* ]]
    step association
    [[ $status == 0 && $stderr == *"already exists"* && -z $(writes) ]]
    # The same policy in another layout and order is the same; another one is not.
    first=$(<"$SESSION_POLICY")
    jq '{Statement, Version}' <<<"$first" >"$SESSION_POLICY"
    step association
    [[ $status == 0 && $stderr == *"already exists"* && -z $(writes) ]]
    jq '.Statement[0].Resource = "arn:aws:s3:::narrower/*"' <<<"$first" >"$SESSION_POLICY"
    step association
    [[ $status == 1 && $stderr == *"the association exists with another session policy than that of $SESSION_POLICY: delete it first"* && -z $(writes) ]]
    echo "$first" >"$SESSION_POLICY"
    step association delete
    ((status == 0))
    [[ $(associations) == 0 && -z $(stacks) ]]
  done
}

@test "options that exclude each other are one line each, before anything is asked or created" {
  local policy=$BATS_TEST_TMPDIR/policy.json
  refused() {
    step association
    echo "$stderr"
    # shellcheck disable=SC2053 # a pattern
    [[ $status == 1 && $stderr == "association.sh: "$1* && -z $(writes) ]]
  }
  echo '{"Statement": []}' >"$policy"
  EXTERNAL_ID=mine refused "EXTERNAL_ID cannot be set: EKS chooses the external ID"
  TARGET_ROLE_ARN=pictures refused "TARGET_ROLE_ARN is pictures: it must be the ARN of a role"
  SESSION_TAGS=no refused "SESSION_TAGS is no: it must be on or off"
  SESSION_POLICY=$policy refused "a session policy excludes session tags: set SESSION_TAGS=off"
  SESSION_TAGS=off refused "without session tags the policy pod-identity-demo-us-east-1 allows nothing*set POLICY_ARN=arn:aws:iam::123456789012:policy/pod-identity-demo-irsa-us-east-1; then any workload"
  SESSION_POLICY=/nowhere SESSION_TAGS=off refused "SESSION_POLICY must be a file with an IAM policy as JSON: /nowhere"
  echo '[]' >"$policy"
  SESSION_POLICY=$policy SESSION_TAGS=off refused "SESSION_POLICY must be a file with an IAM policy as JSON: $policy"
  # The limit is that of the policy without spaces.
  jq --null-input '{Statement: [range(80) | {Sid: "S\(.)", Effect: "Allow"}]}' >"$policy"
  SESSION_POLICY=$policy SESSION_TAGS=off refused "SESSION_POLICY has [0-9]* characters without spaces, and STS accepts 2048: shorten $policy"
}

@test "up.sh says what excludes what before it creates anything" {
  KUBERNETES=none step up
  [[ $status == 1 && ${stderr_lines[0]} == "up.sh: KUBERNETES is none, but the last step, deploy, needs kubectl: "* && -z $(writes) ]]
  SESSION_TAGS=off step up
  echo "$stderr"
  [[ $status == 1 && $stderr == "up.sh: without session tags the policy pod-identity-demo-us-east-1 allows nothing"* && -z $(writes) ]]
}

@test "an association with another role is neither changed nor deleted" {
  local id
  id=$(admin eks create-pod-identity-association --cluster-name pod-identity-demo --namespace pod-identity-demo \
    --service-account pod-identity-demo --role-arn "$ROLE" --query association.associationId)
  step association
  ((status == 1))
  [[ $stderr == *"associated with $ROLE already"* && -z $(writes) ]]
  step association delete
  ((status == 0))
  [[ $stderr == *"left alone"* && -z $(writes) ]]
  admin eks delete-pod-identity-association --cluster-name pod-identity-demo --association-id "$id"
}

@test "a name that CloudFormation refuses for a stack has one of ours, and is found and deleted by it" {
  export POLICY_ARN=arn:aws:iam::123456789012:policy/pod-identity-demo-irsa-us-east-1
  SERVICE_ACCOUNT=pictures.writer step association
  ((status == 0))
  [[ $stderr == *"with the AWS CLI alone (because eksctl would name the stack eksctl-pod-identity-demo-podidentityrole-pod-identity-demo-pictures.writer, which CloudFormation refuses)"* ]]
  [[ $(stacks) =~ ^pod-identity-demo-podidentityrole-pod-identity-demo-pictures-writer-[0-9]+$ ]]
  SERVICE_ACCOUNT=pictures.writer step association
  [[ $status == 0 && $stderr == *"already exists"* && -z $(writes) ]]
  # Another account with the same letters has a stack of its own.
  SERVICE_ACCOUNT=pictures-writer step association delete
  [[ $status == 0 && -z $(writes) ]]
  SERVICE_ACCOUNT=pictures.writer step association delete
  [[ $status == 0 && $(associations) == 0 && -z $(stacks) ]]
}

@test "a stack belongs to the service account that its tag names: a-b/c is not a/b-c" {
  export POLICY_ARN=arn:aws:iam::123456789012:policy/pod-identity-demo-irsa-us-east-1
  NAMESPACE=a-b SERVICE_ACCOUNT=c step association
  [[ $status == 0 && $(stacks) == eksctl-pod-identity-demo-podidentityrole-a-b-c ]]
  NAMESPACE=a SERVICE_ACCOUNT=b-c step association
  [[ $status == 0 && $stderr == *"which is that of another service account"* && $(associations) == 2 ]]
  NAMESPACE=a SERVICE_ACCOUNT=b-c step association delete
  [[ $status == 0 && $(associations) == 1 && $(stacks) == eksctl-pod-identity-demo-podidentityrole-a-b-c ]]
  NAMESPACE=a-b SERVICE_ACCOUNT=c step association delete
  [[ $status == 0 && $(associations) == 0 && -z $(stacks) ]]
}

@test "deleted and created again at once: the deletion ends when the list no longer has it" {
  export WITH=aws
  step association
  echo '2 read eks GET .*/pod-identity-associations\?' >"$CLUSTER_STATE/stale"
  step association delete
  [[ $status == 0 && $(<"$CLUSTER_STATE/stale") == 0* ]]
  rm "$CLUSTER_STATE/stale"
  step association
  [[ $status == 0 && $stderr != *"already exists"* ]]
  step association delete
  [[ $status == 0 && $(associations) == 0 && -z $(stacks) ]]
}

@test "a run that stopped between role and association is completed, and one that left only the role is undone" {
  fail_on refuse 'write eks POST .*/pod-identity-associations'
  step association
  ((status == 1))
  [[ $(stacks) == "eksctl-pod-identity-demo-$stack" && $(associations) == 0 ]]
  step association
  ((status == 0))
  [[ $stderr == *"left incomplete by an earlier run"* && $(associations) == 1 ]]
  step association delete
  ((status == 0))
  [[ $(associations) == 0 && -z $(stacks) ]]

  fail_on refuse 'write eks POST .*/pod-identity-associations'
  WITH=aws step association
  ((status == 1))
  step association delete
  ((status == 0))
  [[ -z $(stacks) ]]
}
