#!/bin/sh
# LocalStack runs this in its container once it is ready; --region as the job's.
set -eu
exec awslocal s3 mb "s3://$S3_BUCKET_NAME" --region "$AWS_REGION"
