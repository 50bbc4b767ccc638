# shellcheck shell=bash
# The addresses and paths of the test cluster: `. settings.sh STATE`.
# shellcheck disable=SC2034 # the scripts that source this file use it

: "${root:?is set by common.sh, which must be sourced first}"

readonly state=$1
readonly pki=$state/pki
readonly bin=$root/.tools/cluster/bin images=$root/.tools/cluster/images
readonly sandbox_cluster=${CARGO_TARGET_DIR:-$root/target}/debug/sandbox-cluster
readonly node_address=10.254.0.1 agent_address=169.254.170.23
readonly emulator_port=4577 aws_port=4566 images_port=8081
readonly issuer=https://$node_address
readonly aws_endpoint=http://$node_address:$aws_port
