#!/usr/bin/env bash
# The Pod Identity association of the service account with a role that carries
# the policy; the role is made in a CloudFormation stack.
#
#   scripts/steps/association.sh [delete] [--dry-run]
#
# WITH=eksctl makes both with eksctl, the default where that is installed;
# WITH=aws with the AWS CLI alone. Then it shows the stack, the role and the
# policies. With delete: the association and the stack, if they have our tag. It
# needs the AWS CLI, the cluster, its add-on and the policy. It costs nothing.

# shellcheck source-path=SCRIPTDIR source=../lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
# shellcheck source=../lib/settings.sh
. "$root/scripts/lib/settings.sh"
# shellcheck source=../lib/steps.sh
. "$root/scripts/lib/steps.sh"

# Where eksctl keeps the role, and where this script does without it.
readonly eksctl_stack=eksctl-$CLUSTER_NAME-podidentityrole-$NAMESPACE-$SERVICE_ACCOUNT
readonly own_stack=$CLUSTER_NAME-podidentityrole-$NAMESPACE-$SERVICE_ACCOUNT
readonly at=(--region "$AWS_REGION" --cluster-name "$CLUSTER_NAME")
readonly workload=(--cluster "$CLUSTER_NAME" --region "$AWS_REGION" --namespace "$NAMESPACE" --service-account-name "$SERVICE_ACCOUNT")

# The association is there: `id`, `role` and `tag` are set.
id='' role='' tag=''
find_ours() {
  find_association "$SERVICE_ACCOUNT" || return 1
  id=$answer
  found ResourceNotFoundException aws eks describe-pod-identity-association "${at[@]}" --association-id "$id" \
    --query "association.[roleArn, tags.\"$TAG_KEY\"]" --output text || return 1
  read -r role tag <<<"$answer"
}

# The stack that is there: `stack` is its name, `answer` its status and tag.
stack=''
find_role_stack() {
  for stack in "$eksctl_stack" "$own_stack"; do
    if find_stack "$stack"; then return; fi
  done
  stack=''
  return 1
}

# The role that a stack's outputs name, in `answer`.
role_of() {
  found 'does not exist' aws cloudformation describe-stacks --region "$AWS_REGION" --stack-name "$1" \
    --query 'Stacks[0].Outputs[0].OutputValue' --output text && [[ $answer == arn:* ]]
}

# An earlier run's stack is waited for, and removed if it came to nothing.
# Then `stack` is one that is complete, or empty.
repair() {
  find_role_stack || return 0
  [[ $answer == *[[:space:]]"$TAG_VALUE" ]] || die "there is a stack $stack, which these scripts did not make: delete it, or set SERVICE_ACCOUNT"
  if [[ ${answer%%[[:space:]]*} == *_IN_PROGRESS ]]; then
    poll 600 "the stack $stack, which an earlier run began" stack_rests "$stack" || die "the stack $stack is still at it: run this again later"
  fi
  case ${answer%%[[:space:]]*} in
    CREATE_COMPLETE | UPDATE_COMPLETE | UPDATE_ROLLBACK_COMPLETE) ;;
    '') stack='' ;;
    *)
      say "half-made by an earlier run: the stack $stack is ${answer%%[[:space:]]*}, and made again"
      delete_stack "$stack"
      stack=''
      ;;
  esac
}

with_aws() {
  if [[ -z $stack ]]; then
    stack=$own_stack
    filled scripts/steps/policies/role.json
    change aws cloudformation create-stack --region "$AWS_REGION" --stack-name "$stack" --template-body "file://$answer" \
      --capabilities CAPABILITY_IAM --tags "$tag_pair"
  fi
  if [[ -n $dry_run ]]; then
    answer=THE-ROLE-OF-$stack
  else
    poll 600 "the stack's role" stack_rests "$stack" || true
    role_of "$stack" || die "the stack $stack came to nothing: aws cloudformation describe-stack-events --region $AWS_REGION --stack-name $stack"
  fi
  change aws eks create-pod-identity-association "${at[@]}" --namespace "$NAMESPACE" --service-account "$SERVICE_ACCOUNT" \
    --role-arn "$answer" --tags "$tag_map"
}

