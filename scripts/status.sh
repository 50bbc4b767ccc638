#!/usr/bin/env bash
# Shows the Jobs, their pods, the ends of their logs, and their newest objects.
#
#   scripts/status.sh
#
# Requires the AWS CLI, jq and kubectl. Changes nothing, and is free of charge.

# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=lib/settings.sh
. "$root/scripts/lib/settings.sh"
# shellcheck source=lib/steps.sh
. "$root/scripts/lib/steps.sh"
# shellcheck source=lib/pods.sh
. "$root/scripts/lib/pods.sh"

# show_objects POD: prints the newest five of the pod's objects, as S3 has them, one per line. The log
# tells where they begin, and a pod's keys sort by time: the whole bucket may have millions.
show_objects() {
  local first objects
  first=$("${kube[@]}" logs "$1" --tail=200 2>/dev/null |
    jq -Rrn '[inputs | fromjson? | select(.message == "uploaded").key] | .[-5:][0] // empty' || true)
  if [[ -z $first ]]; then
    say "the end of the log of $1 names no object"
  # All that a key begins with sorts before it, so the list begins with this object.
  elif capture objects found NoSuchBucket aws s3api list-objects-v2 --region "$AWS_REGION" --bucket "$BUCKET" --prefix "${first%/*/*/*/*}/" \
    --start-after "${first%?}" --no-paginate --max-keys 20 --query 'Contents[].{LastModified: LastModified, Size: Size, Key: Key}' --output json; then
    jq -r '. // [] | sort_by(.LastModified) | reverse | .[:5][] |
      "\(.LastModified[:19])  \(.Size | tostring | (" " * (9 - length)) + .) bytes  \(.Key)"' <<<"${objects:-null}"
  else
    say "the bucket $BUCKET does not exist"
  fi
}

begin_step "$@"
[[ $action == create ]] || die "unknown argument $action: this script changes nothing (see --help)"
need_tool aws
settle BUCKET
if reach_cluster; then
  run "${kube[@]}" get jobs,pods --selector "$ours_label" --output wide
  names=$("${kube[@]}" get jobs --selector "$ours_label" --output json | jq -r '.items[].metadata.name')
  for job in $names; do
    say ""
    if ! capture pods pods_of "$job"; then
      say "$job has no pod"
      continue
    fi
    pod=$(name_of "$pods")
    show "${kube[@]}" logs "$pod" --tail=3
    { "${kube[@]}" logs "$pod" --tail=3 || true; } | readable
    show_objects "$pod"
  done
fi
