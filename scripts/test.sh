#!/usr/bin/env bash
# Installs what the tests need into .tools/, then runs them:
#
#   scripts/test.sh [--all] [-- ARGUMENT...]
#
# Checks format and lints of Rust and shell, then runs the Rust tests with the fault suite, the page in
# Chromium, the manifests, and the scripts against an emulated AWS account. About 20 minutes the first
# time, on two cores, and 12 after that.
#
# --all adds what needs programs that are built from foreign source, which takes another 20 minutes the
# first time: the tests with a Kubernetes cluster, eksctl and EKS's webhook, those of the image, those
# with LocalStack, and the rules for dependencies and modules. CI runs it.
#
# A table at the end says what ran, what did not, and why. With arguments after --, only `cargo test`
# runs, with these arguments.

# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

all=''
case ${1-} in
  -h | --help) usage && exit ;;
  --all) all=yes && shift ;;
esac
[[ ${1-} != -- ]] || shift
cd "$root"
need cargo "install Rust, https://rustup.rs"
need cc "install a C compiler (Debian: apt install gcc, macOS: xcode-select --install)"
need curl "install it with your system's packages"
need git "install it with your system's packages"
need jq "install it with your system's packages"
need openssl "install it with your system's packages"
[[ -z $all ]] || need go "install Go 1.26.5 or later, https://go.dev/dl/"
readonly bin=$root/.tools/lint/bin

install_tools() {
  run scripts/dev/tools.sh lint aws ministack manifests corpus image promtool browser
}

install_built_tools() {
  run scripts/dev/tools.sh actionlint deny modules localstack kubernetes eksctl
  [[ $(uname) != Linux ]] || run scripts/dev/tools.sh containers
  [[ -z $cluster ]] || run scripts/dev/tools.sh cluster
}

lint() {
  local script scripts=()
  while IFS= read -r script; do scripts+=("$script"); done < <(git ls-files .ci/run 'scripts/*.sh' 'cluster/*.sh' 'tests/*.'{sh,bash,bats})
  run cargo fmt --all --check
  run cargo fmt --manifest-path fuzz/Cargo.toml --check
  run "$bin/shellcheck" "${scripts[@]}"
  run "$bin/shfmt" --diff "${scripts[@]}"
  run .tools/image/bin/hadolint Dockerfile
  run scripts/dev/features.sh
  run cargo clippy --locked --workspace --all-targets -- --deny warnings
  # Both builds of the sandbox.
  run cargo clippy --locked --package sandbox --no-default-features -- --deny warnings
  # Only checked, so that libFuzzer itself, for which a C++ compiler is needed, is not built.
  run env CUSTOM_LIBFUZZER_PATH=/none/libfuzzer.a cargo check --locked --manifest-path fuzz/Cargo.toml --target-dir target/fuzz
}

dependencies() {
  run .tools/cargo/bin/cargo-deny --all-features check licenses bans sources
  run scripts/dev/cycles.sh
  run .tools/image/bin/actionlint -shellcheck "$bin/shellcheck"
}

build() {
  run cargo test --locked --workspace --no-run
}

# All tests but the fault suite, and without --all those that need LocalStack.
rust_tests() {
  local names name tests=() without=()
  names=$(cargo metadata --locked --no-deps --format-version 1 |
    jq -r '.packages[].targets[] | select(.kind == ["test"] and .name != "faults").name')
  for name in $names; do tests+=(--test "$name"); done
  [[ -n $all ]] || without=(-- --skip localstack)
  run cargo test --locked --no-fail-fast --workspace --lib --bins "${tests[@]}" "${without[@]}"
  run cargo test --locked --workspace --doc
}

faults() {
  run cargo test --locked --workspace --test faults
}

script_tests() {
  if [[ -n $all ]]; then run tests/wiring/run.sh; else run tests/wiring/run.sh --without-go; fi
}

image_tests() {
  run "$bin/bats" --print-output-on-failure tests/image
}

# in_cluster FILE...: runs tests in a Kubernetes cluster of their own.
in_cluster() {
  run "$bin/bats" --print-output-on-failure "${@/#/tests/cluster/}"
}

# A cluster whose pods have IPv4 addresses alone, then one with both.
cluster_tests() {
  in_cluster {job,compare,default}.bats
  CLUSTER_IPV6=yes in_cluster ipv6.bats
}

story_tests() {
  in_cluster {story,walkthrough,deploy}.bats
}