# The stack, what it made, whom that trusts, what it may.
show_made() {
  if find_role_stack; then
    run aws cloudformation describe-stack-resources --region "$AWS_REGION" --stack-name "$stack" \
      --query 'StackResources[].[StackName, ResourceType, PhysicalResourceId, ResourceStatus]' --output table >&2
  fi
  show_role "${role##*/}" >&2
}

listed() { find_ours; }

create() {
  need_cluster || true
  found ResourceNotFoundException aws eks describe-addon "${at[@]}" --addon-name eks-pod-identity-agent --query addon.status --output text ||
    [[ -n $dry_run ]] || die "the cluster has no add-on eks-pod-identity-agent, which serves associations: make it with scripts/steps/addon.sh"
  found NoSuchEntity aws iam get-policy --policy-arn "$POLICY_ARN" --query Policy.DefaultVersionId --output text ||
    [[ -n $dry_run ]] || die "there is no policy $POLICY_NAME: make it with scripts/steps/policy.sh"
  if find_ours; then
    [[ $tag == "$TAG_VALUE" ]] ||
      die "$NAMESPACE/$SERVICE_ACCOUNT is associated with $role already, and not by these scripts: delete the association $id, or set SERVICE_ACCOUNT"
    say "there already: the association of $NAMESPACE/$SERVICE_ACCOUNT with $role"
  else
    repair
    if [[ -z $stack && $WITH == eksctl ]]; then
      say "made with eksctl (WITH=aws does without it)"
      change eksctl create podidentityassociation "${workload[@]}" --permission-policy-arns "$POLICY_ARN" --tags "$tag_map"
    else
      if [[ -n $stack ]]; then
        say "half-made by an earlier run: the stack $stack is there, the association is not"
      else
        say "made with the AWS CLI alone (WITH=eksctl does it with eksctl)"
      fi
      with_aws
    fi
    [[ -z $dry_run ]] || return 0
    poll 120 "the association to be listed" listed || die "the association is not listed: run this again"
  fi
  show_made
  say "the association is listed; EKS says that it takes some seconds more until new pods get its credentials"
}

delete() {
  local by_eksctl=''
  if ! find_ours; then
    say "gone already: the association of $NAMESPACE/$SERVICE_ACCOUNT"
  elif [[ $tag != "$TAG_VALUE" ]]; then
    say "left alone: the association of $NAMESPACE/$SERVICE_ACCOUNT with $role, which these scripts did not make"
  elif command -v eksctl >/dev/null && find_stack "$eksctl_stack"; then
    by_eksctl=yes
    change eksctl delete podidentityassociation "${workload[@]}"
  else
    change aws eks delete-pod-identity-association "${at[@]}" --association-id "$id"
  fi
  # eksctl has removed its stack, unless this is what an interrupted run left.
  for stack in "$eksctl_stack" "$own_stack"; do
    if [[ -n $dry_run && -n $by_eksctl && $stack == "$eksctl_stack" ]] || ! find_stack "$stack"; then continue; fi
    if [[ $answer == *[[:space:]]"$TAG_VALUE" ]]; then
      delete_stack "$stack"
    else
      say "left alone: the stack $stack, which these scripts did not make"
    fi
  done
}

left() {
  if find_ours && [[ $tag == "$TAG_VALUE" ]]; then echo "the association $id"; fi
}

begin "$@"
[[ $WITH =~ ^(eksctl|aws)$ ]] || die "WITH is eksctl or aws, not '$WITH'"
[[ $WITH == aws || $action != create ]] || need eksctl "https://eksctl.io/installation/, or set WITH=aws"
settle ACCOUNT_ID POLICY_ARN
"$action"
