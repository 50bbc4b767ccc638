#!/usr/bin/env bats
# bats file_tags=go
# What is refused, cut off, lost or interrupted half-way is completed by running
# the step again, and undone by its inverse, with nothing left.

# shellcheck disable=SC2030,SC2031,SC2154 # each test is a subshell; status, output and stderr are of bats' run
# shellcheck source-path=SCRIPTDIR source=../lib/wiring.sh
load ../lib/wiring.sh

setup_file() {
  start_cloud
  toolbox aws eksctl
}

teardown_file() { stop_cloud; }

@test "the bucket" {
  survives bucket drop 'write s3 PUT /[^?]*$' lose 'write s3 PUT /[^?]*$' hang 'PUT .*\?policy' drop 'PUT .*\?lifecycle' drop 'read s3'
}

@test "the policies" {
  survives policy refuse CreatePolicy lose CreatePolicy hang CreatePolicy
}

@test "the repository" {
  survives registry refuse CreateRepository hang CreateRepository lose CreateRepository
}
