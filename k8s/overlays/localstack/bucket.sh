#!/bin/sh
# LocalStack runs this script in its container when it is ready. The region is
# the job's.
set -eu
exec awslocal s3 mb "s3://$S3_BUCKET_NAME" --region "$AWS_REGION"
