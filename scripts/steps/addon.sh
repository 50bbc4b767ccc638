#!/usr/bin/env bash
# Installs the EKS add-on eks-pod-identity-agent, a DaemonSet that gives each pod
# the credentials of its association. Waits until the add-on is active and the
# agent is ready on every node. EKS Auto Mode has the agent built in, and an agent that
# you installed otherwise stays as it is: the script then installs nothing.
#
#   scripts/steps/addon.sh [delete] [--dry-run]
#
# With delete, deletes the add-on if it has our tag. Requires the AWS CLI and an
# ACTIVE cluster, and kubectl to check the DaemonSet. The add-on is free of charge.

# shellcheck source-path=SCRIPTDIR source=../lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
# shellcheck source=../lib/settings.sh
. "$root/scripts/lib/settings.sh"
# shellcheck source=../lib/steps.sh
. "$root/scripts/lib/steps.sh"

readonly addon=eks-pod-identity-agent
readonly at=(--region "$AWS_REGION" --cluster-name "$CLUSTER_NAME" --addon-name "$addon")

# find_addon: prints the add-on's status, and our tag or None; false when the
# add-on does not exist.
find_addon() {
  found ResourceNotFoundException aws eks describe-addon "${at[@]}" --query "addon.[status, tags.\"$TAG_KEY\"]" --output text
}

# addon_rests: true when the add-on is neither changing nor recovering. An add-on can stay DEGRADED although each
# node has a ready agent (eks-pod-identity-agent issue 153), so then the DaemonSet decides.
addon_rests() {
  local state
  capture state find_addon || return 0
  case ${state%%[[:space:]]*} in
    CREATING | UPDATING | DELETING) return 1 ;;
    DEGRADED) agent_ready ;;
  esac
}

# addon_deleted: true when the add-on is gone, or its deletion has failed.
addon_deleted() {
  local state
  capture state find_addon || return 0
  [[ $state == DELETE_FAILED* ]]
}

# agent_ready: true when the agent is ready on every node; also when there is no kubectl to tell.
agent_ready() {
  local counts wanted ready
  at_cluster || return 0
  capture counts found 'not found' kubectl --namespace kube-system get "daemonset/$addon" \
    --output 'jsonpath={.status.desiredNumberScheduled} {.status.numberReady}' || return 1
  read -r wanted ready <<<"$counts"
  [[ $wanted == [1-9]* && $wanted == "$ready" ]]
}

ready_on_every_node() {
  if [[ $KUBERNETES == none ]] || ! command -v kubectl >/dev/null; then
    say "kubectl is not available: check yourself that the DaemonSet $addon in kube-system is ready on every node"
    return
  fi
  need_kubernetes
  change kubectl --namespace kube-system rollout status "daemonset/$addon" --timeout=300s
}

create() {
  local state='' status='' agent
  need_cluster >/dev/null || true
  if capture state find_addon; then
    status=${state%%[[:space:]]*}
  elif capture agent agent_without_addon; then
    say "already exists: $agent"
    return
  fi
  if [[ $status == CREATE_FAILED ]]; then
    [[ ${state##*[[:space:]]} == "$TAG_VALUE" ]] ||
      die "the add-on $addon of the cluster $CLUSTER_NAME is $status, and these scripts did not create it: repair or delete it, then run this again"
    at_cluster || true # a wrong context is to be known before the deletion
    say "left incomplete by an earlier run: the add-on $addon is $status; creating it again"
    change aws eks delete-addon "${at[@]}"
    [[ -n $dry_run ]] || poll 300 "the deletion of the add-on" addon_deleted || true
    status=''
  fi
  if [[ -n $status ]]; then
    say "already exists: the add-on $addon, $status"
  else
    change aws eks create-addon "${at[@]}" --tags "$tag_map"
  fi
  [[ -z $dry_run ]] || return 0
  poll 600 "the add-on to become active" addon_rests || true
  capture state find_addon || state='not there'
  if [[ $state == DEGRADED* ]] && agent_ready; then
    say "warning: the add-on $addon is DEGRADED, although nothing says that its agents are not ready; going on. To see why:"
    show aws eks describe-addon "${at[@]}" --query addon.health
  else
    [[ $state == ACTIVE* ]] ||
      die "the add-on $addon is ${state%%[[:space:]]*}, not ACTIVE: aws eks describe-addon ${at[*]} --query addon.health"
  fi
  ready_on_every_node
}

delete() {
  local state
  capture state find_addon || { say "already deleted: the add-on $addon" && return; }
  [[ ${state##*[[:space:]]} == "$TAG_VALUE" ]] || { say "left alone: the add-on $addon, which these scripts did not create" && return; }
  change aws eks delete-addon "${at[@]}"
  [[ -z $dry_run ]] || return 0
  poll 300 "the deletion of the add-on" addon_deleted || true
  ! find_addon >/dev/null ||
    die "the add-on $addon still exists: aws eks describe-addon ${at[*]}"
}

left() {
  local state
  if capture state find_addon && [[ ${state##*[[:space:]]} == "$TAG_VALUE" ]]; then echo "the add-on $addon"; fi
}

begin_step "$@"
settle ACCOUNT_ID
"$action"
