#!/usr/bin/env bats
# Old tools are reported in one line each, before anything is asked of AWS.

# shellcheck disable=SC2154 # status, output and stderr are of bats' run
# shellcheck source-path=SCRIPTDIR source=../lib/wiring.sh
load ../lib/wiring.sh

setup() {
  export CALLS=$BATS_TEST_TMPDIR/calls
  unset TOOLS CHECKED ACCOUNT_ID WITH
  toolbox chmod
  tool aws 'aws-cli/2.31.0 Python/3.13.7 Linux/6.1.0 exe/x86_64.debian.12'
  tool eksctl 0.230.0
  tool kubectl 'Client Version: v1.35.4
Kustomize Version: v5.7.1'
}

# tool NAME VERSION: creates a tool that prints this version, and notes every other call.
tool() {
  # shellcheck disable=SC2016 # for the tool
  printf '#!/bin/sh\ncase "$*" in\n  --version | version | "version --client") echo "%s" ;;\n  *) echo "%s $*" >>"$CALLS"; exit 1 ;;\nesac\n' \
    "$2" "$1" >"$BATS_FILE_TMPDIR/toolbox/$1"
  chmod +x "$BATS_FILE_TMPDIR/toolbox/$1"
}

# refused WORDS SCRIPT: the script says these words in one line, and asks AWS nothing.
refused() {
  run --separate-stderr "$(script_path "$2")"
  echo "$stderr"
  [[ $status == 1 && ${#stderr_lines[@]} == 1 && $stderr == "$2.sh: $1 is too old: "*" or later is required: "*https://* ]]
  ! grep -v 'configure get region' "$CALLS"
}

@test "an AWS CLI, an eksctl and a kubectl that are too old are each one line" {
  tool aws 'aws-cli/2.4.29 Python/3.8.8 Linux/6.1.0'
  refused "aws 2.4.29" up
  refused "aws 2.4.29" bucket
  refused "aws 2.4.29" down
  tool aws 'aws-cli/1.30.7 Python/3.11.2 Linux/6.1.0 botocore/1.32.7'
  refused "aws 1.30.7" up
  tool aws 'aws-cli/2.31.0 Python/3.13.7'
  tool eksctl 0.99.0-dev+abc.2022-05-01
  refused "eksctl 0.99.0" up
  tool eksctl 0.230.0
  tool kubectl 'Client Version: version.Info{Major:"1", Minor:"24", GitVersion:"v1.24.17", GitCommit:"22a9682"}'
  refused "kubectl 1.24.17" up
}

@test "tools that are new enough are used, and so is one whose version cannot be read" {
  run --separate-stderr "$(script_path up)"
  [[ $stderr == *"no usable AWS credentials"* ]]
  tool eksctl ''
  run --separate-stderr "$(script_path up)"
  [[ $stderr == *"no usable AWS credentials"* ]]
  tool aws 'aws-cli/1.46.3 Python/3.11.7 Linux/6.18.44 botocore/1.43.62'
  run --separate-stderr "$(script_path up)"
  [[ $stderr == *"no usable AWS credentials"* ]]
}
