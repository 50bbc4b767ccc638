#!/usr/bin/env bats
# How long scripts/dev/tools.sh waits for another that installs. Installs nothing.

# shellcheck disable=SC2154 # status, output and stderr are of bats' run
bats_require_minimum_version 1.5.0
repository=$(CDPATH='' cd -- "$BATS_TEST_DIRNAME/../../.." && pwd -P)

setup() {
  local copy=$BATS_TEST_TMPDIR/copy
  export COUNT=$BATS_TEST_TMPDIR/count
  mkdir -p "$copy/.tools/cluster" "$copy/cluster" "$BATS_TEST_TMPDIR/bin"
  cp -r "$repository/scripts" "$copy/"
  cp -r "$repository/cluster/modules" "$copy/cluster/"
  # As if eksctl were installed.
  cat "$copy/cluster/modules/eksctl"/go.{mod,sum} >"$copy/.tools/cluster/eksctl.stamp"
  export LOCK=$copy/.tools/lock
  tools=$copy/scripts/dev/tools.sh
  sleep 600 3>&- &
  holder=$!
  ln -s "process-$holder" "$LOCK"
  # Each second passes at once. The other process has finished after 15 minutes.
  cat >"$BATS_TEST_TMPDIR/bin/sleep" <<'SLEEP'
#!/bin/sh
echo >>"$COUNT"
[ "$(wc -l <"$COUNT")" -lt 900 ] || rm "$LOCK"
SLEEP
  chmod +x "$BATS_TEST_TMPDIR/bin/sleep"
}

teardown() {
  kill "$holder" 2>/dev/null || true
}

@test "it waits as long as the other process is there, and says so now and then" {
  PATH=$BATS_TEST_TMPDIR/bin:$PATH run --separate-stderr "$tools" eksctl
  echo "$stderr"
  ((status == 0))
  [[ $stderr == "waiting for process $holder, which is installing
waiting for process $holder, which is installing, since 5 minutes
waiting for process $holder, which is installing, since 10 minutes" ]]
  [[ ! -e $LOCK ]]
}
