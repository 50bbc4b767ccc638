#!/usr/bin/env bats
# bats file_tags=go
# What the API server, EKS's webhook and the Job controller make of the manifests. There is no kubelet: the
# tests report the pods' ends as a kubelet does, in their status.

# shellcheck disable=SC2016,SC2030,SC2031,SC2154 # eval expands; each test is a subshell; status and stderr are of bats' run
# shellcheck source-path=SCRIPTDIR source=../lib/wiring.sh
load ../lib/wiring.sh

setup_file() {
  start_cloud control-plane
  toolbox aws kubectl chmod
  ROLE=$(a_cluster)
  export ROLE BUCKET=pictures IMAGE=registry.example/pod-identity-demo:1
}

teardown_file() { stop_cloud; }

setup() { export NAMESPACE=test-$BATS_TEST_NUMBER; }

# of_newest PATH: a part of the newest pod, by a path as in JSONPath.
of_newest() { pods "$NAMESPACE" --output "jsonpath={.items[-1:]$1}"; }

# variables: the names of the variables of the newest pod.
variables() { of_newest '.spec.containers[0].env[*].name'; }

has_pod() { [[ $(of_newest .status.phase) == Pending ]]; }

# ends_with CODE: reports that the newest pod's container has ended so.
ends_with() {
  kube --namespace "$NAMESPACE" patch "pod/$(newest "$NAMESPACE")" --subresource=status --patch '{"status": {"phase": "Failed", "containerStatuses": [
    {"name": "pod-identity-demo", "image": "x", "imageID": "x", "ready": false, "restartCount": 0, "state": {"terminated": {"exitCode": '"$1"'}}}]}}'
}

another_than() { [[ $(newest "$NAMESPACE") != "$1" ]]; }

# replaced CODE: the newest pod ends so, the Job creates another, and goes on.
replaced() {
  local older
  eventually 60 has_pod
  older=$(newest "$NAMESPACE")
  ends_with "$1"
  eventually 60 another_than "$older"
  [[ -z $(condition "$NAMESPACE" Failed) ]]
}

@test "the Job's pod is admitted under the restricted standard, which refuses others" {
  apply eks
  eventually 60 has_pod
  [[ $(kube get "namespace/$NAMESPACE" --output 'jsonpath={.metadata.labels.pod-security\.kubernetes\.io/enforce}') == restricted ]]
  run kube --namespace "$NAMESPACE" run other --image=x
  ((status == 1))
  [[ $output == *'violates PodSecurity "restricted'* ]]
  # A Job is deleted after its pods, and not before them.
  finalizers() { kube --namespace "$NAMESPACE" patch "pod/$(newest "$NAMESPACE")" --type merge --patch '{"metadata": {"finalizers": '"$1"'}}'; }
  finalizers '["example.com/held"]'
  "$repository/scripts/steps/deploy.sh" delete >"$BATS_TEST_TMPDIR/said" 2>&1 3>&- &
  eventually 60 eval '[[ -n $(of_newest .metadata.deletionTimestamp) ]]'
  [[ $(job "$NAMESPACE" .metadata.finalizers) == *foregroundDeletion* ]]
  kill $! # after the Job, without waiting for the namespace
  finalizers '[]'
  wait $! || (($? == 143))
}

@test "the webhook injects into pods that are created after the association, and into no others" {
  local older
  apply eks
  eventually 60 has_pod
  [[ $(variables) != *AWS_CONTAINER_CREDENTIALS_FULL_URI* ]]
  older=$(newest "$NAMESPACE")
  admin eks create-pod-identity-association --cluster-name pod-identity-demo --namespace "$NAMESPACE" --service-account pod-identity-demo --role-arn "$ROLE"
  eventually 60 grep -q "$NAMESPACE" "$CLUSTER_STATE/identities.json"
  ends_with 3
  eventually 60 another_than "$older"
  [[ $(variables) == *AWS_CONTAINER_CREDENTIALS_FULL_URI* && $(variables) == *AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE* ]]
  [[ $(of_newest '.spec.volumes[?(@.name=="eks-pod-identity-token")].projected.sources[0].serviceAccountToken.audience') == pods.eks.amazonaws.com ]]
}

@test "the Job goes on after a missed injection and after the system's kill, and fails at unusable settings" {
  apply eks
  replaced 3
  # An association may be missing for months: as many failures as end a Job with a lower limit do not end this one.
  kube --namespace "$NAMESPACE" patch job/pod-identity-demo --subresource=status --type=merge --patch '{"status": {"failed": 1000}}'
  replaced 137
  (($(job "$NAMESPACE" .status.failed) == 1001))
  ends_with 2
  eventually 60 eval '[[ $(condition "$NAMESPACE" Failed) == PodFailurePolicy ]]'
}

@test "with require-pod-identity a pod without the injection is refused, and the Job's events say why" {
  apply eks require-pod-identity
  # The API server enforces the policy some time after it was applied: scripts/steps/deploy.sh waits for that.
  refused() {
    kube --namespace "$NAMESPACE" delete pods --all --wait=false
    kube --namespace "$NAMESPACE" get events | grep -q 'FailedCreate.*Pod Identity was not injected for service account pod-identity-demo'
  }
  eventually 60 refused
}
