#!/usr/bin/env bats
# The step for the bucket: creates it, finds it, deletes it, and leaves other buckets alone.

# shellcheck disable=SC2030,SC2031,SC2154 # each test is a subshell; status, output and stderr are of bats' run
# shellcheck source-path=SCRIPTDIR source=../lib/wiring.sh
load ../lib/wiring.sh

bucket=pod-identity-demo-123456789012-us-east-1

setup_file() {
  start_cloud
  toolbox aws chmod
}

teardown_file() { stop_cloud; }

@test "the bucket is created with its settings, found by the second run, and deleted with its contents" {
  step bucket
  ((status == 0))
  [[ -z $output ]]
  [[ $(writes) == *"write s3 PUT /$bucket"* ]]
  [[ $(admin s3api get-public-access-block --bucket "$bucket") == *True*True*True*True ]]
  [[ $(admin s3api get-bucket-encryption --bucket "$bucket") == *AES256* ]]
  [[ $(admin s3api get-bucket-policy --bucket "$bucket") == *Deny*aws:SecureTransport*false* ]]
  [[ $(admin s3api get-bucket-lifecycle-configuration --bucket "$bucket" --query 'Rules[].AbortIncompleteMultipartUpload.DaysAfterInitiation') == 1 ]]
  [[ $(admin s3api get-bucket-tagging --bucket "$bucket") == *pod-identity-demo*pod-identity-demo* ]]

  step bucket
  ((status == 0))
  [[ $stderr == *"already exists"* ]]
  [[ -z $(writes) ]]

  "$repository/.tools/ministack/bin/python" - "$MINISTACK" "$bucket" <<'PYTHON'
import sys
import botocore.session
keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
s3 = botocore.session.get_session().create_client("s3", region_name="us-east-1", endpoint_url=sys.argv[1], **keys)
bucket = sys.argv[2]
s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
for number in range(1003):
    s3.put_object(Bucket=bucket, Key=f"a 'quoted' key, ü/{number}", Body=b"x")
s3.delete_object(Bucket=bucket, Key="a 'quoted' key, ü/7")
for number in range(2):
    s3.create_multipart_upload(Bucket=bucket, Key="an 'unfinished' upload")
PYTHON
  step bucket delete
  ((status == 0))
  (($(grep -c 'POST .*delete' "$CLUSTER_STATE/calls") == 2))
  [[ $(admin s3api list-buckets --query 'length(Buckets)') == 0 ]]

  step bucket delete
  ((status == 0))
  [[ $stderr == *"already deleted"* ]]
}

@test "in another region than us-east-1 the bucket is created in that region" {
  AWS_REGION=eu-west-1 AWS_DEFAULT_REGION=eu-west-1 step bucket
  ((status == 0))
  [[ $(admin s3api get-bucket-location --bucket pod-identity-demo-123456789012-eu-west-1) == eu-west-1 ]]
  AWS_REGION=eu-west-1 AWS_DEFAULT_REGION=eu-west-1 step bucket delete
  ((status == 0))
}

@test "a bucket in another region is neither used nor emptied, although the AWS CLI would find it" {
  local direction
  AWS_REGION=eu-west-1 AWS_DEFAULT_REGION=eu-west-1 BUCKET=elsewhere step bucket
  ((status == 0))
  admin s3api put-object --bucket elsewhere --key picture --body "$BATS_FILE_TMPDIR/toolbox/aws"
  for direction in '' delete left; do
    BUCKET=elsewhere step bucket $direction
    [[ $status == 1 && ${stderr_lines[-1]} == "bucket.sh: the bucket elsewhere is in the region eu-west-1, not in us-east-1: "* && -z $(writes) ]]
  done
  AWS_REGION=eu-west-1 AWS_DEFAULT_REGION=eu-west-1 BUCKET=elsewhere step bucket delete
  ((status == 0))
}

