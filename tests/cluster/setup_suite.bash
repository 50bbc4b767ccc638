# shellcheck shell=bash
# The images are built and the cluster is started once, for all files of tests.

setup_suite() {
  local project
  project=$(CDPATH='' cd -- "$BATS_TEST_DIRNAME/../.." && pwd -P)
  CLUSTER_STATE=$(mktemp -d "${TMPDIR:-/tmp}/cluster.XXXXXX")
  # The cluster ends with the tests, whatever ends them.
  export CLUSTER_STATE CLUSTER_OWNER=$$
  rmdir "$CLUSTER_STATE" # the cluster creates it
  "$project/cluster/images.sh"
  "$project/cluster/cluster.sh" up
  # shellcheck source-path=SCRIPTDIR source=calls.bash
  . "$project/tests/cluster/calls.bash"
  mkdir -p "$CLUSTER_STATE/tools/bin"
  start_aws "$CLUSTER_STATE/tools/bin" "$project/cluster/cluster.sh" run
  # Found before the AWS CLI itself.
  export CLUSTER_TOOLS=$CLUSTER_STATE/tools/bin
}

teardown_suite() {
  "$BATS_TEST_DIRNAME/../../cluster/cluster.sh" down
}
