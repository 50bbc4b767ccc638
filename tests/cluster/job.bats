#!/usr/bin/env bats
# The Job in a real cluster: the injection is the webhook's, the token the kubelet's, and what becomes of a pod
# is the Job controller's decision. Each test has a namespace, a bucket and a role of its own.

# shellcheck disable=SC2016,SC2154 # eval expands; status, output and stderr are of bats' run
# shellcheck source-path=SCRIPTDIR source=cluster.bash
load cluster

teardown_file() { end_world; }

setup() {
  namespace=test-$BATS_TEST_NUMBER
  world "$namespace"
}

teardown() {
  kube --namespace "$namespace" get pods --output wide
  kube --namespace "$namespace" logs "$(newest "$namespace")" --tail=5 || true
  kube delete namespace "$namespace" --wait=false --ignore-not-found
  [[ -z ${forward-} ]] || kill -- "-$forward" || true
}

@test "the Job is admitted under the restricted standard, uploads, stays below its limit and passes its probes" {
  local pod
  associate "$namespace"
  apply eks
  eventually 60 has_uploaded "$namespace"
  pod=$(newest "$namespace")
  [[ $(kube get "namespace/$namespace" --output 'jsonpath={.metadata.labels.pod-security\.kubernetes\.io/enforce}') == restricted ]]
  kube --namespace "$namespace" wait "pod/$pod" --for=condition=Ready --timeout=30s
  [[ $(kube --namespace "$namespace" get "pod/$pod" --output 'jsonpath={.status.containerStatuses[0].restartCount}') == 0 ]]
  # The kernel counts the container's memory in the control group that the kubelet gave it, with its limit.
  kube get --raw "/api/v1/nodes/node/proxy/stats/summary" >"$BATS_TEST_TMPDIR/stats"
  jq --exit-status --arg pod "$pod" '.pods[] | select(.podRef.name == $pod).containers[0].memory.workingSetBytes | . > 0 and . < 64 * 1024 * 1024' "$BATS_TEST_TMPDIR/stats"
  [[ $(aws s3api list-objects-v2 --bucket "$BUCKET" --query 'Contents[0].Key') == "$pod"/* ]]
}

@test "identity in the pod tells the association's role, its own token and what the webhook injected" {
  associate "$namespace"
  apply eks
  eventually 60 has_uploaded "$namespace"
  run --separate-stderr kube --namespace "$namespace" exec "$(newest "$namespace")" -- pod-identity-demo identity
  ((status == 0))
  [[ $output == *"http://169.254.170.23/v1/credentials"* ]]
  [[ $output == *"audience        pods.eks.amazonaws.com"*"pod             $(newest "$namespace")"* ]]
  [[ $output == *"role          $namespace"*"ok: credentials from EKS Pod Identity, account 123456789012"* ]]
}

@test "kubectl port-forward to the Job serves the page and its status" {
  local url
  associate "$namespace"
  apply eks
  eventually 60 has_uploaded "$namespace"
  # Without a local port kubectl takes a free one, and prints it.
  set -m # a process group of its own, for teardown
  "$project/scripts/dev/cluster.sh" kubectl --namespace "$namespace" port-forward job/pod-identity-demo :8080 >"$BATS_TEST_TMPDIR/forward" 3>&- &
  forward=$!
  set +m
  eventually 30 grep -q '^Forwarding from 127.0.0.1:' "$BATS_TEST_TMPDIR/forward"
  url=http://$(sed -n 's/^Forwarding from \(127[0-9.:]*\) .*/\1/p' "$BATS_TEST_TMPDIR/forward")
  in_cluster curl --silent --show-error --fail --noproxy '*' "$url/" >"$BATS_TEST_TMPDIR/page"
  # STS tells the role a moment after the start.
  has_role() {
    in_cluster curl --silent --show-error --fail --noproxy '*' "$url/api/status" >"$BATS_TEST_TMPDIR/status" &&
      jq --exit-status '.identity.principal.role' "$BATS_TEST_TMPDIR/status"
  }
  eventually 30 has_role
  grep -F '<title>pod-identity-demo</title>' "$BATS_TEST_TMPDIR/page"
  jq --exit-status --arg namespace "$namespace" --arg pod "$(newest "$namespace")" \
    '.identity | .principal.provider == "pod-identity" and .principal.role == $namespace and .pod.namespace == $namespace
      and .pod.service_account == "uploader" and .pod.pod == $pod' "$BATS_TEST_TMPDIR/status"
}

@test "an association that comes after the Job recovers it: exit code 3, then a new pod" {
  apply eks
  eventually 60 ended_with "$namespace" 3
  kube --namespace "$namespace" logs "$(newest "$namespace")" | grep '"diagnosis":"not_injected"'
  associate "$namespace"
  eventually 90 has_uploaded "$namespace"
  [[ $(exit_codes "$namespace") =~ ^3( 3)*$ ]]
}

@test "with require-pod-identity no pod is created before the association, and the Job says why" {
  export COMPONENTS=require-pod-identity
  # The policy before the Job, as scripts/steps/deploy.sh applies it.
  DEPLOY_TIMEOUT=10 step deploy
  ((status == 1))
  [[ $(pods "$namespace" --output name) == "" ]]
  kube --namespace "$namespace" get events --field-selector reason=FailedCreate | grep "Pod Identity was not injected for service account uploader"
  associate "$namespace"
  eventually 90 has_uploaded "$namespace"
  [[ $(exit_codes "$namespace") == "" ]]
}

@test "unusable settings fail the Job at once" {
  associate "$namespace"
  SETTINGS=INTERVAL=often apply eks
  eventually 60 ended_with "$namespace" 2
  eventually 30 eval '[[ $(condition "$namespace" Failed) == PodFailurePolicy ]]'
  [[ $(pods "$namespace" --output name | wc -l) == 1 ]]
}

@test "an evicted pod is stopped, does not count as failed, and is replaced" {
  local pod
  associate "$namespace"
  apply eks
  eventually 60 has_uploaded "$namespace"
  pod=$(newest "$namespace")
  # As `kubectl drain` does for each pod of a node.
  kube create --raw "/api/v1/namespaces/$namespace/pods/$pod/eviction" --filename - >"$BATS_TEST_TMPDIR/evicted" <<END
{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "$pod", "namespace": "$namespace"}}
END
  eventually 60 eval '[[ $(newest "$namespace") != "$pod" ]] && has_uploaded "$namespace"'
  [[ $(kube --namespace "$namespace" get job/pod-identity-demo --output 'jsonpath={.status.failed}') =~ ^0?$ ]]
  kube --namespace "$namespace" get events --field-selector "involvedObject.name=$pod" | grep Killing
}

@test "a pod that is asked to stop ends with 143, one that is killed with 137, and both are replaced" {
  local pod container
  associate "$namespace"
  apply eks
  eventually 60 has_uploaded "$namespace"
  # Nothing deletes these pods, so that their exit codes can be read.
  for signal in TERM KILL; do
    pod=$(newest "$namespace")
    container=$(kube --namespace "$namespace" get "pod/$pod" --output 'jsonpath={.status.containerStatuses[0].containerID}')
    containers tasks kill --signal "SIG$signal" "${container#containerd://}"
    eventually 90 eval '[[ $(newest "$namespace") != "$pod" ]] && has_uploaded "$namespace"'
  done
  [[ $(exit_codes "$namespace") == "143 137" ]]
  [[ -z $(condition "$namespace" Failed) ]]
}

@test "a deleted association, a role that does not trust EKS and an agent that is gone are each told rightly" {
  local id
  id=$(associate "$namespace")
  # Each run of the program asks the agent anew.
  apply eks
  eventually 60 has_uploaded "$namespace"
  identity() { kube --namespace "$namespace" exec "$(newest "$namespace")" -- pod-identity-demo identity; }

  aws iam update-assume-role-policy --role-name "$namespace" --policy-document \
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}'
  run identity
  ((status == 3))
  [[ $output == *"NOT OK: EKS may not assume the role"* ]]

  aws eks delete-pod-identity-association --cluster-name cluster --association-id "$id"
  run identity
  ((status == 3))
  [[ $output == *"there is no association for namespace $namespace"* ]]

  kube --namespace kube-system patch daemonset/eks-pod-identity-agent --patch '{"spec": {"template": {"spec": {"nodeSelector": {"nowhere": "yes"}}}}}'
  eventually 30 eval '[[ -z $(kube --namespace kube-system get pods --selector app.kubernetes.io/name=eks-pod-identity-agent --output name) ]]'
  run identity
  kube --namespace kube-system patch daemonset/eks-pod-identity-agent --patch '{"spec": {"template": {"spec": {"nodeSelector": null}}}}'
  ((status == 3))
  [[ $output == *"the Pod Identity Agent refuses connections"* ]]
}

@test "twenty pods of the fleet upload, each under an identity of its own" {
  associate "$namespace"
  FLEET_SIZE=20 apply fleet
  all_upload() {
    local keys
    keys=$(aws s3api list-objects-v2 --bucket "$BUCKET" --query 'Contents[].Key' | tr '\t' '\n' | cut -d / -f 1 | sort -u | wc -l)
    ((keys == 20))
  }
  eventually 120 all_upload
  [[ $(pods "$namespace" --output 'jsonpath={.items[*].status.containerStatuses[0].restartCount}' | tr ' ' '\n' | sort -u) == 0 ]]
}
