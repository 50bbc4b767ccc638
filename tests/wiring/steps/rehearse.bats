#!/usr/bin/env bats
# scripts/rehearse.sh on an account of its own, with the system's tools.

# shellcheck disable=SC2154 # repository is of wiring.sh, status and stderr of bats' run
# shellcheck source-path=SCRIPTDIR source=../lib/wiring.sh
load ../lib/wiring.sh

@test "the rehearsal plays the story, and leaves nothing, whatever options of an association the caller has set" {
  export TARGET_ROLE_ARN=arn:aws:iam::111122223333:role/theirs EXTERNAL_ID=theirs SESSION_POLICY=/nowhere SESSION_TAGS=off
  PATH=$repository/.tools/aws/bin:$PATH run --separate-stderr "$repository/scripts/rehearse.sh"
  printf '%s\n' "$stderr"
  ((status == 0))
  [[ $stderr == *'"message":"uploaded"'*'(AccessDenied) when calling the ListObjectsV2 operation'*'"diagnosis":"not_injected"'* ]]
  [[ $stderr == *"It has a live page: scripts/rehearse.sh --pause leaves the time to look at it."* ]]
  [[ ${stderr_lines[-1]} == "Nothing is left: the account is as it was before." ]]
  # The walkthrough shows the table of this run.
  diff <(sed -n '/^| who asks/,/^$/p' <<<"$stderr" | grep '^|') <(sed -n '/^## Who gets access/,/^## /p' "$repository/docs/walkthrough.md" | grep '^|')
}

@test "with --pause it says where the live page of the job is, and Ctrl-C ends it" {
  PATH=$repository/.tools/aws/bin:$PATH run --separate-stderr python "$repository/tests/wiring/lib/paused.py" "Now look at the live page" \
    "$repository/scripts/rehearse.sh" --pause
  printf '%s\n' "$output"
  # Ctrl-C at the question that follows.
  ((status == 130))
  [[ $output == *"Now look at the live page, http://127.0.0.1:8080/: "*"Press Enter to continue."* && $output != *"scripts/rehearse.sh --pause leaves"* ]]
}

@test "an unknown argument gives one clear line, before anything is started" {
  run --separate-stderr "$repository/scripts/rehearse.sh" --fast
  ((status == 1))
  [[ ${stderr_lines[0]} == "rehearse.sh: unknown argument --fast"* ]]
}
