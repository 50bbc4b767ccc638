#!/usr/bin/env bash
# A real Kubernetes cluster on this machine, in which Pod Identity works as on EKS, without AWS:
#
#   cluster/cluster.sh up [LEVEL]       starts it, in some 20 seconds
#   cluster/cluster.sh kubectl ARG...   runs kubectl as the cluster's administrator
#   cluster/cluster.sh run COMMAND...   runs a command with the cluster's environment, for
#                                           example: run scripts/up.sh
#   cluster/cluster.sh page [PORT]      serves the live page of the job's newest pod on this machine, at
#                                           http://127.0.0.1:8080/ or another port, until Ctrl-C
#   cluster/cluster.sh down             ends it; nothing is left running
#   cluster/cluster.sh check            says whether this machine can run it
#
# The API server, the controllers, the scheduler, the kubelet, EKS's admission webhook and eksctl
# are the real programs. MiniStack emulates the AWS account and enforces IAM; the sandbox is the
# Pod Identity Agent and the image host. cluster/README.md describes the parts.
#
# LEVEL is how much of it runs:
#   node            all of it, the default. Requires Linux and root. Everything runs in namespaces
#                   of its own, and nothing listens on this machine's addresses.
#   control-plane   no node, no agent and no containers: pods stay Pending. Runs wherever Go runs, on
#                   free ports of the loopback interface.
#   account         the emulated account alone, likewise, which needs no Go
#
# Installs what it needs with scripts/dev/tools.sh. CLUSTER_STATE is the folder with its state and
# logs, /tmp/pod-identity-demo-cluster by default; a second folder is a second cluster. With
# CLUSTER_IPV6=yes, pods have IPv6 addresses as well, and reach the agent by its IPv6 address, as
# on an IPv6 cluster of EKS. If CLUSTER_OWNER is the ID of a process, the cluster ends when that
# process does. CLUSTER_TOOLS is a folder whose programs `run` finds first.

# shellcheck source-path=SCRIPTDIR source=../scripts/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib/common.sh"
# shellcheck source=settings.sh
. "$root/cluster/settings.sh" "${CLUSTER_STATE:-/tmp/pod-identity-demo-cluster}"

# init_pid: prints the process ID of node.sh; false when it does not run.
init_pid() {
  local pid
  pid=$(cat "$state/pid" 2>/dev/null) || return 1
  # After a crash, the number may be that of any process.
  [[ $(ps -ww -o args= -p "$pid") == *"/cluster/node.sh "* ]] || return 1
  # Between this process and node.sh is unshare.
  [[ $level != node ]] || pid=$(pgrep --parent "$pid") || return 1
  kill -0 "$pid" 2>/dev/null && echo "$pid"
}

# quiet_openssl ARGUMENT...: runs openssl, and shows what it says only if it fails.
quiet_openssl() {
  openssl "$@" 2>"$state/logs/openssl" || die "openssl $1 failed: $(<"$state/logs/openssl")"
}

# certificate NAME SUBJECT [SUBJECT-ALTERNATIVE-NAMES]: creates NAME.key and NAME.crt, signed by the CA.
# Only OpenSSL 3 can copy the alternative names from the request.
certificate() {
  echo "subjectAltName=${3:-DNS:$1}" >"$pki/$1.ext"
  quiet_openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$pki/$1.key" -subj "$2" -out "$pki/$1.csr"
  quiet_openssl x509 -req -in "$pki/$1.csr" -CA "$pki/ca.crt" -CAkey "$pki/ca.key" -CAcreateserial -days 30 -extfile "$pki/$1.ext" -out "$pki/$1.crt"
}

# kubeconfig USER: prints a kubeconfig with the user's certificate.
kubeconfig() {
  cat <<END
{"apiVersion": "v1", "kind": "Config", "current-context": "cluster",
 "clusters": [{"name": "cluster", "cluster": {"server": "$issuer", "certificate-authority": "$pki/ca.crt"}}],
 "users": [{"name": "$1", "user": {"client-certificate": "$pki/$1.crt", "client-key": "$pki/$1.key"}}],
 "contexts": [{"name": "cluster", "context": {"cluster": "cluster", "user": "$1"}}]}
END
}

