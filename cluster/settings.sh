# shellcheck shell=bash
# The addresses and paths of the cluster: `. settings.sh STATE`.
# shellcheck disable=SC2034 # the scripts that source this file use it

: "${root:?is set by common.sh, which must be sourced first}"

state=$1
pki=$state/pki
bin=$root/.tools/cluster/bin images=$root/.tools/cluster/images
sandbox=${CARGO_TARGET_DIR:-$root/target}/debug/sandbox
# What runs: account (the emulated AWS account), control-plane (and Kubernetes without a kubelet), or
# node (and a node, all in namespaces of their own).
level=$(cat "$state/level" 2>/dev/null || echo node)
# Not empty if pods have IPv6 addresses as well.
ipv6=$(cat "$state/ipv6" 2>/dev/null || true)
agent_address=169.254.170.23 agent_ipv6=fd00:ec2::23 images_port=8081
agent_url=http://$agent_address
[[ -z $ipv6 ]] || agent_url="http://[$agent_ipv6]"
if [[ $level == node ]]; then
  node_address=10.254.0.1
  emulator_port=4577 aws_port=4566 etcd_port=2379 peer_port=2380 api_port=443 webhook_port=8443
  issuer=https://$node_address
else
  # On the loopback interface, at ports that were free.
  node_address=127.0.0.1
  read -r emulator_port aws_port etcd_port peer_port api_port webhook_port <"$state/ports"
  issuer=https://$node_address:$api_port
fi
aws_endpoint=http://$node_address:$aws_port
