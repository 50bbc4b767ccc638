#!/usr/bin/env bash
# Installs what the tests need into .tools/, then runs all of them:
#
#   scripts/test.sh [ARGUMENT...]
#
# Checks format and lints of Rust and shell, the rules for dependencies and the
# modules, then runs every test, including those that need LocalStack, MiniStack,
# containers or a Kubernetes cluster. CI runs it without arguments; arguments go to
# `cargo test`, and only the Rust tests run then.
#
# The first run builds Kubernetes and eksctl from source, which takes 15 minutes on two
# cores. The tests that need a node of the cluster require Linux and root, and are
# announced as not run elsewhere; those that need its API server run wherever Go runs.

# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

case ${1-} in
  -h | --help) usage && exit ;;
esac
cd "$root"
need cargo "install Rust, https://rustup.rs"
need cc "install a C compiler (Debian: apt install gcc, macOS: xcode-select --install)"
need git "install it with your system's packages"
need jq "install it with your system's packages"

run scripts/dev/tools.sh lint deny modules localstack ministack manifests image browser kubernetes eksctl
cluster=''
if cluster/cluster.sh check; then
  cluster=yes
  run scripts/dev/tools.sh cluster containers
fi
bin=$root/.tools/lint/bin
scripts=()
while IFS= read -r script; do scripts+=("$script"); done < <(git ls-files .ci/run 'scripts/*.sh' 'cluster/*.sh' 'tests/*.'{sh,bash,bats})

run cargo fmt --all --check
run cargo fmt --manifest-path fuzz/Cargo.toml --check
run "$bin/shellcheck" "${scripts[@]}"
run "$bin/shfmt" --diff "${scripts[@]}"
run .tools/image/bin/hadolint Dockerfile
run .tools/image/bin/actionlint -shellcheck "$bin/shellcheck"
run .tools/cargo/bin/cargo-deny --all-features check licenses bans sources
run scripts/dev/cycles.sh
run scripts/dev/features.sh
run cargo clippy --locked --workspace --all-targets -- --deny warnings
# Only checked, so that libFuzzer itself, for which a C++ compiler is needed, is not built.
run env CUSTOM_LIBFUZZER_PATH=/none/libfuzzer.a cargo check --locked --manifest-path fuzz/Cargo.toml --target-dir target/fuzz
(($# == 0)) || { run cargo test --locked --workspace "$@" && exit; }

# Runs tests in a Kubernetes cluster of their own.
in_cluster() {
  run "$bin/bats" --print-output-on-failure "${@/#/tests/cluster/}"
}

# Runs the tests of the scripts and then those of the image.
script_tests() {
  run tests/wiring/run.sh
  if [[ $(uname) == Linux ]]; then
    run scripts/dev/tools.sh containers
    run "$bin/bats" --print-output-on-failure tests/image
  else
    say "NOT RUN: the tests of the image, which need Linux"
  fi
}

# Runs the tests of a cluster whose pods have IPv4 addresses alone, then those of one with both.
cluster_tests() {
  in_cluster {job,compare,default}.bats
  CLUSTER_IPV6=yes in_cluster ipv6.bats
}

# Runs the tests of the scripts and then those of the image, and at the same time those in two clusters
# and the fault suite, which mostly wait. Each part writes to a file of its own in the folder `logs`.
other_tests() {
  local parts=() part
  script_tests >"$logs/scripts" 2>&1 &
  parts+=("scripts $!")
  run cargo test --locked --workspace --test faults >"$logs/faults" 2>&1 &
  parts+=("faults $!")
  if [[ -n $cluster ]]; then
    cluster_tests >"$logs/cluster" 2>&1 &
    parts+=("cluster $!")
    in_cluster {story,walkthrough,deploy}.bats >"$logs/story" 2>&1 &
    parts+=("story $!")
  else
    say "NOT RUN: the tests on a node of a Kubernetes cluster, tests/cluster: see the reason above"
  fi
  for part in "${parts[@]}"; do
    wait "${part#* }" || mv "$logs/${part% *}" "$logs/${part% *}.failed"
  done
}

# failures FILE: prints each failed test of bats once more, with the end of what it said.
failures() {
  awk 'function flush() { for (i = n > 25 ? n - 24 : 1; i <= n; i++) print lines[i]; n = 0 }
    /^not ok/ { flush(); print; failing = 1; next }
    failing && /^#/ { lines[++n] = $0; next }
    { flush(); failing = 0 }
    END { flush() }' "$1"
}

run cargo test --locked --workspace --no-run
# All tests but the fault suite.
names=$(cargo metadata --locked --no-deps --format-version 1 |
  jq -r '.packages[].targets[] | select(.kind == ["test"] and .name != "faults").name')
tests=()
for name in $names; do tests+=(--test "$name"); done
logs=$(mktemp -d "${TMPDIR:-/tmp}/test.XXXXXX")
say "the fault suite and the tests of the scripts, of the image and in the cluster run at the same time; their output follows when they have ended"
set -m
(other_tests) >"$logs/not-run" 2>&1 &
set +m
readonly pid=$!
trap 'kill -TERM -- "-$pid" 2>/dev/null || true; rm -rf "${logs:?}"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
run cargo test --locked --workspace --lib --bins "${tests[@]}"
run cargo test --locked --workspace --doc
wait "$pid" || die "the tests that ran at the same time were interrupted"
cat "$logs"/* >&2
failed=("$logs"/*.failed)
[[ -e ${failed[0]} ]] || exit 0
# At the end, where a reader of a long log looks.
say "" "these failed:"
for log in "${failed[@]}"; do
  say "$(failures "$log")"
  say "$(tail -n 15 "$log")"
done
die "the fault suite or the tests of the scripts, of the image or in the cluster failed: see above"
