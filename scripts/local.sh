#!/usr/bin/env bash
# Runs the job on this machine, with no AWS account and no internet:
#
#   scripts/local.sh [--localstack] [WORDS FOR THE PROGRAM...]
#
# Pictures come from a local image host, credentials over the Pod Identity
# Agent's protocol from a stand-in for it, and objects land in a folder (a local
# S3 that checks signatures). With --localstack they land in LocalStack instead,
# in a container where Docker answers, otherwise installed from PyPI.
#
# Ctrl-C ends it, and so does `--count 5`. Nothing is left running.

# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

readonly bucket=pictures
target=${CARGO_TARGET_DIR:-$root/target}/debug

# s3 CURL-WORDS...: a request to LocalStack, signed with keys that it accepts.
s3() {
  curl --silent --show-error --fail --noproxy '*' \
    --user test:test --aws-sigv4 aws:amz:us-east-1:s3 "$@"
}

# LocalStack, in a process group of its own: Ctrl-C is for the job alone, and
# LocalStack ends when this script has.
localstack() {
  local endpoint
  need curl "install it with your system's packages"
  set -m
  coproc LOCALSTACK { exec "$root/scripts/dev/localstack.sh" --until-stdin-closes; }
  set +m
  read -r _ endpoint <&"${LOCALSTACK[0]}" || die "LocalStack did not start: see above"
  s3 --request PUT "$endpoint/$bucket" || die "the bucket $bucket could not be made"

  local status=0
  "$target/sandbox" --s3-endpoint "$endpoint" --bucket "$bucket" -- "$target/pod-identity-demo" "$@" || status=$?
  say "" "What landed in s3://$bucket (bytes, key):"
  s3 "$endpoint/$bucket?list-type=2" | tr '<' '\n' |
    awk -F'>' '$1 == "Key" { key = $2 } $1 == "Size" { printf "%12d  %s\n", $2, key }'

  local pid=$LOCALSTACK_PID input=${LOCALSTACK[1]}
  exec {input}>&-
  wait "$pid" || true
  return "$status"
}

case ${1-} in
  -h | --help) usage && exit ;;
esac
need cargo "install Rust, https://rustup.rs"
need cc "install a C compiler (Debian: apt install gcc, macOS: xcode-select --install)"
run cargo build --locked --manifest-path "$root/Cargo.toml" --package pod-identity-demo --package sandbox

trap : INT # the job ends in its own time, and this script after it
if [[ ${1-} == --localstack ]]; then
  shift
  localstack "$@"
else
  "$target/sandbox" -- "$target/pod-identity-demo" "$@"
fi