# reserve_ports: writes free ports of the loopback interface to STATE/ports, and keeps them until the cluster
# runs or this script has ended: otherwise a connection of another process could have one of them by then.
reserve_ports() {
  "$root/.tools/ministack/bin/python" "$root/cluster/ports.py" "$state" 6 >"$state/ports.log" 2>&1 </dev/null 3>&- &
  until [[ -e $state/ports ]]; do
    kill -0 $! 2>/dev/null || die "no ports could be reserved: $(<"$state/ports.log")"
    sleep 0.1
  done
}

configure() {
  local ranges='[{"subnet": "10.244.0.0/24"}]' routes='{"dst": "0.0.0.0/0"}'
  if [[ -n $ipv6 ]]; then
    ranges+=', [{"subnet": "fd00:10:244::/64"}]' routes+=', {"dst": "::/0"}'
  fi
  mkdir -p "$pki" "$state/logs" "$state/cni" "$state/tmp"
  quiet_openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -keyout "$pki/ca.key" -out "$pki/ca.crt" -subj /CN=test-cluster
  certificate server /CN=kube-apiserver "IP:$node_address,IP:127.0.0.1,IP:10.100.0.1,DNS:kubernetes.default.svc,DNS:localhost"
  certificate admin /O=system:masters/CN=admin
  certificate node /O=system:nodes/CN=system:node:node
  quiet_openssl genrsa -out "$pki/accounts.key" 2048
  quiet_openssl rsa -in "$pki/accounts.key" -pubout -out "$pki/accounts.pub"
  kubeconfig admin >"$state/admin.conf"
  kubeconfig node >"$state/node.conf"
  echo "$issuer" >"$state/issuer"
  echo '{"identities": []}' >"$state/identities.json"
  cat >"$state/authenticator" <<END
{"apiVersion": "v1", "kind": "Config", "current-context": "eks",
 "clusters": [{"name": "eks", "cluster": {"server": "$aws_endpoint/_cluster/authenticate"}}],
 "users": [{"name": "eks", "user": {}}], "contexts": [{"name": "eks", "context": {"cluster": "eks", "user": "eks"}}]}
END
  cat >"$state/cni/10-bridge.conflist" <<END
{"cniVersion": "0.4.0", "name": "pods", "plugins": [{"type": "bridge", "bridge": "pods0", "isGateway": true,
  "ipam": {"type": "host-local", "dataDir": "$state/cni-leases", "ranges": [$ranges], "routes": [$routes]}}]}
END
  cat >"$state/containerd.toml" <<END
version = 2
root = "$state/containerd"
state = "$state/containerd-run"
[grpc]
  address = "$state/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  # Not every machine lets a process protect itself from the out-of-memory killer.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$state/cni"
END
  cat >"$state/kubelet.yaml" <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $pki/ca.crt}}
authorization: {mode: Webhook}
containerRuntimeEndpoint: unix://$state/containerd.sock
# Version 1 of cgroups where the machine has it, without a hierarchy of the kubelet's own.
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupsPerQOS: false
enforceNodeAllocatable: []
evictionHard: {}
failSwapOn: false
podLogsDir: $state/pod-logs
END
}

# inject: registers the webhook, as EKS does.
inject() {
  kubectl apply --filename - <<END
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata:
  name: pod-identity-webhook
webhooks:
  - name: iam-for-pods.amazonaws.com
    failurePolicy: Ignore
    sideEffects: None
    admissionReviewVersions: [v1beta1]
    clientConfig:
      url: https://$node_address:$webhook_port/mutate
      caBundle: $(base64 <"$pki/ca.crt" | tr -d '\n')
    rules:
      - {operations: [CREATE], apiGroups: [""], apiVersions: [v1], resources: [pods]}
END
}

