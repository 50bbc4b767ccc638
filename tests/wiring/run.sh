#!/usr/bin/env bash
# Runs the tests of the scripts for AWS and Kubernetes, five files at a time:
#
#   tests/wiring/run.sh [FILE...]
#
# Each file's tests have an emulated account of their own. What a file says is
# printed where it fails. scripts/test.sh installs what this takes.

# shellcheck source-path=SCRIPTDIR source=../../scripts/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/common.sh"

case ${1-} in
  -h | --help) usage && exit ;;
esac
# The longest first; who has been taken is not taken again.
(($# > 0)) || set -- "$root"/tests/wiring/steps/{updown,faults-cluster}.bats "$root"/tests/wiring/{walkthrough,story,audit,steps}/*.bats
readonly bats=$root/.tools/lint/bin/bats
[[ -x $bats ]] || die "bats is not here: run scripts/dev/tools.sh lint"
need jq "install it with your system's packages"

folder=$(mktemp -d "${TMPDIR:-/tmp}/wiring.XXXXXX")
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

readonly repository=$root
# shellcheck source=lib/aws.sh
. "$root/tests/wiring/lib/aws.sh"
start_aws "$folder" || die "the AWS CLI could not be started: $(<"$folder/aws.log")"

# Takes the next file that nobody has taken, until there is none.
worker() {
  local file name begun
  for file in "$@"; do
    name=${file##*/wiring/}
    mkdir "$folder/${name//\//-}" 2>/dev/null || continue
    begun=$SECONDS
    if "$bats" --tap --print-output-on-failure "$file" >"$folder/${name//\//-}/log" 2>&1; then
      say "passed: $name, $(grep -c '^ok ' "$folder/${name//\//-}/log") tests in $((SECONDS - begun)) s"
    else
      cat "$folder/${name//\//-}/log" >&2
      say "FAILED: $name"
      : >"$folder/failed"
    fi
  done
}

# They wait more than they work.
workers=()
for _ in 1 2 3 4 5; do
  worker "$@" &
  workers+=($!)
done
wait "${workers[@]}"
[[ ! -e $folder/failed ]] || die "tests failed, see above"
