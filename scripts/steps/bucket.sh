#!/usr/bin/env bash
# The S3 bucket for the pictures: public access blocked, encrypted, TLS only,
# incomplete multipart uploads aborted after a day.
#
#   scripts/steps/bucket.sh [delete] [--dry-run]
#
# With delete: all its objects, their versions and its uploads, then itself; but
# only a bucket with our tag. It needs the AWS CLI and jq. An empty bucket costs
# nothing; in us-east-1, $0.023 per GB and month and $0.005 per 1,000 uploads.

# shellcheck source-path=SCRIPTDIR source=../lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
# shellcheck source=../lib/settings.sh
. "$root/scripts/lib/settings.sh"
# shellcheck source=../lib/steps.sh
. "$root/scripts/lib/steps.sh"

# The bucket is there, and in this account; `answer` is our tag, or None.
find_bucket() {
  if ! found '\((404|403|301|400)\)' aws s3api head-bucket "${at[@]}"; then
    [[ $failure != *'(403)'* ]] || die "the bucket $BUCKET is another account's, or you may not see it: choose a name with BUCKET"
    [[ $failure == *'(404)'* ]] || die "the bucket $BUCKET is in another region than $AWS_REGION: set AWS_REGION, or choose a name with BUCKET"
    return 1
  fi
  # HeadBucket also succeeds on another account's bucket that lets us in.
  found '\((NoSuchTagSet|AccessDenied)\)' aws s3api get-bucket-tagging "${at[@]}" \
    --expected-bucket-owner "$ACCOUNT_ID" --query "TagSet[?Key=='$TAG_KEY'].Value | [0]" --output text || answer=None
}

# setting WHAT READ QUERY WANT WRITE...: writes it unless it reads as wanted.
setting() {
  local what=$1 read=$2 query=$3 want=$4
  shift 4
  if [[ -z $new ]] && found '\((NoSuch[A-Za-z]*|ServerSideEncryptionConfigurationNotFoundError)\)' \
    aws s3api "$read" "${at[@]}" --query "$query" --output json && same_json "$(jq -r 'if type == "string" then . else tojson end' <<<"$answer")" "$want"; then
    return
  fi
  say "$what:"
  change aws s3api "$@"
}

create() {
  local new='' where='' policy lifecycle
  if find_bucket; then
    [[ $answer == "$TAG_VALUE" ]] ||
      die "there is a bucket $BUCKET, which these scripts did not make ($TAG_KEY is $answer, not $TAG_VALUE): choose a name with BUCKET"
    say "there already: the bucket $BUCKET"
  else
    new=yes
    # The region without a location constraint is us-east-1. The tag comes with
    # the bucket: between two calls it would be nobody's.
    [[ $AWS_REGION == us-east-1 ]] || where=LocationConstraint=$AWS_REGION,
    change aws s3api create-bucket "${at[@]}" --create-bucket-configuration "${where}Tags=[{$tag_pair}]"
  fi
  filled scripts/steps/policies/bucket.json && policy=$answer
  filled scripts/steps/policies/lifecycle.json && lifecycle=$answer
  setting "public access blocked" get-public-access-block 'PublicAccessBlockConfiguration.*' '[true, true, true, true]' \
    put-public-access-block "${at[@]}" --public-access-block-configuration \
    BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true
  setting "encryption with S3's own keys" get-bucket-encryption \
    'ServerSideEncryptionConfiguration.Rules[].ApplyServerSideEncryptionByDefault.SSEAlgorithm' '["AES256"]' \
    put-bucket-encryption "${at[@]}" --server-side-encryption-configuration \
    'Rules=[{ApplyServerSideEncryptionByDefault={SSEAlgorithm=AES256}}]'
  setting "TLS only" get-bucket-policy Policy "$(<"$policy")" \
    put-bucket-policy "${at[@]}" --policy "file://$policy"
  setting "incomplete multipart uploads aborted after a day" get-bucket-lifecycle-configuration \
    'Rules[].AbortIncompleteMultipartUpload.DaysAfterInitiation' '[1]' \
    put-bucket-lifecycle-configuration "${at[@]}" --lifecycle-configuration "file://$lifecycle"
}

# A page at a time: what is deleted makes room for the next.
empty() {
  local page=$scratch/page key upload
  if [[ -n $dry_run ]]; then
    say "and all that is in it, 1,000 at a time: aws s3api delete-objects, aws s3api abort-multipart-upload"
    return
  fi
  # shellcheck disable=SC2016 # the backquotes are JMESPath's
  while found NoSuchBucket aws s3api list-object-versions "${at[@]}" --no-paginate --max-keys 1000 --output json \
    --query '{Objects: [Versions, DeleteMarkers][].{Key: Key, VersionId: VersionId}, Quiet: `true`}' && [[ $answer == *'"Key"'* ]]; do
    # DeleteObjects succeeds even where it may not delete.
    [[ ! -e $page || "$(<"$page")" != "$answer" ]] || die "S3 deletes nothing of what $page lists: see its answer above"
    printf '%s\n' "$answer" >"$page"
    change aws s3api delete-objects "${at[@]}" --delete "file://$page"
  done
  while found NoSuchBucket aws s3api list-multipart-uploads "${at[@]}" --no-paginate --output json \
    --query 'Uploads[].[Key, UploadId]' && [[ $answer == \[*\"* ]]; do
    jq -r '.[] | @base64 "\(.[0]) \(.[1])"' <<<"$answer" >"$page"
    while read -r key upload; do
      key=$(jq -Rr @base64d <<<"$key") upload=$(jq -Rr @base64d <<<"$upload")
      change aws s3api abort-multipart-upload "${at[@]}" --key "$key" --upload-id "$upload"
    done <"$page"
  done
}

delete() {
  find_bucket || { say "gone already: the bucket $BUCKET" && return; }
  [[ $answer == "$TAG_VALUE" ]] || { say "left alone: the bucket $BUCKET, which these scripts did not make" && return; }
  empty
  change aws s3api delete-bucket "${at[@]}"
}

left() {
  if find_bucket && [[ $answer == "$TAG_VALUE" ]]; then echo "the bucket $BUCKET"; fi
}

begin "$@"
need_jq
settle ACCOUNT_ID BUCKET
readonly at=(--region "$AWS_REGION" --bucket "$BUCKET")
"$action"
