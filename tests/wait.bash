# shellcheck shell=bash
# How all tests of scripts, image and cluster wait.

# eventually SECONDS COMMAND...: polls until the command succeeds.
eventually() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < deadline)) || { echo "not in time: $*" >&2 && return 1; }
    sleep 0.2
  done
}
