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

@test "a Job is deleted after its pods, and not before them" {
  apply eks
  eventually 60 has_pod
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

@test "a Job whose pods have failed several times is replaced by deploy.sh, instead of waiting up to 10 minutes" {
  admin s3api create-bucket --bucket pictures
  apply eks
  replaced 3
  replaced 3
  eventually 60 has_pod
  ends_with 3
  DEPLOY_TIMEOUT=0 step deploy
  ((status == 1))
  [[ $stderr == *"replacing the Job pod-identity-demo: its pods have failed, and it waits up to 10 minutes before it creates the next"*"job.batch/pod-identity-demo created"* ]]
}

# objects OVERLAY [COMPONENT...]: prints the overlay's objects as JSON.
objects() {
  kube kustomize "$(filled "$@")" | kube create --dry-run=client --output json --filename -
}

# templates: of such objects, the pods that those among them create.
templates() {
  jq 'select(.spec.template.spec) | {apiVersion: "v1", kind: "Pod", metadata: (.spec.template.metadata + {name: .metadata.name}), spec: .spec.template.spec}'
}

@test "the pods of every overlay are admitted under the restricted standard, which refuses others" {
  local overlay
  for overlay in eks irsa fleet localstack; do
    objects "$overlay" >"$BATS_TEST_TMPDIR/objects"
    jq 'select(.kind == "Namespace")' "$BATS_TEST_TMPDIR/objects" | kube apply --filename -
    templates <"$BATS_TEST_TMPDIR/objects" >"$BATS_TEST_TMPDIR/pods"
    jq '{apiVersion: "v1", kind: "ServiceAccount", metadata: {name: (.spec.serviceAccountName // "default")}}' "$BATS_TEST_TMPDIR/pods" |
      kube --namespace "$NAMESPACE" apply --filename -
    kube --namespace "$NAMESPACE" create --dry-run=server --filename "$BATS_TEST_TMPDIR/pods"
  done
  run kube --namespace "$NAMESPACE" run other --image=x
  ((status == 1))
  [[ $output == *'violates PodSecurity "restricted'* ]]
}

# What the tests below make of the Job's pod, in jq.
injection='
  def main(change): .spec.containers[0] |= change;
  def set(name; value): main(.env += [{name: name, value: value}]);
  def from(source): main(.envFrom += [source]);
  def uri(value): set("AWS_CONTAINER_CREDENTIALS_FULL_URI"; value);
  def uri: uri("http://169.254.170.23/v1/credentials");
  def file: set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"; "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount/token");
  def token(token): .spec.volumes += [{name: "token", projected: {sources: [{serviceAccountToken: (token + {path: "token"})}]}}]
    | main(.volumeMounts += [{name: "token", mountPath: "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount"}]);
  def token: token({audience: "pods.eks.amazonaws.com"});
  def injected: uri | file | token;
  def sidecar: .spec.containers += [.spec.containers[0] | .name = "sidecar" | del(.ports)];
  def instance(name): .metadata.labels["app.kubernetes.io/instance"] = name;'

# refusal FILTER: prints why the API server refuses the pod that the filter makes of the Job's, or nothing.
refusal() {
  jq "$injection $1" "$BATS_TEST_TMPDIR/pod" >"$BATS_TEST_TMPDIR/changed"
  { kube --namespace "$NAMESPACE" create --dry-run=server --filename "$BATS_TEST_TMPDIR/changed" >/dev/null || true; } 2>&1
}

@test "require-pod-identity judges what was injected into the program's container" {
  local filter text said
  objects eks require-pod-identity >"$BATS_TEST_TMPDIR/objects"
  templates <"$BATS_TEST_TMPDIR/objects" >"$BATS_TEST_TMPDIR/pod"
  jq 'select(.kind != "Job")' "$BATS_TEST_TMPDIR/objects" | kube apply --filename -
  eventually 60 eval '[[ -n $(refusal .) ]]' # it is enforced some time after it was applied
  [[ $(refusal .) == *"service account pod-identity-demo in namespace $NAMESPACE"*"Create the association"* ]]
  for filter in \
    injected \
    'uri("http://[fd00:ec2::23]/v1/credentials") | file | token' \
    'sidecar | injected' \
    'instance("fleet") | injected' \
    'injected | from({prefix: "S3_", configMapRef: {name: "settings"}})' \
    'injected | main(.env += [{name: "HTTPS_PROXY", valueFrom: {secretKeyRef: {name: "proxy", key: "url"}}}])' \
    'instance("irsa")'; do
    said=$(refusal "$filter")
    [[ -z $said ]] || { echo "$filter: $said" && false; }
  done
  while IFS=! read -r filter text; do
    said=$(refusal "$filter")
    [[ $said == *denied*"$text"* ]] || { echo "$filter: $said" && false; }
  done <<'END'
.!AWS_CONTAINER_CREDENTIALS_FULL_URI
instance("fleet")!AWS_CONTAINER_CREDENTIALS_FULL_URI
del(.spec.volumes) | main(del(.env, .volumeMounts))!AWS_CONTAINER_CREDENTIALS_FULL_URI
file | token!AWS_CONTAINER_CREDENTIALS_FULL_URI
uri("http://169.254.170.2/v1/credentials") | file | token!AWS_CONTAINER_CREDENTIALS_FULL_URI
uri("http://169.254.170.23.example/") | file | token!AWS_CONTAINER_CREDENTIALS_FULL_URI
uri("") | file | token!AWS_CONTAINER_CREDENTIALS_FULL_URI
injected | sidecar | main(.env = [])!AWS_CONTAINER_CREDENTIALS_FULL_URI
injected | main(.name = "renamed")!AWS_CONTAINER_CREDENTIALS_FULL_URI
uri | token!AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE
uri | file!AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE
injected | main(del(.volumeMounts))!AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE
injected | main(.volumeMounts[-1].mountPath = "/elsewhere")!AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE
uri | file | token({audience: "sts.amazonaws.com"})!for the audience pods.eks.amazonaws.com
uri | file | token({})!for the audience pods.eks.amazonaws.com
injected | set("AWS_WEB_IDENTITY_TOKEN_FILE"; "/token")!eks.amazonaws.com/role-arn
injected | set("AWS_PROFILE"; "a")!AWS_PROFILE
injected | set("AWS_ACCESS_KEY_ID"; "a")!AWS_ACCESS_KEY_ID
injected | set("AWS_SECRET_ACCESS_KEY"; "a")!AWS_SECRET_ACCESS_KEY
injected | set("AWS_SHARED_CREDENTIALS_FILE"; "a")!AWS_SHARED_CREDENTIALS_FILE
injected | set("AWS_CONFIG_FILE"; "a")!AWS_CONFIG_FILE
injected | set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"; "a")!AWS_CONTAINER_CREDENTIALS_RELATIVE_URI
injected | from({secretRef: {name: "keys"}})!static keys
injected | from({prefix: "AWS_ACCESS_", configMapRef: {name: "keys"}})!static keys
END
  # The binding selects namespaces by their label.
  NAMESPACE+=-of-others
  kube create namespace "$NAMESPACE"
  kube --namespace "$NAMESPACE" create serviceaccount pod-identity-demo
  [[ -z $(refusal .) ]]
}
