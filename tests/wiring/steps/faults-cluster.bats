#!/usr/bin/env bats
# bats file_tags=go
# What is refused, cut off, lost or interrupted half-way is completed by running
# the step again, and undone by its inverse: the steps of the cluster.

# shellcheck disable=SC2030,SC2031,SC2154 # each test is a subshell; status, output and stderr are of bats' run
# shellcheck source-path=SCRIPTDIR source=../lib/wiring.sh
load ../lib/wiring.sh

setup_file() {
  start_cloud control-plane
  toolbox aws eksctl
}

teardown_file() { stop_cloud; }

@test "the cluster" {
  survives cluster refuse CreateStack lose CreateStack hang 'write eks POST .*/addons' refuse 'write eks POST .*/addons' \
    refuse CreateStack hang CreateStack
}

@test "the add-on and the association, with eksctl and without" {
  "$repository/scripts/steps/policy.sh"
  a_cluster
  survives addon refuse 'POST .*/addons' hang 'POST .*/addons' lose 'POST .*/addons'
  "$repository/scripts/steps/addon.sh"
  survives association refuse CreateStack refuse 'POST .*/pod-identity-associations' hang 'POST .*/pod-identity-associations'
  export WITH=aws
  survives association refuse CreateStack lose CreateStack hang 'POST .*/pod-identity-associations'
}

@test "an inverse that is cut off, or interrupted, is completed by running it again" {
  local before
  before=$(listing)
  "$repository/scripts/steps/bucket.sh"
  fail_on refuse 'write s3 DELETE'
  step bucket delete
  ((status == 1))
  fail_on hang 'write s3 DELETE'
  interrupted bucket delete
  ((status == 130))
  step bucket delete
  ((status == 0))
  "$repository/scripts/steps/association.sh"
  fail_on lose 'write eks DELETE'
  step association delete
  ((status == 1))
  fail_on hang 'DeleteStack'
  interrupted association delete
  ((status == 130))
  step association delete
  ((status == 0))
  [[ $(listing) == "$before" ]]
}
