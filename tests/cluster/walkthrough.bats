#!/usr/bin/env bats
# docs/walkthrough.md, block by block as written, in a real cluster on an emulated account.

# shellcheck disable=SC2016,SC2154 # the inner shell expands; project is of cluster.bash
# shellcheck source-path=SCRIPTDIR source=cluster.bash
load cluster

# The blocks of one language, each a file in the folder.
blocks() {
  awk -v folder="$2" -v language="$1" '
    $0 == "```" language { inside = 1; number++; next }
    /^```/ { inside = 0 }
    inside { print > sprintf("%s/%02d", folder, number) }
  ' "$project/docs/walkthrough.md"
}

@test "every block of the walkthrough does what the text says, and prints what is shown there" {
  local block folder=$BATS_FILE_TMPDIR/blocks exports=$BATS_FILE_TMPDIR/exports said=$BATS_FILE_TMPDIR/said
  mkdir "$folder" "$said"
  blocks sh "$folder"
  # What a reader sets once holds for all blocks; here, each has a shell of its own.
  grep -h '^export ' "$folder"/* >"$exports"
  cd "$project"
  listing >"$BATS_FILE_TMPDIR/before"
  for block in "$folder"/*; do
    # shown where the test fails
    cat "$block"
    in_cluster bash -euo pipefail -c '. "$0" && . "$1"' "$exports" "$block" 2>&1 | tee "$said/${block##*/}"
    ((PIPESTATUS[0] == 0))
  done
  # To paste from.
  [[ -z ${WALKTHROUGH_OUTPUT-} ]] || cp -R "$said/." "$WALKTHROUGH_OUTPUT"
  diff -u "$BATS_FILE_TMPDIR/before" <(listing)
  python3 tests/cluster/shown.py docs/walkthrough.md "$said"
  # As many variables as the text says.
  (($(cat "$said"/* | grep -c '^  this pod: yes   the other: -    env ') == 3))
  grep -qF 'The webhook** has put three environment variables' docs/walkthrough.md
}
