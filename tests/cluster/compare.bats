#!/usr/bin/env bats
# compare and its inverse: both jobs for real, IRSA's with credentials of the emulated STS by the trust
# policy that eksctl wrote, and the token that the webhook and the kubelet gave.

# shellcheck disable=SC2030,SC2031,SC2154 # each test is a subshell; status, output and stderr are of bats' run
# shellcheck source-path=SCRIPTDIR source=cluster.bash
load cluster

setup_file() {
  export FILLED=$BATS_FILE_TMPDIR/filled
  world beside
  associate beside
  in_cluster "$project/scripts/steps/policy.sh"
}

teardown_file() {
  kube delete namespace beside
  in_cluster "$project/scripts/steps/policy.sh" delete
  end_world
}

@test "without the job there is nothing to compare with, and nothing is changed" {
  step compare
  ((status == 1))
  [[ ${stderr_lines[-1]} == "compare.sh: there is no job to compare with in beside: "* ]]
  [[ -z $(writes) ]]
}

@test "compare makes IRSA's side, shows both, and finds it there the second time" {
  step deploy
  ((status == 0))
  step compare --dry-run
  ((status == 0))
  [[ -z $(writes) ]]

  step compare
  ((status == 0))
  [[ $output == *"eks.amazonaws.com/role-arn: arn:aws:iam::123456789012:role/eksctl-cluster-addon-iamserviceaccount-"* ]]
  [[ $output == *'"Service": "pods.eks.amazonaws.com"'*'"Federated": "arn:aws:iam::123456789012:oidc-provider/'* ]]
  [[ $output == *"ok: credentials from EKS Pod Identity"*"ok: credentials from IRSA"* ]]
  [[ $output == *"podidentityassociation/cluster/"*"what differs"* ]]
  [[ $stderr == *"injected for irsa, has uploaded s3://beside-pictures/"* ]]
  # eksctl tags the provider with the cluster's name, which is enough in a cluster of ours.
  [[ $stderr != *tag-open-id-connect-provider* ]]

  step compare
  ((status == 0))
  [[ $stderr == *"already exists: the OIDC provider"*"already exists: the service account"*"already exists: the Job pod-identity-demo-irsa"* ]]
  [[ -z $(writes) ]]
}

@test "a stack that has lost its service account is made again, where eksctl alone would do nothing" {
  # eksctl issue 4941: "no tasks", and exit code 0.
  kube --namespace beside delete job/pod-identity-demo-irsa serviceaccount/pod-identity-demo-irsa
  step compare
  ((status == 0))
  [[ $stderr == *"left incomplete by an earlier run: the stack eksctl-cluster-addon-iamserviceaccount-beside-pod-identity-demo-irsa exists, but the service account lacks its role"* ]]
  [[ $stderr == *"injected for irsa, has uploaded s3://beside-pictures/"* ]]
}

@test "the OIDC provider stays while others use it, and where it is not ours" {
  local annotated='{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "neighbour", "namespace": "default",
    "annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/neighbour"}}}'
  kube apply -f - <<<"$annotated"
  step compare delete
  ((status == 0))
  [[ $stderr == *"left alone: the OIDC provider, because other service accounts use it: default/neighbour"* ]]
  [[ $(aws iam list-open-id-connect-providers) == *oidc-provider/* ]]
  kube --namespace default delete serviceaccount/neighbour
}

@test "delete takes away what compare made, and nothing else; twice is no error" {
  step compare delete
  ((status == 0))
  [[ -z $(aws iam list-open-id-connect-providers --query 'OpenIDConnectProviderList[].Arn') ]]
  [[ $(aws cloudformation list-stacks --query "StackSummaries[?StackStatus!='DELETE_COMPLETE'].StackName") != *iamserviceaccount* ]]
  [[ $(objects) == *"job.batch/pod-identity-demo"* && $(objects) != *irsa* ]]
  step compare left
  ((status == 0))
  [[ -z $output ]]
  step compare delete
  ((status == 0))
  [[ $stderr == *"already deleted: the service account beside/pod-identity-demo-irsa"*"already deleted: the OIDC provider"* ]]

}

@test "in a cluster that is not ours, the provider is ours only with our tag" {
  export TAG_VALUE=another # and the cluster's is cluster
  in_cluster eksctl utils associate-iam-oidc-provider --cluster cluster --region us-east-1 --approve
  step compare delete
  ((status == 0))
  [[ $stderr == *"left alone: the OIDC provider, which these scripts did not create"* ]]
  step compare left
  [[ -z $output ]]
  aws iam delete-open-id-connect-provider --open-id-connect-provider-arn "$(aws iam list-open-id-connect-providers --query 'OpenIDConnectProviderList[0].Arn')"

  step compare
  ((status == 0))
  [[ $stderr == *'$ aws iam tag-open-id-connect-provider'* ]]
  step compare delete
  ((status == 0))
  [[ -z $(aws iam list-open-id-connect-providers --query 'OpenIDConnectProviderList[].Arn') ]]
}
