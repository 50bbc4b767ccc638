#!/usr/bin/env bats
# Each setting is checked by its kind when it is read, and an error of AWS is told by its code. Asks AWS nothing.

# shellcheck disable=SC2030,SC2031,SC2154 # each test is a subshell; status, output and stderr are of bats' run
# shellcheck source-path=SCRIPTDIR source=../lib/wiring.sh
load ../lib/wiring.sh

setup_file() {
  toolbox touch
  unset ACCOUNT_ID CHECKED CLUSTER_NAME BUCKET IMAGE REPOSITORY WITH DRY_RUN TAG_VALUE NAMESPACE SERVICE_ACCOUNT POLL_PAUSE LAG NODES \
    TARGET_ROLE_ARN SESSION_TAGS PERMISSIONS_BOUNDARY INSTANCE_TYPE DEPLOY_TIMEOUT PULL_GRACE FLEET_SIZE
  export AWS_REGION=us-east-1 FILLED=$BATS_FILE_TMPDIR/filled
}

# in_scripts COMMAND...: runs a command in a shell that has read the settings and the functions of the steps.
in_scripts() {
  # shellcheck disable=SC2016 # for the shell that is started
  run --separate-stderr bash -c 'cd "$0" && . lib/common.sh && . lib/settings.sh && . lib/steps.sh && scratch=$BATS_TEST_TMPDIR && "$@"' "$repository/scripts" "$@"
  echo "$stderr"
}

@test "no setting runs a command, and each of the wrong kind is one line" {
  local name value ran=$BATS_TEST_TMPDIR/ran
  # shellcheck disable=SC2016 # for arithmetic, which would run it
  for name in NODES FLEET_SIZE DEPLOY_TIMEOUT PULL_GRACE LAG POLL_PAUSE; do
    for value in 'a[$(touch '"$ran"')]' 'SECONDS' 1e3 -1 0x10; do
      run --separate-stderr env "$name=$value" "$(script_path deploy)"
      echo "$stderr"
      [[ $status == 1 && ${#stderr_lines[@]} == 1 && $stderr == "deploy.sh: $name is "*": it must be a number"* && ! -e $ran ]]
    done
  done
  for name in AWS_REGION CLUSTER_NAME NAMESPACE SERVICE_ACCOUNT IRSA_SERVICE_ACCOUNT POLICY_NAME IRSA_POLICY_NAME TAG_VALUE PERMISSIONS_BOUNDARY WITH \
    ARCHITECTURE INSTANCE_TYPE KUBERNETES TARGET_ROLE_ARN SESSION_TAGS ACCOUNT_ID BUCKET POLICY_ARN IRSA_POLICY_ARN REPOSITORY IMAGE; do
    for value in 'no such" value' $'two\nlines'; do
      run --separate-stderr env "$name=$value" "$(script_path up)" --dry-run
      echo "$stderr"
      [[ $status == 1 && ${#stderr_lines[@]} == 1 && $stderr == "up.sh: $name is "*": it must be "* ]]
    done
  done
  run --separate-stderr env NODES=many "$(script_path audit)"
  ((status == 2))
}

@test "a number in a name is not taken for the code of an error, and neither is a code in a message" {
  aws() { echo "An error occurred ($code) when calling the HeadObject operation: no pictures-404404404404 (NoSuchKey)" >&2 && return 254; }
  export -f aws
  code=404 in_scripts found '404|NoSuchKey' aws s3api head-object
  [[ $status == 1 && $stderr != *"could not read"* ]]
  code=AccessDenied in_scripts found '404|NoSuchKey' aws s3api head-object
  [[ $status == 1 && ${stderr_lines[-1]} == *"could not read the resource; it has changed nothing" ]]
}

@test "what is printed can be pasted, and read" {
  local word
  for word in plain "Tags[?Key=='x'].Value | [0]" "it's \$5, a \`tick\`, \"quoted\" and \\" "it's new!" $'two\nlines' '[?!IsDefault]' "'"; do
    in_scripts show echo "$word"
    [[ $(bash -c "${stderr#'$ '}") == "$word" ]]
  done
  in_scripts show "Tags[?Key=='x'].Value | [0]"
  [[ $stderr == "$ \"Tags[?Key=='x'].Value | [0]\"" ]]
}

@test "an unknown argument is answered with the arguments that the script has" {
  run --separate-stderr "$(script_path up)" --force
  [[ $status == 1 && $stderr == "up.sh: unknown argument --force; usage: scripts/up.sh [--dry-run] (see --help)" ]]
  run --separate-stderr "$(script_path bucket)" --force
  [[ $stderr == "bucket.sh: unknown argument --force; usage: scripts/steps/bucket.sh [delete] [--dry-run] (see --help)" ]]
  run --separate-stderr "$(script_path inspect)" --force
  [[ $stderr == "inspect.sh: unknown argument --force; usage: scripts/inspect.sh (see --help)" ]]
}
