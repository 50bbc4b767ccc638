#!/usr/bin/env bash
# Creates the Pod Identity association of the service account with an IAM role to
# which the policy is attached. The role is created in a CloudFormation stack.
#
#   scripts/steps/association.sh [delete] [--dry-run]
#
# WITH=eksctl creates both with eksctl, which is the default where eksctl is
# installed; WITH=aws uses the AWS CLI alone. The script then shows the stack, the
# role and its policies. With delete, deletes the association and the stack if
# they have our tag. Requires the AWS CLI, the cluster, the agent and the policy. All
# of it is free of charge.
#
# TARGET_ROLE_ARN is a second role, of this account or of another: EKS assumes it with
# the role of the association, and gives its credentials to the pods. The script prints
# the trust policy and the permissions that the target role needs, with the external ID
# that EKS has chosen. SESSION_POLICY is a file with a policy that restricts what the
# role's policies allow. SESSION_TAGS=off leaves out the session tags, which a session policy
# requires.

# shellcheck source-path=SCRIPTDIR source=../lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
# shellcheck source=../lib/settings.sh
. "$root/scripts/lib/settings.sh"
# shellcheck source=../lib/steps.sh
. "$root/scripts/lib/steps.sh"
# shellcheck source=../lib/association.sh
. "$root/scripts/lib/association.sh"

# own_stack_name: prints a name for the role's stack that CloudFormation accepts, and that no other service account has.
own_stack_name() {
  local name=$CLUSTER_NAME-podidentityrole-$NAMESPACE-$SERVICE_ACCOUNT sum
  read -r sum _ <<<"$(cksum <<<"$CLUSTER_NAME/$NAMESPACE/$SERVICE_ACCOUNT")"
  name=${name//[^A-Za-z0-9-]/-}
  [[ $name == [A-Za-z]* ]] || name=c$name
  echo "${name:0:117}-$sum"
}

# The stack in which eksctl keeps the role, and the stack that this script uses without eksctl.
readonly eksctl_stack=eksctl-$CLUSTER_NAME-podidentityrole-$NAMESPACE-$SERVICE_ACCOUNT
own_stack=$(own_stack_name)
readonly own_stack
readonly at=(--region "$AWS_REGION" --cluster-name "$CLUSTER_NAME")
readonly workload=(--cluster "$CLUSTER_NAME" --region "$AWS_REGION" --namespace "$NAMESPACE" --service-account-name "$SERVICE_ACCOUNT")

# describe_ours: prints the ID, role and tag of the association; false when it
# does not exist.
describe_ours() {
  local id role_and_tag
  capture id find_association "$SERVICE_ACCOUNT" || return 1
  capture role_and_tag found ResourceNotFoundException aws eks describe-pod-identity-association "${at[@]}" --association-id "$id" \
    --query "association.[roleArn, tags.\"$TAG_KEY\"]" --output text || return 1
  echo "$id $role_and_tag"
}

# find_role_stack: prints the name, status, workload and tag of the stack that holds the role.
find_role_stack() {
  local stack state
  for stack in "$eksctl_stack" "$own_stack"; do
    if capture state find_stack_of "$SERVICE_ACCOUNT" "$stack"; then
      echo "$stack $state"
      return
    fi
  done
  return 1
}

# role_of STACK: prints the ARN of the role that the stack has as its output.
role_of() {
  local arn
  capture arn found ValidationError aws cloudformation describe-stacks --region "$AWS_REGION" --stack-name "$1" \
    --query 'Stacks[0].Outputs[0].OutputValue' --output text && [[ $arn == arn:* ]] && echo "$arn"
}

# repair_stack: waits for the stack of an earlier run, and deletes it if it failed.
# Prints the name of a stack that is complete, or nothing.
repair_stack() {
  local state stack status tag
  capture state find_role_stack || return 0
  read -r stack status _ tag <<<"$state"
  [[ $tag == "$TAG_VALUE" ]] || die "there is a stack $stack, which these scripts did not create: delete it, or set SERVICE_ACCOUNT and POLICY_NAME and run scripts/steps/policy.sh"
  if [[ $status == *_IN_PROGRESS ]]; then
    poll 600 "the stack $stack, which an earlier run began" stack_rests "$stack" || die "the stack $stack is still $status: run this again later"
    capture state find_stack "$stack" || return 0
    status=${state%%[[:space:]]*}
  fi
  case $status in
    CREATE_COMPLETE | UPDATE_COMPLETE | UPDATE_ROLLBACK_COMPLETE) echo "$stack" ;;
    *)
      say "left incomplete by an earlier run: the stack $stack is $status; creating it again"
      delete_stack "$stack"
      ;;
  esac
}