# enter COMMAND...: runs a command in the cluster's network.
enter() {
  local pid
  pid=$(init_pid) || die "the cluster does not run: start it with cluster/cluster.sh up"
  if [[ $level == node ]]; then nsenter --target "$pid" --net "$@"; else "$@"; fi
}

kubectl() {
  enter "$bin/kubectl" --kubeconfig "$state/admin.conf" "$@"
}

ready() {
  [[ $(kubectl get node/node --output 'jsonpath={.status.conditions[?(@.type=="Ready")].status}' 2>/dev/null) == True ]]
}

# check: true when this machine can run the cluster; otherwise says why not.
check() {
  local missing=''
  if [[ $(uname) != Linux ]]; then
    missing=Linux
  elif ((EUID)); then
    missing=root
  elif ! unshare --net --mount --pid --fork --mount-proc true 2>/dev/null; then
    missing='the permission to create namespaces'
  elif ! mkdir "/sys/fs/cgroup/memory/check-$$" 2>/dev/null && ! mkdir "/sys/fs/cgroup/check-$$" 2>/dev/null; then
    missing='control groups that can be written'
  fi
  rmdir "/sys/fs/cgroup/memory/check-$$" "/sys/fs/cgroup/check-$$" 2>/dev/null || true
  [[ -n $missing ]] || return 0
  say "this machine cannot run the cluster, which needs $missing"
  return 1
}

up() {
  local deadline=$((SECONDS + 120)) pid wanted=${1:-node} in_namespaces=()
  ! init_pid >/dev/null || die "the cluster runs already: end it with cluster/cluster.sh down"
  case $wanted in
    node)
      check || exit
      "$root/scripts/dev/tools.sh" cluster ministack aws
      [[ -x $sandbox ]] || run cargo build --locked --package sandbox --manifest-path "$root/Cargo.toml"
      [[ -e $images/pod-identity-demo.tar ]] || { "$root/scripts/dev/tools.sh" containers && run "$root/cluster/images.sh" >&2; }
      in_namespaces=(unshare --net --mount --pid --fork --kill-child --mount-proc)
      ;;
    control-plane) "$root/scripts/dev/tools.sh" kubernetes eksctl ministack aws ;;
    account) "$root/scripts/dev/tools.sh" ministack aws ;;
    *) die "the level must be node, control-plane or account, not '$wanted'" ;;
  esac
  need openssl "install it with your system's packages"
  remove_state
  mkdir -p "$state"
  echo "$wanted" >"$state/level" # from here on, the folder is known as a cluster's
  reserve_ports
  echo "${CLUSTER_IPV6-}" >"$state/ipv6"
  # shellcheck source=settings.sh
  . "$root/cluster/settings.sh" "$state"
  configure
  # Each in a process group of its own, so that whatever interrupts a script ends neither.
  set -m
  ${in_namespaces[@]+"${in_namespaces[@]}"} "$root/cluster/node.sh" "$state" >"$state/logs/init" 2>&1 </dev/null 3>&- &
  pid=$!
  echo "$pid" >"$state/pid"
  if [[ -n ${CLUSTER_OWNER-} ]]; then
    (
      # A cluster that has ended is left to `down`, which may be removing its state just now.
      while kill -0 "$CLUSTER_OWNER"; do
        kill -0 "$pid" || exit 0
        sleep 1
      done
      # Whoever ended the owner may have removed the state, without which `down` finds nothing.
      (down) || true
      kill -KILL -- "-$pid"
    ) >/dev/null 2>&1 </dev/null 3>&- &
  fi
  set +m
  until [[ -e $state/running ]]; do
    kill -0 "$pid" 2>/dev/null || die "the cluster did not start: $(tail -n 3 "$state/logs/init")"
    ((SECONDS < deadline)) || die "the cluster did not start within 2 minutes: see $state/logs"
    sleep 0.2
  done
  if [[ $level != account ]]; then
    inject >&2
    until ready; do
      ((SECONDS < deadline)) || die "the node is not ready within 2 minutes: see $state/logs/kubelet"
      sleep 0.2
    done
  fi
  say "the cluster runs; its state and logs are in $state"
}

