#!/usr/bin/env bash
# Who in an EKS cluster gets which identity, and what is wrong with it:
#
#   scripts/audit.sh [--cluster NAME] [--region REGION] [--json | --quiet]
#   scripts/audit.sh --can ACTION --on ARN [--json]
#
# For every association of the cluster: service account, role, policies with
# their actions, the role's trust policy, and every pod that runs under it now,
# `injected` or `NOT injected`. IRSA's service accounts likewise, and the pods
# that can only get the node's role. The second form: every pod that may do the
# action (s3:PutObject) on the resource, and through which role, as IAM says.
#
#   --json           one JSON document instead of a table
#   --quiet          only what is wrong, and no commands: for CI
#   --context NAME   this context of your kubeconfig, not a fresh one
#   --no-pods        ask AWS alone, where kubectl cannot reach the cluster
#
# Reads only. Works on any EKS cluster. It needs aws, jq, curl, kubectl, and the
# permissions in docs/audit.md, and costs nothing. Exit code 0 when nothing is
# wrong, 1 when something is, 2 for unusable words, 3 when it could not look.

# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

unusable() {
  printf '%s: %s (--help says more)\n' "${0##*/}" "$*" >&2
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
      [[ -n ${2-} ]] || unusable "$1 wants a value"
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
  [[ -n $action && -n $resource ]] || unusable "--can ACTION and --on ARN go together"
  [[ $action =~ ^[A-Za-z0-9-]+:[A-Za-z0-9]+$ ]] || unusable "$action is no action such as s3:PutObject"
  [[ $resource == arn:*:*:* ]] || unusable "$resource is no ARN such as arn:aws:s3:::bucket/key"
  [[ -n $pods ]] || unusable "--can needs the pods: leave --no-pods out"
fi

# shellcheck source=lib/settings.sh
. "$root/scripts/lib/settings.sh"
readonly here=$root/scripts/lib/audit
# shellcheck source=lib/audit/collect.sh
. "$here/collect.sh"
# shellcheck source=lib/audit/can.sh
. "$here/can.sh"

[[ $quiet == false ]] || say() { :; }
for tool in aws jq curl ${pods:+kubectl}; do
  command -v "$tool" >/dev/null || failed "$tool is missing: install it${pods:+, or, for kubectl, leave the pods out with --no-pods}"
done

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

# with_files WORDS...: jq on all that was read.
with_files() {
  jq -n -L "$here" --slurpfile cluster "$scratch/cluster" --slurpfile associations "$scratch/associations" \
    --slurpfile iam "$scratch/iam" --slurpfile providers "$scratch/providers" --slurpfile pods "$scratch/pods" \
    --slurpfile accounts "$scratch/serviceaccounts" --slurpfile namespaces "$scratch/namespaces" "$@"
}

with_files -f "$here/report.jq" >"$scratch/report" || failed "what was read cannot be put together: see above"
if [[ -n $action ]]; then
  can
elif [[ -n $json ]]; then
  cat "$scratch/report"
else
  jq -r --argjson quiet "$quiet" -f "$here/table.jq" "$scratch/report"
fi
[[ -n $action ]] || jq -e '.summary.faults == 0' "$scratch/report" >/dev/null
