#!/usr/bin/env bats
# A cluster that could not be created or deleted has left stacks and no cluster. eksctl, which crashes there in
# every version since 2024-11 (eksctl issue 7450), is not installed here.

# shellcheck disable=SC2154 # status, output and stderr are of bats' run
# shellcheck source-path=SCRIPTDIR source=../lib/wiring.sh
load ../lib/wiring.sh

setup_file() {
  start_cloud
  toolbox aws chmod
}

teardown_file() { stop_cloud; }

# a_stack NAME CLUSTER [OWNER]: creates a stack with the tags that eksctl puts on those of this cluster, and ours.
a_stack() {
  admin cloudformation create-stack --stack-name "$1" --template-body '{"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}' \
    --tags "Key=alpha.eksctl.io/cluster-name,Value=$2" "Key=pod-identity-demo,Value=${3-pod-identity-demo}" >"$BATS_TEST_TMPDIR/stack"
}

stacks() { admin cloudformation describe-stacks --query 'Stacks[].StackName'; }

# in_progress TIMES: the emulator's stacks are complete at once; the AWS CLI says this often that they are being created.
in_progress() {
  mv "$BATS_FILE_TMPDIR/toolbox/aws" "$BATS_FILE_TMPDIR/toolbox/real-aws"
  cat >"$BATS_FILE_TMPDIR/toolbox/aws" <<AWS
#!/usr/bin/env bash
[[ "\$*" == *describe-stacks* ]] || exec "$BATS_FILE_TMPDIR/toolbox/real-aws" "\$@"
echo >>"$BATS_TEST_TMPDIR/looked"
if [[ \$(grep -c '' "$BATS_TEST_TMPDIR/looked") -gt $1 ]]; then exec "$BATS_FILE_TMPDIR/toolbox/real-aws" "\$@"; fi
"$BATS_FILE_TMPDIR/toolbox/real-aws" "\$@" | sed 's/CREATE_COMPLETE/CREATE_IN_PROGRESS/'
AWS
  chmod +x "$BATS_FILE_TMPDIR/toolbox/aws"
}

settled() { mv "$BATS_FILE_TMPDIR/toolbox/real-aws" "$BATS_FILE_TMPDIR/toolbox/aws"; }

@test "its stacks are deleted, the cluster's last, and those of others stay" {
  a_stack eksctl-pod-identity-demo-cluster pod-identity-demo
  a_stack eksctl-pod-identity-demo-nodegroup-workers pod-identity-demo
  a_stack eksctl-pod-identity-demo-nodegroup-theirs pod-identity-demo another
  a_stack eksctl-pod-identity-demo-2-cluster pod-identity-demo-2
  step cluster delete --dry-run
  [[ $status == 0 && -z $(writes) && $stderr == *'$ aws cloudformation delete-stack'* && $stderr != *"waiting for"* ]]
  step cluster delete
  ((status == 0))
  [[ $(grep -o 'delete-stack .*--stack-name .*' <<<"$stderr" | sed 's/.* //' | tr '\n' ' ') == "eksctl-pod-identity-demo-nodegroup-workers eksctl-pod-identity-demo-cluster " ]]
  [[ $(stacks | tr '\t' '\n' | sort | tr '\n' ' ') == "eksctl-pod-identity-demo-2-cluster eksctl-pod-identity-demo-nodegroup-theirs " ]]
  step cluster delete
  [[ $status == 0 && $stderr == *"already deleted"* ]]
  admin cloudformation delete-stack --stack-name eksctl-pod-identity-demo-2-cluster
  admin cloudformation delete-stack --stack-name eksctl-pod-identity-demo-nodegroup-theirs
}

@test "a stack that is being created is waited for, and not deleted if the cluster is there then" {
  a_stack eksctl-pod-identity-demo-cluster pod-identity-demo
  in_progress 4
  step cluster delete
  settled
  ((status == 0))
  [[ $stderr == *"waiting for the stacks of the cluster pod-identity-demo, on which an operation may be in progress"* ]]
  [[ $(grep -c '' "$BATS_TEST_TMPDIR/looked") -gt 4 && -z $(stacks) ]]
}

@test "a name that no stack can have is said to be that before a cluster is created" {
  CLUSTER_NAME=pod_identity_demo TOOLS=" aws eksctl" step cluster
  [[ $status == 1 && ${stderr_lines[-1]} == "cluster.sh: CloudFormation refuses the name eksctl-pod_identity_demo-cluster for a stack: "* && -z $(writes) ]]
}
