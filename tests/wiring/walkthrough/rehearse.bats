#!/usr/bin/env bats
# scripts/rehearse.sh, with the system's tools and the AWS CLI, on an account of its own.

# shellcheck disable=SC2154 # status and stderr are of bats' run
# shellcheck source-path=SCRIPTDIR source=../lib/wiring.sh
load ../lib/wiring.sh

setup_file() {
  start_aws
  # It takes all that begins with AWS_ out of its environment.
  printf '#!/bin/sh\nAWS_SERVER="%s" exec "%s" -I -S "%s" "$@"\n' "$AWS_SERVER" "$repository/.tools/lint/bin/python" \
    "$repository/tests/wiring/lib/aws_client.py" >"$BATS_FILE_TMPDIR/aws-cli"
  mkdir "$BATS_FILE_TMPDIR/bin"
  mv "$BATS_FILE_TMPDIR/aws-cli" "$BATS_FILE_TMPDIR/bin/aws"
  chmod +x "$BATS_FILE_TMPDIR/bin/aws"
}

teardown_file() { stop_cloud; }

@test "the rehearsal plays the story, and leaves nothing" {
  PATH=$BATS_FILE_TMPDIR/bin:$PATH run --separate-stderr "$repository/scripts/rehearse.sh"
  printf '%s\n' "$stderr"
  ((status == 0))
  [[ $stderr == *'"message":"uploaded"'*'(AccessDenied) when calling the ListObjectsV2 operation'*'"diagnosis":"not_injected"'* ]]
  [[ ${stderr_lines[-1]} == "Nothing is left: the account is as it was before." ]]
}

@test "unknown words are one clear line, before anything is started" {
  run --separate-stderr "$repository/scripts/rehearse.sh" --fast
  ((status == 1))
  [[ ${stderr_lines[0]} == "rehearse.sh: there is no word --fast here"* ]]
}
