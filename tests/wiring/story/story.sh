# shellcheck shell=bash
# What the tests of the steps in the cluster share: `load story.sh`.

# shellcheck source-path=SCRIPTDIR source=../lib/wiring.sh
load ../lib/wiring.sh

# stand_ins TOOL...: the PATH that the scripts need, with the stand-ins, for a
# cloud that is there.
# shellcheck disable=SC2120 # the walkthrough's test names tools
stand_ins() {
  local box=$BATS_FILE_TMPDIR/toolbox target=${CARGO_TARGET_DIR:-$repository/target}/debug program
  toolbox aws eksctl kubectl chmod "$@"
  # With the one call that the emulator lacks.
  mv "$box/aws" "$box/aws-cli"
  printf '#!/bin/sh\nAWS_CLI=%s exec "%s" "$@"\n' "$box/aws-cli" "$repository/tests/wiring/story/bin/aws" >"$box/aws"
  chmod +x "$box/aws"
  export SANDBOX=${SANDBOX:-$target/sandbox} POD_IDENTITY_DEMO=${POD_IDENTITY_DEMO:-$target/pod-identity-demo}
  for program in "$SANDBOX" "$POD_IDENTITY_DEMO" "$repository/.tools/manifests/bin/kubectl"; do
    [[ -x $program ]] || { echo "$program is missing: run scripts/test.sh, which builds it" >&2 && return 1; }
  done
  export KUBECTL_CLOUD=$MINISTACK KUBECTL_STATE=$BATS_FILE_TMPDIR/kubernetes KUBECTL_JOB_BACKOFF=0.5 POLL_PAUSE=0.2 DEPLOY_TIMEOUT=90
}

# A cloud, a PATH with the stand-ins, a cluster of their own; names as the
# scripts have them, unless they are long to work out.
start_story() {
  start_cloud
  # shellcheck disable=SC2119
  stand_ins
  export CLUSTER_NAME=story NAMESPACE=story SERVICE_ACCOUNT=uploader BUCKET=story-pictures IMAGE=registry.example/pod-identity-demo:1
}

stop_story() {
  kubectl --namespace "$NAMESPACE" delete jobs --all --wait || true
  stop_cloud
}

# world WHAT...: what earlier steps make, made quickly (world.py).
world() {
  AWS_ENDPOINT_URL=$MINISTACK "$repository/.tools/ministack/bin/python" "$repository/tests/wiring/story/world.py" "$BATS_FILE_TMPDIR" "$@"
}

# All objects of the cluster but events and what changes by itself.
objects() {
  kubectl get namespaces,serviceaccounts,configmaps,jobs,pods --all-namespaces --output name
}
