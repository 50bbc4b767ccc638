#!/usr/bin/env bash
# Deletes what scripts/up.sh created: job, association, IRSA service account, add-on,
# policies, bucket with its contents, image repository and cluster. Deletes only
# resources that have our tag. Then checks again, and lists what still exists.
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

# tagged: prints the ARNs that the tagging API lists with our tag. It lists instances
# and NAT gateways for an hour after their deletion, so leave them out: they belong to
# stacks, which look_again checks.
tagged() {
  local arns
  capture arns found 'AccessDenied' aws resourcegroupstaggingapi get-resources --region "$AWS_REGION" --output text \
    --tag-filters "Key=$TAG_KEY,Values=$TAG_VALUE" --query 'ResourceTagMappingList[].[ResourceARN]' || arns=''
  grep -Ev '^(None)?$|:ec2:.*:(instance|natgateway)/' <<<"$arns" || true
}

none_tagged() {
  tagged >"$scratch/left"
  [[ ! -s $scratch/left ]]
}

# look_again: prints what still exists, one resource per line.
look_again() {
  local step stacks
  for step in association addon policy bucket registry cluster; do
    "scripts/steps/$step.sh" left
  done
  # The tagging API does not list roles. They are in stacks, so list these as well.
  capture stacks found '^$' aws cloudformation describe-stacks --region "$AWS_REGION" --output text \
    --query "Stacks[?Tags[?Key=='$TAG_KEY' && Value=='$TAG_VALUE']].[StackName]" || die "the stacks cannot be listed"
  [[ -z $stacks || $stacks == None ]] || printf 'the stack %s\n' "${stacks//$'\n'/$'\nthe stack '}"
}

begin_step "$@"
[[ $action == create ]] || die "the only argument is --dry-run (see --help)"
need_jq
settle ACCOUNT_ID PARTITION BUCKET POLICY_ARN IRSA_POLICY_ARN REPOSITORY IMAGE
say "account $ACCOUNT_ID, region $AWS_REGION, cluster $CLUSTER_NAME"
cluster='' # or the tag of a cluster that exists
if capture cluster find_cluster; then cluster=${cluster##*[[:space:]]}; fi

undo_in_cluster deploy
undo association
undo_in_cluster compare
if [[ $cluster == "$TAG_VALUE" ]]; then
  step_heading addon
  say "the add-on goes with the cluster $CLUSTER_NAME: until then, other pods may use it"
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
  poll "${LAG:-120}" "the tagging API to list no resource with our tag" none_tagged || true
fi
((${#failed_steps[@]} == 0)) || say "these steps failed (see above): ${failed_steps[*]}"
if [[ -s $scratch/left ]]; then
  sed 's/^/left: /' "$scratch/left"
  die "the resources above still have the tag $TAG_KEY=$TAG_VALUE: run this again, or delete them yourself"
fi
((${#failed_steps[@]} == 0)) || die "some steps failed, although nothing is left in AWS"
say "nothing is left: no resource in account $ACCOUNT_ID, region $AWS_REGION, has the tag $TAG_KEY=$TAG_VALUE"