# without_eksctl: prints why eksctl cannot create this association; false if it can.
without_eksctl() {
  # eksctl cannot give the role that it creates the permission to assume another.
  if [[ -n ${TARGET_ROLE_ARN-} ]]; then
    echo "because eksctl cannot give its role the permission to assume the target role"
  elif ! can_be_stack "$eksctl_stack"; then
    echo "because eksctl would name the stack $eksctl_stack, which CloudFormation refuses"
  elif find_stack "$eksctl_stack" >/dev/null && ! find_stack_of "$SERVICE_ACCOUNT" "$eksctl_stack" >/dev/null; then
    echo "because eksctl would name the stack $eksctl_stack, which is that of another service account"
  elif [[ $WITH == aws ]]; then
    echo "set WITH=eksctl to use eksctl"
  else
    return 1
  fi
}

# create_with_aws [STACK]: creates the association with the role of this stack, or
# of a new one.
create_with_aws() {
  local stack=$1 template role
  if [[ -z $stack ]]; then
    stack=$own_stack
    capture template filled "scripts/steps/policies/${TARGET_ROLE_ARN:+chained-}role.json"
    change aws cloudformation create-stack --region "$AWS_REGION" --stack-name "$stack" --template-body "file://$template" \
      --capabilities CAPABILITY_IAM --tags "$tag_pair"
  fi
  if [[ -n $dry_run ]]; then
    role=THE-ROLE-OF-$stack
  else
    poll 600 "the role of the stack" stack_rests "$stack" || true
    capture role role_of "$stack" ||
      die "the stack $stack created no role: aws cloudformation describe-stack-events --region $AWS_REGION --stack-name $stack"
  fi
  change aws eks create-pod-identity-association "${at[@]}" --namespace "$NAMESPACE" --service-account "$SERVICE_ACCOUNT" \
    --role-arn "$role" --tags "$tag_map" ${association_options[@]+"${association_options[@]}"}
}

# show_created ROLE: shows the stack and its resources, the role's trust policy and policies.
show_created() {
  local state
  if capture state find_role_stack; then
    run aws cloudformation describe-stack-resources --region "$AWS_REGION" --stack-name "${state%% *}" \
      --query 'StackResources[].[StackName, ResourceType, PhysicalResourceId, ResourceStatus]' --output table >&2
  fi
  show_role "${1##*/}" >&2
}

# listed: true when the association is listed.
listed() { describe_ours >/dev/null; }

# in_list: true when the list of associations has one, which may be deleted already: the list is eventually consistent.
in_list() { find_association "$SERVICE_ACCOUNT" >/dev/null; }

# need_agent: the cluster has an agent, which serves associations.
need_agent() {
  local agent
  if found ResourceNotFoundException aws eks describe-addon "${at[@]}" --addon-name eks-pod-identity-agent --query addon.status --output text >/dev/null; then
    return
  elif capture agent agent_without_addon; then
    say "the cluster has $agent"
    # eksctl knows the add-on and Auto Mode, and refuses to work with any other agent.
    if [[ $agent == *daemonset* && $WITH == eksctl ]]; then WITH=aws; fi
  else
    [[ -n $dry_run ]] || die "the cluster lacks the Pod Identity Agent, which serves associations: install it with scripts/steps/addon.sh"
  fi
}

