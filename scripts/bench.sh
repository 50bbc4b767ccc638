#!/usr/bin/env bash
# Measures the release build: CPU, memory and time of whole processes, against
# the local world (Linux only, some three minutes after the build):
#
#   scripts/bench.sh
#
# docs/benchmark.md says what the figures are compared with.

# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

case ${1-} in
  -h | --help) usage && exit ;;
esac
cd "$root"
need cargo "install Rust, https://rustup.rs"
[[ -r /proc/self/status ]] || die "there is no /proc here: the figures are read from Linux's"
run cargo build --locked --release --package pod-identity-demo
# The local world is not what is measured: its quick build does.
run cargo bench --locked --profile dev --package pod-identity-demo --bench job -- \
  "${CARGO_TARGET_DIR:-$root/target}/release/pod-identity-demo"
