# shellcheck shell=bash
# What the tests of the wiring share: `load ../lib/wiring.sh`.
# One MiniStack for a file of tests, behind a proxy that notes each call and can
# fail one (proxy.py); and a PATH with nothing but what the scripts say they need.

bats_require_minimum_version 1.5.0
repository=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../../.." && pwd -P)

# shellcheck source-path=SCRIPTDIR source=aws.sh
. "$repository/tests/wiring/lib/aws.sh"

# await_ready FILE PID: waits for the line `ready URL` of that process, and prints the URL.
await_ready() {
  local tries
  for ((tries = 0; tries < 6000; tries++)); do # MiniStack may still be installing
    if grep '^ready ' "$1" 2>/dev/null | cut -d ' ' -f 2 | grep .; then return; fi
    kill -0 "$2" 2>/dev/null || break
    sleep 0.1
  done
  cat "$1.log" >&2
  return 1
}

# toolbox TOOL...: a PATH of these alone, besides the usual ones; eksctl and
# kubectl are the stand-ins. After start_cloud, which needs more.
toolbox() {
  local tool box=${BATS_FILE_TMPDIR:?}/toolbox
  rm -rf "$box" && mkdir "$box"
  for tool in bash sh env cat cut date diff dirname git grep head jq mkdir mktemp mv rm sed sleep sort tail tr uname "$@"; do
    case $tool in
      eksctl | kubectl)
        printf '#!/bin/sh\nexec "%s" "$@"\n' "$repository/tests/wiring/bin/$tool" >"$box/$tool"
        chmod +x "$box/$tool"
        ;;
      aws)
        printf '#!/bin/sh\nexec "%s" -I -S "%s" "$@"\n' "$repository/.tools/lint/bin/python" "$repository/tests/wiring/lib/aws_client.py" >"$box/aws"
        chmod +x "$box/aws"
        ;;
      *) ln -s "$(command -v "$tool")" "$box/$tool" ;;
    esac
  done
  PATH=$box
}

# Starts MiniStack, over TLS as the bucket's policy wants it, the proxy, which speaks
# plain HTTP to the AWS CLI, and that. They end when this file's tests have: each holds
# the read end of a pipe whose other end is here.
start_cloud() {
  local python=$repository/.tools/ministack/bin/python
  [[ -x $python ]] || { echo "MiniStack is not installed: run scripts/dev/tools.sh ministack" >&2 && return 1; }
  exec {ministack_pipe}> >(exec "$repository/scripts/dev/ministack.sh" --tls --until-stdin-closes >"$BATS_FILE_TMPDIR/ministack" 2>"$BATS_FILE_TMPDIR/ministack.log" 3>&-)
  ministack_pid=$!
  export MINISTACK
  MINISTACK=$(await_ready "$BATS_FILE_TMPDIR/ministack" "$ministack_pid")
  AWS_CA_BUNDLE=$(cut -d ' ' -f 3 "$BATS_FILE_TMPDIR/ministack")
  export AWS_CA_BUNDLE SSL_CERT_FILE=$AWS_CA_BUNDLE
  exec {proxy_pipe}> >(exec "$python" "$repository/tests/wiring/lib/proxy.py" "$MINISTACK" "$BATS_FILE_TMPDIR" >"$BATS_FILE_TMPDIR/proxy" 2>"$BATS_FILE_TMPDIR/proxy.log" 3>&-)
  proxy_pid=$!
  AWS_ENDPOINT_URL=$(await_ready "$BATS_FILE_TMPDIR/proxy" "$proxy_pid")
  export AWS_ENDPOINT_URL AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1
  start_aws "$BATS_FILE_TMPDIR"
  # Nothing of the caller's, no second tries, no waiting.
  unset AWS_PROFILE AWS_SESSION_TOKEN ACCOUNT_ID CHECKED CLUSTER_NAME BUCKET IMAGE REPOSITORY WITH DRY_RUN TAG_VALUE NAMESPACE SERVICE_ACCOUNT
  export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_EC2_METADATA_DISABLED=true AWS_MAX_ATTEMPTS=1
  export POLL_PAUSE=0.1 LAG=5 FILLED=$BATS_FILE_TMPDIR/filled KUBECONFIG=$BATS_FILE_TMPDIR/kubeconfig
}

