#!/usr/bin/env bash
# Runs MiniStack 1.5.33 in the foreground, on loopback alone, with IAM in force:
#
#   scripts/dev/ministack.sh [--port N] [--tls] [--until-stdin-closes]
#
# Once it is healthy, prints one line to stdout, `ready http://127.0.0.1:PORT`;
# with --tls `ready https://127.0.0.1:PORT CERTIFICATE`, a file to trust it by
# that goes when it ends. It runs until SIGTERM or SIGINT, or until its stdin closes where that is
# asked for; then nothing of it is left. Without --port it takes a free one.
# It has EKS's Pod Identity associations, IAM, STS and S3. The key `test` with
# the secret `test` is the root user of account 123456789012, and may anything;
# what any other key may do, IAM decides. scripts/dev/tools.sh installs it (90 MB)
# when needed.

# shellcheck source-path=SCRIPTDIR source=../lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
# shellcheck source=../lib/emulator.sh
. "$root/scripts/lib/emulator.sh"

# A new EKS cluster is a record, never a k3s container: no Docker is found.
settings=(AUTH=true MINISTACK_ACCOUNT_ID=123456789012 AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test
  BIND_HOST=127.0.0.1 DOCKER_HOST=unix:///nonexistent PYTHONUNBUFFERED=1)

tls=''
while (($# > 0)); do
  if [[ $1 == --tls ]]; then
    tls=yes eaten=1
  else
    option "$@"
  fi
  shift "$eaten"
done
[[ -z $tls ]] || need openssl "install it with your system's packages"
settle_port
begin ministack

start 2 "$root/scripts/dev/tools.sh" ministack
finished || die "MiniStack could not be installed: see above"
if [[ -n $tls ]]; then
  # It makes them itself, in its temporary folder.
  scheme=https certificate=$state/ministack-tls/server.crt
  settings+=(USE_SSL=1)
fi
# Nothing of the caller's environment gets in, and all that it writes is in its own folder.
serve MiniStack /_ministack/health env -i PATH=/usr/bin:/bin "HOME=$state" "TMPDIR=$state" "STATE_DIR=$state/state" \
  "S3_DATA_DIR=$state/s3" "GATEWAY_PORT=$port" "${settings[@]}" "$root/.tools/ministack/bin/python" -m ministack
