#!/usr/bin/env bats
# The association, with eksctl and without: made, found, repaired, undone.

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

@test "without the add-on there is one line and no association; and the add-on is made, found and undone" {
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

@test "eksctl makes it, shows what it made, and undoes it" {
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
