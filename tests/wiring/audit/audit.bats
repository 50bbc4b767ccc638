#!/usr/bin/env bats
# bats file_tags=go
# scripts/audit.sh with real pods, service accounts and a node, in an emulated account: cloud.py creates them.
# The tests share one cluster: at first it has no faults, then it grows, then it has faults.

# shellcheck disable=SC2030,SC2031,SC2154 # each test is a subshell; status, output and stderr are of bats' run
# shellcheck source-path=SCRIPTDIR source=../lib/wiring.sh
load ../lib/wiring.sh

setup_file() {
  start_cloud control-plane
  toolbox aws kubectl curl awk find wc xargs ls chmod uniq
  export CLUSTER_NAME=audited
  a_cluster
  cloud clean
}

teardown_file() { stop_cloud; }

# cloud KIND [NUMBER...]: adds to the account and the cluster, once.
cloud() {
  [[ ! -e $BATS_FILE_TMPDIR/$1 ]] || return 0
  "$repository/.tools/ministack/bin/python" "$repository/tests/wiring/audit/cloud.py" "$@"
  : >"$BATS_FILE_TMPDIR/$1"
}

# audit ARGUMENTS...: of the cluster, unless they name another.
audit() { step audit --cluster audited "$@"; }

# processes: runs an audit, and writes the commands of the AWS CLI, kubectl, curl and xargs that it starts to a file.
processes() {
  : >"$CLUSTER_STATE/calls"
  BASH_XTRACEFD=9 bash -x "$(script_path audit)" --cluster audited --quiet 9>"$BATS_TEST_TMPDIR/trace"
  sed -n -E 's/^\++ ((aws|kubectl) [^ ]+ [^ ]+|(curl|xargs) [^ ]+).*/\1/p' "$BATS_TEST_TMPDIR/trace" | sort >"$BATS_TEST_TMPDIR/processes"
}

# described: the number of calls that describe an association.
described() { grep -c '^read eks GET /clusters/audited/pod-identity-associations/a-' "$CLUSTER_STATE/calls"; }

# agent_is True|False: what the agent's pod reports of its readiness.
agent_is() {
  local agent
  local -x KUBECONFIG=$CLUSTER_STATE/admin.conf
  agent=$(kubectl --namespace kube-system get pods --selector app.kubernetes.io/name=eks-pod-identity-agent --output name)
  kubectl --namespace kube-system patch "$agent" --subresource status --patch '{"status": {"conditions": [{"type": "Ready", "status": "'"$1"'"}]}}'
}

# The permissions that docs/audit.md asks for.
documented() {
  awk '/^```/ {inside = ($0 == "```json"); next} inside' "$repository/docs/audit.md"
}

@test "a clean account has no fault, every policy, action and pod is shown, and no file is left" {
  export TMPDIR=$BATS_TEST_TMPDIR/tmp
  mkdir "$TMPDIR"
  audit
  [[ $status == 0 && $output == *"no faults found"* && $output != *"fault:"* ]]
  [[ $output == *"photos/writer"*"Pod Identity  clean-shared"*"right"*"2 injected"* ]]
  [[ $output == *"policy  pictures (attached): s3:AbortMultipartUpload, s3:PutObject"* ]]
  [[ $output == *"policy  inline (inline): s3:Get*"* && $output == *"pod  writer-2  injected"* ]]
  [[ $output == *"photos/old"*"IRSA"*"clean-irsa"*"right"* && $output != *writer-done* ]]
  [[ $output == *"target role  arn:aws:iam::123456789012:role/clean-second  right"* ]]
  [[ $output == *"info: host_network: pod photos/target-1: it uses the node's network"* ]]
  [[ $output == *"default/default"* && $output == *"info: node_role: cluster audited: 2 pods of 2 service accounts"* ]]
  [[ $stderr == *'$ aws eks list-pod-identity-associations --cluster-name audited --region us-east-1'* ]]
  [[ -z $(ls -A "$TMPDIR") ]]
}

@test "the same as JSON, in a context of the caller's kubeconfig; an old curl is not trusted to sign, and the AWS CLI describes instead" {
  mkdir "$BATS_TEST_TMPDIR/bin"
  # shellcheck disable=SC2016 # for the script that is written
  printf '#!/bin/sh\n[ "$1" = --version ] && echo "curl 7.79.1 (old)" || exit 99\n' >"$BATS_TEST_TMPDIR/bin/curl"
  chmod +x "$BATS_TEST_TMPDIR/bin/curl"
  agent_is False
  PATH=$BATS_TEST_TMPDIR/bin:$PATH KUBECONFIG=$CLUSTER_STATE/admin.conf audit --context cluster --json
  agent_is True
  [[ $status == 1 && $(described) == 6 ]]
  jq -e '[.findings[] | select(.severity == "fault") | .id] == ["agent_not_ready"] and .summary == {associations: 6, irsa: 1, pods: 10, faults: 1}' <<<"$output"
  jq -e '.associations[] | select(.service_account == "writer") | .role.trust == [] and .session_tags
    and (.pods | map([.name, .state]) == [["writer-1", "injected"], ["writer-2", "injected"]])
    and .role.policies == [{kind: "attached", name: "pictures", arn: "arn:aws:iam::123456789012:policy/pictures",
          actions: ["s3:AbortMultipartUpload", "s3:PutObject"], denied: []}]' <<<"$output"
}

