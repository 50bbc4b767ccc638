#!/usr/bin/env bats
# What cluster/cluster.sh removes and ends, and what it says when openssl fails. Starts nothing.

# shellcheck disable=SC2154 # status, output and stderr are of bats' run
bats_require_minimum_version 1.5.0
repository=$(CDPATH='' cd -- "$BATS_TEST_DIRNAME/../../.." && pwd -P)

setup() {
  export CLUSTER_STATE=$BATS_TEST_TMPDIR/state
  mkdir "$CLUSTER_STATE"
}

# interrupted_start: the files that each start writes first.
interrupted_start() {
  echo 1 2 3 4 5 6 >"$CLUSTER_STATE/ports"
  echo account >"$CLUSTER_STATE/level"
}

cluster() {
  run --separate-stderr "$repository/cluster/cluster.sh" "$@"
  echo "$stderr" # shown where a test fails
}

@test "a folder that is no cluster's is not removed, but what an interrupted start has left is" {
  cluster down
  [[ $status == 1 && $stderr == *"is not the state of a cluster"* && -d $CLUSTER_STATE ]]
  interrupted_start
  cluster down
  [[ $status == 0 && ! -e $CLUSTER_STATE ]]
}

@test "run without a command says what it needs, and starts no shell" {
  cluster run
  [[ $status == 1 && $stderr == "cluster.sh: run needs a command, for example: cluster/cluster.sh run scripts/up.sh" ]]
}

@test "a process that has the number of a cluster that has ended is not ended" {
  local pid
  sleep 60 3>&- &
  pid=$!
  interrupted_start
  echo "$pid" >"$CLUSTER_STATE/pid"
  cluster down
  [[ $status == 0 && $stderr == "the cluster does not run" ]]
  kill "$pid" # it is there
}

@test "certificates need no OpenSSL 3, and what openssl says when it fails is shown" {
  mkdir "$BATS_TEST_TMPDIR/bin"
  # shellcheck disable=SC2016 # for the script that is written
  printf '#!/bin/sh\ncase "$*" in\n  *-copy_extensions*) echo "unknown option -copy_extensions" ;;\n  "genrsa "*) echo "no randomness" ;;\n  *) exec %s "$@" ;;\nesac >&2\nexit 1\n' \
    "$(command -v openssl)" >"$BATS_TEST_TMPDIR/bin/openssl"
  chmod +x "$BATS_TEST_TMPDIR/bin/openssl"
  rmdir "$CLUSTER_STATE"
  PATH=$BATS_TEST_TMPDIR/bin:$PATH cluster up account
  [[ $status == 1 && ${stderr_lines[-1]} == "cluster.sh: openssl genrsa failed: no randomness" ]]
  # As an API server's client checks it.
  openssl verify -CAfile "$CLUSTER_STATE/pki/ca.crt" -verify_ip 127.0.0.1 -verify_hostname localhost "$CLUSTER_STATE/pki/server.crt"
  cluster down
  ((status == 0))
}