# remove_state: removes the folder, and the control groups of containers that the kernel has ended.
remove_state() {
  [[ -e $state ]] || return 0
  [[ -e $state/level ]] || die "$state is not the state of a cluster: set CLUSTER_STATE to another folder"
  remove_control_groups
  rm -rf "${state:?}"
}

# remove_control_groups: removes those of the containers, whose processes have ended; runc had no time to.
remove_control_groups() {
  local container group
  for container in "$state"/containerd-run/io.containerd.runtime.v2.task/k8s.io/*; do
    for group in /sys/fs/cgroup/k8s.io /sys/fs/cgroup/*/k8s.io; do
      rmdir "$group/${container##*/}" "$group" 2>/dev/null || true
    done
  done
}

down() {
  local pid
  if ! pid=$(init_pid); then
    say "the cluster does not run"
  elif [[ $level == node ]]; then
    kill -TERM "$(<"$state/pid")" 2>/dev/null || true
    kill -KILL "$pid" 2>/dev/null || true
  else
    kill -KILL -- "-$pid" 2>/dev/null || true # the API server would wait for etcd for minutes
  fi
  while [[ -n $pid ]] && kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
  remove_state
}

# in_cluster COMMAND...: runs a command with the emulated account, the cluster's tools and addresses.
in_cluster() {
  export PATH=${CLUSTER_TOOLS:+$CLUSTER_TOOLS:}$bin:$root/.tools/aws/bin:$PATH KUBECONFIG=$state/kubeconfig
  export AWS_ENDPOINT_URL=$aws_endpoint AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1
  export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_EC2_METADATA_DISABLED=true
  export TMPDIR=$state/tmp         # where eksctl leaves the lock files of kubeconfigs
  export SSL_CERT_FILE=$pki/ca.crt # eksctl asks the OIDC issuer for its certificate
  unset AWS_PROFILE AWS_SESSION_TOKEN
  export NODES=1 # the kubelet on this machine
  export IMAGE=${IMAGE-localhost/pod-identity-demo:test}
  export SETTINGS="AWS_ENDPOINT_URL=$aws_endpoint IMAGE_URL=http://$node_address:$images_port/random ALLOW_PRIVATE_SOURCE=true INTERVAL=2s ${SETTINGS-}"
  enter "$@"
}

# page [PORT]: a port-forward of kubectl would listen in the cluster's network, where no browser of this machine is.
page() {
  local port=${1:-8080} address
  [[ $port =~ ^[1-9][0-9]{0,4}$ ]] || die "page takes the number of a port, not '$port'"
  [[ $level == node ]] || die "no pods run in a cluster of the level $level: start it with cluster/cluster.sh up"
  address=$(kubectl get pods --all-namespaces --selector app.kubernetes.io/name=pod-identity-demo --sort-by .metadata.creationTimestamp \
    --field-selector status.phase=Running --output 'jsonpath={.items[-1:].status.podIP}')
  [[ -n $address ]] || die "no pod of the job runs: create it with cluster/cluster.sh run scripts/up.sh"
  exec "$root/.tools/ministack/bin/python" "$root/cluster/page.py" "$(init_pid)" "$port" "$address"
}

case ${1-} in
  -h | --help) usage ;;
  up) up "${@:2}" ;;
  down) down ;;
  check) check ;;
  kubectl) shift && kubectl "$@" ;;
  page) page "${@:2}" ;;
  run)
    shift
    (($# > 0)) || die "run needs a command, for example: cluster/cluster.sh run scripts/up.sh"
    in_cluster "$@"
    ;;
  *) die "the first argument must be up, down, kubectl, run, page or check (see --help)" ;;
esac
