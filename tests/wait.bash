# shellcheck shell=bash
# How all tests of scripts, image and cluster wait.

# eventually SECONDS COMMAND...: polls until the command succeeds, less often the longer it takes: most
# of what these tests cost the machine was looking whether something is there yet.
eventually() {
  local deadline=$((SECONDS + $1)) pause=2
  shift
  until "$@"; do
    ((SECONDS < deadline)) || { echo "not in time: $*" >&2 && return 1; }
    sleep "0.$pause"
    ((pause == 9)) || ((pause += 1))
  done
}
