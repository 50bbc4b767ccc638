#!/usr/bin/env bash
# Creates everything, from an empty account to the running job on EKS: bucket,
# policies, cluster, add-on, association, image and job. Runs scripts/steps/ in order.
#
#   scripts/up.sh [--dry-run]
#
# --dry-run works without an AWS account: it then prints the commands that an empty
# account would get. Requires the AWS CLI, jq, eksctl (unless the cluster exists), kubectl, and docker,
# podman or buildah (unless IMAGE is set). The last step needs kubectl, so KUBERNETES=none is
# refused. With a new cluster this takes 20 minutes,
# and costs $0.24 an hour until you run scripts/down.sh. After an interruption or an
# error, run it again: it continues with what is missing.

# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=lib/settings.sh
. "$root/scripts/lib/settings.sh"
# shellcheck source=lib/steps.sh
. "$root/scripts/lib/steps.sh"
# shellcheck source=lib/association.sh
. "$root/scripts/lib/association.sh"

# publish_image: builds and pushes the image, unless IMAGE is set or the registry has it.
publish_image() {
  local tag=${IMAGE##*:} digest
  if [[ -n $given ]]; then
    say "using the image $IMAGE, because IMAGE is set"
    return
  fi
  scripts/steps/registry.sh
  if capture digest found 'ImageNotFoundException|RepositoryNotFoundException' aws ecr describe-images --region "$AWS_REGION" \
    --repository-name "${REPOSITORY#*/}" --image-ids "imageTag=$tag" --query 'imageDetails[0].imageDigest' --output text && [[ $digest == sha256:* ]]; then
    say "already exists: the image $IMAGE"
    return
  fi
  # For a dry run, push also prints the commands of build.
  [[ -n $dry_run ]] || scripts/steps/image.sh build
  scripts/steps/image.sh push >&2
}

begin_step "$@"
[[ $action == create ]] || die "to delete everything, run scripts/down.sh"
[[ $KUBERNETES != none ]] ||
  die "KUBERNETES is none, but the last step, deploy, needs kubectl: unset KUBERNETES, or run the steps that you need from scripts/steps/ one by one"
# Report missing and old tools, and options that exclude each other, before anything is created.
need_jq
[[ -z $dry_run ]] || plan_without_aws
need_tool aws
need_tool kubectl
[[ $WITH == aws ]] || need_tool eksctl ", or set WITH=aws"
check_versions
readonly given=${IMAGE-}
settle ACCOUNT_ID PARTITION BUCKET POLICY_ARN IRSA_POLICY_ARN REPOSITORY IMAGE
check_options
say "account $ACCOUNT_ID, region $AWS_REGION, cluster $CLUSTER_NAME"
find_cluster >/dev/null || need_tool eksctl ", or set CLUSTER_NAME to a cluster that exists"

for step in bucket policy cluster addon association; do
  step_heading "$step"
  "scripts/steps/$step.sh"
done
step_heading image
publish_image
step_heading deploy
scripts/steps/deploy.sh
say ""
[[ -z $dry_run ]] || { say "This was a dry run: nothing has been changed. Run scripts/up.sh to create all of it." && exit; }
say "The job is running. scripts/status.sh and scripts/inspect.sh show it; scripts/down.sh deletes everything."
