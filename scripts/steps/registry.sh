#!/usr/bin/env bash
# Creates the ECR repository for the image. ECR scans each image when it is pushed.
#
#   scripts/steps/registry.sh [delete] [--dry-run]
#
# With delete, deletes the repository and its images if it has our tag. Does
# nothing if REPOSITORY is not in ECR. Requires the AWS CLI. ECR costs $0.10 per GB
# and month beyond the first 500 MB.

# shellcheck source-path=SCRIPTDIR source=../lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
# shellcheck source=../lib/settings.sh
. "$root/scripts/lib/settings.sh"
# shellcheck source=../lib/steps.sh
. "$root/scripts/lib/steps.sh"

# find_repository: prints our tag, or None; false when the repository does not exist.
find_repository() {
  local arn
  capture arn found RepositoryNotFoundException aws ecr describe-repositories --region "$region" --registry-id "$registry" \
    --repository-names "$repository" --query 'repositories[0].repositoryArn' --output text || return 1
  found RepositoryNotFoundException aws ecr list-tags-for-resource --region "$region" --resource-arn "$arn" \
    --query "tags[?Key=='$TAG_KEY'].Value | [0]" --output text
}

create() {
  if find_repository >/dev/null; then
    say "already exists: the repository $REPOSITORY"
  else
    change aws ecr create-repository --region "$region" --repository-name "$repository" \
      --image-scanning-configuration scanOnPush=true --tags "$tag_pair"
  fi
}

delete() {
  local tag
  capture tag find_repository || { say "already deleted: the repository $REPOSITORY" && return; }
  [[ $tag == "$TAG_VALUE" ]] || { say "left alone: the repository $REPOSITORY, which these scripts did not create" && return; }
  change aws ecr delete-repository --region "$region" --registry-id "$registry" --repository-name "$repository" --force
}

left() {
  local tag
  if capture tag find_repository && [[ $tag == "$TAG_VALUE" ]]; then echo "the repository $REPOSITORY"; fi
}

begin_step "$@"
settle ACCOUNT_ID REPOSITORY
is_ecr "$REPOSITORY" || { say "$REPOSITORY is not in ECR: there is nothing to do" && exit; }
readonly registry=${BASH_REMATCH[1]} region=${BASH_REMATCH[2]} repository=${BASH_REMATCH[3]}
"$action"
