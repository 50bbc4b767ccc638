#!/usr/bin/env bats
# scripts/rehearse.sh on an account of its own: with the system's tools and the AWS
# CLI alone, and with the stand-ins for eksctl and kubectl.

# shellcheck disable=SC2154 # repository is of wiring.sh, status and stderr of bats' run
# shellcheck source-path=SCRIPTDIR source=../story/story.sh
load ../story/story.sh

setup_file() {
  local whole_path=$PATH box=$BATS_FILE_TMPDIR/client
  start_aws "$BATS_FILE_TMPDIR"
  MINISTACK='' stand_ins tee
  unset KUBECTL_CLOUD
  export STAND_INS=$PATH:$whole_path
  PATH=$whole_path
  # The rehearsal takes all that begins with AWS_ out of its environment.
  mkdir "$box"
  for aws in "$box/aws" "$BATS_FILE_TMPDIR/toolbox/aws-cli"; do
    printf '#!/bin/sh\nAWS_SERVER="%s" exec "%s" -I -S "%s" "$@"\n' "$AWS_SERVER" "$repository/.tools/lint/bin/python" \
      "$repository/tests/wiring/lib/aws_client.py" >"$aws"
    chmod +x "$aws"
  done
}

teardown_file() { stop_cloud; }

@test "the rehearsal plays the story, and leaves nothing" {
  PATH=$BATS_FILE_TMPDIR/client:$PATH run --separate-stderr "$repository/scripts/rehearse.sh"
  printf '%s\n' "$stderr"
  ((status == 0))
  [[ $stderr == *'"message":"uploaded"'*'(AccessDenied) when calling the ListObjectsV2 operation'*'"diagnosis":"not_injected"'* ]]
  [[ ${stderr_lines[-1]} == "Nothing is left: the account is as it was before." ]]
}

@test "with eksctl and kubectl it plays all of it, and leaves nothing" {
  PATH=$STAND_INS run --separate-stderr "$repository/scripts/rehearse.sh" --kubernetes
  printf '%s\n' "$stderr"
  ((status == 0))
  [[ $output == *"ok: credentials from IRSA"*"nothing is wrong"* ]]
  [[ ${stderr_lines[-1]} == "Nothing is left: the account is as it was before." ]]
}

@test "an unknown argument gives one clear line, before anything is started" {
  run --separate-stderr "$repository/scripts/rehearse.sh" --fast
  ((status == 1))
  [[ ${stderr_lines[0]} == "rehearse.sh: unknown argument --fast"* ]]
}
