#!/usr/bin/env bats
# scripts/rehearse.sh on an account of its own, with the system's tools.

# shellcheck disable=SC2154 # repository is of wiring.sh, status and stderr of bats' run
# shellcheck source-path=SCRIPTDIR source=../lib/wiring.sh
load ../lib/wiring.sh

@test "the rehearsal plays the story, and leaves nothing" {
  PATH=$repository/.tools/lint/bin:$PATH run --separate-stderr "$repository/scripts/rehearse.sh"
  printf '%s\n' "$stderr"
  ((status == 0))
  [[ $stderr == *'"message":"uploaded"'*'(AccessDenied) when calling the ListObjectsV2 operation'*'"diagnosis":"not_injected"'* ]]
  [[ ${stderr_lines[-1]} == "Nothing is left: the account is as it was before." ]]
  # The walkthrough shows the table of this run.
  diff <(sed -n '/^| who asks/,/^$/p' <<<"$stderr" | grep '^|') <(sed -n '/^## Who gets access/,/^## /p' "$repository/docs/walkthrough.md" | grep '^|')
}

@test "an unknown argument gives one clear line, before anything is started" {
  run --separate-stderr "$repository/scripts/rehearse.sh" --fast
  ((status == 1))
  [[ ${stderr_lines[0]} == "rehearse.sh: unknown argument --fast"* ]]
}