@test "however the AWS CLI is told to print errors, what does not exist is created" {
  printf '[default]\ncli_error_format = json\n' >"$BATS_TEST_TMPDIR/config"
  export AWS_CONFIG_FILE=$BATS_TEST_TMPDIR/config
  run aws s3api head-bucket --bucket "$bucket"
  [[ $output != *"(404)"* ]]
  step bucket
  ((status == 0))
  AWS_CLI_ERROR_FORMAT=yaml step bucket delete
  ((status == 0))
}

@test "a name that nobody else can take is in the account's regional namespace" {
  export BUCKET_NAMESPACE=account-regional
  step bucket
  ((status == 0))
  [[ $stderr == *"\$ aws s3api create-bucket --region us-east-1 --bucket $bucket-an --bucket-namespace account-regional "* ]]
  [[ $(admin s3api list-buckets --query 'Buckets[].Name') == "$bucket-an" ]]
  step bucket
  [[ $status == 0 && $stderr == *"already exists: the bucket $bucket-an"* && -z $(writes) ]]
  step bucket delete
  [[ $status == 0 && $(admin s3api list-buckets --query 'length(Buckets)') == 0 ]]
}

# without_creation_tags MESSAGE: makes the AWS CLI refuse a creation with tags with this message.
without_creation_tags() {
  mv "$BATS_FILE_TMPDIR/toolbox/aws" "$BATS_FILE_TMPDIR/toolbox/real-aws"
  cat >"$BATS_FILE_TMPDIR/toolbox/aws" <<AWS
#!/usr/bin/env bash
if [[ "\$*" == *create-bucket*Tags=* ]]; then echo '$1' >&2 && exit 252; fi
exec "$BATS_FILE_TMPDIR/toolbox/real-aws" "\$@"
AWS
  chmod +x "$BATS_FILE_TMPDIR/toolbox/aws"
}

@test "without s3:TagResource, or with an old AWS CLI, the bucket is tagged after its creation" {
  : >"$CLUSTER_STATE/no-tags-on-creation"
  step bucket
  rm "$CLUSTER_STATE/no-tags-on-creation"
  ((status == 0))
  [[ $(writes) == "write s3 PUT /$bucket"$'\n'"write s3 PUT /$bucket"$'\n'"write s3 PUT /$bucket?tagging"* ]]
  [[ $(admin s3api get-bucket-tagging --bucket "$bucket") == *pod-identity-demo*pod-identity-demo* ]]
  step bucket delete
  ((status == 0))

  without_creation_tags 'Unknown parameter in CreateBucketConfiguration: "Tags", must be one of: LocationConstraint'
  AWS_REGION=eu-west-1 AWS_DEFAULT_REGION=eu-west-1 step bucket
  mv "$BATS_FILE_TMPDIR/toolbox/real-aws" "$BATS_FILE_TMPDIR/toolbox/aws"
  ((status == 0))
  [[ $(admin s3api get-bucket-location --bucket pod-identity-demo-123456789012-eu-west-1) == eu-west-1 ]]
  [[ $(admin s3api get-bucket-tagging --bucket pod-identity-demo-123456789012-eu-west-1) == *pod-identity-demo* ]]
  AWS_REGION=eu-west-1 AWS_DEFAULT_REGION=eu-west-1 step bucket delete
  ((status == 0))
}

@test "a setting that someone changed is restored" {
  step bucket
  admin s3api delete-bucket-policy --bucket "$bucket"
  step bucket
  ((status == 0))
  [[ $(writes) == "write s3 PUT /$bucket?policy" ]]
  step bucket delete
}

@test "what others have added to the bucket's policy stays" {
  local theirs
  step bucket
  theirs='{"Version":"2012-10-17","Statement":{"Sid":"AllowTargetRole","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:role/pictures"},"Action":"s3:PutObject","Resource":"arn:aws:s3:::'$bucket'/*"}}'
  admin s3api put-bucket-policy --bucket "$bucket" --policy "$theirs"
  step bucket
  [[ $status == 0 && $(writes) == "write s3 PUT /$bucket?policy" ]]
  [[ $(admin s3api get-bucket-policy --bucket "$bucket" | jq --compact-output '[.Statement[].Sid]') == '["AllowTargetRole","RefuseWithoutTLS"]' ]]
  step bucket
  [[ $status == 0 && -z $(writes) ]]
  step bucket delete
}

