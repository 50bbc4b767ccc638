#!/usr/bin/env bash
# Creates the EKS cluster from k8s/cluster.yaml. A cluster that exists already under
# CLUSTER_NAME is used, and stays unchanged.
#
#   scripts/steps/cluster.sh [delete] [--dry-run]
#
# With delete, deletes the cluster with its nodes and stacks if it has our tag.
# Requires the AWS CLI, eksctl, and the policies of scripts/steps/policy.sh. Takes 15
# to 20 minutes. In us-east-1, the cluster costs $0.23 an hour: the control plane
# $0.10, two t3.medium nodes $0.08, the NAT gateway $0.045, and volumes $0.005.

# shellcheck source-path=SCRIPTDIR source=../lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
# shellcheck source=../lib/settings.sh
. "$root/scripts/lib/settings.sh"
# shellcheck source=../lib/steps.sh
. "$root/scripts/lib/steps.sh"

readonly stack=eksctl-$CLUSTER_NAME-cluster
readonly at=(--name "$CLUSTER_NAME" --region "$AWS_REGION")

need_eksctl() {
  need eksctl "https://eksctl.io/installation/, or set CLUSTER_NAME to a cluster that exists"
}

# update_context: writes the context for kubectl. eksctl writes one too, unless it
# was interrupted.
update_context() {
  if command -v kubectl >/dev/null; then
    change aws eks update-kubeconfig "${at[@]}"
  fi
}

# cluster_rests: true when no operation on the cluster is in progress.
cluster_rests() {
  local state
  capture state find_cluster || return 0
  [[ ! ${state%%[[:space:]]*} =~ ^(CREATING|UPDATING|DELETING|PENDING)$ ]]
}

need_policies() {
  local arn
  for arn in "$POLICY_ARN" "$IRSA_POLICY_ARN"; do
    found NoSuchEntity aws iam get-policy --policy-arn "$arn" --query Policy.DefaultVersionId --output text >/dev/null ||
      [[ -n $dry_run ]] || die "the policy ${arn##*/}, which k8s/cluster.yaml attaches, does not exist: create it with scripts/steps/policy.sh"
  done
}

# complete: installs add-ons that are missing; false when the cluster has no nodes,
# because eksctl was interrupted before it created them.
complete() {
  local count config
  capture count found ResourceNotFoundException aws eks list-nodegroups --region "$AWS_REGION" --cluster-name "$CLUSTER_NAME" \
    --query 'length(nodegroups)' --output text && ((count > 0)) || return 1
  capture count found ResourceNotFoundException aws eks list-addons --region "$AWS_REGION" --cluster-name "$CLUSTER_NAME" \
    --query "length(addons[?@=='vpc-cni' || @=='coredns' || @=='kube-proxy'])" --output text && ((count < 3)) || return 0
  say "left incomplete by an earlier run: the cluster lacks some of its add-ons"
  need_eksctl
  capture config filled k8s/cluster.yaml
  change eksctl create addon --config-file "$config"
}

create() {
  local state status tag config
  if capture state find_cluster; then
    read -r status _ tag <<<"$state"
    if [[ $tag != "$TAG_VALUE" ]]; then
      [[ $status == ACTIVE ]] || die "the cluster $CLUSTER_NAME is $status, not ACTIVE: run this again when it is"
      say "already exists: the cluster $CLUSTER_NAME, which these scripts did not create and do not change"
      update_context
      return
    fi
    if [[ $status =~ ^(CREATING|UPDATING|DELETING|PENDING)$ && -z $dry_run ]]; then
      poll 1800 "the cluster $CLUSTER_NAME, which is $status" cluster_rests || die "the cluster is still $status: run this again later"
      capture state find_cluster || state=''
      status=${state%%[[:space:]]*}
    fi
    if [[ $status == ACTIVE ]] && complete; then
      say "already exists: the cluster $CLUSTER_NAME"
      update_context
      return
    fi
  fi
  need_eksctl
  need_policies
  # An interrupted run leaves a cluster without nodes, or a stack that CloudFormation rolled back.
  if capture state find_stack "$stack"; then
    [[ ${state##*[[:space:]]} == "$TAG_VALUE" ]] || die "there is a stack $stack, which these scripts did not create: set CLUSTER_NAME"
    say "left incomplete by an earlier run: the stack $stack is ${state%%[[:space:]]*}, but not complete; creating it again"
    change eksctl delete cluster "${at[@]}" --wait --force --disable-nodegroup-eviction
  fi
  capture config filled k8s/cluster.yaml
  say "this takes 15 to 20 minutes, and costs \$0.23 an hour from now on:"
  change eksctl create cluster --config-file "$config"
}

delete() {
  local state tag='' stack_status='' force=()
  if capture state find_cluster; then
    read -r _ _ tag <<<"$state"
  elif capture state find_stack "$stack"; then
    read -r stack_status tag <<<"$state"
    force=(--force) # without it, eksctl fails because there is no cluster
  else
    say "already deleted: the cluster $CLUSTER_NAME"
    return
  fi
  [[ $tag == "$TAG_VALUE" ]] || { say "left alone: the cluster $CLUSTER_NAME, which these scripts did not create" && return; }
  [[ -z $stack_status ]] || say "left incomplete by an earlier run: there is no cluster, and the stack $stack is $stack_status"
  need_eksctl
  # Do not evict pods: CoreDNS's disruption budget would block the deletion of the last node.
  change eksctl delete cluster "${at[@]}" --wait --disable-nodegroup-eviction ${force[@]+"${force[@]}"}
}

left() {
  local state
  if capture state find_cluster && [[ ${state##*[[:space:]]} == "$TAG_VALUE" ]]; then echo "the cluster $CLUSTER_NAME"; fi
}

begin_step "$@"
settle ACCOUNT_ID POLICY_ARN IRSA_POLICY_ARN
"$action"
