#!/usr/bin/env bats
# scripts/audit.sh with MiniStack and the real AWS CLI. cloud.py creates what is audited, and files with
# pods, which bin/kubectl prints in place of an API server; proxy.py counts the calls.

setup_file() {
  local kind
  root=$(cd "$BATS_TEST_DIRNAME/../../.." && pwd)
  export root here=$BATS_TEST_DIRNAME world=$BATS_FILE_TMPDIR python=$root/.tools/ministack/bin/python
  export REAL_AWS=$root/.tools/lint/bin/aws LOG=$world/log CALLS=$world/calls
  export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_REGION=us-east-1 AWS_MAX_ATTEMPTS=2
  export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_EC2_METADATA_DISABLED=true
  unset AWS_PROFILE AWS_SESSION_TOKEN AWS_ENDPOINT_URL AWS_ENDPOINT_URL_EKS
  # Both end when this process does, whatever becomes of it: their stdin closes.
  exec 7> >("$root/scripts/dev/ministack.sh" --until-stdin-closes >"$world/ministack" 2>"$world/ministack.err" 3>&-)
  await ministack
  UPSTREAM=$(url ministack)
  export UPSTREAM
  exec 8> >("$python" "$here/proxy.py" "$UPSTREAM" "$LOG" >"$world/proxy" 2>"$world/proxy.err" 3>&- 7>&-)
  await proxy
  AWS_ENDPOINT_URL=$(url proxy)
  export AWS_ENDPOINT_URL PATH=$here/bin:$PATH
  for kind in clean faulty; do "$python" "$here/cloud.py" "$UPSTREAM" "$world/$kind" "$kind"; done
}

teardown_file() {
  exec 8>&- 7>&-
}

# The line `ready URL`, within two minutes: MiniStack may be installing.
await() {
  local tries=0
  until grep -q '^ready ' "$world/$1" 2>/dev/null; do
    ((tries++ < 1200)) || { cat "$world/$1.err" && return 1; }
    sleep 0.1
  done
}

url() {
  sed -n 's/^ready //p' "$world/$1"
}

setup() {
  : >"$LOG"
  : >"$CALLS"
  rm -f "$LOG.refuse"
}

# audit CLUSTER ARGUMENTS...: stdout in $output, stderr in $stderr, the exit code in $status.
audit() {
  export KUBERNETES_DATA=$world/$1 # of the cluster of that name, unless the words name another
  status=0
  "$root/scripts/audit.sh" --cluster "$@" >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" || status=$?
  output=$(cat "$BATS_TEST_TMPDIR/out") stderr=$(cat "$BATS_TEST_TMPDIR/err")
  echo "exit code $status" "$output" "$stderr" # shown where a test fails
}

# The permissions that docs/audit.md asks for. MiniStack enforces them, but for the two calls that proxy.py answers.
documented() {
  awk '/^```/ {inside = ($0 == "```json"); next} inside' "$root/docs/audit.md"
}

# as_auditor NAME POLICY: from here on as a session of a role with that policy alone.
as_auditor() {
  read -r AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN < <("$python" "$here/cloud.py" "$UPSTREAM" "$2" "auditor-$1")
  export AWS_SESSION_TOKEN
}

@test "a clean account has no fault, every policy, action and pod is shown, and no file is left" {
  export TMPDIR=$BATS_TEST_TMPDIR/tmp
  mkdir "$TMPDIR"
  audit clean
  [[ $status == 0 && $output == *"nothing is wrong"* && $output != *"fault:"* ]]
  [[ $output == *"photos/writer"*"Pod Identity  clean-shared"*"right"*"2 injected"* ]]
  [[ $output == *"policy  pictures (attached): s3:AbortMultipartUpload, s3:PutObject"* ]]
  [[ $output == *"policy  inline (inline): s3:Get*"* && $output == *"pod  writer-2  injected"* ]]
  [[ $output == *"photos/old"*"IRSA"*"clean-irsa"*"right"* && $output != *writer-done* ]]
  [[ $output == *"target role  arn:aws:iam::123456789012:role/clean-second  right"* ]]
  [[ $output == *"info: host_network: pod photos/target-1: it uses the node's network"* ]]
  [[ $output == *"default/default"* && $output == *"info: node_role: cluster clean: 2 pods of 2 service accounts"* ]]
  [[ $stderr == *'$ aws eks list-pod-identity-associations --cluster-name clean --region us-east-1'* ]]
  [[ -z $(ls -A "$TMPDIR") ]]
}