@test "--can lists the pods that are allowed, and through which role, by their session tags; the documented permissions are enough" {
  become enough "$(documented)"
  audit --can s3:PutObject --on arn:aws:s3:::pictures/key --json
  [[ $status == 0 ]]
  diff - <(jq -r '.pods[] | "\(.namespace)/\(.name | sub("^eks-pod-identity-agent-.*"; "agent")) \(.role | sub("^.*/"; "")) (\(.via)) \(.depends_on | join(","))"' <<<"$output" | sort) <<'END'
default/plain-1 clean-node (the node's role) 
kube-system/agent clean-node (the node's role) 
photos/office-1 clean-office (Pod Identity) aws:SourceIp
photos/old-1 clean-irsa (IRSA) 
photos/target-1 clean-second (Pod Identity) 
photos/writer-1 clean-shared (Pod Identity) 
photos/writer-2 clean-shared (Pod Identity) 
END
  # One question for both writers and one for the second service account of their role; none for the reader's
  # role, which has no Allow that fits.
  [[ $(grep -c SimulatePrincipalPolicy "$CLUSTER_STATE/calls") == 7 && $(grep -c SimulateCustomPolicy "$CLUSTER_STATE/calls") == 1 ]]
  run grep -Ev '^read ([a-z0-9]+ (Get|List|Describe|Simulate)|eks GET )' "$CLUSTER_STATE/calls"
  [[ $status == 1 ]]
  # Had curl's signature with the session token been refused, the AWS CLI would have asked for each again.
  [[ $(described) == 6 ]]
}

@test "a permission that is missing is named" {
  local policy
  policy=$(documented)
  become less "${policy//eks:DescribePodIdentityAssociation/eks:ListClusters}"
  audit --quiet
  [[ $status == 3 && $(tail -n 1 <<<"$stderr") == "audit.sh: associations cannot be described"*"eks:DescribePodIdentityAssociation"* ]]
}

@test "wrong arguments exit with 2, and a failed audit with 3" {
  for words in "--jsn" "--can s3:PutObject" "--on arn:aws:s3:::b" "--can PutObject --on arn:aws:s3:::b" "--can s3:PutObject --on b" "--region"; do
    # shellcheck disable=SC2086 # they are words
    audit $words
    [[ $status == 2 && $(wc -l <<<"$stderr") -eq 1 ]]
  done
  audit --cluster nowhere
  [[ $status == 3 && $(tail -n 1 <<<"$stderr") == "audit.sh: cluster nowhere cannot be described in us-east-1"* ]]
  fail_on refuse GetAccountAuthorizationDetails
  audit
  [[ $status == 3 && $(tail -n 1 <<<"$stderr") == *"allow iam:GetAccountAuthorizationDetails" ]]
}

@test "the number of processes does not grow with the cluster, and that of calls only by the page" {
  cloud large 104 300
  processes
  diff - "$BATS_TEST_TMPDIR/processes" <<'END'
aws eks describe-cluster
aws eks list-pod-identity-associations
aws eks update-kubeconfig
aws iam get-account-authorization-details
aws iam list-open-id-connect-providers
curl --disable
curl --version
kubectl get namespaces
kubectl get pods
kubectl get serviceaccounts
END
  diff - <(sed 's/?.*//; s/a-[0-9a-z]*$/*/' "$CLUSTER_STATE/calls" | sort | uniq -c | sed 's/^ *//') <<'END'
2 read eks GET /clusters/audited
2 read eks GET /clusters/audited/pod-identity-associations
110 read eks GET /clusters/audited/pod-identity-associations/*
1 read iam GetAccountAuthorizationDetails
1 read iam ListOpenIDConnectProviders
END
}

@test "each of fourteen planted faults is found, and nothing else; --quiet prints a line for each alone" {
  cloud faulty
  KUBECONFIG=$CLUSTER_STATE/admin.conf audit --context cluster --quiet
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

@test "--no-pods asks AWS alone, without kubectl" {
  cloud faulty
  rm "$BATS_FILE_TMPDIR/toolbox/kubectl"
  audit --no-pods --json
  [[ $status == 1 && $(jq -r '[.findings[].id] | join(" ")' <<<"$output") == "role_missing target_trust target_trust_condition target_trust_no_tag_session trust_condition trust_no_service trust_no_tag_session" ]]
}

@test "conditions are judged as IAM does, and what is not known is neither true nor false" {
  run jq -n -c -L "$repository/scripts/lib/audit" 'include "policy";
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
