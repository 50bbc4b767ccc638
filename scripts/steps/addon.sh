#!/usr/bin/env bash
# The EKS add-on eks-pod-identity-agent: a DaemonSet that hands each pod the
# credentials of its association. Waits until it is active, and ready on every node.
#
#   scripts/steps/addon.sh [delete] [--dry-run]
#
# With delete: the add-on, if it has our tag. It needs the AWS CLI and an ACTIVE
# cluster; and kubectl, to look at the DaemonSet. It costs nothing.

# shellcheck source-path=SCRIPTDIR source=../lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
# shellcheck source=../lib/settings.sh
. "$root/scripts/lib/settings.sh"
# shellcheck source=../lib/steps.sh
. "$root/scripts/lib/steps.sh"

readonly addon=eks-pod-identity-agent
readonly at=(--region "$AWS_REGION" --cluster-name "$CLUSTER_NAME" --addon-name "$addon")

# The add-on is there: `answer` is its status and our tag, or None.
find_addon() {
  found ResourceNotFoundException aws eks describe-addon "${at[@]}" --query "addon.[status, tags.\"$TAG_KEY\"]" --output text
}

# Nothing is under way with it, and it is not on its way to health.
settled() {
  find_addon || answer=''
  [[ ! ${answer%%[[:space:]]*} =~ ^(CREATING|UPDATING|DELETING|DEGRADED)$ ]]
}

ready_on_every_node() {
  if [[ $KUBERNETES == none ]] || ! command -v kubectl >/dev/null; then
    say "kubectl is not here, so look at the DaemonSet $addon in kube-system yourself: it is to be ready on every node"
    return
  fi
  need_kubernetes
  change kubectl --namespace kube-system rollout status "daemonset/$addon" --timeout=300s
}

create() {
  local status=''
  need_cluster || true
  if find_addon; then read -r status _ <<<"$answer"; fi
  if [[ $status == CREATE_FAILED ]]; then
    say "half-made by an earlier run: the add-on $addon is $status, and made again"
    change aws eks delete-addon "${at[@]}"
    [[ -n $dry_run ]] || poll 300 "the add-on to be gone" settled || true
    status=''
  fi
  if [[ -n $status ]]; then
    say "there already: the add-on $addon, $status"
  else
    change aws eks create-addon "${at[@]}" --tags "$tag_map"
  fi
  [[ -z $dry_run ]] || return 0
  poll 600 "the add-on to be active" settled || true
  [[ $answer == ACTIVE* ]] ||
    die "the add-on $addon is ${answer%%[[:space:]]*}, not ACTIVE: aws eks describe-addon ${at[*]} --query addon.health"
  ready_on_every_node
}

delete() {
  find_addon || { say "gone already: the add-on $addon" && return; }
  [[ ${answer##*[[:space:]]} == "$TAG_VALUE" ]] || { say "left alone: the add-on $addon, which these scripts did not make" && return; }
  change aws eks delete-addon "${at[@]}"
  [[ -z $dry_run ]] || return 0
  poll 300 "the add-on to be gone" settled && [[ -z $answer ]] || die "the add-on $addon is not gone: aws eks describe-addon ${at[*]}"
}

left() {
  if find_addon && [[ ${answer##*[[:space:]]} == "$TAG_VALUE" ]]; then echo "the add-on $addon"; fi
}

begin "$@"
settle ACCOUNT_ID
"$action"
