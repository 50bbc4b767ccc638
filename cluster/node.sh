#!/usr/bin/env bash
# The parent of the cluster's processes: starts the emulated AWS account, and unless STATE
# says otherwise, the control plane and the webhook, and the node; then waits. With a node
# it is the first process in namespaces of their own, whose network and mounts it prepares:
# when it ends, the kernel ends every process of the cluster, including the containers.
#
#   cluster/node.sh STATE
#
# cluster/cluster.sh calls it, and has written certificates and configuration to the
# folder STATE. A file `running` in that folder says that all processes are started.

# shellcheck source-path=SCRIPTDIR source=../scripts/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib/common.sh"
# shellcheck source=settings.sh
. "$root/cluster/settings.sh" "$1"

# daemon NAME COMMAND...: starts a process with its output in logs/NAME.
daemon() {
  local name=$1
  shift
  "$@" >"$state/logs/$name" 2>&1 </dev/null &
}

# await COMMAND...: polls until the command succeeds, for at most a minute.
await() {
  local deadline=$((SECONDS + 60))
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || die "not within a minute: $*"
    sleep 0.2
  done
}

network() {
  ip link set lo up
  # The agent's addresses, which the add-on's agent adds to the node itself.
  ip address add "$agent_address/32" dev lo
  [[ -z $ipv6 ]] || ip address add "$agent_ipv6/128" dev lo nodad
  ip link add node0 type bridge
  ip address add "$node_address/24" dev node0
  ip link set node0 up
  # A route to everywhere, which the kubelet expects; there is nothing behind it.
  ip route add default dev node0
}

mounts() {
  # Sockets, logs and state of the container runtime that are not in STATE.
  mount -t tmpfs tmpfs /run
  mount -t tmpfs tmpfs /var/log
  # The kubelet sets these for the whole machine; so it sees files that have its values already.
  local setting
  mkdir -p "$state/sysctl"
  for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
    kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
    [[ -e /proc/sys/${setting%=*} ]] || continue
    echo "${setting#*=}" >"$state/sysctl/${setting##*/}"
    mount --bind "$state/sysctl/${setting##*/}" "/proc/sys/${setting%=*}"
  done
}

account() {
  # What the emulator leaves when the kernel ends it goes with the folder.
  export TMPDIR=$state/tmp
  env MINISTACK_HOST="$node_address" "$root/scripts/dev/ministack.sh" --tls --port "$emulator_port" >"$state/ministack" 2>"$state/logs/ministack" </dev/null &
  await grep -q '^ready ' "$state/ministack"
  SSL_CERT_FILE=$(cut -d ' ' -f 3 "$state/ministack")
  export SSL_CERT_FILE
  daemon eks "$root/.tools/ministack/bin/python" "$root/cluster/eks.py" "$state" "https://127.0.0.1:$emulator_port" "$node_address:$aws_port"
  await curl --silent --output /dev/null "$aws_endpoint/_ministack/health"
}

control_plane() {
  local controllers=()
  daemon etcd "$bin/etcd" --data-dir "$state/etcd" --unsafe-no-fsync --listen-client-urls "http://127.0.0.1:$etcd_port" \
    --advertise-client-urls "http://127.0.0.1:$etcd_port" --listen-peer-urls "http://127.0.0.1:$peer_port" \
    --initial-advertise-peer-urls "http://127.0.0.1:$peer_port" --initial-cluster "default=http://127.0.0.1:$peer_port"
  daemon kube-apiserver "$bin/kube-apiserver" --etcd-servers="http://127.0.0.1:$etcd_port" --secure-port="$api_port" --cert-dir="$state" \
    --bind-address="$node_address" --service-cluster-ip-range=10.100.0.0/16 \
    --tls-cert-file="$pki/server.crt" --tls-private-key-file="$pki/server.key" --client-ca-file="$pki/ca.crt" \
    --service-account-issuer="$issuer" --api-audiences=https://kubernetes.default.svc \
    --service-account-key-file="$pki/accounts.pub" --service-account-signing-key-file="$pki/accounts.key" \
    --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true \
    --authentication-token-webhook-config-file="$state/authenticator" --authentication-token-webhook-version=v1 \
    --kubelet-client-certificate="$pki/admin.crt" --kubelet-client-key="$pki/admin.key" --kubelet-preferred-address-types=InternalIP
  await curl --silent --fail --cacert "$pki/ca.crt" --cert "$pki/admin.crt" --key "$pki/admin.key" "$issuer/readyz"
  curl --silent --fail --cacert "$pki/ca.crt" --cert "$pki/admin.crt" --key "$pki/admin.key" "$issuer/openid/v1/jwks" >"$state/jwks.json"
  # Without a kubelet, no controller may find that the node is dead.
  [[ $level == node ]] || controllers=(--controllers='*,-node-lifecycle-controller')
  daemon kube-controller-manager "$bin/kube-controller-manager" --kubeconfig "$state/admin.conf" --leader-elect=false --secure-port=0 ${controllers[@]+"${controllers[@]}"} \
    --service-account-private-key-file="$pki/accounts.key" --root-ca-file="$pki/ca.crt" --use-service-account-credentials
  daemon kube-scheduler "$bin/kube-scheduler" --kubeconfig "$state/admin.conf" --leader-elect=false --secure-port=0
  daemon webhook "$bin/amazon-eks-pod-identity-webhook" --in-cluster=false --kubeconfig "$state/admin.conf" --port "$webhook_port" --metrics-port 0 --sts-regional-endpoint \
    --tls-cert "$pki/server.crt" --tls-key "$pki/server.key" --aws-default-region us-east-1 \
    --watch-container-credentials-config "$state/identities.json" --container-credentials-full-uri "$agent_url/v1/credentials"
}

node() {
  daemon containerd containerd --config "$state/containerd.toml"
  await ctr --address "$state/containerd.sock" version
  for image in "$images"/*.tar; do
    ctr --address "$state/containerd.sock" --namespace k8s.io images import --no-unpack "$image" >"$state/logs/import" 2>&1 ||
      die "the image $image could not be imported: $(<"$state/logs/import")"
  done
  daemon kubelet "$bin/kubelet" --config "$state/kubelet.yaml" --kubeconfig "$state/node.conf" --root-dir "$state/kubelet" \
    --hostname-override node --node-ip "$node_address" --cert-dir "$state/kubelet-pki" --register-node
  daemon images "$sandbox" image-host --listen "$node_address:$images_port"
}

# A Node object without a machine: pods are assigned to it, and stay Pending.
register_node() {
  local kubectl=("$bin/kubectl" --kubeconfig "$state/admin.conf")
  "${kubectl[@]}" create --filename - <<<'{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node"}}'
  "${kubectl[@]}" patch node/node --subresource=status --patch '{"status": {"conditions": [{"type": "Ready", "status": "True"}]}}'
}

trap 'exit 0' TERM INT
if [[ $level == node ]]; then
  network
  mounts
fi
account
if [[ $level != account ]]; then control_plane; fi
if [[ $level == node ]]; then node; elif [[ $level == control-plane ]]; then register_node; fi
: >"$state/running"
# Collect the processes whose parents have ended, until the end.
while :; do wait -n || sleep 0.2; done
