#!/usr/bin/env bash
# Creates the EKS cluster from k8s/cluster.yaml, then its nodes from k8s/nodes.yaml. A
# cluster that exists already under CLUSTER_NAME is used, and stays unchanged.
#
#   scripts/steps/cluster.sh [delete] [--dry-run]
#
# With delete, deletes the cluster with its nodes and stacks if it has our tag; if there
# are only stacks, of a cluster that could not be created or deleted, those.
# Requires the AWS CLI and eksctl. NODES is the number of nodes (2), and INSTANCE_TYPE
# their type: t3.medium, or t4g.medium with ARCHITECTURE=arm64. Takes 15 to 20
# minutes. In us-east-1, the cluster costs $0.24 an hour: the control plane $0.10, two
# t3.medium nodes $0.083, the NAT gateway $0.045 and its address $0.005, and volumes $0.004.

# shellcheck source-path=SCRIPTDIR source=../lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
# shellcheck source=../lib/settings.sh
. "$root/scripts/lib/settings.sh"
# shellcheck source=../lib/steps.sh
. "$root/scripts/lib/steps.sh"

readonly stack=eksctl-$CLUSTER_NAME-cluster
readonly nodes=eksctl-$CLUSTER_NAME-nodegroup-workers
readonly at=(--name "$CLUSTER_NAME" --region "$AWS_REGION")

need_eksctl() {
  need_tool eksctl ", or set CLUSTER_NAME to a cluster that exists"
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

# architecture_of TYPE: prints the architecture of an instance type. The names of those with Graviton processors
# have a g after the generation: https://docs.aws.amazon.com/ec2/latest/instancetypes/instance-type-names.html
architecture_of() {
  if [[ $1 == a1.* || $1 =~ ^[a-z]+[0-9]+g ]]; then echo arm64; else echo amd64; fi
}

# stacks_of_cluster: prints name and status of each stack that eksctl has created for the cluster, by its tag and
# ours; the cluster's own, on which the others depend, last.
stacks_of_cluster() {
  local listed
  capture listed found none aws cloudformation describe-stacks --region "$AWS_REGION" --output text --query \
    "Stacks[?Tags[?Key=='alpha.eksctl.io/cluster-name' && Value=='$CLUSTER_NAME'] && Tags[?Key=='$TAG_KEY' && Value=='$TAG_VALUE']].[StackName, StackStatus]"
  grep -vE "^(${stack}[[:space:]]|None|\$)" <<<"$listed" || true
  grep "^${stack}[[:space:]]" <<<"$listed" || true
}

stacks_rest() {
  local listed
  capture listed stacks_of_cluster
  [[ $listed != *_IN_PROGRESS* ]]
}

# delete_stacks: deletes the stacks of a cluster that does not exist. eksctl crashes there (eksctl issue 7450).
delete_stacks() {
  local listed name
  if [[ -z $dry_run ]]; then
    poll 1800 "the stacks of the cluster $CLUSTER_NAME, on which an operation may be in progress" stacks_rest ||
      die "an operation on the stacks of the cluster $CLUSTER_NAME is still in progress: run this again later"
  fi
  # What was being created a moment ago may be the cluster.
  ! find_cluster >/dev/null || die "the cluster $CLUSTER_NAME exists now: run this again"
  capture listed stacks_of_cluster
  while read -r name _; do
    [[ -z $name ]] || delete_stack "$name"
  done <<<"$listed"
}

# complete_control_plane: installs add-ons that an interrupted eksctl did not install.
complete_control_plane() {
  local count config
  capture count found ResourceNotFoundException aws eks list-addons --region "$AWS_REGION" --cluster-name "$CLUSTER_NAME" \
    --query "length(addons[?@=='vpc-cni' || @=='coredns' || @=='kube-proxy'])" --output text && ((count < 3)) || return 0
  say "left incomplete by an earlier run: the cluster lacks some of its add-ons"
  need_eksctl
  capture config filled k8s/cluster.yaml
  change eksctl create addon --config-file "$config"
}

# stack_of_nodes: prints the status of the nodes' stack when no operation on it is in
# progress any more; false when there is none.
stack_of_nodes() {
  local state
  capture state find_stack "$nodes" || return 1
  if [[ $state == *_IN_PROGRESS* && -z $dry_run ]]; then
    poll 1800 "the stack $nodes, which an earlier run began" stack_rests "$nodes" || die "the stack $nodes is still ${state%%[[:space:]]*}: run this again later"
    capture state find_stack "$nodes" || return 1
  fi
  echo "${state%%[[:space:]]*}"
}

# create_nodes: creates the nodes, unless the cluster has some.
create_nodes() {
  local status count config
  if capture status stack_of_nodes; then
    case $status in
      CREATE_COMPLETE | UPDATE_COMPLETE | UPDATE_ROLLBACK_COMPLETE | CREATE_IN_PROGRESS) return ;;
    esac
    say "left incomplete by an earlier run: the stack $nodes is $status; creating it again"
    delete_stack "$nodes"
  elif capture count found ResourceNotFoundException aws eks list-nodegroups --region "$AWS_REGION" --cluster-name "$CLUSTER_NAME" \
    --query 'length(nodegroups)' --output text && ((count > 0)); then
    return
  fi
  need_eksctl
  [[ $ARCHITECTURE == any || $(architecture_of "$INSTANCE_TYPE") == "$ARCHITECTURE" ]] ||
    die "INSTANCE_TYPE $INSTANCE_TYPE is not for ARCHITECTURE $ARCHITECTURE, on which alone the pods run: set one of them to match the other"
  capture config filled k8s/nodes.yaml
  change eksctl create nodegroup --config-file "$config"
}

