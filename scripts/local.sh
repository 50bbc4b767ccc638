#!/usr/bin/env bash
# Runs the job on this machine, with no AWS account and no internet:
#
#   scripts/local.sh [--localstack] [ARGUMENT...]
#
# A local image host serves the pictures, a stand-in for the Pod Identity Agent serves
# the credentials, and a local S3 that checks signatures stores the objects in a
# folder. With --localstack, LocalStack stores them instead: in a container if Docker
# responds, otherwise as a Python package. The arguments go to the program.
#
# As long as the job runs, it serves a live page; the first line of the output has its address.
#
# Press Ctrl-C to stop, or pass `--count 5`. Nothing keeps running.

# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

readonly bucket=pictures
target=${CARGO_TARGET_DIR:-$root/target}/debug

# page ARGUMENT...: says where the live page of a job with these arguments is.
page() {
  local address=${LISTEN_ADDR:-127.0.0.1:8080} page=${PAGE:-on}
  while (($#)); do
    case $1 in
      identity) return ;; # it serves nothing
      --listen) address=${2-} ;;
      --page) page=${2-} ;;
      --listen=*) address=${1#*=} ;;
      --page=*) page=${1#*=} ;;
    esac
    shift
  done
  case $page,$address in
    off,* | *,off) ;;
    *:0) say "the live page: see its address in the log" ;;
    *) say "the live page, as long as the job runs: http://$address/" ;;
  esac
}

# s3 CURL-ARGUMENT...: sends a request to LocalStack, signed with keys that it accepts.
s3() {
  curl --silent --show-error --fail --noproxy '*' \
    --user test:test --aws-sigv4 aws:amz:us-east-1:s3 "$@"
}

# Starts LocalStack in its own process group, so that Ctrl-C reaches only the job.
# LocalStack ends when this script ends.
localstack() {
  local endpoint
  need curl "install it with your system's packages"
  set -m
  coproc LOCALSTACK { exec "$root/scripts/dev/localstack.sh" --until-stdin-closes; }
  set +m
  read -r _ endpoint <&"${LOCALSTACK[0]}" || die "LocalStack did not start: see the messages above"
  s3 --request PUT "$endpoint/$bucket" || die "could not create the bucket $bucket"

  local status=0
  "$target/sandbox" --s3-endpoint "$endpoint" --bucket "$bucket" -- "$target/pod-identity-demo" "$@" || status=$?
  say "" "Objects in s3://$bucket (bytes, key):"
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
page "$@"
run cargo build --locked --manifest-path "$root/Cargo.toml" --package pod-identity-demo --package sandbox

trap : INT # let the job finish first
if [[ ${1-} == --localstack ]]; then
  shift
  localstack "$@"
else
  "$target/sandbox" -- "$target/pod-identity-demo" "$@"
fi
