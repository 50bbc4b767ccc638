#!/usr/bin/env bats
# Old tools are reported in one line each, before anything is asked of AWS.

# shellcheck disable=SC2030,SC2031,SC2154 # each test is a subshell; status, output and stderr are of bats' run
# shellcheck source-path=SCRIPTDIR source=../lib/wiring.sh
load ../lib/wiring.sh

setup() {
  export CALLS=$BATS_TEST_TMPDIR/calls
  unset TOOLS CHECKED ACCOUNT_ID WITH TARGET_ROLE_ARN SESSION_POLICY SESSION_TAGS
  toolbox chmod curl
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

# refused WORDS SCRIPT [REASON [STATUS]]: the script says these words in one line, and asks AWS nothing.
refused() {
  run --separate-stderr "$(script_path "$2")"
  echo "$stderr"
  [[ $status == "${4-1}" && ${#stderr_lines[@]} == 1 && $stderr == "$2.sh: $1 is too old: "*" or later is required${3-}: "*https://* ]]
  ! grep -v 'configure get region' "$CALLS"
}

@test "an AWS CLI, an eksctl and a kubectl that are too old are each one line" {
  tool aws 'aws-cli/2.4.29 Python/3.8.8 Linux/6.1.0'
  refused "aws 2.4.29" up
  refused "aws 2.4.29" bucket
  refused "aws 2.4.29" down
  refused "aws 2.4.29" compare
  refused "aws 2.4.29" inspect
  refused "aws 2.4.29" audit '' 3
  BUCKET=pictures refused "aws 2.4.29" status
  BUCKET=pictures IMAGE=registry.example/demo:1 refused "aws 2.4.29" deploy
  tool aws 'aws-cli/1.30.7 Python/3.11.2 Linux/6.1.0 botocore/1.32.7'
  refused "aws 1.30.7" up
  tool aws 'aws-cli/2.31.0 Python/3.13.7'
  tool eksctl 0.99.0-dev+abc.2022-05-01
  refused "eksctl 0.99.0" up
  tool eksctl 0.230.0
  tool kubectl 'Client Version: version.Info{Major:"1", Minor:"24", GitVersion:"v1.24.17", GitCommit:"22a9682"}'
  refused "kubectl 1.24.17" up
}

# refused_for SETTING TOOL VERSION MINIMUM: up.sh and the step want this version for the setting.
refused_for() {
  local script
  for script in up association; do
    : >"$CALLS"
    refused "$2 $3" "$script" " for $1"
    [[ $stderr == *": $4 or later is required for $1: "* ]]
  done
}

@test "the options of an association want newer tools, and only where they are set" {
  tool aws 'aws-cli/2.27.33 Python/3.13.3 Linux/6.1.0'
  TARGET_ROLE_ARN=arn:aws:iam::111122223333:role/pictures refused_for TARGET_ROLE_ARN aws 2.27.33 2.27.34
  SESSION_TAGS=off refused_for SESSION_TAGS=off aws 2.27.33 2.27.34
  SESSION_TAGS=off SESSION_POLICY=policy.json refused_for SESSION_POLICY aws 2.27.33 2.33.19
  SESSION_TAGS=on run --separate-stderr "$(script_path up)"
  [[ $stderr == *"no usable AWS credentials"* ]]
  tool aws 'aws-cli/1.40.33 Python/3.11.7 Linux/6.1.0 botocore/1.38.34'
  SESSION_TAGS=off refused_for SESSION_TAGS=off aws 1.40.33 1.40.34
  tool aws 'aws-cli/1.44.35 Python/3.11.7 Linux/6.1.0 botocore/1.42.45'
  SESSION_TAGS=off run --separate-stderr "$(script_path up)"
  [[ $stderr == *"no usable AWS credentials"* ]]
  SESSION_TAGS=off SESSION_POLICY=policy.json refused_for SESSION_POLICY aws 1.44.35 1.44.36
  tool aws 'aws-cli/2.33.19 Python/3.13.11 Linux/6.1.0'
  tool eksctl 0.222.0
  SESSION_TAGS=off SESSION_POLICY=policy.json refused_for SESSION_POLICY eksctl 0.222.0 0.223.0
  WITH=aws SESSION_TAGS=off SESSION_POLICY=policy.json run --separate-stderr "$(script_path up)"
  [[ $stderr == *"no usable AWS credentials"* ]]
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
