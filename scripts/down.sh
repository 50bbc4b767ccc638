#!/usr/bin/env bash
# Deletes what scripts/up.sh created: job, association, IRSA service account, add-on,
# policies, bucket with its contents, image repository and cluster. Deletes only
# resources that have our tag. Then asks each service again, and lists what still exists.
# With KUBERNETES=none, leaves the objects inside the cluster alone.
#
#   scripts/down.sh [--dry-run]
#
# Requires the same tools as scripts/up.sh. The exit code is 1 if anything still
# exists. After an interruption, run it again: a resource that is already deleted is
# no error.

# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=lib/settings.sh
. "$root/scripts/lib/settings.sh"
# shellcheck source=lib/steps.sh
. "$root/scripts/lib/steps.sh"

# undo STEP: runs the step's delete. If it fails, the other steps still run, but
# Ctrl-C ends this script.
failed_steps=()
undo() {
  local status=0 script=scripts/steps/$1.sh
  [[ -e $script ]] || script=scripts/$1.sh # people also run compare.sh themselves
  step_heading "$1"
  "$script" delete || status=$?
  ((status < 128)) || exit "$status"
  if ((status > 0)); then failed_steps+=("$1"); fi
}

# undo_in_cluster STEP: like undo, for a step whose objects disappear with the cluster.
undo_in_cluster() {
  if [[ $KUBERNETES == none ]]; then
    step_heading "$1"
    say "left alone: the objects inside the cluster, because KUBERNETES=none"
  elif [[ -n $cluster ]]; then
    undo "$1"
  else
    step_heading "$1"
    say "already deleted, together with the cluster $CLUSTER_NAME"
  fi
}

# still_there ARN: asks the service to which the resource belongs. True also when this
# script does not know how to ask.
still_there() {
  local resource=${1#*:*:*:*:*:} region parent id answer
  region=$(cut -d : -f 4 <<<"$1")
  IFS=/ read -r _ parent id _ <<<"$resource"
  case $1 in
    arn:*:s3:*) set -- 404 s3api head-bucket --bucket "$resource" ;;
    arn:*:eks:*:cluster/*) set -- ResourceNotFoundException eks describe-cluster --name "$parent" ;;
    arn:*:eks:*:nodegroup/*) set -- ResourceNotFoundException eks describe-nodegroup --cluster-name "$parent" --nodegroup-name "$id" ;;
    arn:*:eks:*:addon/*) set -- ResourceNotFoundException eks describe-addon --cluster-name "$parent" --addon-name "$id" ;;
    arn:*:eks:*:podidentityassociation/*) set -- ResourceNotFoundException eks describe-pod-identity-association --cluster-name "$parent" --association-id "$id" ;;
    arn:*:ecr:*) set -- RepositoryNotFoundException ecr describe-repositories --repository-names "${resource#repository/}" ;;
    arn:*:iam:*:policy/*) set -- NoSuchEntity iam get-policy --policy-arn "$1" ;;
    arn:*:iam:*:oidc-provider/*) set -- NoSuchEntity iam get-open-id-connect-provider --open-id-connect-provider-arn "$1" ;;
    # By its ARN, CloudFormation would also describe a stack that is deleted.
    arn:*:cloudformation:*:stack/*) set -- ValidationError cloudformation describe-stacks --stack-name "$parent" ;;
    # EC2 shows instances and NAT gateways for an hour after their deletion. They belong to
    # stacks, which look_again checks.
    arn:*:ec2:*:instance/* | arn:*:ec2:*:natgateway/*) return 1 ;;
    arn:*:ec2:*) set -- none ec2 describe-tags --filters "Name=resource-id,Values=$parent" --query 'Tags[].Key' ;;
    *) return ;;
  esac
  capture answer found "$1" aws "${@:2}" --region "${region:-$AWS_REGION}" --output text || return 1
  # Of all these, only EC2 answers with nothing when there is nothing.
  [[ $3 != describe-tags || (-n $answer && $answer != None) ]]
}

# tagged: prints the ARNs that the tagging API lists with our tag. It lists resources for
# a while after their deletion, so tagged_and_there asks their services.
refused='' # not empty: the tagging API refused to list anything
tagged() {
  local arns
  capture arns found AccessDeniedException aws resourcegroupstaggingapi get-resources --region "$AWS_REGION" --output text \
    --tag-filters "Key=$TAG_KEY,Values=$TAG_VALUE" --query 'ResourceTagMappingList[].[ResourceARN]' || refused=yes
  grep -Ev '^(None)?$' <<<"$arns" || true
}

tagged_and_there() {
  local arns arn
  capture arns tagged
  for arn in $arns; do
    if still_there "$arn"; then echo "$arn"; fi
  done
}

none_there() {
  tagged_and_there >"$scratch/left"
  [[ ! -s $scratch/left ]]
}

# look_again: prints what still exists, one resource per line.
look_again() {
  local step stacks
  for step in association addon policy bucket registry cluster; do
    "scripts/steps/$step.sh" left
  done
  scripts/compare.sh left
  # The tagging API does not list roles. They are in stacks, so list these as well.
  capture stacks found none aws cloudformation describe-stacks --region "$AWS_REGION" --output text \
    --query "Stacks[?Tags[?Key=='$TAG_KEY' && Value=='$TAG_VALUE']].[StackName]" || die "the stacks cannot be listed"
  [[ -z $stacks || $stacks == None ]] || printf 'the stack %s\n' "${stacks//$'\n'/$'\nthe stack '}"
}

begin_step "$@"
[[ $action == create ]] || die "the only argument is --dry-run (see --help)"
action=delete # so that a dry run asks AWS what there is
need_jq
settle ACCOUNT_ID PARTITION BUCKET POLICY_ARN IRSA_POLICY_ARN REPOSITORY IMAGE
say "account $ACCOUNT_ID, region $AWS_REGION, cluster $CLUSTER_NAME"
cluster='' # or the tag of a cluster that exists
if capture cluster find_cluster; then cluster=${cluster##*[[:space:]]}; fi

undo_in_cluster deploy
undo association
undo compare
if [[ $cluster == "$TAG_VALUE" ]]; then
  step_heading addon
  say "the add-on is deleted together with the cluster $CLUSTER_NAME: until then, other pods may use it"
else
  undo addon
fi
undo policy
undo bucket
undo registry
undo cluster
[[ -z $dry_run ]] || exit 0

step_heading "what still exists"
look_again >"$scratch/left"
if [[ ! -s $scratch/left ]]; then
  poll "$LAG" "the deletion of all resources with our tag" none_there || true
fi
((${#failed_steps[@]} == 0)) || say "these steps failed (see above): ${failed_steps[*]}"
if [[ -s $scratch/left ]]; then
  sed 's/^/left: /' "$scratch/left"
  die "the resources above still have the tag $TAG_KEY=$TAG_VALUE: run this again, or delete them yourself"
fi
((${#failed_steps[@]} == 0)) || die "some steps failed, although nothing is left in AWS"
if [[ -n $refused ]]; then
  say "the tagging API refused (tag:GetResources): only what the steps know was checked"
  say "nothing is left of that in account $ACCOUNT_ID, region $AWS_REGION; other resources may have the tag $TAG_KEY=$TAG_VALUE"
else
  say "nothing is left: no resource in account $ACCOUNT_ID, region $AWS_REGION, has the tag $TAG_KEY=$TAG_VALUE"
fi
