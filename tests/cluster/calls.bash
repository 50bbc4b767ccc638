# shellcheck shell=bash
# The calls to AWS that a script under test makes, and faults in them. The proxy in front of the
# emulated account (eks.py) notes the calls in the folder CLUSTER_STATE, and reads there which to fail.
# shellcheck disable=SC2034,SC2154 # status, output and stderr are of bats' run

project=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)
# shellcheck source-path=SCRIPTDIR source=../wait.bash
. "$project/tests/wait.bash"
within=() # a command that runs the scripts elsewhere, such as in the cluster's network
# What lets EKS Pod Identity assume a role.
trust='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}]}'

# start_aws FOLDER [COMMAND...]: creates `aws` in the folder, for a server that has loaded the AWS CLI and ends
# with these tests (preloaded_cli.py). COMMAND runs the server, for example in another network. It is version 2,
# or that of the tools AWS_CLI names: `lint` has version 1.
start_aws() {
  local here=$project/tests/cluster socket=${1%/*}/aws.socket python=$project/.tools/${AWS_CLI:-aws}/bin/python
  # Isolated and without site-packages, Python starts in 20 ms.
  { echo "#!$python -IS" && cat "$here/preloaded_client.py"; } >"$1/aws"
  chmod +x "$1/aws"
  [[ ! -e $socket ]] || return 0
  "${@:2}" "$python" "$here/preloaded_cli.py" "$socket" "$$" >"$socket.log" 2>&1 </dev/null 3>&- &
  eventually 60 test -e "$socket"
}

# forget_calls: what is noted from here on is of the next script.
forget_calls() {
  : >"$CLUSTER_STATE/calls"
  rm -f "$CLUSTER_STATE/fault.done"
}

# script_path NAME: the path of a step, or of a script that people run.
script_path() {
  local path=$project/scripts/steps/$1.sh
  [[ -e $path ]] || path=$project/scripts/$1.sh
  echo "$path"
}

# step NAME [ARGUMENT...]: runs a script of the project; bats' $status, $output (stdout) and $stderr.
step() {
  forget_calls
  run --separate-stderr "${within[@]}" "$(script_path "$1")" "${@:2}"
  printf '%s\n%s\n' "$output" "$stderr" # shown where a test fails
}

# interrupted NAME [ARGUMENT...]: runs a script, and interrupts it when the call that `fail_on hang` names is under way.
interrupted() {
  interrupt "${within[@]}" "$(script_path "$1")" "${@:2}"
}

# writes: prints the calls since forget_calls that write, without the uploads of pods, which go through
# the same proxy. Succeeds also if there are none.
writes() {
  grep '^write ' "$CLUSTER_STATE/calls" | grep -vE '^write s3 PUT /[^/?]+/' || true
}

# fail_on KIND PATTERN: makes the next call that matches fail in this way.
fail_on() {
  rm -f "$CLUSTER_STATE/fault.done"
  echo "$1 $2" >"$CLUSTER_STATE/fault"
}

# documented_policy: prints the policy of docs/permissions.md.
documented_policy() {
  awk '/^```/ {inside = ($0 == "```json"); next} inside' "$project/docs/permissions.md"
}

# session_of NAME POLICY COMMAND: creates a role with that policy alone, and prints the keys of a session of
# it. COMMAND is the AWS CLI of the account's administrator.
session_of() {
  local root='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"sts:AssumeRole"}]}'
  "$3" iam create-role --role-name "$1" --assume-role-policy-document "$root" >"${BATS_TEST_TMPDIR:?}/role"
  "$3" iam put-role-policy --role-name "$1" --policy-name all --policy-document "$2"
  "$3" sts assume-role --role-arn "arn:aws:iam::123456789012:role/$1" --role-session-name test \
    --query 'Credentials.[AccessKeyId, SecretAccessKey, SessionToken]'
}

# end_session NAME COMMAND: deletes the role.
end_session() {
  "$2" iam delete-role-policy --role-name "$1" --policy-name all
  "$2" iam delete-role --role-name "$1"
}

# interrupt COMMAND...: runs a command, and sends Ctrl-C as a terminal does, to its process group, when
# the call that `fail_on hang` names is under way. Sets bats' $status, and prints what the command said.
interrupt() {
  local pid output=${BATS_TEST_TMPDIR:?}/interrupted
  rm -f "$CLUSTER_STATE/fault.done"
  set -m
  # Where SIGINT is ignored already, as in what a shell runs in the background, no script can change that.
  "$project/.tools/lint/bin/python" -c 'import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])' "$@" >"$output" 2>&1 3>&- &
  pid=$!
  set +m
  eventually 300 test -e "$CLUSTER_STATE/fault.done" || return 1
  kill -INT -- "-$pid"
  status=0
  wait "$pid" || status=$?
  cat "$output"
}
