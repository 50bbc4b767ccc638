#!/usr/bin/env bash
# The EKS cluster, from k8s/cluster.yaml; or the one that CLUSTER_NAME names and
# that is there already, which is left as it is found.
#
#   scripts/steps/cluster.sh [delete] [--dry-run]
#
# With delete: the cluster with its nodes and stacks, if it has our tag. It needs
# the AWS CLI, eksctl, and the policies of scripts/steps/policy.sh. Takes 15 to 20
# minutes. It costs, in us-east-1: the control plane $0.10 an hour, two t3.medium
# $0.08, the NAT gateway $0.045 and the volumes $0.005: $0.23 an hour.

# shellcheck source-path=SCRIPTDIR source=../lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
# shellcheck source=../lib/settings.sh
. "$root/scripts/lib/settings.sh"
# shellcheck source=../lib/steps.sh
. "$root/scripts/lib/steps.sh"

readonly stack=eksctl-$CLUSTER_NAME-cluster
readonly at=(--name "$CLUSTER_NAME" --region "$AWS_REGION")

need_eksctl() {
  need eksctl "https://eksctl.io/installation/, or name a cluster that is there already in CLUSTER_NAME"
}

# kubectl's context; eksctl writes one too, where it was not interrupted.
context() {
  if command -v kubectl >/dev/null; then
    change aws eks update-kubeconfig "${at[@]}"
  fi
}

not_passing() {
  find_cluster || answer=''
  [[ ! ${answer%%[[:space:]]*} =~ ^(CREATING|UPDATING|DELETING|PENDING)$ ]]
}

policies_are_there() {
  local arn
  for arn in "$POLICY_ARN" "$IRSA_POLICY_ARN"; do
    found NoSuchEntity aws iam get-policy --policy-arn "$arn" --query Policy.DefaultVersionId --output text ||
      [[ -n $dry_run ]] || die "there is no policy ${arn##*/}, which k8s/cluster.yaml attaches: make it with scripts/steps/policy.sh"
  done
}

# The cluster has its nodes and add-ons; false when eksctl was interrupted before it had nodes.
complete() {
  found ResourceNotFoundException aws eks list-nodegroups --region "$AWS_REGION" --cluster-name "$CLUSTER_NAME" \
    --query 'length(nodegroups)' --output text && ((answer > 0)) || return 1
  found ResourceNotFoundException aws eks list-addons --region "$AWS_REGION" --cluster-name "$CLUSTER_NAME" \
    --query "length(addons[?@=='vpc-cni' || @=='coredns' || @=='kube-proxy'])" --output text && ((answer < 3)) || return 0
  say "half-made by an earlier run: the cluster has not all of its add-ons yet"
  need_eksctl
  filled k8s/cluster.yaml
  change eksctl create addon --config-file "$answer"
}

create() {
  local status tag config
  if find_cluster; then
    read -r status _ tag <<<"$answer"
    if [[ $tag != "$TAG_VALUE" ]]; then
      [[ $status == ACTIVE ]] || die "the cluster $CLUSTER_NAME is $status, not ACTIVE: when it is, run this again"
      say "there already: the cluster $CLUSTER_NAME, which these scripts did not make, and leave as it is"
      context
      return
    fi
    if [[ $status =~ ^(CREATING|UPDATING|DELETING|PENDING)$ && -z $dry_run ]]; then
      poll 1800 "the cluster $CLUSTER_NAME, which is $status" not_passing || die "the cluster is $status still: run this again later"
      status=${answer%%[[:space:]]*}
    fi
    if [[ $status == ACTIVE ]] && complete; then
      say "there already: the cluster $CLUSTER_NAME"
      context
      return
    fi
  fi
  need_eksctl
  policies_are_there
  # Without nodes; or rolled back by CloudFormation, a stack without a cluster.
  if find_stack "$stack"; then
    [[ $answer == *[[:space:]]"$TAG_VALUE" ]] || die "there is a stack $stack, which these scripts did not make: set CLUSTER_NAME"
    say "half-made by an earlier run: the stack $stack is ${answer%%[[:space:]]*} but not whole, and made again"
    change eksctl delete cluster "${at[@]}" --wait --force --disable-nodegroup-eviction
  fi
  filled k8s/cluster.yaml
  config=$answer
  say "15 to 20 minutes, and \$0.23 an hour from now on:"
  change eksctl create cluster --config-file "$config"
}

delete() {
  local tag='' left='' force=()
  if find_cluster; then
    read -r _ _ tag <<<"$answer"
  elif find_stack "$stack"; then
    read -r left tag <<<"$answer"
    force=(--force) # eksctl wants to see the cluster otherwise
  else
    say "gone already: the cluster $CLUSTER_NAME"
    return
  fi
  [[ $tag == "$TAG_VALUE" ]] || { say "left alone: the cluster $CLUSTER_NAME, which these scripts did not make" && return; }
  [[ -z $left ]] || say "half-made by an earlier run: no cluster, and the stack $stack is $left"
  need_eksctl
  # Where all nodes go, CoreDNS's disruption budget would hold up the last.
  change eksctl delete cluster "${at[@]}" --wait --disable-nodegroup-eviction ${force[@]+"${force[@]}"}
}

left() {
  if find_cluster && [[ ${answer##*[[:space:]]} == "$TAG_VALUE" ]]; then echo "the cluster $CLUSTER_NAME"; fi
}

begin "$@"
settle ACCOUNT_ID POLICY_ARN IRSA_POLICY_ARN
"$action"
