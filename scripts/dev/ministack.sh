#!/usr/bin/env bash
# Runs MiniStack 1.5.33 in the foreground, on the loopback interface only, and enforces IAM:
#
#   scripts/dev/ministack.sh [--port N] [--tls] [--until-stdin-closes]
#
# As soon as MiniStack is healthy, prints one line to stdout, `ready
# http://127.0.0.1:PORT`, or with --tls `ready https://127.0.0.1:PORT CERTIFICATE`.
# CERTIFICATE is the file to trust; it is removed at the end. Runs until SIGTERM or
# SIGINT, or, with --until-stdin-closes, until its stdin closes, and leaves nothing
# behind. Without --port, uses a free port. MiniStack has EKS's Pod Identity
# associations, IAM, STS and S3. The access key `test` with the secret `test` is the
# root user of account 123456789012 and has all permissions; IAM decides for all other
# keys. scripts/dev/tools.sh installs MiniStack (90 MB) when necessary.

# shellcheck source-path=SCRIPTDIR source=../lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
# shellcheck source=../lib/emulator.sh
. "$root/scripts/lib/emulator.sh"

# Without Docker, a new EKS cluster is only a record and no k3s container.
settings=(AUTH=true MINISTACK_ACCOUNT_ID=123456789012 AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test
  BIND_HOST=127.0.0.1 DOCKER_HOST=unix:///nonexistent PYTHONUNBUFFERED=1)

tls=''
while (($# > 0)); do
  if [[ $1 == --tls ]]; then
    tls=yes
  else
    option "$@" || shift
  fi
  shift
done
[[ -z $tls ]] || need openssl "install it with your system's packages"
choose_port
begin_emulator ministack

start_child 2 "$root/scripts/dev/tools.sh" ministack
child_ended || die "MiniStack could not be installed: see the messages above"
if [[ -n $tls ]]; then
  # MiniStack creates key and certificate itself, in its temporary folder.
  scheme=https certificate=$state/ministack-tls/server.crt
  settings+=(USE_SSL=1)
fi
# Keep the caller's environment out, and all files that MiniStack writes in one folder.
serve MiniStack /_ministack/health env -i PATH=/usr/bin:/bin "HOME=$state" "TMPDIR=$state" "STATE_DIR=$state/state" \
  "S3_DATA_DIR=$state/s3" "GATEWAY_PORT=$port" "${settings[@]}" "$root/.tools/ministack/bin/python" -m ministack
