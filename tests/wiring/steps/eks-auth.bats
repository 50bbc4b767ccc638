#!/usr/bin/env bats
# bats file_tags=go
# EKS Auth (`sandbox eks-auth`) with a real API server: its keys, fetched over TLS with a bearer token;
# the tokens of its pods; and an association with a target role, which gets what the script prints. Its
# errors are tested in crates/sandbox/tests/eks_auth.rs.

# shellcheck disable=SC2154 # status, output and stderr are of bats' run
# shellcheck source-path=SCRIPTDIR source=../lib/wiring.sh
load ../lib/wiring.sh

setup_file() {
  export SANDBOX=${CARGO_TARGET_DIR:-$repository/target}/debug/sandbox
  [[ -x $SANDBOX ]] || cargo build --locked --package sandbox --manifest-path "$repository/Cargo.toml"
  start_cloud control-plane
  toolbox aws eksctl kubectl
  a_cluster
  "$repository/scripts/steps/bucket.sh"
  "$repository/scripts/steps/policy.sh"
  # The step would wait for the agent's pods, for which there is no node.
  admin eks create-addon --cluster-name pod-identity-demo --addon-name eks-pod-identity-agent
  export TARGET_ROLE_ARN=arn:aws:iam::123456789012:role/pictures
  "$repository/scripts/steps/association.sh" 2>"$BATS_FILE_TMPDIR/printed"
  ISSUER=$(<"$CLUSTER_STATE/issuer")
  export ISSUER
  a_pod
}

teardown_file() { stop_cloud; }

# a_pod: a pod of the service account.
a_pod() {
  kubectl create namespace pod-identity-demo
  kubectl create serviceaccount --namespace pod-identity-demo pod-identity-demo
  kubectl apply --namespace pod-identity-demo --filename - <<END
{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod-identity-demo"},
 "spec": {"serviceAccountName": "pod-identity-demo", "containers": [{"name": "demo", "image": "localhost/none"}]}}
END
}

# serve: starts EKS Auth in front of the API server, with a token that may read its keys, and sets $eks_auth.
serve() {
  kubectl create token default --namespace kube-system >"$BATS_TEST_TMPDIR/reader"
  exec {lines}< <(exec "$SANDBOX" eks-auth --cluster pod-identity-demo --jwks "$ISSUER/openid/v1/jwks" \
    --jwks-token "$BATS_TEST_TMPDIR/reader" --jwks-ca "$CLUSTER_STATE/pki/ca.crt" --emulator "$AWS_ENDPOINT_URL" --issuer "$ISSUER" 3>&-)
  server=$!
  read -r -t 30 _ eks_auth <&"$lines"
}

teardown() {
  [[ -z ${server-} ]] || kill "$server"
}

# pod_token [OPTION...]: prints the token that the kubelet would project into the pod, unless an option changes that.
pod_token() {
  kubectl create token pod-identity-demo --namespace pod-identity-demo --audience pods.eks.amazonaws.com "$@"
}

# assume TOKEN: asks EKS Auth, as the agent does.
assume() {
  run --separate-stderr aws eks-auth assume-role-for-pod-identity --endpoint-url "$eks_auth" --cluster-name pod-identity-demo --token "$1" --output json
  printf '%s\n' "$stderr"
}

# upload: uploads with the credentials of the last answer, in the prefix of the job.
upload() {
  local keys
  keys=$(jq --raw-output '.credentials | "\(.accessKeyId) \(.secretAccessKey) \(.sessionToken)"' <<<"$output")
  read -r AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN <<<"$keys"
  export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN
  run --separate-stderr aws s3api put-object --bucket pod-identity-demo-123456789012-us-east-1 --key picture
  printf '%s\n' "$stderr"
  unset AWS_SESSION_TOKEN
  export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test
}

# printed NUMBER: prints this JSON document of those that the step has printed last.
printed() {
  sed -n '/with this trust policy:$/,$p' "$BATS_FILE_TMPDIR/printed" | sed '/^association.sh: /d; /^and it must/d; 1d; /^the association is listed/d' |
    jq --slurp --compact-output ".[$1 - 1]"
}

@test "a pod's token gets credentials once the target role has the policies that the step printed, which allow the upload" {
  local token
  serve
  # The API server signs with RSA, and a token for another use has the same key.
  assume "$(pod_token)"
  [[ $status != 0 && $stderr == *"(InvalidTokenException)"*"it is not bound to a pod"* ]]
  token=$(pod_token --bound-object-kind Pod --bound-object-name pod-identity-demo)
  assume "${token%????}AAAA"
  [[ $status != 0 && $stderr == *"(InvalidTokenException)"* ]]
  # The target role does not exist yet.
  assume "$token"
  [[ $status != 0 && $stderr == *AccessDeniedException*sts:AssumeRole*"$TARGET_ROLE_ARN"* ]]
  printed 1 >"$BATS_TEST_TMPDIR/trust.json"
  printed 2 >"$BATS_TEST_TMPDIR/permissions.json"
  jq '.Statement[0].Condition.StringEquals."sts:ExternalId" = "another"' "$BATS_TEST_TMPDIR/trust.json" >"$BATS_TEST_TMPDIR/another.json"
  admin iam create-role --role-name pictures --assume-role-policy-document "file://$BATS_TEST_TMPDIR/another.json"
  assume "$token"
  [[ $status != 0 && $stderr == *AccessDeniedException*sts:AssumeRole* ]]
  admin iam update-assume-role-policy --role-name pictures --policy-document "file://$BATS_TEST_TMPDIR/trust.json"
  assume "$token"
  ((status == 0))
  [[ $(jq --raw-output .assumedRoleUser.arn <<<"$output") == arn:aws:sts::123456789012:assumed-role/pictures/eks-* ]]
  upload
  [[ $status != 0 && $stderr == *AccessDenied* ]]
  admin iam put-role-policy --role-name pictures --policy-name upload --policy-document "file://$BATS_TEST_TMPDIR/permissions.json"
  assume "$token"
  upload
  ((status == 0))
}
