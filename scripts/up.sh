#!/usr/bin/env bash
# From nothing to the job at work on EKS: bucket, policies, cluster, add-on,
# association, image, job; each is a script of its own, the cheap and quick first.
#
#   scripts/up.sh [--dry-run]
#
# It needs the AWS CLI, jq, eksctl (unless the cluster is there), kubectl, and
# docker, podman or buildah (unless IMAGE is given). With a new cluster it takes
# 20 minutes, and costs $0.23 an hour until scripts/down.sh. Interrupted, or
# stopped by an error, it goes on where it was when it is run again.

# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=lib/settings.sh
. "$root/scripts/lib/settings.sh"
# shellcheck source=lib/steps.sh
. "$root/scripts/lib/steps.sh"

# Builds and pushes the image, unless it is given, or in the registry already.
image() {
  local tag=${IMAGE##*:}
  if [[ -n $given ]]; then
    say "as given: the image $IMAGE"
    return
  fi
  scripts/steps/registry.sh
  if found 'ImageNotFoundException|RepositoryNotFoundException' aws ecr describe-images --region "$AWS_REGION" \
    --repository-name "${REPOSITORY#*/}" --image-ids "imageTag=$tag" --query 'imageDetails[0].imageDigest' --output text; then
    say "there already: the image $IMAGE"
    return
  fi
  change scripts/steps/image.sh build
  change scripts/steps/image.sh push
}

begin "$@"
[[ $action == create ]] || die "the way back is scripts/down.sh"
# What is missing is said before anything is made.
need_jq
need kubectl "https://kubernetes.io/docs/tasks/tools/"
readonly given=${IMAGE-}
settle ACCOUNT_ID PARTITION BUCKET POLICY_ARN IRSA_POLICY_ARN REPOSITORY IMAGE
say "account $ACCOUNT_ID, region $AWS_REGION, cluster $CLUSTER_NAME"
find_cluster || need eksctl "https://eksctl.io/installation/, or name a cluster that is there already in CLUSTER_NAME"

for step in bucket policy cluster addon association; do
  heading "$step"
  "scripts/steps/$step.sh"
done
heading image
image
heading deploy
scripts/steps/deploy.sh
say ""
say "It is up: scripts/status.sh and scripts/inspect.sh show it, and scripts/down.sh takes it down."
