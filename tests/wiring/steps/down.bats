#!/usr/bin/env bats
# bats file_tags=go
# What up.sh refuses before it creates anything, and what down.sh finds in an account without a cluster.

# shellcheck disable=SC2030,SC2031,SC2154 # each test is a subshell; status, output and stderr are of bats' run
# shellcheck source-path=SCRIPTDIR source=../lib/wiring.sh
load ../lib/wiring.sh

setup_file() {
  start_cloud
  toolbox aws eksctl kubectl
  export CLUSTER_NAME=story BUCKET=story-pictures IMAGE=registry.example/pod-identity-demo:1
  # Resources of somebody else, which must exist in the end.
  admin s3api create-bucket --bucket theirs
  admin iam create-policy --policy-name theirs --policy-document file://"$repository/scripts/steps/policies/irsa.json"
  listing >"$BATS_FILE_TMPDIR/before"
}

teardown_file() { stop_cloud; }

as_before() {
  diff -u "$BATS_FILE_TMPDIR/before" <(listing)
}

@test "dry runs on an empty account call nothing that writes, and an image for other nodes is no reason not to build one" {
  local tag
  # shellcheck disable=SC2016 # for the shell that is started
  tag=$(bash -c '. "$0/lib/common.sh" && . "$0/lib/settings.sh" && image_tag' "$repository/scripts")
  admin ecr create-repository --repository-name pod-identity-demo
  for tag in "$tag" "$tag-amd64"; do
    admin ecr put-image --repository-name pod-identity-demo --image-manifest '{"schemaVersion": 2}' --image-tag "$tag"
  done
  IMAGE='' ARCHITECTURE=arm64 step up --dry-run
  ((status == 0))
  admin ecr delete-repository --repository-name pod-identity-demo --force
  [[ $stderr == *" build --tag 123456789012.dkr.ecr.us-east-1.amazonaws.com/pod-identity-demo:${tag%-amd64}-arm64 "*' push '* ]]
  [[ $stderr == *'$ aws s3api create-bucket'*'$ aws iam create-policy'*'$ eksctl create cluster'*'$ eksctl create nodegroup'*'$ aws eks create-addon'*'$ kubectl apply'* ]]
  [[ -z $(writes) ]]
  step down --dry-run
  ((status == 0))
  [[ -z $(writes) ]]
  as_before
}

@test "a missing tool is reported in one line before anything is created" {
  mv "$BATS_FILE_TMPDIR/toolbox/eksctl" "$BATS_FILE_TMPDIR/eksctl"
  TOOLS='' step up
  mv "$BATS_FILE_TMPDIR/eksctl" "$BATS_FILE_TMPDIR/toolbox/eksctl"
  ((status == 1))
  [[ ${stderr_lines[-1]} == "up.sh: eksctl is missing"* && -z $(writes) ]]
}

@test "what has our tag under another name is listed, and so is the OIDC provider of a cluster that is gone" {
  local provider
  admin s3api create-bucket --bucket another-story
  admin s3api put-bucket-tagging --bucket another-story --tagging 'TagSet=[{Key=pod-identity-demo,Value=story}]'
  echo arn:aws:s3:::another-story >"$CLUSTER_STATE/tagged"
  step down
  ((status == 1))
  [[ $output == "left: arn:aws:s3:::another-story" ]]
  rm "$CLUSTER_STATE/tagged"
  admin s3api delete-bucket --bucket another-story

  provider=$(admin iam create-open-id-connect-provider --url https://oidc.eks.us-east-1.amazonaws.com/id/0 --thumbprint-list 0000000000000000000000000000000000000000 \
    --tags Key=alpha.eksctl.io/cluster-name,Value=story --query OpenIDConnectProviderArn)
  admin iam create-open-id-connect-provider --url https://oidc.eks.us-east-1.amazonaws.com/id/1 --thumbprint-list 0000000000000000000000000000000000000000 \
    --tags Key=alpha.eksctl.io/cluster-name,Value=history
  admin iam create-open-id-connect-provider --url https://oidc.eks.eu-west-1.amazonaws.com/id/2 --thumbprint-list 0000000000000000000000000000000000000000 \
    --tags Key=alpha.eksctl.io/cluster-name,Value=story
  fail_on refuse DeleteOpenIDConnectProvider
  step down
  ((status == 1))
  [[ $output == "left: the OIDC provider $provider" ]]
  step down
  ((status == 0))
  [[ $(writes) == "write iam DeleteOpenIDConnectProvider" ]]
  admin iam delete-open-id-connect-provider --open-id-connect-provider-arn "${provider/%0/1}"
  admin iam delete-open-id-connect-provider --open-id-connect-provider-arn arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/2
  as_before
}

@test "what down cannot remove it lists, and says so by its exit code" {
  "$repository/scripts/steps/policy.sh"
  admin iam create-user --user-name someone
  admin iam attach-user-policy --user-name someone --policy-arn arn:aws:iam::123456789012:policy/story-us-east-1
  step down
  ((status == 1))
  [[ $output == "left: the policy arn:aws:iam::123456789012:policy/story-us-east-1"* ]]
  admin iam detach-user-policy --user-name someone --policy-arn arn:aws:iam::123456789012:policy/story-us-east-1
  admin iam delete-user --user-name someone
  # Without the tagging API's list, nothing is said of what it would have listed.
  fail_on refuse GetResources
  step down
  ((status == 0))
  [[ $stderr == *"the tagging API refused (tag:GetResources): only what the steps know was checked"* && $stderr != *"no resource"* ]]
  as_before
}
