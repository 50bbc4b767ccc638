#!/usr/bin/env bash
# Creates the S3 bucket for the pictures. The bucket blocks public access, encrypts
# objects, accepts only TLS, and aborts incomplete multipart uploads after one day.
#
#   scripts/steps/bucket.sh [delete] [--dry-run]
#
# BUCKET_NAMESPACE=account-regional takes a name that nobody else can take, where the
# region has that. With delete, deletes the bucket with all objects, versions and
# incomplete uploads, if it has our tag. Requires the AWS CLI and jq. An empty bucket is
# free of charge; in us-east-1, S3 costs $0.023 per GB and month, and $0.005 per 1,000
# uploads.

# shellcheck source-path=SCRIPTDIR source=../lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
# shellcheck source=../lib/settings.sh
. "$root/scripts/lib/settings.sh"
# shellcheck source=../lib/steps.sh
. "$root/scripts/lib/steps.sh"

# find_bucket: prints our tag, or None; false when the bucket does not exist. A
# bucket of this name that belongs to somebody else ends the script.
find_bucket() {
  local refusal
  [[ -n $dry_run ]] || show aws s3api head-bucket "${at[@]}" --query BucketRegion --output text
  [[ -z ${PLAN-} ]] || return 1
  if ! refusal=$(aws s3api head-bucket "${at[@]}" --query BucketRegion --output text 2>&1 >"$scratch/region"); then
    case $refusal in
      *'(404)'*) return 1 ;;
      *'(403)'*) die "the bucket $BUCKET belongs to another account, or you have no permission to see it: set BUCKET to another name, or BUCKET_NAMESPACE=account-regional" ;;
      *'(301)'* | *'(400)'*) die "the bucket $BUCKET is in a region other than $AWS_REGION: set AWS_REGION, or set BUCKET to another name" ;;
      *) cannot_read "$refusal" ;;
    esac
  fi
  same_region "$(<"$scratch/region")"
  # HeadBucket also succeeds on a bucket of another account that grants us access.
  if found 'NoSuchTagSet|AccessDenied' aws s3api get-bucket-tagging "${at[@]}" \
    --expected-bucket-owner "$ACCOUNT_ID" --query "TagSet[?Key=='$TAG_KEY'].Value | [0]" --output text; then return; fi
  refusal=$(<"$scratch/failure")
  # S3 gives the same answer for another account's bucket as without s3:GetBucketTagging.
  if [[ $refusal == *'(AccessDenied)'* ]] && ! another_account; then cannot_read "$refusal"; fi
  echo None
}

# another_account: true when the bucket, which HeadBucket has found, belongs to another account.
another_account() {
  local refusal
  ! refusal=$(aws s3api head-bucket "${at[@]}" --expected-bucket-owner "$ACCOUNT_ID" 2>&1 >/dev/null) || return 1
  [[ $refusal == *'(403)'* ]] || cannot_read "$refusal"
}

# setting WHAT READ QUERY WANT WRITE...: writes a setting of the bucket, unless it
# has the wanted value already.
setting() {
  local what=$1 read=$2 query=$3 want=$4 value
  shift 4
  if [[ -z $new ]] && capture value found 'NoSuch[A-Za-z]*|ServerSideEncryptionConfigurationNotFoundError' \
    aws s3api "$read" "${at[@]}" --query "$query" --output json && same_json "$value" "$want"; then
    return
  fi
  say "$what:"
  change aws s3api "$@"
}

# create_bucket: creates the bucket with our tag in one call, so that an interruption
# leaves no bucket without it. That call fails for AWS CLIs before July 2025, and
# without the permission s3:TagResource; then creates the bucket, and tags it.
create_bucket() {
  local configuration=() tag="Tags=[{$tag_pair}]" failure in_namespace=()
  if [[ $BUCKET == *-"$ACCOUNT_ID-$AWS_REGION"-an ]]; then
    [[ -n ${PLAN-} ]] || need_version aws 2.34.8 1.44.57 ', or unset BUCKET_NAMESPACE' "the account's regional namespace of buckets"
    in_namespace=(--bucket-namespace account-regional)
  fi
  # us-east-1 is the region without a location constraint.
  [[ $AWS_REGION == us-east-1 ]] || configuration=(--create-bucket-configuration "LocationConstraint=$AWS_REGION") tag=LocationConstraint=$AWS_REGION,$tag
  set -- "${at[@]}" ${in_namespace[@]+"${in_namespace[@]}"}
  show aws s3api create-bucket "$@" --create-bucket-configuration "$tag"
  [[ -z $dry_run ]] || return 0
  failure=$(aws s3api create-bucket "$@" --create-bucket-configuration "$tag" 2>&1 >/dev/null) && return
  say "$failure"
  [[ $failure == *'(AccessDenied)'* || $failure == *'Unknown parameter'* ]] || die "the command above failed: fix what its error message says, then run this again"
  say "creating the bucket without a tag, then tagging it:"
  change aws s3api create-bucket "$@" ${configuration[@]+"${configuration[@]}"}
  change aws s3api put-bucket-tagging "${at[@]}" --tagging "TagSet=[{$tag_pair}]"
}

