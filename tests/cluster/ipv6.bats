#!/usr/bin/env bats
# Pod Identity over IPv6, in a cluster that CLUSTER_IPV6=yes has started: the webhook injects the agent's
# IPv6 address, and the agent's log names pods by theirs.

# shellcheck disable=SC2154 # status, output and stderr are of bats' run
# shellcheck source-path=SCRIPTDIR source=cluster.bash
load cluster

teardown_file() { end_world; }

@test "the Job uploads with credentials from the agent's IPv6 address, and inspect finds it in the agent's log" {
  local pod uri='http://[fd00:ec2::23]/v1/credentials'
  world six
  associate six
  apply eks
  eventually 60 has_uploaded six
  pod=$(newest six)
  [[ $(kube --namespace six get "pod/$pod" --output 'jsonpath={.status.podIPs[*].ip}') == *fd00:10:244::* ]]
  [[ $(kube --namespace six exec "$pod" -- pod-identity-demo identity) == *"$uri"* ]]
  step inspect
  ((status == 0))
  [[ $output == *"this pod: yes"*"env AWS_CONTAINER_CREDENTIALS_FULL_URI=$uri"* ]]
  [[ $output == *"[fd00:10:244::"* ]]
}
