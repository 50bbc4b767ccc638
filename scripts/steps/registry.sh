#!/usr/bin/env bash
# The ECR repository for the image, scanned on push.
#
#   scripts/steps/registry.sh [delete] [--dry-run]
#
# With delete: the repository and its images, if it has our tag. Where REPOSITORY
# is not in ECR there is nothing to do. It needs the AWS CLI. It costs $0.10 per
# GB and month beyond the first half.

# shellcheck source-path=SCRIPTDIR source=../lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
# shellcheck source=../lib/settings.sh
. "$root/scripts/lib/settings.sh"
# shellcheck source=../lib/steps.sh
. "$root/scripts/lib/steps.sh"

# The repository is there: `answer` is our tag, or None.
find_repository() {
  local arn
  found RepositoryNotFoundException aws ecr describe-repositories --region "$region" --registry-id "$registry" \
    --repository-names "$repository" --query 'repositories[0].repositoryArn' --output text || return 1
  arn=$answer
  found RepositoryNotFoundException aws ecr list-tags-for-resource --region "$region" --resource-arn "$arn" \
    --query "tags[?Key=='$TAG_KEY'].Value | [0]" --output text
}

create() {
  if find_repository; then
    say "there already: the repository $REPOSITORY"
  else
    change aws ecr create-repository --region "$region" --repository-name "$repository" \
      --image-scanning-configuration scanOnPush=true --tags "$tag_pair"
  fi
}

delete() {
  find_repository || { say "gone already: the repository $REPOSITORY" && return; }
  [[ $answer == "$TAG_VALUE" ]] || { say "left alone: the repository $REPOSITORY, which these scripts did not make" && return; }
  change aws ecr delete-repository --region "$region" --registry-id "$registry" --repository-name "$repository" --force
}

left() {
  if find_repository && [[ $answer == "$TAG_VALUE" ]]; then echo "the repository $REPOSITORY"; fi
}

begin "$@"
settle ACCOUNT_ID REPOSITORY
[[ $REPOSITORY =~ ^([0-9]{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(\.cn)?/(.+)$ ]] || { say "$REPOSITORY is not in ECR: nothing to do" && exit; }
readonly registry=${BASH_REMATCH[1]} region=${BASH_REMATCH[2]} repository=${BASH_REMATCH[4]}
"$action"
