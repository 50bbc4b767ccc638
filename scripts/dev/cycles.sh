#!/usr/bin/env bash
# Fails if modules of the program, with their unit tests, depend on each other in a
# cycle:
#
#   scripts/dev/cycles.sh
#
# cargo-modules lists which item uses which (scripts/dev/tools.sh modules installs
# it). Its own --acyclic also counts a type and its methods as a cycle, so this
# looks at modules: each item stands for the module that it is in.

# shellcheck source-path=SCRIPTDIR source=../lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"

case ${1-} in
  -h | --help) usage && exit ;;
esac
cd "$root"
graph=$(.tools/cargo/bin/cargo-modules dependencies --lib --package pod-identity-demo --cfg-test --no-externs --no-sysroot) ||
  die "cargo-modules failed: see above"
uses=$(awk -F '"' '
  function module(item) {
    while (!(item in modules) && sub(/::[^:]*$/, "", item)) {}
    return item
  }
  $4 ~ /^([^|]* )?(mod|crate)\|/ { modules[$2] }
  $5 ~ /label=/ && $6 == "uses" { from[++count] = $2; to[count] = $4 }
  END {
    for (i = 1; i <= count; i++) {
      a = module(from[i])
      b = module(to[i])
      if (a != b) print a, b
    }
  }' <<<"$graph")
[[ -n $uses ]] || die "cargo-modules printed no dependencies: has its output changed?"
tsort <<<"$uses" >/dev/null || die "modules depend on each other in a cycle: see above"
say "no cycle in $(sort -u <<<"$uses" | wc -l) dependencies between modules"
