#!/usr/bin/env bash
# Measures CPU, memory and time of the release build in a local environment. Requires
# Linux; takes about three minutes after the build.
#
#   scripts/bench.sh
#
# docs/benchmark.md explains the results.

# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

case ${1-} in
  -h | --help) usage && exit ;;
esac
cd "$root"
need cargo "install Rust, https://rustup.rs"
[[ -r /proc/self/status ]] || die "/proc is missing: the benchmark requires Linux"
run cargo build --locked --release --package pod-identity-demo
# The local environment is not measured, so a fast debug build of it is sufficient.
run cargo bench --locked --profile dev --package pod-identity-demo --bench job -- \
  "${CARGO_TARGET_DIR:-$root/target}/release/pod-identity-demo"
