# shellcheck shell=bash
# Functions that all scripts share. Each script begins with sourcing this file.
# All messages go to stderr, because the result of a script goes to stdout.

set -euo pipefail

# The project's folder, whatever the current folder is.
root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)
# shellcheck disable=SC2034 # the scripts that source this file use it
readonly root

# say LINE...: prints messages for a person.
say() {
  printf '%s\n' "$@" >&2
}

# die MESSAGE: ends the script. The message says what is wrong and what to do.
die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

# need COMMAND HINT: ends the script if the command is missing; the hint says how to get it.
need() {
  command -v "$1" >/dev/null || die "$1 is missing: $2"
}

# at_least VERSION MINIMUM: compares two versions such as 2.15.0, number by number.
at_least() {
  local i have minimum
  IFS=. read -ra have <<<"$1"
  IFS=. read -ra minimum <<<"$2"
  for i in "${!minimum[@]}"; do
    if ((10#${have[i]:-0} != 10#${minimum[i]})); then
      ((10#${have[i]:-0} > 10#${minimum[i]})) || return 1
      return 0
    fi
  done
}

# show COMMAND...: prints a command so that it can be pasted into a shell.
show() {
  local word line='$'
  for word in "$@"; do
    # Prefer single quotes, as a person would write them, and double ones around these.
    if [[ $word =~ ^[[:alnum:]%+,./:=@_-]+$ ]]; then
      :
    elif [[ $word == *[[:cntrl:]]* || $word == *\'*!* || $word == *!*\'* ]]; then
      printf -v word %q "$word" # in double quotes, a shell of a person would read `!`
    elif [[ $word == *\'* ]]; then
      word=${word//\\/\\\\} word=${word//\"/\\\"} word=${word//\$/\\\$} word=${word//\`/\\\`}
      word=\"$word\"
    else
      word="'$word'"
    fi
    line+=" $word"
  done
  say "$line"
}

# run COMMAND...: prints a command, then runs it.
run() {
  show "$@"
  "$@"
}

# usage: prints the comment at the head of the running script.
usage() {
  sed -n '1d; /^#/!q; s/^# \{0,1\}//p' "$0"
}

((BASH_VERSINFO[0] >= 4)) || die "bash $BASH_VERSION is too old: install bash 4 or later (macOS: brew install bash)"
