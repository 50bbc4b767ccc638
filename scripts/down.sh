#!/usr/bin/env bash
# The way back from scripts/up.sh: job, association, IRSA account, add-on,
# policies, bucket with all that is in it, image repository, cluster; of each only
# what has our tag. Then it looks again, and lists what is left.
#
#   scripts/down.sh [--dry-run]
#
# It needs what scripts/up.sh needed. Exit code 1 if anything is left. What is
# gone already is no error: interrupted, it is run again.

# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=lib/settings.sh
. "$root/scripts/lib/settings.sh"
# shellcheck source=lib/steps.sh
. "$root/scripts/lib/steps.sh"

# Where the script of this name is: compare.sh is no step, but creates things too.
script_of() {
  if [[ $1 == compare ]]; then echo scripts/compare.sh; else echo "scripts/steps/$1.sh"; fi
}

# A step that fails does not keep the others from going on; Ctrl-C does.
failed=()
undo() {
  local status=0
  heading "$1"
  "$(script_of "$1")" delete || status=$?
  ((status < 128)) || exit "$status"
  if ((status > 0)); then failed+=("$1"); fi
}

# What is in the cluster ends with the cluster.
undo_in_cluster() {
  if [[ $KUBERNETES == none ]]; then
    heading "$1"
    say "left alone: what is inside of the cluster, with KUBERNETES=none"
  elif [[ -n $cluster ]]; then
    undo "$1"
  else
    heading "$1"
    say "gone already, with the cluster $CLUSTER_NAME"
  fi
}

# What the tagging API lists. It lags behind, and shows instances and NAT
# gateways for an hour after their end; those go with the stacks, seen directly.
tagged() {
  found 'AccessDenied' aws resourcegroupstaggingapi get-resources --region "$AWS_REGION" --output text \
    --tag-filters "Key=$TAG_KEY,Values=$TAG_VALUE" --query 'ResourceTagMappingList[].[ResourceARN]' || answer=''
  answer=$(grep -Ev '^(None)?$|:ec2:.*:(instance|natgateway)/' <<<"$answer" || true)
}

none_tagged() {
  tagged
  [[ -z $answer ]]
}

# What is left, a line each, into a file: first as each step sees it.
look_again() {
  local step
  for step in association addon policy bucket registry cluster; do
    "scripts/steps/$step.sh" left
  done
  # Roles are in stacks, and the tagging API knows no roles.
  found . aws cloudformation describe-stacks --region "$AWS_REGION" --output text \
    --query "Stacks[?Tags[?Key=='$TAG_KEY' && Value=='$TAG_VALUE']].[StackName]" || die "the stacks cannot be listed: $failure"
  [[ -z $answer || $answer == None ]] || printf 'the stack %s\n' "${answer//$'\n'/$'\nthe stack '}"
}

begin "$@"
[[ $action == create ]] || die "the only argument is --dry-run"
need_jq
settle ACCOUNT_ID PARTITION BUCKET POLICY_ARN IRSA_POLICY_ARN REPOSITORY IMAGE
say "account $ACCOUNT_ID, region $AWS_REGION, cluster $CLUSTER_NAME"
cluster=''
if find_cluster; then cluster=yes; fi

undo_in_cluster deploy
undo association
undo_in_cluster compare
undo addon
undo policy
undo bucket
undo registry
undo cluster
[[ -z $dry_run ]] || exit 0

heading "what is left"
look_again >"$scratch/left"
if [[ ! -s $scratch/left ]]; then
  poll "${LAG:-120}" "the tagging API to list nothing of ours" none_tagged || printf '%s\n' "$answer" >"$scratch/left"
fi
((${#failed[@]} == 0)) || say "failed, as said above: ${failed[*]}"
if [[ -s $scratch/left ]]; then
  sed 's/^/left: /' "$scratch/left"
  die "that is left of $TAG_KEY=$TAG_VALUE: run this again, or delete it by hand"
fi
((${#failed[@]} == 0)) || die "not all steps succeeded, though nothing is left in AWS"
say "nothing is left: nothing in account $ACCOUNT_ID, region $AWS_REGION, has the tag $TAG_KEY=$TAG_VALUE"
