#!/usr/bin/env bash
# Installs what the tests need into .tools/, then runs all of them:
#
#   scripts/test.sh [WORDS FOR CARGO TEST...]
#
# Formatting and lints of Rust and shell, the rules for dependencies, then every
# test, LocalStack's and MiniStack's among them. Without words it is what CI runs.

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

case ${1-} in
  -h | --help) usage && exit ;;
esac
cd "$root"
need cargo "install Rust, https://rustup.rs"
need cc "install a C compiler (Debian: apt install gcc, macOS: xcode-select --install)"
need git "install it with your system's packages"

run scripts/tools.sh lint deny localstack ministack
bin=$root/.tools/lint/bin
scripts=()
while IFS= read -r script; do scripts+=("$script"); done < <(git ls-files 'scripts/*.sh' .ci/run)

run cargo fmt --all --check
run "$bin/shellcheck" "${scripts[@]}"
run "$bin/shfmt" --diff "${scripts[@]}"
run .tools/cargo/bin/cargo-deny --all-features check licenses bans sources
run cargo clippy --locked --workspace --all-targets -- --deny warnings
run cargo test --locked --workspace "$@"
