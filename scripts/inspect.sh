#!/usr/bin/env bash
# Inside Pod Identity: the association and its role, the agent, what the webhook
# put into the job's pod beside a pod that has no association, the token's claims
# and the identity as the pod sees them, and what the agent logged for this pod.
#
#   scripts/inspect.sh
#
# It needs the AWS CLI, jq and kubectl. It changes nothing: the pod beside it is
# asked for with --dry-run=server, which passes admission and makes nothing.

# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=lib/settings.sh
. "$root/scripts/lib/settings.sh"
# shellcheck source=lib/steps.sh
. "$root/scripts/lib/steps.sh"
# shellcheck source=lib/pods.sh
. "$root/scripts/lib/pods.sh"

readonly agent=app.kubernetes.io/name=eks-pod-identity-agent

# The association, the role, whom that trusts, what is attached to it.
association() {
  local role
  heading "the association: in EKS, not in Kubernetes"
  if ! find_association "$SERVICE_ACCOUNT"; then
    say "there is none for $NAMESPACE/$SERVICE_ACCOUNT: make it with scripts/steps/association.sh"
    return
  fi
  found ResourceNotFoundException aws eks describe-pod-identity-association "${at_eks[@]}" --association-id "$answer" --output json ||
    die "the association is gone since it was listed: run this again"
  jq '.association | {clusterName, namespace, serviceAccount, roleArn, targetRoleArn, disableSessionTags, createdAt} | del(.[] | nulls)' <<<"$answer"
  role=$(jq -r '.association.roleArn | split("/") | last' <<<"$answer")
  show_role "$role"
}

daemonset() {
  heading "the agent: on each node, at 169.254.170.23"
  run kubectl --namespace kube-system get daemonset eks-pod-identity-agent ||
    say "there is no agent, so no pod gets credentials: scripts/steps/addon.sh"
}

# What a webhook adds, a line each: from a pod as JSON.
additions() {
  jq -r '
    (.metadata.labels // {} | to_entries[] | select(.key | startswith("eks.amazonaws.com/")) | "label \(.key): \(.value)"),
    (.spec.containers[0].env // [] | .[] | select((.name | startswith("AWS_")) and .value) | "env \(.name)=\(.value)"),
    (.spec.volumes // [] | .[] | select(.projected) | .name as $name | .projected.sources[].serviceAccountToken // empty |
      select(.audience) | "volume \($name): token for \(.audience), \(.expirationSeconds) s"),
    (.spec.containers[0].volumeMounts // [] | .[] | select(.mountPath | contains("eks.amazonaws.com")) | "mount \(.mountPath)")'
}

# The same pod under the service account `default`, as admission would let it in.
# Without the labels, which components/require-pod-identity would refuse it for.
beside() {
  of_pod '{apiVersion: "v1", kind: "Pod", metadata: {name: "beside", namespace: .metadata.namespace}, spec: (.spec
    | del(.nodeName, .serviceAccount, .volumes) | .serviceAccountName = "default"
    | .containers |= map(del(.volumeMounts) | .env |= map(select((.name | startswith("AWS_") | not) or .valueFrom))))}' >"$scratch/beside.json"
  say "asked of the API server, beside.json being that pod under the service account default:"
  show kubectl apply --dry-run=server --output json --filename beside.json
  kubectl apply --dry-run=server --output json --filename "$scratch/beside.json"
}

webhook() {
  local line mark
  heading "what the webhook put into $pod, and into a pod without an association"
  beside >"$scratch/other" || die "the pod beside it was refused: what the API server said is above"
  additions <"$scratch/other" >"$scratch/other.lines"
  of_pod . | additions >"$scratch/pod.lines"
  while IFS= read -r line; do
    mark=-
    if grep -Fxq -e "$line" "$scratch/other.lines"; then mark=yes; fi
    printf '  this pod: yes   the other: %-4s %s\n' "$mark" "$line"
  done <"$scratch/pod.lines"
  [[ -s $scratch/pod.lines ]] || say "nothing into either: the pod is older than its association, or it has none; delete the pod, do not restart it"
}

identity() {
  heading "who the pod is, from inside"
  run "${kube[@]}" exec "$pod" -- pod-identity-demo identity ||
    say "the identity is not what is required: what to do is above"
}

# The agent of the pod's node names a caller by its address, and a session by the pod.
agent_log() {
  local line node address
  heading "what the agent on the pod's node logged for it"
  node=$(of_pod .spec.nodeName) address=$(of_pod .status.podIP)
  kubectl --namespace kube-system get pods --selector "$agent" --output json |
    jq -r --arg node "$node" '.items[] | select(.spec.nodeName == $node).metadata.name' >"$scratch/agents"
  while IFS= read -r line; do
    show kubectl --namespace kube-system logs "$line" --tail=5000
    kubectl --namespace kube-system logs "$line" --tail=5000 </dev/null | grep -F -e "\"$address:" -e "$pod" | tail -n 10 ||
      say "$line has logged nothing for it among its last 5000 lines"
  done <"$scratch/agents"
}

begin "$@"
[[ $action == create ]] || die "there is nothing to $action: this only looks"
reach || die "there is no cluster $CLUSTER_NAME yet"
association
daemonset
look_at pod-identity-demo || die "the Job pod-identity-demo has no pod in $NAMESPACE: scripts/steps/deploy.sh makes it"
webhook
if [[ $(of_pod .status.phase) == Running ]]; then
  identity
else
  explain pod-identity-demo
fi
agent_log
