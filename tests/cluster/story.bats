#!/usr/bin/env bats
# All the way up and down again with the real eksctl, kubectl and AWS CLI: the emulated account is judged as
# AWS judges it (tests/cluster/fills.py), and the cluster behind it is real. The tests build on each other.

# shellcheck disable=SC2154 # status, output and stderr are of bats' run
# shellcheck source-path=SCRIPTDIR source=cluster.bash
load cluster

setup_file() { export FILLED=$BATS_FILE_TMPDIR/filled; }

# listing: what the account holds, a line each.
listing() {
  aws cloudformation list-stacks --query "StackSummaries[?StackStatus!='DELETE_COMPLETE'].[StackName]"
  aws s3api list-buckets --query 'Buckets[].[Name]'
  aws iam list-policies --scope Local --query 'Policies[].[PolicyName]'
  aws iam list-roles --query 'Roles[].[RoleName]'
  aws iam list-open-id-connect-providers --query 'OpenIDConnectProviderList[].[Arn]'
  aws eks list-clusters --query 'clusters[]'
}

@test "up creates everything, and the Job uploads" {
  listing >"$BATS_FILE_TMPDIR/before"
  script up
  ((status == 0))
  [[ $output == s3://pod-identity-demo-123456789012-us-east-1/pod-identity-demo-* ]]
  # CloudFormation has judged the tags of each stack: no key is there twice, and ours is on all.
  jq --exit-status --slurp 'map(select(.name | startswith("eksctl-pod-identity-demo"))) | length == 3
    and all(.[]; (.tags | unique | length) == (.tags | length) and any(.tags[]; . == "pod-identity-demo"))' "$state/stacks"
}

@test "up again finds everything there, and changes nothing in AWS" {
  script up
  ((status == 0))
  [[ $stderr == *"already exists: the bucket"*"already exists: the policy"*"already exists: the cluster"*"already exists: the add-on"*"already exists: the association"* ]]
  [[ -z $(writes) ]]
}

@test "status shows the pods, the log and the objects" {
  script status
  ((status == 0))
  [[ $output == *"job.batch/pod-identity-demo"*"Running"*"INFO uploaded "* ]]
  [[ -z $(writes) ]]
}

@test "inspect shows what the real webhook injected, beside a pod without an association" {
  script inspect
  ((status == 0))
  [[ $output == *"eks-pod-identity-agent   1         1         1"* ]]
  [[ $output == *"the other: -    env AWS_CONTAINER_CREDENTIALS_FULL_URI=http://169.254.170.23/v1/credentials"* ]]
  [[ $output == *"the other: -    volume eks-pod-identity-token: token for pods.eks.amazonaws.com"* ]]
  [[ $output != *"the other: yes  env AWS_CONTAINER"* ]]
  [[ $output == *"ok: credentials from EKS Pod Identity"* ]]
  [[ $output == *"Calling EKS Auth to fetch credentials"* ]]
  [[ -z $(writes) ]]
}

@test "audit finds no fault" {
  script audit
  ((status == 0))
  [[ $output == *"pod-identity-demo/pod-identity-demo"*"Pod Identity"*"right"*"1 injected"*"nothing is wrong"* ]]
}

@test "compare runs the job under IRSA beside it, and its inverse removes that" {
  script compare
  ((status == 0))
  [[ $output == *"ok: credentials from EKS Pod Identity"*"ok: credentials from IRSA"*"what differs"* ]]
  [[ $(aws iam list-open-id-connect-providers --query 'OpenIDConnectProviderList[].Arn') == *oidc-provider/* ]]
  script compare delete
  ((status == 0))
  [[ -z $(aws iam list-open-id-connect-providers --query 'OpenIDConnectProviderList[].Arn') ]]
  [[ -z $(kube --namespace pod-identity-demo get job/pod-identity-demo-irsa serviceaccount/pod-identity-demo-irsa --ignore-not-found --output name) ]]
}

@test "down deletes everything, and the account is as it was before" {
  script down
  ((status == 0))
  [[ $stderr == *"nothing is left"* ]]
  [[ -z $(kube get namespace/pod-identity-demo --ignore-not-found --output name) ]]
  diff -u "$BATS_FILE_TMPDIR/before" <(listing)
  script down
  ((status == 0))
  [[ -z $(writes) ]]
}