@test "each of fourteen planted faults is found, and nothing else; --quiet prints a line for each alone" {
  audit faulty --quiet
  [[ $status == 1 && -z $stderr && $output == *"was created before the association; delete the pod"* ]]
  diff - <(cut -d : -f 1-3 <<<"$output") <<'END'
fault: irsa_shadows: pod irsa-shadows/app-1
fault: irsa_trust_condition: role faulty-subject
fault: no_association: pod no-association/app-1
fault: not_injected: pod not-injected/app-1
fault: proxy: pod proxy/app-1
fault: role_missing: association role-missing/app
fault: service_account_missing: association service-account-missing/app
fault: static_keys: pod static-keys/app-1
fault: target_trust: role faulty-target-trust
fault: target_trust_condition: role faulty-target-trust-condition
fault: target_trust_no_tag_session: role faulty-target-trust-no-tag-session
fault: trust_condition: role faulty-other
fault: trust_no_service: role faulty-ec2
fault: trust_no_tag_session: role faulty-untagged
END
}

@test "the same as JSON; an old curl is not trusted to sign, and the AWS CLI describes instead" {
  # And the agent is not ready on the node.
  mkdir "$world/agentless" "$BATS_TEST_TMPDIR/bin"
  cp "$world"/clean/*.json "$world/agentless"
  jq '.items |= map(if .metadata.name == "agent-1" then .status.conditions[0].status = "False" else . end)' \
    "$world/clean/pods.json" >"$world/agentless/pods.json"
  # shellcheck disable=SC2016 # for the script that is written
  printf '#!/bin/sh\n[ "$1" = --version ] && echo "curl 7.79.1 (old)" || exit 99\n' >"$BATS_TEST_TMPDIR/bin/curl"
  chmod +x "$BATS_TEST_TMPDIR/bin/curl"
  PATH=$BATS_TEST_TMPDIR/bin:$PATH audit agentless --cluster clean --json
  [[ $status == 1 && $(grep -c 'describe-pod-identity-association ' "$CALLS") == 6 ]]
  jq -e '[.findings[] | select(.severity == "fault") | .id] == ["agent_not_ready"] and .summary == {associations: 6, irsa: 1, pods: 10, faults: 1}' <<<"$output"
  jq -e '.associations[] | select(.service_account == "writer") | .role.trust == [] and .session_tags
    and (.pods | map([.name, .state]) == [["writer-1", "injected"], ["writer-2", "injected"]])
    and .role.policies == [{kind: "attached", name: "pictures", arn: "arn:aws:iam::123456789012:policy/pictures",
          actions: ["s3:AbortMultipartUpload", "s3:PutObject"], denied: []}]' <<<"$output"
}

@test "the number of processes does not grow with the cluster, and that of calls only by the page" {
  "$python" "$here/cloud.py" "$UPSTREAM" "$world/large" large 110 300
  audit large --quiet
  [[ $status == 0 ]]
  diff - <(sort "$LOG" | uniq -c | sed 's/^ *//') <<'END'
2 GET /clusters/large
2 GET /clusters/large/pod-identity-associations
110 GET /clusters/large/pod-identity-associations/*
1 GetAccountAuthorizationDetails
END
  [[ $(cut -d ' ' -f 1-3 "$CALLS") == "aws eks describe-cluster
aws eks list-pod-identity-associations
aws iam get-account-authorization-details
aws eks update-kubeconfig
kubectl get pods
kubectl get serviceaccounts
kubectl get namespaces" ]]
}

@test "--can lists the pods that are allowed, and through which role, by their session tags; the documented permissions are enough" {
  as_auditor enough "$(documented)"
  audit clean --can s3:PutObject --on arn:aws:s3:::pictures/key --json
  [[ $status == 0 ]]
  diff - <(jq -r '.pods[] | "\(.namespace)/\(.name) \(.role | sub("^.*/"; "")) (\(.via)) \(.depends_on | join(","))"' <<<"$output" | sort) <<'END'
default/plain-1 clean-node (the node's role) 
kube-system/agent-1 clean-node (the node's role) 
photos/office-1 clean-office (Pod Identity) aws:SourceIp
photos/old-1 clean-irsa (IRSA) 
photos/target-1 clean-second (Pod Identity) 
photos/writer-1 clean-shared (Pod Identity) 
photos/writer-2 clean-shared (Pod Identity) 
END
  # One question for both writers and one for the second service account of their role; none for the reader's
  # role, which has no Allow that fits.
  [[ $(grep -c SimulatePrincipalPolicy "$LOG") == 7 && $(grep -c SimulateCustomPolicy "$LOG") == 1 ]]
  run grep -Ev '^(GET|Get|List|Describe|Simulate)' "$LOG"
  [[ $status == 1 ]]
  # Had curl's signature with the session token been refused, the AWS CLI would have been asked for each.
  [[ $(<"$CALLS") != *describe-pod-identity-association* ]]
}

@test "a permission that is missing is named" {
  local policy
  policy=$(documented)
  as_auditor less "${policy//eks:DescribePodIdentityAssociation/eks:ListClusters}"
  audit clean --quiet
  [[ $status == 3 && $(tail -n 1 <<<"$stderr") == "audit.sh: associations cannot be described"*"eks:DescribePodIdentityAssociation"* ]]
}

@test "--no-pods asks AWS alone" {
  audit faulty --no-pods --json
  [[ $status == 1 && $(jq -r '[.findings[].id] | join(" ")' <<<"$output") == "role_missing target_trust target_trust_condition target_trust_no_tag_session trust_condition trust_no_service trust_no_tag_session" ]]
  [[ $(<"$CALLS") != *kubectl* ]]
}

@test "wrong arguments exit with 2, and a failed audit with 3" {
  for words in "--jsn" "--can s3:PutObject" "--on arn:aws:s3:::b" "--can PutObject --on arn:aws:s3:::b" "--can s3:PutObject --on b" "--region"; do
    # shellcheck disable=SC2086 # they are words
    audit clean $words
    [[ $status == 2 && $(wc -l <<<"$stderr") -eq 1 ]]
  done
  audit nowhere
  [[ $status == 3 && $(tail -n 1 <<<"$stderr") == "audit.sh: cluster nowhere cannot be described in us-east-1"* ]]
  echo GetAccountAuthorizationDetails >"$LOG.refuse"
  audit clean
  [[ $status == 3 && $(tail -n 1 <<<"$stderr") == *"allow iam:GetAccountAuthorizationDetails" ]]
}

@test "conditions are judged as IAM does, and what is not known is neither true nor false" {
  run jq -n -c -L "$root/scripts/lib/audit" 'include "policy";
    {known: {"aws:sourceaccount": "1", "aws:tagkeys": ["a", "b"]}, never: "^aws:requesttag/"} as $context
    | def holds($condition): {Condition: $condition} | conditions_hold($context);
    [holds({StringEquals: {"aws:SourceAccount": ["2", "1"]}}), holds({StringEquals: {"AWS:sourceaccount": "2"}}),
     holds({StringNotEquals: {"aws:SourceAccount": ["2", "1"]}}), holds({StringNotLike: {"aws:SourceAccount": "2*"}}),
     holds({StringLike: {"aws:RequestTag/x": "*"}}), holds({StringLikeIfExists: {"aws:RequestTag/x": "y"}}),
     holds({StringNotEquals: {"aws:RequestTag/x": "y"}}), holds({Null: {"aws:RequestTag/x": "true"}}), holds({Null: {"aws:SourceAccount": true}}),
     holds({"ForAnyValue:StringEquals": {"aws:TagKeys": "b"}}), holds({StringEquals: {"aws:SourceIp": "1"}}),
     holds({StringEquals: {"aws:SourceIp": "1", "aws:SourceAccount": "2"}}), holds({StringEquals: {"aws:SourceAccount": "${aws:x}"}})]'
  [[ $output == "[true,false,false,true,false,true,true,true,false,true,null,false,null]" ]]
}
