#!/usr/bin/env bash
# Uploads very many pictures to a local S3 with the release build, with faults mixed in
# and credentials that change every few seconds, and checks that the program does not
# grow, that all objects are accounted for, and that no secret is in the output:
#
#   scripts/soak.sh [PICTURES] [--program FILE] [--plot FILE] [--csv FILE]
#
# PICTURES is 100000 by default. --program runs another build; --plot draws resident
# memory over pictures as SVG, and --csv writes the samples; these files are relative to
# the project's folder. Requires Linux. docs/reliability/soak.md explains what is checked.

# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

case ${1-} in
  -h | --help) usage && exit ;;
esac
cd "$root"
need cargo "install Rust, https://rustup.rs"
[[ -r /proc/self/statm ]] || die "/proc is missing: the soak requires Linux"
program=()
if [[ " $* " != *' --program'[=\ ]* ]]; then
  run cargo build --locked --release --package pod-identity-demo
  program=(--program "${CARGO_TARGET_DIR:-$root/target}/release/pod-identity-demo")
fi
# The sandbox is not measured, so a fast debug build of it is sufficient.
run cargo test --locked --package pod-identity-demo --test faults -- --soak "${program[@]}" "$@"