@test "a bucket without our tag is neither used nor deleted" {
  admin s3api create-bucket --bucket not-ours-at-all
  BUCKET=not-ours-at-all step bucket
  ((status == 1))
  [[ $stderr == *"these scripts did not create"* && -z $(writes) ]]
  BUCKET=not-ours-at-all step bucket delete
  ((status == 0))
  [[ $stderr == *"left alone"* && -z $(writes) ]]
  admin s3api delete-bucket --bucket not-ours-at-all
}

@test "without the permission to read the tags, the bucket is not taken for somebody else's" {
  local direction
  step bucket
  become untagged '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"},
    {"Effect": "Deny", "Action": "s3:GetBucketTagging", "Resource": "*"}]}'
  for direction in create delete left; do
    if [[ $direction == create ]]; then set --; else set -- "$direction"; fi
    step bucket "$@"
    ((status == 1))
    [[ $stderr == *AccessDenied*GetBucketTagging* && ${stderr_lines[-1]} == "bucket.sh: the command above could not read the resource; it has changed nothing" ]]
    [[ -z $(writes) ]]
  done
  end_session untagged admin
  unset AWS_SESSION_TOKEN
  export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test
  step bucket delete
  ((status == 0))
}

# their_bucket STATUS: the AWS CLI answers for a bucket of another account: STATUS 200 if that grants us access, or 403.
their_bucket() {
  mv "$BATS_FILE_TMPDIR/toolbox/aws" "$BATS_FILE_TMPDIR/toolbox/real-aws"
  cat >"$BATS_FILE_TMPDIR/toolbox/aws" <<AWS
#!/usr/bin/env bash
case "$1 \$*" in
  *get-bucket-tagging*) echo 'An error occurred (AccessDenied) when calling the GetBucketTagging operation: Access Denied' >&2 ;;
  403*head-bucket* | *head-bucket*--expected-bucket-owner*) echo 'An error occurred (403) when calling the HeadBucket operation: Forbidden' >&2 ;;
  *head-bucket*) exit 0 ;;
  *) exec "$BATS_FILE_TMPDIR/toolbox/real-aws" "\$@" ;;
esac
exit 254
AWS
  chmod +x "$BATS_FILE_TMPDIR/toolbox/aws"
}

@test "a bucket of another account is said to be that, and not used" {
  their_bucket 200
  step bucket
  [[ $status == 1 && ${stderr_lines[-1]} == "bucket.sh: there is a bucket $bucket, which these scripts did not create"* ]]
  step bucket delete
  [[ $status == 0 && $stderr == *"left alone: the bucket $bucket"* ]]
  mv "$BATS_FILE_TMPDIR/toolbox/real-aws" "$BATS_FILE_TMPDIR/toolbox/aws"
  their_bucket 403
  step bucket
  mv "$BATS_FILE_TMPDIR/toolbox/real-aws" "$BATS_FILE_TMPDIR/toolbox/aws"
  [[ $status == 1 && ${stderr_lines[-1]} == "bucket.sh: the bucket $bucket belongs to another account, or you have no permission to see it"* ]]
}

@test "another account, missing credentials and a missing tool are one line each, before anything is changed" {
  ACCOUNT_ID=999999999999 step bucket
  ((status == 1))
  [[ $stderr == *"wrong account"* && -z $(writes) ]]
  AWS_ACCESS_KEY_ID='' AWS_SECRET_ACCESS_KEY='' step bucket
  ((status == 1))
  [[ $stderr == *"no usable AWS credentials"* && -z $(writes) ]]
  rm "$BATS_FILE_TMPDIR/toolbox/jq"
  step bucket
  ((status == 1))
  [[ $stderr == "bucket.sh: jq is missing"* && -z $(writes) ]]
}
