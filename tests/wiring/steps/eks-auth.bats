#!/usr/bin/env bats
# bats file_tags=go
# EKS Auth (`sandbox eks-auth`) with a real API server: its keys, fetched over TLS with a bearer token;
# the tokens of its pods; and an association with a target role, which gets what the script prints.

# shellcheck disable=SC2154 # status, output and stderr are of bats' run
# shellcheck source-path=SCRIPTDIR source=../lib/wiring.sh
load ../lib/wiring.sh

setup_file() {
  export SANDBOX=${CARGO_TARGET_DIR:-$repository/target}/debug/sandbox
  [[ -x $SANDBOX ]] || cargo build --locked --package sandbox --manifest-path "$repository/Cargo.toml"
  start_cloud control-plane
  toolbox aws eksctl kubectl base64 openssl
  a_cluster
  "$repository/scripts/steps/bucket.sh"
  "$repository/scripts/steps/policy.sh"
  # The step would wait for the agent's pods, for which there is no node.
  admin eks create-addon --cluster-name pod-identity-demo --addon-name eks-pod-identity-agent
  export TARGET_ROLE_ARN=arn:aws:iam::123456789012:role/pictures
  "$repository/scripts/steps/association.sh" 2>"$BATS_FILE_TMPDIR/printed"
  ISSUER=$(<"$CLUSTER_STATE/issuer")
  export ISSUER
  pods
}

teardown_file() { stop_cloud; }

# pods: a pod of the service account, and one of another, which has no association.
pods() {
  kubectl create namespace pod-identity-demo
  local account
  for account in pod-identity-demo other; do
    kubectl create serviceaccount --namespace pod-identity-demo "$account"
    kubectl apply --namespace pod-identity-demo --filename - <<END
{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "$account"},
 "spec": {"serviceAccountName": "$account", "containers": [{"name": "demo", "image": "localhost/none"}]}}
END
  done
}

# serve FILE-WITH-BEARER-TOKEN [ARGUMENT...]: starts EKS Auth in front of the API server, and sets $eks_auth.
serve() {
  exec {lines}< <(exec "$SANDBOX" eks-auth --cluster pod-identity-demo --jwks "$ISSUER/openid/v1/jwks" \
    --jwks-token "$1" --jwks-ca "$CLUSTER_STATE/pki/ca.crt" --emulator "$AWS_ENDPOINT_URL" --issuer "$ISSUER" "${@:2}" 3>&-)
  server=$!
  read -r -t 30 _ eks_auth <&"$lines"
}

teardown() {
  [[ -z ${server-} ]] || kill "$server"
}

# reader: writes a token that may read the keys, and prints the file.
reader() {
  kubectl create token default --namespace kube-system >"$BATS_TEST_TMPDIR/reader"
  echo "$BATS_TEST_TMPDIR/reader"
}

# pod_token [POD]: prints the token that the kubelet would project into the pod.
pod_token() {
  kubectl create token "${1:-pod-identity-demo}" --namespace pod-identity-demo --audience pods.eks.amazonaws.com \
    --bound-object-kind Pod --bound-object-name "${1:-pod-identity-demo}"
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

# part TOKEN NUMBER: prints a part of the token, decoded.
part() {
  local text
  text=$(cut -d . -f "$2" <<<"$1" | tr -- '-_' '+/')
  while ((${#text} % 4)); do text+='='; done
  base64 --decode <<<"$text"
}

encoded() { base64 --wrap 0 | tr -- '+/' '-_' | tr -d '='; }

# signed TOKEN KEY FILTER: prints the token with the claims that jq makes of it, signed with this key.
signed() {
  local message
  message=$(cut -d . -f 1 <<<"$1").$(part "$1" 2 | jq --compact-output --join-output "$3" | encoded)
  echo "$message.$(printf %s "$message" | openssl dgst -sha256 -sign "$2" -binary | encoded)"
}

@test "a pod's token gets credentials once the target role has the policies that the step printed, which allow the upload" {
  local token
  serve "$(reader)"
  token=$(pod_token)
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

@test "a service account without an association gets the error of the model" {
  serve "$(reader)"
  assume "$(pod_token other)"
  [[ $status != 0 && $stderr == *"(ResourceNotFoundException)"*"No association found for service account other in namespace pod-identity-demo"* ]]
}

@test "tokens of another issuer, another key and another audience are refused, and so are those that no pod has" {
  local token
  serve "$(reader)"
  token=$(pod_token)
  openssl genrsa -out "$BATS_TEST_TMPDIR/another.key" 2048
  # The API server's own key makes a token that is accepted, so that only what is changed is refused.
  assume "$(signed "$token" "$CLUSTER_STATE/pki/accounts.key" .)"
  [[ $stderr != *InvalidTokenException* ]]
  assume "$(signed "$token" "$CLUSTER_STATE/pki/accounts.key" '.iss = "https://oidc.example/id/1"')"
  [[ $status != 0 && $stderr == *"(InvalidTokenException)"* ]]
  assume "$(signed "$token" "$BATS_TEST_TMPDIR/another.key" .)"
  [[ $status != 0 && $stderr == *"(InvalidTokenException)"* ]]
  assume "$(kubectl create token pod-identity-demo --namespace pod-identity-demo --audience sts.amazonaws.com)"
  [[ $status != 0 && $stderr == *"(InvalidTokenException)"* ]]
  assume "$(kubectl create token pod-identity-demo --namespace pod-identity-demo --audience pods.eks.amazonaws.com)"
  [[ $status != 0 && $stderr == *"(InvalidTokenException)"*"it is not bound to a pod"* ]]
}

@test "without the right to read the keys EKS Auth is unavailable" {
  echo nobody >"$BATS_TEST_TMPDIR/nobody"
  serve "$BATS_TEST_TMPDIR/nobody"
  assume "$(pod_token)"
  [[ $status != 0 && $stderr == *"(ServiceUnavailableException)"*401* ]]
}
