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
# As long as the job runs, it serves a live page, whose address is printed as soon as it is there: port
# 8080, or the next free one. With --listen or LISTEN_ADDR, that address.
#
# The first run compiles for two to three minutes on two cores. It leaves out the emulated AWS account
# that the tests need, unless they have built the sandbox with it already.
#
# Press Ctrl-C to stop, or pass `--count 5`. Nothing keeps running.

# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

readonly bucket=pictures
address='' page=''
target=${CARGO_TARGET_DIR:-$root/target}/debug

# choose_address ARGUMENT...: sets `address` to where a job with these arguments will serve its page, and
# `page` to whether it has one. An address that the user asks for is kept; otherwise the port is a free one.
choose_address() {
  local asked=${LISTEN_ADDR-} port
  page=${PAGE:-on}
  while (($#)); do
    case $1 in
      identity | -h | --help | -V | --version) page=off asked=off ;; # it serves nothing
      --listen) asked=${2-} ;;
      --page) page=${2-} ;;
      --listen=*) asked=${1#*=} ;;
      --page=*) page=${1#*=} ;;
    esac
    shift
  done
  address=${asked:-127.0.0.1:8080}
  [[ $address == *:* && $address != *:0 ]] || return 0
  taken "$address" || return 0
  [[ -z $asked ]] || die "$address is taken: end the program that listens there, or choose another address with --listen"
  for ((port = 8081; port < 8181; port++)); do
    taken "127.0.0.1:$port" || break
  done
  ((port < 8181)) || die "the ports 8080 to 8180 are taken: choose an address with --listen"
  address=127.0.0.1:$port
  export LISTEN_ADDR=$address
  say "port 8080 is taken, so the page will be at port $port"
}

# reachable ADDRESS: the address where this machine reaches it.
reachable() {
  case $1 in
    0.0.0.0:* | \[::\]:*) echo "127.0.0.1:${1##*:}" ;;
    *) echo "$1" ;;
  esac
}

# taken ADDRESS: whether a program listens there.
taken() {
  local at host
  at=$(reachable "$1")
  host=${at%:*}
  host=${host#[} host=${host%]}
  (exec 3<>"/dev/tcp/$host/${at##*:}") 2>/dev/null
}

# announce: says where the live page is as soon as it is there.
announce() {
  [[ $page != off && $address == *:* ]] || return 0
  if [[ $address == *:0 ]]; then
    say "the live page: see its address in the log"
    return
  fi
  until taken "$address"; do sleep 0.1; done
  say "the live page, as long as the job runs: http://$(reachable "$address")/"
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
local_only=(--no-default-features)
if [[ "$("$target/sandbox" --version 2>/dev/null)" == *"emulated account"* ]]; then local_only=(); fi
choose_address "$@"
[[ -x $target/sandbox && -x $target/pod-identity-demo ]] ||
  say "the first build takes two to three minutes on two cores, and the download of its packages"
run cargo build --locked --manifest-path "$root/Cargo.toml" --package pod-identity-demo --package sandbox "${local_only[@]}"

announce &
announcer=$!
trap 'kill "$announcer" 2>/dev/null || true' EXIT
trap : INT # let the job finish first
if [[ ${1-} == --localstack ]]; then
  shift
  localstack "$@"
else
  "$target/sandbox" -- "$target/pod-identity-demo" "$@"
fi
