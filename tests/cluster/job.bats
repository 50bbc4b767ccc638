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
  [[ -z ${agent_before-} ]] || kube --namespace kube-system patch daemonset/eks-pod-identity-agent --type json --patch '[{"op": "replace", "path": "/spec/template", "value": '"$agent_before"'}]'
}

# probes POD TYPE RESULT: how many probes of the pod, of this type and with this result, the kubelet has counted.
probes() {
  kube get --raw /api/v1/nodes/node/proxy/metrics/probes >"$BATS_TEST_TMPDIR/probes"
  sed -n "s/^prober_probe_total{.*,pod=\"$1\",.*,probe_type=\"$2\",result=\"$3\"} //p" "$BATS_TEST_TMPDIR/probes"
}

# complaints: the events in which the kubelet says that it has ended a container, or that one does not live.
complaints() {
  kube --namespace "$namespace" get events --output 'jsonpath={range .items[*]}{.reason} {.message}{"\n"}{end}' | grep -E '^Killing|^Unhealthy Liveness' || true
}

@test "the Job is admitted under the restricted standard, uploads, stays below its limit and passes its probes" {
  local pod refused
  associate "$namespace"
  # The first probe for liveness would come after half a minute.
  kube kustomize "$(filled eks)" | sed 's/periodSeconds: .*/periodSeconds: 1/' | kube apply --filename -
  eventually 60 has_uploaded "$namespace"
  pod=$(newest "$namespace")
  [[ $(kube get "namespace/$namespace" --output 'jsonpath={.metadata.labels.pod-security\.kubernetes\.io/enforce}') == restricted ]]
  kube --namespace "$namespace" wait "pod/$pod" --for=condition=Ready --timeout=30s
  refused=$(probes "$pod" Readiness failed) # before the first picture
  probed() { (($(probes "$pod" "$1" successful) + 0 >= 4)); }
  eventually 60 probed Liveness
  eventually 60 probed Readiness
  [[ -z $(probes "$pod" Liveness failed) && $(probes "$pod" Readiness failed) == "$refused" && $(probes "$pod" Startup successful) == 1 ]]
  [[ -z $(complaints) ]]
  [[ $(pods "$namespace" --output name) == "pod/$pod" && -z $(job "$namespace" .status.failed) ]]
  # The kernel counts the container's memory in the control group that the kubelet gave it, with its limit.
  kube get --raw "/api/v1/nodes/node/proxy/stats/summary" >"$BATS_TEST_TMPDIR/stats"
  jq --exit-status --arg pod "$pod" '.pods[] | select(.podRef.name == $pod).containers[0].memory.workingSetBytes | . > 0 and . < 64 * 1024 * 1024' "$BATS_TEST_TMPDIR/stats"
  [[ $(aws s3api list-objects-v2 --bucket "$BUCKET" --query 'Contents[0].Key') == "$pod"/* ]]
}

@test "identity in the pod tells the association's role, its own token and what the webhook injected" {
  local pod
  associate "$namespace"
  apply eks
  eventually 60 has_uploaded "$namespace"
  pod=$(newest "$namespace")
  kube --namespace "$namespace" exec "$pod" -- pod-identity-demo identity --json >"$BATS_TEST_TMPDIR/told"
  kube --namespace "$namespace" get "pod/$pod" --output json >"$BATS_TEST_TMPDIR/pod"
  jq --sort-keys '.injected.pod_identity_token as $token | .principal as $p
    | {claims: ($token.claims | del(.expires)), path: $token.path, irsa: .injected.irsa_token, endpoint: (.injected.variables[] | select(.[0] == "AWS_CONTAINER_CREDENTIALS_FULL_URI")[1]),
      chain: [.chain[] | "\(.provider) \(.state)"], notes, principal: [$p.provider, $p.account, $p.role, $p.sts_error], arn: ($p.arn | sub($p.session; "")),
      session: ($p.session | sub("-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"; "")), verdict: [.verdict.ok, .verdict.required]}' \
    "$BATS_TEST_TMPDIR/told" >"$BATS_TEST_TMPDIR/said"
  # The truth is the pod as the API server has it, and the cluster's own issuer.
  jq --sort-keys --arg issuer "$(<"$state/issuer")" '.spec.serviceAccountName as $account | .metadata as {$name, $namespace}
    | (.spec.containers[0].env | map({key: .name, value}) | from_entries) as $variables
    | {claims: {$issuer, audience: [.spec.volumes[] | select(.name == "eks-pod-identity-token").projected.sources[0].serviceAccountToken.audience],
        subject: "system:serviceaccount:\($namespace):\($account)",
        "kubernetes.io": {$namespace, serviceaccount: {name: $account}, pod: {$name}, node: {name: .spec.nodeName}}},
      path: $variables.AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE, irsa: null, endpoint: $variables.AWS_CONTAINER_CREDENTIALS_FULL_URI,
      chain: ["environment not_configured", "profile not_configured", "irsa not_configured", "pod-identity answered", "instance not_configured"], notes: [],
      principal: ["pod-identity", "123456789012", $namespace, null], arn: "arn:aws:sts::123456789012:assumed-role/\($namespace)/",
      session: ("eks-cluster-\($name)"[:27]), verdict: [true, "pod-identity"]}' "$BATS_TEST_TMPDIR/pod" >"$BATS_TEST_TMPDIR/expected"
  diff -u "$BATS_TEST_TMPDIR/expected" "$BATS_TEST_TMPDIR/said"
  # The token lasts as long as the webhook asks for, from the pod's start, and the credentials almost 6 hours.
  jq --exit-status --slurpfile pod "$BATS_TEST_TMPDIR/pod" '$pod[0] as $pod
    | ($pod.spec.volumes[] | select(.name == "eks-pod-identity-token").projected.sources[0].serviceAccountToken.expirationSeconds) as $lifetime
    | (.injected.pod_identity_token.claims.expires - ($pod.status.startTime | fromdate) - $lifetime | fabs < 60)
      and .principal.expires_in_seconds > 21000 and .principal.expires_in_seconds <= 21600' "$BATS_TEST_TMPDIR/told"
}

@test "kubectl port-forward to the Job serves the page and its status" {
  local url
  associate "$namespace"
  apply eks
  eventually 60 has_uploaded "$namespace"
  # Without a local port kubectl takes a free one, and prints it.
  set -m # a process group of its own, for teardown
  "$project/cluster/cluster.sh" kubectl --namespace "$namespace" port-forward job/pod-identity-demo :8080 >"$BATS_TEST_TMPDIR/forward" 3>&- &
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

# agent PATCH: changes the agent's DaemonSet, and waits until its pods are as it says. teardown has it as before.
agent() {
  agent_before=${agent_before-$(kube --namespace kube-system get daemonset/eks-pod-identity-agent --output jsonpath='{.spec.template}')}
  kube --namespace kube-system patch daemonset/eks-pod-identity-agent --type json --patch "$1"
  eventually 60 kube --namespace kube-system rollout status daemonset/eks-pod-identity-agent --timeout=1s
}

@test "a failed refresh, a role that does not trust EKS, a deleted association and an agent that is gone are each told rightly" {
  local id pod
  # The program refreshes credentials after two thirds of their lifetime.
  agent '[{"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": "--lifetime=30s"}]'
  id=$(associate "$namespace")
  apply eks
  eventually 60 has_uploaded "$namespace"
  pod=$(newest "$namespace")
  # Each run of the program asks the agent anew.
  identity() { kube --namespace "$namespace" exec "$pod" -- pod-identity-demo identity; }

  aws iam update-assume-role-policy --role-name "$namespace" --policy-document "${trust/pods.eks/ec2}"
  run identity
  ((status == 3))
  [[ $output == *"NOT OK: EKS may not assume the role"* ]]
  refresh_has_failed() {
    kube --namespace "$namespace" logs "$pod" | jq --exit-status --slurp 'map(.message) as $messages
      | ($messages | index("credentials could not be refreshed; those in use are still valid")) as $at
      | $at and .[$at].diagnosis == "trust_policy" and (.[$at].cause | startswith("EKS may not assume the role")) and (.[$at].fix | startswith("allow sts:AssumeRole and sts:TagSession"))
        and ($messages[$at:] | index("uploaded"))'
  }
  eventually 60 refresh_has_failed

  aws eks delete-pod-identity-association --cluster-name cluster --association-id "$id"
  run identity
  ((status == 3))
  [[ $output == *"there is no association for namespace $namespace"* ]]

  agent '[{"op": "add", "path": "/spec/template/spec/nodeSelector", "value": {"nowhere": "yes"}}]'
  eventually 30 eval '[[ -z $(kube --namespace kube-system get pods --selector app.kubernetes.io/name=eks-pod-identity-agent --output name) ]]'
  run identity
  ((status == 3))
  [[ $output == *"the Pod Identity Agent refuses connections"* ]]
  [[ $(pods "$namespace" --output name) == "pod/$pod" ]]
}

@test "twenty pods of the fleet upload, each under an identity of its own, and each object names the pod that stored it" {
  local key
  associate "$namespace"
  FLEET_SIZE=20 apply fleet
  all_upload() {
    aws s3api list-objects-v2 --bucket "$BUCKET" --query 'Contents[].Key' | tr '\t' '\n' | sort --unique --field-separator / --key 1,1 >"$BATS_TEST_TMPDIR/keys"
    (($(wc -l <"$BATS_TEST_TMPDIR/keys") == 20))
  }
  eventually 120 all_upload
  # A key begins with the index, and goes on with the pod's name, which a replacement does not inherit.
  key=$(head -n 1 "$BATS_TEST_TMPDIR/keys")
  kube --namespace "$namespace" get pods --output json |
    jq --exit-status --arg key "$key" --arg pod "$(aws s3api head-object --bucket "$BUCKET" --key "$key" --query Metadata.pod)" \
      '(.items | length) == 20 and [.items[].metadata | select(.labels["batch.kubernetes.io/job-completion-index"] == ($key | split("/")[0])).name] == [$pod]
        and ($key | split("/")[1]) == $pod'
  kube --namespace "$namespace" wait job/pod-identity-demo-fleet --for=jsonpath='{.status.ready}'=20 --timeout=60s
  [[ -z $(kube --namespace "$namespace" get job/pod-identity-demo-fleet --output 'jsonpath={.status.failed}') && -z $(complaints) ]]
}
