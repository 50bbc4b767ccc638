# shellcheck shell=bash
# What all scripts share; each sources it first. Messages go to stderr, because a
# script's stdout is its result.

set -euo pipefail

# The project's folder, wherever the script was called from.
root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)
# shellcheck disable=SC2034 # for those who source this
readonly root

# What is going on, for a person: a line each.
say() {
  printf '%s\n' "$@" >&2
}

# One line: what is wrong and what to do.
die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

# need COMMAND HINT: the command is there, or the hint says how to get it.
need() {
  command -v "$1" >/dev/null || die "$1 is missing: $2"
}

# Prints a command as it can be pasted into a shell.
show() {
  local word line='$'
  for word in "$@"; do
    # In single quotes, where there is none inside: that is how a person would write it.
    if [[ $word =~ ^[[:alnum:]%+,./:=@_-]+$ ]]; then
      :
    elif [[ $word == *\'* || $word == *[[:cntrl:]]* ]]; then
      printf -v word %q "$word"
    else
      word="'$word'"
    fi
    line+=" $word"
  done
  say "$line"
}

# Prints a command, then runs it.
run() {
  show "$@"
  "$@"
}

# The comment at the head of the script that was called.
usage() {
  sed -n '1d; /^#/!q; s/^# \{0,1\}//p' "$0"
}

((BASH_VERSINFO[0] >= 4)) || die "bash $BASH_VERSION is too old: install bash 4 or later (macOS: brew install bash)"