cluster=''
[[ -z $all ]] || ! cluster/cluster.sh check || cluster=yes
if (($# > 0)); then
  install_tools
  [[ -z $all ]] || install_built_tools
  run cargo test --locked --workspace "$@"
  exit
fi

# Each stage: its function, and its name in the table. Those of `beside` mostly wait, so they run at the
# same time as the last of `stages`, and those of `later` at the same time after these. All at once would be
# more than two cores can do in the time in which a credential or a probe expires.
stages=("install_tools the tools from package registries")
beside=("faults the fault suite")
later=()
missing=()
if [[ -n $all ]]; then
  stages+=("install_built_tools the tools built from source" "dependencies the rules for dependencies, modules and workflows")
  later+=("script_tests the scripts against the emulated account and a control plane")
  if [[ $(uname) == Linux ]]; then later+=("image_tests the image"); else missing+=("the image: it needs Linux"); fi
  if [[ -n $cluster ]]; then
    later+=("cluster_tests the job in Kubernetes" "story_tests the scripts in Kubernetes")
  else
    missing+=("the tests in Kubernetes: see above what this machine lacks")
  fi
else
  beside+=("script_tests the scripts against the emulated account")
  for name in "the scripts that need eksctl or a control plane" "the image" "the tests in Kubernetes" "LocalStack" "the rules for dependencies, modules and workflows"; do
    missing+=("$name: scripts/test.sh --all")
  done
fi
stages+=("lint format and lints" "build the build of the tests" "rust_tests the Rust tests, with the page and the manifests")

logs=$(mktemp -d "${TMPDIR:-/tmp}/test.XXXXXX")
readonly total=$((${#stages[@]} + ${#beside[@]} + ${#later[@]}))
number=0 pids=() table=() failed=()
# shellcheck disable=SC2317,SC2329 # the trap calls it
end() {
  local pid
  for pid in ${pids[@]+"${pids[@]}"}; do kill -TERM -- "-$pid" 2>/dev/null || true; done
  rm -rf "${logs:?}"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# start STAGE [FILE]: starts a stage, whose output goes to its log, and to this terminal unless it runs
# beside others.
start() {
  local function=${1%% *} name=${1#* }
  number=$((number + 1))
  say "" "$number/$total $name, $((SECONDS / 60)) min so far"
  set -m
  if [[ -n ${2-} ]]; then
    (trap 'echo $SECONDS >"$logs/$function.end"' EXIT && "$function") >"$logs/$function" 2>&1 </dev/null &
  else
    (trap 'echo $SECONDS >"$logs/$function.end"' EXIT && "$function") > >(tee "$logs/$function" >&2) 2>&1 </dev/null &
  fi
  set +m
  pids+=($!)
  echo "$SECONDS" >"$logs/$function.start"
}

# finish STAGE PID: waits for it, and adds it to the table.
finish() {
  local function=${1%% *} name=${1#* } result=passed
  wait "$2" || { result=FAILED && failed+=("$function $name"); }
  table+=("$(printf '%-8s %4d s  %s' "$result" $(($(<"$logs/$function.end") - $(<"$logs/$function.start"))) "$name")")
}

# failures FILE: prints each failed test of bats once more, with the end of what it said.
failures() {
  awk 'function flush() { for (i = n > 25 ? n - 24 : 1; i <= n; i++) print lines[i]; n = 0 }
    /^not ok/ { flush(); print; failing = 1; next }
    failing && /^#/ { lines[++n] = $0; next }
    { flush(); failing = 0 }
    END { flush() }' "$1"
}

if [[ -n $all ]]; then about="50 minutes the first time, 26 after that"; else about="20 minutes the first time, 12 after that"; fi
say "$total stages, on two cores about $about:"
for stage in "${stages[@]}" "${beside[@]}" ${later[@]+"${later[@]}"}; do say "  ${stage#* }"; done

# together STAGE...: starts these stages, whose output finish_together prints when they have ended.
together() {
  local stage
  say "" "the next stages run at the same time; their output follows when they have ended"
  begun=()
  for stage in "$@"; do
    start "$stage" file
    begun+=("${pids[-1]}")
  done
}

finish_together() {
  local stage i=0
  for stage in "$@"; do
    finish "$stage" "${begun[i++]}"
    cat "$logs/${stage%% *}" >&2
  done
}

begun=()
for i in "${!stages[@]}"; do
  if ((${#failed[@]})); then
    missing+=("${stages[i]#* }: an earlier stage failed")
    continue
  fi
  ((i < ${#stages[@]} - 1)) || together "${beside[@]}"
  start "${stages[i]}"
  finish "${stages[i]}" "${pids[-1]}"
done
if ((${#begun[@]})); then
  finish_together "${beside[@]}"
  # A failure of the program is no reason to leave out what is independent of it.
  if ((${#later[@]})); then
    together "${later[@]}"
    finish_together "${later[@]}"
  fi
else
  for stage in "${beside[@]}" ${later[@]+"${later[@]}"}; do missing+=("${stage#* }: an earlier stage failed"); done
fi

# At the end, where a reader of a long log looks.
for stage in ${failed[@]+"${failed[@]}"}; do
  say "" "FAILED: ${stage#* }. The end of what it said:" "$(failures "$logs/${stage%% *}")" "$(tail -n 15 "$logs/${stage%% *}" | cut -c 1-300)"
done
say "" "${table[@]}"
for name in ${missing[@]+"${missing[@]}"}; do say "not run          $name"; done
say "" "$(((SECONDS + 30) / 60)) min in all"
((${#failed[@]} == 0)) || exit 1
