#!/usr/bin/env bats
# deploy and its inverse in the namespace `default`, which is there before and after.

# shellcheck disable=SC2154 # output and stderr are of bats' run
# shellcheck source-path=SCRIPTDIR source=story.sh
load story.sh

setup_file() {
  start_story
  export NAMESPACE=default
  world cluster addon bucket role association
}

teardown_file() { stop_story; }

@test "in the namespace default it creates and deletes only what is its own" {
  kubectl apply -f - <<<'{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "anothers", "namespace": "default"}}'
  SERVICE_ACCOUNT=default step deploy
  ((status == 1))
  [[ ${stderr_lines[-1]} == *"there is a serviceaccount/default in the namespace default that these scripts did not create: set SERVICE_ACCOUNT"* ]]

  COMPONENTS=network-policy step deploy
  ((status == 0))
  [[ $output == s3://story-pictures/* ]]
  [[ $(kubectl get namespace/default --output json) != *pod-security* ]]
  step deploy left
  [[ $output == "objects of the job in the namespace default" ]]
  step deploy delete
  ((status == 0))
  step deploy left
  ((status == 0))
  [[ -z $output ]]
  step deploy delete
  [[ $stderr == *"already deleted: the job, its settings and its service account in the namespace default"* ]]
  [[ $(kubectl --namespace default get jobs,pods,configmaps,serviceaccounts,networkpolicies --output name | sort) == $'configmap/anothers\nserviceaccount/default' ]]
}
