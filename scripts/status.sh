#!/usr/bin/env bash
# Shows the Jobs, their pods, the ends of their logs, and the newest objects.
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

# newest OBJECTS: prints the newest five objects, one per line, and the totals.
newest() {
  jq -r 'sort_by(.LastModified) | reverse | (.[:5][] | "\(.LastModified[:19])  \(.Size | tostring | (" " * (9 - length)) + .) bytes  \(.Key)"),
    "\(length) objects, \(map(.Size) | add // 0) bytes"' <<<"$1"
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
  done
fi
say ""
if capture objects found NoSuchBucket aws s3api list-objects-v2 --region "$AWS_REGION" --bucket "$BUCKET" \
  --query 'Contents[].{LastModified: LastModified, Size: Size, Key: Key}' --output json; then
  [[ -n $objects && $objects != null ]] || objects='[]'
  newest "$objects"
else
  say "the bucket $BUCKET does not exist"
fi
