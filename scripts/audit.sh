#!/usr/bin/env bash
# Shows which pods of an EKS cluster get which IAM role, and reports faults.
#
#   scripts/audit.sh [--cluster NAME] [--region REGION] [--json | --quiet]
#   scripts/audit.sh --can ACTION --on ARN [--json]
#
# The first form lists every association of the cluster: service account, role,
# policies with their actions, whether the trust policy is right, and each pod that
# uses it, `injected` or `NOT injected`. It lists IRSA's service accounts as well, and
# the pods that can only get the node's role. The second form lists every pod that is
# allowed to perform the action (for example s3:PutObject) on the resource, and the
# role that allows it, according to IAM.
#
#   --json           print one JSON document instead of a table
#   --quiet          print only faults, and no commands; for CI
#   --context NAME   use this context of your kubeconfig instead of a new one
#   --no-pods        read only from AWS, if kubectl cannot reach the cluster
#
# Changes nothing. Works on any EKS cluster. Requires aws, jq, curl, kubectl, and the
# permissions in docs/audit.md. Free of charge. The exit code is 0 if there is no
# fault, 1 if there is one, 2 if the arguments are wrong, and 3 if the audit failed.

# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

unusable() {
  printf '%s: %s (see --help)\n' "${0##*/}" "$*" >&2
  exit 2
}

json='' quiet=false context='' pods=yes action='' resource=''
while (($# > 0)); do
  case $1 in
    -h | --help) usage && exit ;;
    --json) json=yes ;;
    --quiet) quiet=true ;;
    --no-pods) pods='' ;;
    --cluster | --region | --context | --can | --on)
      [[ -n ${2-} ]] || unusable "$1 requires a value"
      case $1 in
        --cluster) CLUSTER_NAME=$2 ;;
        --region) AWS_REGION=$2 ;;
        --context) context=$2 ;;
        --can) action=$2 ;;
        --on) resource=$2 ;;
      esac
      shift
      ;;
    *) unusable "unknown argument $1" ;;
  esac
  shift
done
if [[ -n $action$resource ]]; then
  [[ -n $action && -n $resource ]] || unusable "--can ACTION and --on ARN require each other"
  [[ $action =~ ^[A-Za-z0-9-]+:[A-Za-z0-9]+$ ]] || unusable "$action is not an action such as s3:PutObject"
  [[ $resource == arn:*:*:* ]] || unusable "$resource is not an ARN such as arn:aws:s3:::bucket/key"
  [[ -n $pods ]] || unusable "--can requires the pods: omit --no-pods"
fi

# What settings.sh refuses is wrong likewise.
die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 2
}

# shellcheck source=lib/settings.sh
. "$root/scripts/lib/settings.sh"
readonly here=$root/scripts/lib/audit
# shellcheck source=lib/audit/collect.sh
. "$here/collect.sh"
# shellcheck source=lib/audit/can.sh
. "$here/can.sh"

[[ $quiet == false ]] || say() { :; }
for tool in aws jq curl ${pods:+kubectl}; do
  command -v "$tool" >/dev/null || cannot_audit "$tool is missing: install it${pods:+, or, for kubectl, use --no-pods}"
done
too_old=$(need_tool aws 2>&1) || cannot_audit "${too_old#*: }"

umask 077
scratch=$(mktemp -d)
readonly scratch
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

for name in pods serviceaccounts namespaces; do echo null >"$scratch/$name"; done
read_aws
[[ -z $pods ]] || read_kubernetes
read_rest

# with_files ARGUMENT...: runs jq on everything that was read.
with_files() {
  jq -n -L "$here" --slurpfile cluster "$scratch/cluster" --slurpfile associations "$scratch/associations" \
    --slurpfile iam "$scratch/iam" --slurpfile providers "$scratch/providers" --slurpfile pods "$scratch/pods" \
    --slurpfile accounts "$scratch/serviceaccounts" --slurpfile namespaces "$scratch/namespaces" "$@"
}

with_files -f "$here/report.jq" >"$scratch/report" || cannot_audit "jq could not build the report: see its message above"
if [[ -n $action ]]; then
  can
elif [[ -n $json ]]; then
  cat "$scratch/report"
else
  jq -r --argjson quiet "$quiet" -f "$here/table.jq" "$scratch/report"
fi
[[ -n $action ]] || jq -e '.summary.faults == 0' "$scratch/report" >/dev/null
