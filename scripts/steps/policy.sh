#!/usr/bin/env bash
# The IAM policies with the least privilege, from scripts/steps/policies/: one for Pod
# Identity, which holds only with the session tags of this workload; and one for
# IRSA, which has no such tags.
#
#   scripts/steps/policy.sh [delete] [--dry-run]
#
# A template or setting that has changed makes a new default version; of five,
# which is what IAM keeps, the oldest then goes. With delete: all versions, but
# only of policies with our tag. It needs the AWS CLI and jq. It costs nothing.

# shellcheck source-path=SCRIPTDIR source=../lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
# shellcheck source=../lib/settings.sh
. "$root/scripts/lib/settings.sh"
# shellcheck source=../lib/steps.sh
. "$root/scripts/lib/steps.sh"

# The policy is there: `answer` is its default version and our tag, or None.
find_policy() {
  found NoSuchEntity aws iam get-policy --policy-arn "$1" \
    --query "Policy.[DefaultVersionId, Tags[?Key=='$TAG_KEY'].Value | [0]]" --output text
}

# The versions that are not the default, the oldest first, in `answer`.
other_versions() {
  found NoSuchEntity aws iam list-policy-versions --policy-arn "$1" \
    --query 'sort_by(Versions[?!IsDefaultVersion], &CreateDate)[].VersionId' --output text || answer=''
}

# A new default version where the document says something else.
update() { # ARN VERSION DOCUMENT
  local arn=$1 version=$2 document=$3 others
  if found NoSuchEntity aws iam get-policy-version --policy-arn "$arn" --version-id "$version" \
    --query PolicyVersion.Document --output json && same_json "$answer" "$(<"$document")"; then
    say "there already: the policy ${arn##*/}, version $version"
    return
  fi
  other_versions "$arn"
  read -ra others <<<"$answer"
  if ((${#others[@]} >= 4)); then
    change aws iam delete-policy-version --policy-arn "$arn" --version-id "${others[0]}"
  fi
  change aws iam create-policy-version --policy-arn "$arn" --policy-document "file://$document" --set-as-default
}

create() {
  local i version tag
  local arns=("$POLICY_ARN" "$IRSA_POLICY_ARN") versions=() documents=()
  # All that can be wrong, before anything is changed.
  for i in 0 1; do
    filled "scripts/steps/policies/${templates[i]}"
    documents+=("$answer")
    if find_policy "${arns[i]}"; then
      read -r version tag <<<"$answer"
      [[ $tag == "$TAG_VALUE" ]] ||
        die "there is a policy ${arns[i]##*/}, which these scripts did not make ($TAG_KEY is $tag, not $TAG_VALUE): set POLICY_NAME and IRSA_POLICY_NAME"
      versions+=("$version")
    else
      versions+=('')
    fi
  done
  for i in 0 1; do
    if [[ -n ${versions[i]} ]]; then
      update "${arns[i]}" "${versions[i]}" "${documents[i]}"
    else
      change aws iam create-policy --policy-name "${arns[i]##*/}" --policy-document "file://${documents[i]}" --tags "$tag_pair"
    fi
  done
}

delete() {
  local arn version
  for arn in "$POLICY_ARN" "$IRSA_POLICY_ARN"; do
    find_policy "$arn" || { say "gone already: the policy ${arn##*/}" && continue; }
    [[ ${answer##*[[:space:]]} == "$TAG_VALUE" ]] || { say "left alone: the policy ${arn##*/}, which these scripts did not make" && continue; }
    found NoSuchEntity aws iam list-entities-for-policy --policy-arn "$arn" \
      --query '[PolicyRoles[].RoleName, PolicyUsers[].UserName, PolicyGroups[].GroupName][]' --output text || answer=''
    if [[ -n $answer && $answer != None ]]; then
      [[ -n $dry_run ]] || die "the policy ${arn##*/} is still attached to: $answer: delete those first (scripts/steps/association.sh delete, scripts/compare.sh delete), or detach it"
    fi
    other_versions "$arn"
    for version in $answer; do
      change aws iam delete-policy-version --policy-arn "$arn" --version-id "$version"
    done
    change aws iam delete-policy --policy-arn "$arn"
  done
}

left() {
  local arn
  for arn in "$POLICY_ARN" "$IRSA_POLICY_ARN"; do
    if find_policy "$arn" && [[ ${answer##*[[:space:]]} == "$TAG_VALUE" ]]; then echo "the policy $arn"; fi
  done
}

begin "$@"
need_jq
readonly templates=(pod-identity.json irsa.json)
settle ACCOUNT_ID POLICY_ARN IRSA_POLICY_ARN BUCKET
"$action"
