#!/usr/bin/env bats
# deploy and its inverse in the namespace `default`, which is there before and after.

# shellcheck disable=SC2154 # output and stderr are of bats' run
# shellcheck source-path=SCRIPTDIR source=cluster.bash
load cluster

setup_file() {
  world default
  associate default
}

teardown_file() { end_world; }

@test "in the namespace default it creates and deletes only what is its own" {
  kube apply -f - <<<'{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "anothers", "namespace": "default"}}'
  export SERVICE_ACCOUNT=default
  step deploy
  ((status == 1))
  [[ ${stderr_lines[-1]} == *"there is a serviceaccount/default in the namespace default that these scripts did not create: set SERVICE_ACCOUNT"* ]]
  export SERVICE_ACCOUNT=uploader

  COMPONENTS=network-policy step deploy
  ((status == 0))
  [[ $output == s3://default-pictures/* ]]
  [[ $(kube get namespace/default --output json) != *pod-security* ]]
  step deploy left
  [[ $output == "objects of the job in the namespace default" ]]
  step deploy delete
  ((status == 0))
  step deploy left
  ((status == 0))
  [[ -z $output ]]
  step deploy delete
  [[ $stderr == *"already deleted: the job, its settings and its service account in the namespace default"* ]]
  [[ $(kube --namespace default get jobs,pods,configmaps,serviceaccounts,networkpolicies --output name | sort) == $'configmap/anothers\nconfigmap/kube-root-ca.crt\nserviceaccount/default' ]]
  kube --namespace default delete configmap/anothers
}