# create_control_plane: creates the cluster without nodes.
create_control_plane() {
  local state config
  need_eksctl
  can_be_stack "$stack" || die "CloudFormation refuses the name $stack for a stack: set CLUSTER_NAME to letters, digits and hyphens, or to a cluster that exists"
  # CloudFormation has rolled back, or could not delete, what an earlier run left.
  if capture state find_stack "$stack"; then
    [[ ${state##*[[:space:]]} == "$TAG_VALUE" ]] || die "there is a stack $stack, which these scripts did not create: set CLUSTER_NAME"
    say "left incomplete by an earlier run: the stack $stack is ${state%%[[:space:]]*}, but there is no usable cluster; creating it again"
    if find_cluster >/dev/null; then
      change eksctl delete cluster "${at[@]}" --wait --force --disable-nodegroup-eviction
    else
      delete_stacks
    fi
  fi
  capture config filled k8s/cluster.yaml
  say "this takes 15 to 20 minutes, and costs \$0.24 an hour from now on:"
  change eksctl create cluster --config-file "$config"
}

create() {
  local state status='' tag
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
  fi
  if [[ $status == ACTIVE ]]; then
    say "already exists: the cluster $CLUSTER_NAME"
    complete_control_plane
    update_context
  else
    create_control_plane
  fi
  create_nodes
}

delete() {
  local state tag='' stack_status=''
  if capture state find_cluster; then
    read -r _ _ tag <<<"$state"
  elif capture state find_stack "$stack"; then
    read -r stack_status _ tag <<<"$state"
  else
    say "already deleted: the cluster $CLUSTER_NAME"
    return
  fi
  [[ $tag == "$TAG_VALUE" ]] || { say "left alone: the cluster $CLUSTER_NAME, which these scripts did not create" && return; }
  if [[ -n $stack_status ]]; then
    say "left incomplete by an earlier run: there is no cluster, and the stack $stack is $stack_status"
    delete_stacks
    return
  fi
  need_eksctl
  # EKS drains managed node groups, such as ours. Others, which somebody has added, eksctl drains: with the option, it
  # deletes their pods instead of evicting them, because CoreDNS's disruption budget would block the last node's.
  change eksctl delete cluster "${at[@]}" --wait --disable-nodegroup-eviction
}

left() {
  local state
  if capture state find_cluster && [[ ${state##*[[:space:]]} == "$TAG_VALUE" ]]; then echo "the cluster $CLUSTER_NAME"; fi
}

begin_step "$@"
settle ACCOUNT_ID
"$action"
