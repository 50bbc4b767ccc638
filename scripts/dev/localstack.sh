#!/usr/bin/env bash
# Runs LocalStack 4.12.0 (S3, IAM and STS) in the foreground, on the loopback interface only:
#
#   scripts/dev/localstack.sh [--port N] [--from docker|pypi] [--until-stdin-closes]
#
# As soon as LocalStack is healthy, prints one line to stdout, `ready
# http://127.0.0.1:PORT`. Runs until SIGTERM or SIGINT, or, with
# --until-stdin-closes, until its stdin closes, and leaves nothing behind. Without
# --port, uses a free port. Without --from, uses a container if a Docker engine
# responds, otherwise the Python package, which scripts/dev/tools.sh installs (500 MB).

# shellcheck source-path=SCRIPTDIR source=../lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
# shellcheck source=../lib/emulator.sh
. "$root/scripts/lib/emulator.sh"

readonly image=localstack/localstack:4.12.0@sha256:0df3a97da57de03a588c05d9b8f390f15c7033fc7c4512f94619d344bc3cd317
# Only the three services, and no calls to the internet: no telemetry, certificate or DNS.
readonly settings=("SERVICES=s3,iam,sts" DISABLE_EVENTS=1 SKIP_SSL_CERT_DOWNLOAD=1 DNS_ADDRESS=0)
# No setting prevents two things, so patch them: LocalStack would listen on every
# address, whatever GATEWAY_LISTEN says, and look up its own name in public DNS.
readonly launcher='from functools import partial
from localstack.runtime.main import main
from localstack.utils.aws import aws_stack
from twisted.internet import endpoints
endpoints.TCP4ServerEndpoint = partial(endpoints.TCP4ServerEndpoint, interface="127.0.0.1")
aws_stack.CACHE_S3_HOSTNAME_DNS_STATUS = False
main()'
from='' container=''

# shellcheck disable=SC2329 # stop_emulator calls it
remove_leftovers() {
  [[ -z $container ]] || docker rm --force "$container" >/dev/null 2>&1 || true
}

while (($# > 0)); do
  case $1 in
    --from)
      (($# > 1)) || die "$1 requires a value (see --help)"
      from=$2
      shift 2
      ;;
    *)
      option "$@" || shift
      shift
      ;;
  esac
done
choose_port
[[ $from =~ ^(docker|pypi|)$ ]] || die "--from must be docker or pypi, not '$from'"
[[ -n $from ]] || { docker info >/dev/null 2>&1 && from=docker; } || from=pypi
begin_emulator localstack

case $from in
  docker)
    need docker "install it, or use --from pypi"
    docker info >/dev/null 2>&1 || die "no Docker engine responds: start it, or use --from pypi"
    if ! docker image inspect "$image" >/dev/null 2>&1; then
      start_child 2 docker pull "$image"
      child_ended || die "docker could not pull $image: see above"
    fi
    container=pod-identity-demo-localstack-$$
    command=(docker run --rm --name "$container" --publish "127.0.0.1:$port:4566" "${settings[@]/#/--env=}" "$image")
    ;;
  pypi)
    start_child 2 "$root/scripts/dev/tools.sh" localstack
    child_ended || die "LocalStack could not be installed: see the messages above"
    # Keep the caller's environment and ~/.localstack out.
    command=(env -i PATH=/usr/bin:/bin "HOME=$state" "TMPDIR=$state" "FILESYSTEM_ROOT=$state" "${settings[@]}"
      "GATEWAY_LISTEN=127.0.0.1:$port" DOCKER_BRIDGE_IP=127.0.0.1 PYTHONUNBUFFERED=1 "$root/.tools/localstack/bin/python" -c "$launcher")
    ;;
esac
serve LocalStack /_localstack/health "${command[@]}"