create() {
  local ours id role tag stack reason
  check_options
  need_cluster >/dev/null || true
  need_agent
  # With a target role, the role of the association has no other permission than to assume it.
  [[ -n ${TARGET_ROLE_ARN-} ]] || found NoSuchEntity aws iam get-policy --policy-arn "$POLICY_ARN" --query Policy.DefaultVersionId --output text >/dev/null ||
    [[ -n $dry_run ]] || die "the policy ${POLICY_ARN##*/} does not exist: create it with scripts/steps/policy.sh"
  if capture ours describe_ours; then
    read -r id role tag <<<"$ours"
    [[ $tag == "$TAG_VALUE" ]] ||
      die "$NAMESPACE/$SERVICE_ACCOUNT is associated with $role already, by an association that these scripts did not create: delete the association $id, or set SERVICE_ACCOUNT and POLICY_NAME and run scripts/steps/policy.sh"
    check_existing "$id"
    say "already exists: the association of $NAMESPACE/$SERVICE_ACCOUNT with $role"
  else
    capture stack repair_stack
    if [[ -n $stack ]]; then
      say "left incomplete by an earlier run: the stack $stack exists, but the association does not"
      create_with_aws "$stack"
    elif capture reason without_eksctl; then
      say "creating the association with the AWS CLI alone ($reason)"
      create_with_aws ''
    else
      say "creating the association with eksctl (set WITH=aws to do without it)"
      change eksctl create podidentityassociation "${workload[@]}" --permission-policy-arns "$POLICY_ARN" --tags "$tag_map" \
        ${PERMISSIONS_BOUNDARY:+--permission-boundary-arn "$PERMISSIONS_BOUNDARY"} ${eksctl_options[@]+"${eksctl_options[@]}"}
    fi
    [[ -z $dry_run ]] || return 0
    poll 120 "the association to become visible" listed || die "the association is not listed yet: run this again"
    capture ours describe_ours || die "the association is not listed any more: run this again"
    read -r id role tag <<<"$ours"
  fi
  show_created "$role"
  show_target "$id" "$role"
  say "the association is listed; according to EKS, it takes some seconds more until new pods get its credentials"
}

delete() {
  local ours id role tag stack state by_eksctl=''
  if ! capture ours describe_ours; then
    say "already deleted: the association of $NAMESPACE/$SERVICE_ACCOUNT"
  else
    read -r id role tag <<<"$ours"
    if [[ $tag != "$TAG_VALUE" ]]; then
      say "left alone: the association of $NAMESPACE/$SERVICE_ACCOUNT with $role, which these scripts did not create"
    elif [[ $KUBERNETES != none ]] && command -v eksctl >/dev/null && find_stack_of "$SERVICE_ACCOUNT" "$eksctl_stack" >/dev/null; then
      by_eksctl=yes
      change eksctl delete podidentityassociation "${workload[@]}"
    else
      change aws eks delete-pod-identity-association "${at[@]}" --association-id "$id"
    fi
    # Otherwise, creating it again at once would find it there.
    [[ -n $dry_run || $tag != "$TAG_VALUE" ]] || poll "$LAG" "the deletion of the association" not in_list ||
      die "the association $id is still listed: run this again"
  fi
  # eksctl deletes its stack itself. One that is still there was left by an interrupted run.
  for stack in "$eksctl_stack" "$own_stack"; do
    if [[ -n $dry_run && -n $by_eksctl && $stack == "$eksctl_stack" ]] || ! capture state find_stack_of "$SERVICE_ACCOUNT" "$stack"; then continue; fi
    if [[ ${state##*[[:space:]]} == "$TAG_VALUE" ]]; then
      delete_stack "$stack"
    else
      say "left alone: the stack $stack, which these scripts did not create"
    fi
  done
}

left() {
  local ours
  if capture ours describe_ours && [[ ${ours##*[[:space:]]} == "$TAG_VALUE" ]]; then echo "the association ${ours%% *}"; fi
}

begin_step "$@"
if [[ $action == create ]]; then
  [[ -z $dry_run ]] || plan_without_aws
  need_tool aws
  check_versions
fi
settle ACCOUNT_ID PARTITION POLICY_ARN IRSA_POLICY_ARN BUCKET
[[ $WITH == aws || $action != create ]] || need_tool eksctl ", or set WITH=aws"
"$action"
