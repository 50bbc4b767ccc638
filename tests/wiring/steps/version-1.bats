#!/usr/bin/env bats
# The same steps with version 1 of the AWS CLI, which is in maintenance. All other tests run version 2.

# shellcheck disable=SC2154 # status, output and stderr are of bats' run
# shellcheck source-path=SCRIPTDIR source=../lib/wiring.sh
load ../lib/wiring.sh

setup_file() {
  start_cloud
  export AWS_CLI=lint WITH=aws KUBERNETES=none
  toolbox aws
  a_cluster
  listing >"$BATS_FILE_TMPDIR/before"
}

teardown_file() { stop_cloud; }

@test "the steps create everything, find it there, say what is refused, and delete it" {
  local step steps=(bucket policy registry addon association)
  [[ $(aws --version) == aws-cli/1.* ]]
  for step in "${steps[@]}"; do
    step "$step"
    ((status == 0))
    step "$step"
    [[ $status == 0 && $stderr == *"already exists"* && -z $(writes) ]]
  done
  step policy delete
  [[ $status == 1 && $stderr == *"still attached to: pod-identity-demo-podidentityrole-"* ]]
  step down
  ((status == 0))
  [[ ${stderr_lines[-1]} == "nothing is left: "* ]]
  diff -u "$BATS_FILE_TMPDIR/before" <(listing)
}
