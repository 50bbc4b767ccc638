#!/usr/bin/env bash
# Creates the least-privilege IAM policies from scripts/steps/policies/: one for Pod
# Identity, which allows only sessions with the tags of this workload, and one for
# IRSA, whose sessions have no such tags. Their names are POLICY_NAME and IRSA_POLICY_NAME.
#
#   scripts/steps/policy.sh [delete] [--dry-run]
#
# When a template or setting has changed, creates a new default version. IAM keeps
# five versions of a policy, so the oldest is deleted when there are five. With
# delete, deletes the policies that have our tag, with all their versions. Requires
# the AWS CLI and jq. Policies are free of charge.

# shellcheck source-path=SCRIPTDIR source=../lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
# shellcheck source=../lib/settings.sh
. "$root/scripts/lib/settings.sh"
# shellcheck source=../lib/steps.sh
. "$root/scripts/lib/steps.sh"

# find_policy ARN: prints the default version, and our tag or None; false when the
# policy does not exist.
find_policy() {
  found NoSuchEntity aws iam get-policy --policy-arn "$1" \
    --query "Policy.[DefaultVersionId, Tags[?Key=='$TAG_KEY'].Value | [0]]" --output text
}

# other_versions ARN: prints the versions that are not the default, the oldest first.
other_versions() {
  found NoSuchEntity aws iam list-policy-versions --policy-arn "$1" \
    --query 'sort_by(Versions[?!IsDefaultVersion], &CreateDate)[].VersionId' --output text || true
}

# read_version ARN VERSION: prints the version's document.
read_version() {
  found NoSuchEntity aws iam get-policy-version --policy-arn "$1" --version-id "$2" --query PolicyVersion.Document --output json
}

# same_workload ARN DOCUMENT: ends the script if the policy allows sessions of another namespace
# or service account, which would lose their permissions if it were replaced.
same_workload() {
  local workload
  workload=$(jq -r '[.. | objects | select(has("aws:PrincipalTag/kubernetes-namespace")) |
    "\(.["aws:PrincipalTag/kubernetes-namespace"])/\(.["aws:PrincipalTag/kubernetes-service-account"])"] | .[0] // empty' <<<"$2")
  [[ -z $workload || $workload == "$NAMESPACE/$SERVICE_ACCOUNT" ]] ||
    die "the policy ${1##*/} is that of $workload, not of $NAMESPACE/$SERVICE_ACCOUNT: set POLICY_NAME to another name, or set NAMESPACE and SERVICE_ACCOUNT back"
}

# update ARN VERSION CURRENT DOCUMENT: creates a new default version if the document differs.
update() {
  local arn=$1 version=$2 current=$3 document=$4 listed others
  if [[ -n $current ]] && same_json "$current" "$(<"$document")"; then
    say "already exists: the policy ${arn##*/}, version $version"
    return
  fi
  capture listed other_versions "$arn"
  read -ra others <<<"$listed"
  if ((${#others[@]} >= 4)); then
    change aws iam delete-policy-version --policy-arn "$arn" --version-id "${others[0]}"
  fi
  change aws iam create-policy-version --policy-arn "$arn" --policy-document "file://$document" --set-as-default
}

visible() { find_policy "$1" >/dev/null; }

# attachments ARN: prints the names of all that the policy is attached to.
attachments() {
  local names
  capture names found NoSuchEntity aws iam list-entities-for-policy --policy-arn "$1" \
    --query '[PolicyRoles[].RoleName, PolicyUsers[].UserName, PolicyGroups[].GroupName][]' --output text || names=''
  [[ $names == None ]] || echo "$names"
}

unattached() {
  local names
  capture names attachments "$1"
  [[ -z $names ]]
}

create() {
  local i document state version tag current
  local versions=() documents=() currents=()
  # Check both policies before anything is changed.
  for i in 0 1; do
    capture document filled "scripts/steps/policies/${templates[i]}"
    documents+=("$document")
    if capture state find_policy "${arns[i]}"; then
      read -r version tag <<<"$state"
      [[ $tag == "$TAG_VALUE" ]] ||
        die "there is a policy ${arns[i]##*/}, which these scripts did not create (its tag $TAG_KEY is $tag, not $TAG_VALUE): set POLICY_NAME and IRSA_POLICY_NAME"
      versions+=("$version")
      capture current read_version "${arns[i]}" "$version" || current=''
      same_workload "${arns[i]}" "${current:-null}"
      currents+=("$current")
    else
      versions+=('') currents+=('')
    fi
  done
  for i in 0 1; do
    if [[ -n ${versions[i]} ]]; then
      update "${arns[i]}" "${versions[i]}" "${currents[i]}" "${documents[i]}"
    else
      change aws iam create-policy --policy-name "${arns[i]##*/}" --policy-document "file://${documents[i]}" --tags "$tag_pair"
      # The next step asks for it, and IAM is eventually consistent.
      [[ -n $dry_run ]] || poll "$LAG" "the policy to become visible" visible "${arns[i]}" || die "the policy ${arns[i]##*/} is not visible yet: run this again"
    fi
  done
}

delete() {
  local arn state attached versions version
  for arn in "${arns[@]}"; do
    capture state find_policy "$arn" || { say "already deleted: the policy ${arn##*/}" && continue; }
    [[ ${state##*[[:space:]]} == "$TAG_VALUE" ]] || { say "left alone: the policy ${arn##*/}, which these scripts did not create" && continue; }
    # A role that was deleted a moment ago may still be listed.
    if ! unattached "$arn" && [[ -z $dry_run ]] && ! poll "$LAG" "the policy ${arn##*/} to be attached to nothing" unattached "$arn"; then
      capture attached attachments "$arn"
      die "the policy ${arn##*/} is still attached to: $attached: delete those first (scripts/steps/association.sh delete, scripts/compare.sh delete), or detach the policy"
    fi
    capture versions other_versions "$arn"
    for version in $versions; do
      change aws iam delete-policy-version --policy-arn "$arn" --version-id "$version"
    done
    change aws iam delete-policy --policy-arn "$arn"
  done
}

left() {
  local arn state
  for arn in "${arns[@]}"; do
    if capture state find_policy "$arn" && [[ ${state##*[[:space:]]} == "$TAG_VALUE" ]]; then echo "the policy $arn"; fi
  done
}

begin_step "$@"
need_jq
readonly templates=(pod-identity.json irsa.json)
settle ACCOUNT_ID PARTITION BUCKET
# Not POLICY_ARN, which may name any policy for the association: what is written here would replace it.
readonly arns=("arn:$PARTITION:iam::$ACCOUNT_ID:policy/$POLICY_NAME" "arn:$PARTITION:iam::$ACCOUNT_ID:policy/$IRSA_POLICY_NAME")
"$action"
