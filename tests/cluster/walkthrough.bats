#!/usr/bin/env bats
# docs/walkthrough.md, block by block as written, in a real cluster on an emulated account.

# shellcheck disable=SC2016,SC2154 # the inner shell expands; project is of cluster.bash
# shellcheck source-path=SCRIPTDIR source=cluster.bash
load cluster

# The blocks of one language, each a file in the folder.
blocks() {
  awk -v folder="$2" -v language="$1" '
    $0 == "```" language { inside = 1; number++; next }
    /^```/ { inside = 0 }
    inside { print > sprintf("%s/%02d", folder, number) }
  ' "$project/docs/walkthrough.md"
}

@test "every block of the walkthrough does what the text says" {
  local block folder=$BATS_FILE_TMPDIR/blocks exports=$BATS_FILE_TMPDIR/exports said=$BATS_FILE_TMPDIR/said
  mkdir "$folder"
  blocks sh "$folder"
  # What a reader sets once holds for all blocks; here, each has a shell of its own.
  grep -h '^export ' "$folder"/* >"$exports"
  cd "$project"
  listing >"$BATS_FILE_TMPDIR/before"
  for block in "$folder"/*; do
    # shown where the test fails
    cat "$block"
    in_cluster bash -euo pipefail -c '. "$0" && . "$1"' "$exports" "$block" 2>&1 | tee -a "$said"
    ((PIPESTATUS[0] == 0))
  done
  [[ -e $folder/14 ]] # all were found
  # As many variables as the text says.
  (($(grep -c '^  this pod: yes   the other: -    env ' "$said") == 3))
  grep -qF 'The webhook** has put three environment variables' "$project/docs/walkthrough.md"
  for expected in '$ eksctl create cluster' '$ eksctl create nodegroup' '$ aws eks create-addon' '$ eksctl create podidentityassociation' \
    '$ eksctl utils associate-iam-oidc-provider' '$ eksctl create iamserviceaccount' '"aws:PrincipalTag/kubernetes-namespace"' 'hostNetwork: true' 'initContainers:' '- --cluster-name' 'name: probes-port' \
    'pod-identity-demo	us-east-1' 'eks-pod-identity-agent' 'eksctl-pod-identity-demo-podidentityrole-' \
    's3://pod-identity-demo-123456789012-us-east-1/' 'INFO uploaded' 'token for pods.eks.amazonaws.com' \
    'ok: credentials from EKS Pod Identity' 'ok: credentials from IRSA' \
    'no faults found' 'nothing is left'; do
    grep -qF -e "$expected" "$said" || { echo "nowhere: $expected" && false; }
  done
  diff -u "$BATS_FILE_TMPDIR/before" <(listing)
}