stop_cloud() {
  # Each ends when its stdin does; where one did not start, the rest still end.
  if [[ -n ${aws_pipe-} ]]; then exec {aws_pipe}>&-; fi
  if [[ -n ${proxy_pipe-} ]]; then exec {proxy_pipe}>&-; fi
  if [[ -n ${ministack_pipe-} ]]; then exec {ministack_pipe}>&-; fi
  # shellcheck disable=SC2086 # those that there are
  wait ${aws_pid-} ${proxy_pid-} ${ministack_pid-} || true
}

# script_path NAME: the path of a step, or of a script that people run.
script_path() {
  local path=$repository/scripts/steps/$1.sh
  [[ -e $path ]] || path=$repository/scripts/$1.sh
  echo "$path"
}

# step NAME [ARGUMENTS...]: runs a script of the project; bats' $status, $output (stdout) and $stderr.
step() {
  local script=$1
  shift
  : >"$BATS_FILE_TMPDIR/calls"
  rm -f "$BATS_FILE_TMPDIR"/fault.done
  run --separate-stderr "$(script_path "$script")" "$@"
  # shellcheck disable=SC2154 # bats sets it
  [[ -z $stderr ]] || printf '%s\n' "$stderr" # shown where a test fails
}

# The calls of the last step that write; none is no error.
writes() {
  grep '^write ' "$BATS_FILE_TMPDIR/calls" || true
}

# fail_on KIND PATTERN: the next call that matches fails so (proxy.py).
fail_on() {
  echo "$1 $2" >"$BATS_FILE_TMPDIR/fault"
}

# interrupted NAME [ARGUMENTS...]: runs the step, and sends Ctrl-C as a terminal does,
# to its process group, when the call that `fail_on hang` names is under way.
interrupted() {
  local script=$1 pid tries
  shift
  rm -f "$BATS_FILE_TMPDIR"/fault.done
  set -m
  # Where SIGINT is ignored already, as in what a shell runs in the background, no script can change that.
  "$repository/.tools/lint/bin/python" -c 'import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])' "$(script_path "$script")" "$@" >"$BATS_FILE_TMPDIR/interrupted" 2>&1 3>&- &
  pid=$!
  set +m
  for ((tries = 0; tries < 600; tries++)); do
    [[ ! -e $BATS_FILE_TMPDIR/fault.done ]] || break
    sleep 0.1
  done
  kill -INT -- "-$pid"
  # shellcheck disable=SC2034 # as after bats' run
  status=0
  # shellcheck disable=SC2034
  wait "$pid" || status=$?
  cat "$BATS_FILE_TMPDIR/interrupted"
}

# Asks the emulator itself, so that the calls noted are the scripts' alone.
admin() {
  AWS_ENDPOINT_URL=$MINISTACK aws --output text "$@"
}

# All that the account holds, a line each, whoever made it.
listing() {
  "$repository/.tools/ministack/bin/python" "$repository/tests/wiring/lib/listing.py" "$MINISTACK"
}

# survives STEP KIND PATTERN...: runs of the step that fail so, one after the
# other; then one that completes, one that finds all there, and the inverse.
survives() {
  local step=$1 before
  shift
  before=$(listing)
  while (($# > 0)); do
    fail_on "$1" "$2"
    if [[ $1 == hang ]]; then
      interrupted "$step"
      ((status == 130))
    else
      step "$step"
      ((status == 1))
      [[ $stderr == *"run this again"* || $stderr == *"it has changed nothing"* ]]
    fi
    [[ -e $BATS_FILE_TMPDIR/fault.done ]] # it came to that
    shift 2
  done
  step "$step"
  ((status == 0))
  step "$step"
  ((status == 0))
  [[ $stderr == *"already exists"* && -z $(writes) ]]
  step "$step" delete
  ((status == 0))
  [[ $(listing) == "$before" ]]
}