# require_tls: has the bucket's policy refuse requests without TLS. Other statements stay, such as one that
# allows a target role of another account.
require_tls() {
  local policy ours existing=''
  capture policy filled scripts/steps/policies/bucket.json
  ours=$(jq '.Statement[0]' "$policy")
  if [[ -z $new ]] && capture existing found NoSuchBucketPolicy aws s3api get-bucket-policy "${at[@]}" --query Policy --output text; then
    ! jq --exit-status --argjson ours "$ours" '[.Statement] | flatten | any(. == $ours)' <<<"$existing" >"$scratch/has-ours" || return 0
    jq --argjson ours "$ours" '.Statement = ([.Statement] | flatten | map(select(.Sid != $ours.Sid)) + [$ours])' <<<"$existing" >"$policy"
  fi
  say "requiring TLS:"
  change aws s3api put-bucket-policy "${at[@]}" --policy "file://$policy"
}

create() {
  local new='' tag lifecycle
  if capture tag find_bucket; then
    [[ $tag == "$TAG_VALUE" ]] ||
      die "there is a bucket $BUCKET, which these scripts did not create (its tag $TAG_KEY is $tag, not $TAG_VALUE): set BUCKET to another name, or BUCKET_NAMESPACE=account-regional"
    say "already exists: the bucket $BUCKET"
  else
    new=yes
    create_bucket
  fi
  capture lifecycle filled scripts/steps/policies/lifecycle.json
  setting "blocking public access" get-public-access-block 'PublicAccessBlockConfiguration.*' '[true, true, true, true]' \
    put-public-access-block "${at[@]}" --public-access-block-configuration \
    BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true
  setting "encrypting objects with the keys of S3" get-bucket-encryption \
    'ServerSideEncryptionConfiguration.Rules[].ApplyServerSideEncryptionByDefault.SSEAlgorithm' '["AES256"]' \
    put-bucket-encryption "${at[@]}" --server-side-encryption-configuration \
    'Rules=[{ApplyServerSideEncryptionByDefault={SSEAlgorithm=AES256}}]'
  require_tls
  setting "aborting incomplete multipart uploads after one day" get-bucket-lifecycle-configuration \
    'Rules[].AbortIncompleteMultipartUpload.DaysAfterInitiation' '[1]' \
    put-bucket-lifecycle-configuration "${at[@]}" --lifecycle-configuration "file://$lifecycle"
}

# empty: deletes the contents of the bucket, page by page. It always lists the first
# page, because that changes with each deletion.
empty() {
  local page=$scratch/page listed key upload
  if [[ -n $dry_run ]]; then
    say "and the contents of the bucket, 1,000 at a time: aws s3api delete-objects, aws s3api abort-multipart-upload"
    return
  fi
  # shellcheck disable=SC2016 # the backquotes are JMESPath's
  while capture listed found NoSuchBucket aws s3api list-object-versions "${at[@]}" --no-paginate --max-keys 1000 --output json \
    --query '{Objects: [Versions, DeleteMarkers][].{Key: Key, VersionId: VersionId}, Quiet: `true`}' && [[ $listed == *'"Key"'* ]]; do
    # DeleteObjects succeeds even when it has deleted nothing, for example without permission.
    [[ ! -e $page || "$(<"$page")" != "$listed" ]] || die "S3 did not delete the objects: see its response above"
    printf '%s\n' "$listed" >"$page"
    change aws s3api delete-objects "${at[@]}" --delete "file://$page"
  done
  while capture listed found NoSuchBucket aws s3api list-multipart-uploads "${at[@]}" --no-paginate --output json \
    --query 'Uploads[].[Key, UploadId]' && [[ $listed == \[*\"* ]]; do
    jq -r '.[] | @base64 "\(.[0]) \(.[1])"' <<<"$listed" >"$page"
    while read -r key upload; do
      key=$(jq -Rr @base64d <<<"$key") upload=$(jq -Rr @base64d <<<"$upload")
      change aws s3api abort-multipart-upload "${at[@]}" --key "$key" --upload-id "$upload"
    done <"$page"
  done
}

delete() {
  local tag
  capture tag find_bucket || { say "already deleted: the bucket $BUCKET" && return; }
  [[ $tag == "$TAG_VALUE" ]] || { say "left alone: the bucket $BUCKET, which these scripts did not create" && return; }
  empty
  change aws s3api delete-bucket "${at[@]}"
}

left() {
  local tag
  if capture tag find_bucket && [[ $tag == "$TAG_VALUE" ]]; then echo "the bucket $BUCKET"; fi
}

begin_step "$@"
need_jq
settle ACCOUNT_ID BUCKET
readonly at=(--region "$AWS_REGION" --bucket "$BUCKET")
"$action"
