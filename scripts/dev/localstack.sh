#!/usr/bin/env bash
# Runs LocalStack 4.12.0 (S3, IAM and STS) in the foreground, on loopback alone:
#
#   scripts/dev/localstack.sh [--port N] [--from docker|pypi] [--until-stdin-closes]
#
# Once it is healthy, prints one line to stdout, `ready http://127.0.0.1:PORT`,
# and runs until SIGTERM or SIGINT, or until its stdin closes where that is
# asked for; then nothing of it is left. Without --port it takes a free one.
# Without --from it is a container where a Docker engine answers, else the
# Python package, which scripts/dev/tools.sh installs (half a gigabyte) when needed.

# shellcheck source-path=SCRIPTDIR source=../lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
# shellcheck source=../lib/emulator.sh
. "$root/scripts/lib/emulator.sh"

readonly image=localstack/localstack:4.12.0
# The three services, and no calls abroad: no telemetry, certificate or DNS.
readonly settings=("SERVICES=s3,iam,sts" DISABLE_EVENTS=1 SKIP_SSL_CERT_DOWNLOAD=1 DNS_ADDRESS=0)
# What no setting does: it would listen on every address, whatever GATEWAY_LISTEN
# says, and look its own name up in public DNS at the first bucket.
readonly launcher='from functools import partial
from localstack.runtime.main import main
from localstack.utils.aws import aws_stack
from twisted.internet import endpoints
endpoints.TCP4ServerEndpoint = partial(endpoints.TCP4ServerEndpoint, interface="127.0.0.1")
aws_stack.CACHE_S3_HOSTNAME_DNS_STATUS = False
main()'
from='' container=''

# shellcheck disable=SC2329 # the end calls it
clear_away() {
  [[ -z $container ]] || docker rm --force "$container" >/dev/null 2>&1 || true
}

while (($# > 0)); do
  case $1 in
    --from)
      (($# > 1)) || die "$1 wants a value (--help says more)"
      from=$2
      shift 2
      ;;
    *) option "$@" && shift "$eaten" ;;
  esac
done
settle_port
[[ $from =~ ^(docker|pypi|)$ ]] || die "--from wants docker or pypi, not '$from'"
[[ -n $from ]] || { docker info >/dev/null 2>&1 && from=docker; } || from=pypi
begin localstack

case $from in
  docker)
    need docker "install it, or use --from pypi"
    docker info >/dev/null 2>&1 || die "no Docker engine answers: start it, or use --from pypi"
    if ! docker image inspect "$image" >/dev/null 2>&1; then
      start 2 docker pull "$image"
      finished || die "docker could not pull $image: see above"
    fi
    container=pod-identity-demo-localstack-$$
    command=(docker run --rm --name "$container" --publish "127.0.0.1:$port:4566" "${settings[@]/#/--env=}" "$image")
    ;;
  pypi)
    start 2 "$root/scripts/dev/tools.sh" localstack
    finished || die "LocalStack could not be installed: see above"
    # Nothing of the caller's environment, or of ~/.localstack, gets in.
    command=(env -i PATH=/usr/bin:/bin "HOME=$state" "TMPDIR=$state" "FILESYSTEM_ROOT=$state" "${settings[@]}"
      "GATEWAY_LISTEN=127.0.0.1:$port" DOCKER_BRIDGE_IP=127.0.0.1 PYTHONUNBUFFERED=1 "$root/.tools/localstack/bin/python" -c "$launcher")
    ;;
esac
serve LocalStack /_localstack/health "${command[@]}"
