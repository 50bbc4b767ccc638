# shellcheck shell=bash
# The options of an association: a target role, a session policy, session tags. Source
# this file after steps.sh.

: "${AWS_REGION:?is set by settings.sh, which must be sourced first}" "${scratch?is set by steps.sh, which must be sourced first}"

# The session policy, as JSON on one line; empty without SESSION_POLICY.
session_policy=''
# A setting on a command's line and in the association: --disable-session-tags for eksctl.
association_options=() eksctl_options=()

# check_versions: ends the script if a tool is too old for the options that are set. The first versions
# that know them, according to the changelogs of the AWS CLI and the releases of eksctl:
#   aws 2.27.34 and 1.40.34   --target-role-arn and --disable-session-tags, since 2025-06-11
#   aws 2.33.19 and 1.44.36   --policy, since 2026-02-10
#   eksctl 0.223.0            --policy; --disable-session-tags came with 0.212.0
check_versions() {
  [[ -z ${PLAN-} ]] || return 0
  if [[ -n ${SESSION_POLICY-} ]]; then
    need_version aws 2.33.19 1.44.36 '' SESSION_POLICY
    # With a target role, eksctl does not create the association.
    [[ $WITH == aws || -n ${TARGET_ROLE_ARN-} ]] || need_version eksctl 0.223.0 '' ", or set WITH=aws" SESSION_POLICY
  elif [[ -n ${TARGET_ROLE_ARN-} ]]; then
    need_version aws 2.27.34 1.40.34 '' TARGET_ROLE_ARN
  elif [[ $SESSION_TAGS == off ]]; then
    need_version aws 2.27.34 1.40.34 '' SESSION_TAGS=off
  fi
}

# check_options: ends the script at options that EKS would refuse, or that would leave
# the pods without permissions. Asks nothing of AWS. The limit is that of STS for
# a session policy:
# https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
check_options() {
  local tags=$SESSION_TAGS
  [[ -z ${EXTERNAL_ID-} ]] ||
    die "EXTERNAL_ID cannot be set: EKS chooses the external ID when it creates the association, and this script prints it: unset EXTERNAL_ID"
  if [[ -n ${SESSION_POLICY-} ]]; then
    need_jq
    session_policy=$(jq --compact-output 'if type == "object" and has("Statement") then . else error("not a policy") end' "$SESSION_POLICY" 2>"$scratch/policy-error") ||
      die "SESSION_POLICY must be a file with an IAM policy as JSON: $SESSION_POLICY: $(head -n 1 "$scratch/policy-error")"
    ((${#session_policy} <= 2048)) || die "SESSION_POLICY has ${#session_policy} characters without spaces, and STS accepts 2048: shorten $SESSION_POLICY"
    [[ $tags == off ]] ||
      die "a session policy excludes session tags: set SESSION_TAGS=off as well, or unset SESSION_POLICY"
    association_options+=(--policy "$session_policy")
    eksctl_options+=(--policy "$session_policy")
  fi
  if [[ $tags == off ]]; then
    association_options+=(--disable-session-tags)
    eksctl_options+=(--disable-session-tags)
    # With a target role, the permissions are those of that role.
    [[ $POLICY_ARN != */"$POLICY_NAME" || -n ${TARGET_ROLE_ARN-} ]] ||
      die "without session tags the policy $POLICY_NAME allows nothing, because it requires the tags of this workload: to attach the policy without that" \
        "condition instead, set POLICY_ARN=$IRSA_POLICY_ARN; then any workload that is associated with the role may upload to the bucket"
  fi
  if [[ -n ${TARGET_ROLE_ARN-} ]]; then association_options+=(--target-role-arn "$TARGET_ROLE_ARN"); fi
}

# options_of ID: prints the association's options on a line: target role or None, whether
# tags are off, and whether there is a policy.
# shellcheck disable=SC2016 # the backquotes are of JMESPath
options_of() {
  found ResourceNotFoundException aws eks describe-pod-identity-association --region "$AWS_REGION" --cluster-name "$CLUSTER_NAME" --association-id "$1" \
    --query 'association.[targetRoleArn, disableSessionTags || `false`, policy != null]' --output text
}

# policy_of ID: prints the association's session policy.
policy_of() {
  found ResourceNotFoundException aws eks describe-pod-identity-association --region "$AWS_REGION" --cluster-name "$CLUSTER_NAME" --association-id "$1" \
    --query association.policy --output text
}

# check_existing ID: ends the script if the association exists with other options.
check_existing() {
  local existing target off policy wanted
  capture existing options_of "$1" || return 0
  read -r target off policy <<<"$existing"
  existing="target role $target, session tags $(on_or_off "$off"), session policy $(yes_or_no "$policy")"
  wanted="target role ${TARGET_ROLE_ARN:-None}, session tags $SESSION_TAGS, session policy $(yes_or_no "${session_policy:+True}")"
  [[ $existing == "$wanted" ]] ||
    die "the association exists with other options ($existing) than these settings ask for ($wanted): delete it first with scripts/steps/association.sh delete"
  [[ -n $session_policy ]] || return 0
  capture existing policy_of "$1" || return 0
  same_json "$existing" "$session_policy" ||
    die "the association exists with another session policy than that of $SESSION_POLICY: delete it first with scripts/steps/association.sh delete"
}

on_or_off() { if [[ $1 == True ]]; then echo off; else echo on; fi; }

yes_or_no() { if [[ $1 == True ]]; then echo yes; else echo no; fi; }

# show_target ID ROLE: prints the trust policy that the target role needs, the policy that
# gives it the workload's permissions, and for a role of another account what the bucket's needs. The statement is that of the EKS user guide
# (pod-id-assign-target-role), with the external ID of this association.
show_target() {
  local external actions='"sts:AssumeRole", "sts:TagSession"' permissions
  [[ -n ${TARGET_ROLE_ARN-} ]] || return 0
  capture external found ResourceNotFoundException aws eks describe-pod-identity-association --region "$AWS_REGION" --cluster-name "$CLUSTER_NAME" \
    --association-id "$1" --query association.externalId --output text || die "the association is not listed any more: run this again"
  permissions=pod-identity.json
  [[ $SESSION_TAGS == on ]] || { actions='"sts:AssumeRole"' && permissions=irsa.json; }
  capture permissions filled "scripts/steps/policies/$permissions"
  say "the pods get the permissions of the target role $TARGET_ROLE_ARN. It must trust the role of this association, with this trust policy:"
  cat >&2 <<END
{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      "Principal": { "AWS": "$2" },
      "Action": [$actions],
      "Condition": { "StringEquals": { "sts:ExternalId": "$external" } }
    }
  ]
}
END
  say "and it must have this policy, or another with the permissions that the pods need:"
  cat "$permissions" >&2
  [[ $TARGET_ROLE_ARN != arn:*:iam::"$ACCOUNT_ID":* ]] || return 0
  say "It is in another account, so the policy of the bucket $BUCKET must allow it too. Add this statement, which scripts/steps/bucket.sh keeps," \
    "once the role exists (aws s3api get-bucket-policy and put-bucket-policy):"
  cat >&2 <<END
    {
      "Sid": "AllowTargetRole",
      "Effect": "Allow",
      "Principal": { "AWS": "$TARGET_ROLE_ARN" },
      "Action": ["s3:PutObject", "s3:AbortMultipartUpload"],
      "Resource": "arn:$PARTITION:s3:::$BUCKET/*"
    }
END
}
