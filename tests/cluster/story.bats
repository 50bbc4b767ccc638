#!/usr/bin/env bats
# All the way up and down again with the real eksctl, kubectl and AWS CLI: the emulated account is judged as
# AWS judges it (cluster/strict.py), and the cluster behind it is real. The tests build on each other.

# shellcheck disable=SC2016,SC2154 # backquotes are of JMESPath; status, output and stderr are of bats' run
# shellcheck source-path=SCRIPTDIR source=cluster.bash
load cluster

setup_file() { export FILLED=$BATS_FILE_TMPDIR/filled; }

@test "interrupted half-way, up goes on where it was, creates everything, and the Job uploads" {
  listing >"$BATS_FILE_TMPDIR/before"
  fail_on hang 'write eks POST .*/addons'
  interrupted up
  ((status == 130))
  step up
  ((status == 0))
  [[ $output == s3://pod-identity-demo-123456789012-us-east-1/pod-identity-demo-* ]]
  # CloudFormation has judged the tags of each stack: no key is there twice, and ours is on all.
  jq --exit-status --slurp 'map(select(.name | startswith("eksctl-pod-identity-demo"))) | length == 3
    and all(.[]; (.tags | unique | length) == (.tags | length) and any(.tags[]; . == "pod-identity-demo"))' "$state/stacks"
}

@test "up again finds everything there, and changes nothing in AWS" {
  step up
  ((status == 0))
  [[ $stderr == *"already exists: the bucket"*"already exists: the policy"*"already exists: the cluster"*"already exists: the add-on"*"already exists: the association"* ]]
  [[ -z $(writes) ]]
}

@test "status shows the pods, the log and the objects" {
  step status
  ((status == 0))
  [[ $output == *"job.batch/pod-identity-demo"*"Running"*"INFO uploaded "*" bytes  pod-identity-demo-"* ]]
  [[ -z $(writes) ]]
}

@test "the live page is served on this machine, outside of the cluster's network, until it is ended" {
  local port server
  port=$("$project/.tools/lint/bin/python" -c 'import socket
with socket.create_server(("127.0.0.1", 0)) as free: print(free.getsockname()[1])')
  "$project/cluster/cluster.sh" page "$port" >"$BATS_TEST_TMPDIR/page" 2>&1 3>&- &
  server=$!
  eventually 30 curl --silent --fail --output "$BATS_TEST_TMPDIR/html" "http://127.0.0.1:$port/"
  grep -q '<title>' "$BATS_TEST_TMPDIR/html"
  grep -q "^http://127.0.0.1:$port/ is the page of the pod at 10.244.0." "$BATS_TEST_TMPDIR/page"
  # Two at a time, of which one stays open: the page's events.
  run curl --silent --max-time 3 "http://127.0.0.1:$port/events"
  [[ $output == *data:* ]]
  kill "$server"
  run ! curl --silent --max-time 3 "http://127.0.0.1:$port/livez"
}

@test "inspect shows what the real webhook injected, beside a pod without an association" {
  local before
  before=$(objects)
  step inspect
  ((status == 0))
  [[ $output == *"eks-pod-identity-agent   1         1         1"* ]]
  [[ $output == *"the other: -    env AWS_CONTAINER_CREDENTIALS_FULL_URI=http://169.254.170.23/v1/credentials"* ]]
  [[ $output == *"the other: -    volume eks-pod-identity-token: token for pods.eks.amazonaws.com"* ]]
  [[ $output != *"the other: yes  env AWS_CONTAINER"* ]]
  [[ $output == *"ok: credentials from EKS Pod Identity"* ]]
  [[ $output == *"Calling EKS Auth to fetch credentials"* ]]
  [[ -z $(writes) && $(objects) == "$before" ]]
}

@test "audit finds no fault, also where aws-node, on the host network, has an association" {
  aws eks create-pod-identity-association --cluster-name pod-identity-demo --namespace kube-system --service-account aws-node \
    --role-arn "$(aws iam list-roles --query 'Roles[?contains(RoleName, `podidentityrole`)].Arn | [0]')"
  eventually 10 grep -qs '"serviceAccount": "aws-node"' "$state/identities.json"
  kube --namespace kube-system rollout restart daemonset/aws-node
  kube --namespace kube-system rollout status daemonset/aws-node --timeout=60s
  step audit
  ((status == 0))
  [[ $output == *"pod-identity-demo/pod-identity-demo"*"Pod Identity"*"right"*"1 injected"*"no faults found"* ]]
  [[ $output == *"info: host_network: pod kube-system/aws-node-"* ]]
}

@test "compare runs the job under IRSA beside it, and its inverse removes that" {
  step compare
  ((status == 0))
  [[ $output == *"ok: credentials from EKS Pod Identity"*"ok: credentials from IRSA"*"what differs"* ]]
  [[ $(aws iam list-open-id-connect-providers --query 'OpenIDConnectProviderList[].Arn') == *oidc-provider/* ]]
  step compare delete
  ((status == 0))
  [[ -z $(aws iam list-open-id-connect-providers --query 'OpenIDConnectProviderList[].Arn') ]]
  [[ -z $(kube --namespace pod-identity-demo get job/pod-identity-demo-irsa serviceaccount/pod-identity-demo-irsa --ignore-not-found --output name) ]]
}

@test "interrupted half-way, down goes on, deletes everything, and the account is as it was before" {
  step down --dry-run
  ((status == 0))
  # Other pods may use the agent until the cluster is gone.
  [[ $stderr == *"the add-on is deleted together with the cluster pod-identity-demo"* && $stderr != *delete-addon* ]]
  [[ $stderr == *'$ eksctl delete podidentityassociation'*'$ aws s3api delete-bucket'*'$ eksctl delete cluster'* ]]
  [[ -z $(writes) ]]

  fail_on hang 'write s3 DELETE'
  interrupted down
  ((status == 130))
  # The tagging API goes on listing what is deleted, so down asks the services. These are not in the emulator's:
  printf 'arn:aws:%s\n' ec2:us-east-1:123456789012:subnet/subnet-gone eks:us-east-1:123456789012:addon/pod-identity-demo/eks-pod-identity-agent/1 \
    ecr:us-east-1:123456789012:repository/pod-identity-demo iam::123456789012:policy/pod-identity-demo-us-east-1 >"$state/tagged"
  step down
  ((status == 0))
  grep -qx 'read tagging GetResources' "$state/calls"
  rm "$state/tagged"
  [[ $stderr == *"nothing is left"* ]]
  [[ $(aws resourcegroupstaggingapi get-resources --tag-filters Key=pod-identity-demo,Values=pod-identity-demo) == *s3:::pod-identity-demo-* ]]
  [[ -z $(kube get namespace/pod-identity-demo --ignore-not-found --output name) ]]
  diff -u "$BATS_FILE_TMPDIR/before" <(listing)
  step down
  ((status == 0))
  [[ -z $(writes) ]]
}
