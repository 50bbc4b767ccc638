#!/usr/bin/env bash
# One screen: the Jobs, their pods, the ends of their logs, the newest objects.
#
#   scripts/status.sh
#
# It needs the AWS CLI, jq and kubectl, changes nothing, and costs nothing.

# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=lib/settings.sh
. "$root/scripts/lib/settings.sh"
# shellcheck source=lib/steps.sh
. "$root/scripts/lib/steps.sh"
# shellcheck source=lib/pods.sh
. "$root/scripts/lib/pods.sh"

# The newest five of those in `answer`, one a line.
newest() {
  jq -r 'sort_by(.LastModified) | reverse | (.[:5][] | "\(.LastModified[:19])  \(.Size | tostring | (" " * (9 - length)) + .) bytes  \(.Key)"),
    "\(length) objects, \(map(.Size) | add // 0) bytes"' <<<"$answer"
}

begin "$@"
[[ $action == create ]] || die "there is nothing to $action: this only looks"
settle BUCKET
if reach; then
  run "${kube[@]}" get jobs,pods --selector "$ours_label" --output wide
  names=$("${kube[@]}" get jobs --selector "$ours_label" --output json | jq -r '.items[].metadata.name')
  for job in $names; do
    say ""
    if ! look_at "$job"; then
      say "$job has no pod"
      continue
    fi
    show "${kube[@]}" logs "$pod" --tail=3
    { "${kube[@]}" logs "$pod" --tail=3 || true; } | readable
  done
fi
say ""
if found NoSuchBucket aws s3api list-objects-v2 --region "$AWS_REGION" --bucket "$BUCKET" \
  --query 'Contents[].{LastModified: LastModified, Size: Size, Key: Key}' --output json; then
  [[ -n $answer && $answer != null ]] || answer='[]'
  newest
else
  say "there is no bucket $BUCKET"
fi
