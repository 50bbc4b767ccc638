#!/usr/bin/env bats
# What inspect.sh shows of the agent's log. A stand-in for kubectl has a pod, and a log as the agent 0.1.37 writes it at its
# usual level: pkg/handlers/eks_credential_handler.go and internal/cloud/eksauth/service.go.

# shellcheck disable=SC2154 # status, output and stderr are of bats' run
# shellcheck source-path=SCRIPTDIR source=../lib/wiring.sh
load ../lib/wiring.sh

setup_file() {
  start_cloud
  toolbox aws chmod seq
  export AGENT_LOG=$BATS_FILE_TMPDIR/agent AGENT_NODE=$BATS_FILE_TMPDIR/node ENDPOINT
  a_cluster
  ENDPOINT=$(aws eks describe-cluster --name pod-identity-demo --query cluster.endpoint --output text)
  cat >"$BATS_FILE_TMPDIR/toolbox/kubectl" <<'KUBECTL'
#!/usr/bin/env bash
case "$*" in
  config*) echo "$ENDPOINT" ;;
  *"get daemonsets "*) ;;
  *"--selector app.kubernetes.io/name=eks-pod-identity-agent "*) echo '{"items": [{"spec": {"nodeName": "'"$(<"$AGENT_NODE")"'"}, "metadata": {"namespace": "kube-system", "name": "agent-1"}}]}' ;;
  *"get pods "*json) echo '{"items": [{"metadata": {"name": "pod-1", "namespace": "pod-identity-demo"}, "spec": {"nodeName": "node-1", "containers": [{"name": "pod-identity-demo"}]},
    "status": {"phase": "Failed", "podIPs": [{"ip": "10.0.0.5"}, {"ip": "fd00::5"}]}}]}' ;;
  *"apply --dry-run"*) echo '{"spec": {"containers": [{}]}}' ;;
  *"logs agent-1 "*) cat "$AGENT_LOG" ;;
esac
KUBECTL
  chmod +x "$BATS_FILE_TMPDIR/toolbox/kubectl"
}

teardown_file() { stop_cloud; }

# logged MESSAGE CLIENT [FIELDS]: a line of the agent's log.
logged() {
  echo '{"client-addr":"'"$2"'","cluster-name":"pod-identity-demo",'"${3-}"'"level":"info","msg":"'"$1"'","time":"2026-11-30T08:00:00Z"}'
}

@test "it shows what the agent did for the pod, and not the requests of the script itself or of other pods" {
  local number
  echo node-1 >"$AGENT_NODE"
  {
    logged "Calling EKS Auth to fetch credentials" 10.0.0.5:4001
    logged "Successfully fetched credentials from EKS Auth" 10.0.0.5:4001 '"fetched_role_arn":"arn:aws:sts::123456789012:assumed-role/uploader/eks-pod-identity-demo-pod-1-0",'
    logged "Calling EKS Auth to fetch credentials" 110.0.0.5:4001
    logged "Calling EKS Auth to fetch credentials" 10.0.0.51:4001
    logged "Error fetching credentials: a fault of another" 10.10.0.5:4001
    for number in $(seq 30); do logged "handling new request request from 10.0.0.5:40$number" "10.0.0.5:40$number"; done
    logged "Storing creds in cache" '[fd00::5]:4001'
  } >"$AGENT_LOG"
  step inspect
  ((status == 0))
  [[ $(grep -c '"client-addr"' <<<"$output") == 3 ]]
  [[ $output == *'"fetched_role_arn":"arn:aws:sts::123456789012:assumed-role/uploader/'*"Storing creds in cache"* ]]
  [[ $stderr == *"and 30 lines of requests of the pod alone, in the last 5000 lines of agent-1"* ]]
}

@test "without an agent on the pod's node it says that" {
  echo node-2 >"$AGENT_NODE"
  step inspect
  [[ $status == 0 && $stderr == *"no agent runs on the node node-1, so its pods get no credentials"* && $stderr != *"logs agent-1"* ]]
}
