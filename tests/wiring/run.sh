#!/usr/bin/env bash
# Runs the tests of the scripts for AWS and Kubernetes, three files at a time:
#
#   tests/wiring/run.sh [--without-go] [FILE...]
#
# With --without-go, leaves out the files that need a program built from Go modules, an API server or
# eksctl: those with the tag `go`.
#
# Each file's tests have an emulated account of their own. What a file says is
# printed where it fails. scripts/test.sh installs what this takes.

# shellcheck source-path=SCRIPTDIR source=../../scripts/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/common.sh"

case ${1-} in
  -h | --help) usage && exit ;;
esac
without=''
if [[ ${1-} == --without-go ]]; then without=yes && shift; fi
# Start with the longest files. The list contains them twice, but a worker skips files that are taken.
(($# > 0)) || set -- "$root"/tests/wiring/steps/{association,faults-cluster,permissions}.bats "$root"/tests/wiring/{audit,steps}/*.bats
if [[ -n $without ]]; then
  kept=()
  for file in "$@"; do grep -q '^# bats file_tags=go$' "$file" || kept+=("$file"); done
  set -- "${kept[@]}"
fi
readonly bats=$root/.tools/lint/bin/bats
[[ -x $bats ]] || die "bats is not installed: run scripts/dev/tools.sh lint"
need jq "install it with your system's packages"

folder=$(mktemp -d "${TMPDIR:-/tmp}/wiring.XXXXXX")
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Runs files that no other worker has taken, until none is left.
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

# The tests partly wait, so one worker more than the usual two cores is useful.
workers=()
for _ in 1 2 3; do
  worker "$@" &
  workers+=($!)
done
wait "${workers[@]}"
[[ ! -e $folder/failed ]] || die "tests failed, see above"
