#!/usr/bin/env bash
# Shows how Pod Identity works for the job's pod: the association and its role, the
# agent, what the webhook injected compared with a pod without an association, the
# token's claims and the identity inside the pod, and the agent's log of this pod.
#
#   scripts/inspect.sh
#
# Requires the AWS CLI, jq and kubectl. Changes nothing: the pod for comparison is
# applied with --dry-run=server, which runs admission but creates nothing.

# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=lib/settings.sh
. "$root/scripts/lib/settings.sh"
# shellcheck source=lib/steps.sh
. "$root/scripts/lib/steps.sh"
# shellcheck source=lib/pods.sh
. "$root/scripts/lib/pods.sh"

readonly agent=app.kubernetes.io/name=eks-pod-identity-agent

# show_association: the association, its role, and the role's trust policy and policies.
show_association() {
  local id association
  section "the association: in EKS, not in Kubernetes"
  if ! capture id find_association "$SERVICE_ACCOUNT"; then
    say "there is no association for $NAMESPACE/$SERVICE_ACCOUNT: create it with scripts/steps/association.sh"
    return
  fi
  capture association found ResourceNotFoundException aws eks describe-pod-identity-association "${at_eks[@]}" --association-id "$id" --output json ||
    die "the association was deleted after it was listed: run this again"
  jq '.association | {clusterName, namespace, serviceAccount, roleArn, targetRoleArn, disableSessionTags, createdAt} | del(.[] | nulls)' <<<"$association"
  show_role "$(jq -r '.association.roleArn | split("/") | last' <<<"$association")"
}

show_agent() {
  local other
  section "the agent: on each node, at 169.254.170.23 and fd00:ec2::23"
  run kubectl --namespace kube-system get daemonset eks-pod-identity-agent && return
  if capture other agent_without_addon; then
    say "the cluster has $other"
  else
    say "the agent is not installed, so no pod gets credentials: run scripts/steps/addon.sh"
  fi
}

# additions: prints what a webhook has added to the pod on stdin, one item per line.
additions() {
  jq -r '
    (.metadata.labels // {} | to_entries[] | select(.key | startswith("eks.amazonaws.com/")) | "label \(.key): \(.value)"),
    (.spec.containers[0].env // [] | .[] | select((.name | startswith("AWS_")) and .value) | "env \(.name)=\(.value)"),
    (.spec.volumes // [] | .[] | select(.projected) | .name as $name | .projected.sources[].serviceAccountToken // empty |
      select(.audience) | "volume \($name): token for \(.audience), \(.expirationSeconds) s"),
    (.spec.containers[0].volumeMounts // [] | .[] | select(.mountPath | contains("eks.amazonaws.com")) | "mount \(.mountPath)")'
}

# unassociated_pod PODS: prints the same pod under the service account `default`, as
# admission would change it. It omits the labels, because with them
# components/require-pod-identity would refuse the pod.
unassociated_pod() {
  of_pod "$1" '{apiVersion: "v1", kind: "Pod", metadata: {name: "beside", namespace: .metadata.namespace}, spec: (.spec
    | del(.nodeName, .serviceAccount, .volumes) | .serviceAccountName = "default"
    | .containers |= map(del(.volumeMounts) | .env |= map(select((.name | startswith("AWS_") | not) or .valueFrom))))}' >"$scratch/beside.json"
  say "beside.json is the same pod under the service account default; the API server returns it as admission changes it:"
  show kubectl apply --dry-run=server --output json --filename beside.json
  kubectl apply --dry-run=server --output json --filename "$scratch/beside.json"
}

compare_injection() {
  local pods=$1 line mark
  section "what the webhook injected into $(name_of "$pods"), and into a pod without an association"
  unassociated_pod "$pods" >"$scratch/other" || die "the API server refused the pod for comparison: see its message above"
  additions <"$scratch/other" >"$scratch/other.lines"
  of_pod "$pods" . | additions >"$scratch/pod.lines"
  while IFS= read -r line; do
    mark=-
    if grep -Fxq -e "$line" "$scratch/other.lines"; then mark=yes; fi
    printf '  this pod: yes   the other: %-4s %s\n' "$mark" "$line"
  done <"$scratch/pod.lines"
  [[ -s $scratch/pod.lines ]] || say "the webhook injected nothing into either: the pod is older than its association, or has no association; delete the pod, because a restart does not help, or if the Job waits long before its next pod, run scripts/steps/deploy.sh, which replaces the Job"
}

# agent_log PODS: prints what the agent on the pod's node logged for the pod: the newest ten lines that tell something,
# and how many tell of a request alone, as each of this script's own does. The log names a caller by IP address and
# port (an IPv6 address is in brackets), and a session by the pod (pkg/handlers/eks_credential_handler.go and
# internal/cloud/eksauth/service.go of the agent).
agent_log() {
  local pods=$1 namespace name node requests
  section "what the agent on the pod's node logged for it"
  node=$(of_pod "$pods" .spec.nodeName)
  {
    of_pod "$pods" '.status | .podIPs // [{ip: .podIP}] | .[].ip // empty | if contains(":") then "[\(.)]:" else "\(.):" end'
    name_of "$pods"
  } >"$scratch/names"
  kubectl get pods --all-namespaces --selector "$agent" --output json |
    jq -r --arg node "$node" '.items[] | select(.spec.nodeName == $node).metadata | "\(.namespace) \(.name)"' >"$scratch/agents"
  [[ -s $scratch/agents ]] || say "no agent runs on the node $node, so its pods get no credentials (nodes of EKS Auto Mode have it built in, without a log)"
  while read -r namespace name; do
    show kubectl --namespace "$namespace" logs "$name" --tail=5000
    # An address ends before its port, and does not begin in the middle of another.
    kubectl --namespace "$namespace" logs "$name" --tail=5000 </dev/null |
      jq -Rr --rawfile names "$scratch/names" '($names | split("\n") | map(select(. != "")) | map(gsub("(?<c>[^A-Za-z0-9_-])"; "\\" + .c)) | join("|")) as $of_pod
        | select(test("(^|[^0-9A-Fa-f.:])(" + $of_pod + ")"))' >"$scratch/of-pod" || true
    requests=$(grep -c 'handling new request' "$scratch/of-pod" || true)
    grep -v 'handling new request' "$scratch/of-pod" | tail -n 10 || true
    say "and $requests lines of requests of the pod alone, in the last 5000 lines of $name"
  done <"$scratch/agents"
}

begin_step "$@"
[[ $action == create ]] || die "unknown argument $action: this script changes nothing (see --help)"
need_tool aws
reach_cluster || die "the cluster $CLUSTER_NAME does not exist yet"
show_association
show_agent
capture pods pods_of pod-identity-demo || die "the Job pod-identity-demo has no pod in $NAMESPACE: create it with scripts/steps/deploy.sh"
compare_injection "$pods"
if [[ $(of_pod "$pods" .status.phase) == Running ]]; then
  section "the identity, as the pod sees it"
  show_identity "$pods"
else
  explain pod-identity-demo
fi
agent_log "$pods"
