#!/usr/bin/env bash
# Checks that `cargo test` and the scripts, which build the program and the sandbox, ask for the same
# features of every dependency. Otherwise, cargo compiles many of them twice, which takes minutes. Only
# the sandbox itself differs: scripts/local.sh builds it without the emulated account.

# shellcheck source-path=SCRIPTDIR source=../lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"

case ${1-} in
  -h | --help) usage && exit ;;
esac
cd "$root"

# features OPTION...: each package with its features, as cargo would build it.
features() {
  cargo tree --locked --prefix none --no-dedupe --format '{p} [{f}]' "$@" | sed 's/ (\*)$//' | sort -u
}

tests=$(features --workspace --edges normal,build,dev)
for option in '' --no-default-features; do
  scripts=$(features --package pod-identity-demo --package sandbox ${option:+"$option"} --edges normal,build | grep -v '^sandbox v')
  twice=$(comm -23 <(echo "$scripts") <(echo "$tests"))
  [[ -z $twice ]] || die "cargo compiles these twice, because the tests ask for more features (add these in crates/sandbox/Cargo.toml): $twice"
done
# The point of the feature: none of these is in the local run.
! grep -E '^aws-sdk-(eks|iam) ' <<<"$scripts" || die "the local run compiles the clients of the emulated account: see the features in crates/sandbox/Cargo.toml"
