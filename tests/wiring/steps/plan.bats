#!/usr/bin/env bats
# A dry run without an AWS account prints every command, and asks nothing of AWS.

# shellcheck disable=SC2154 # status, output and stderr are of bats' run
# shellcheck source-path=SCRIPTDIR source=../lib/wiring.sh
load ../lib/wiring.sh

setup_file() {
  unset AWS_PROFILE AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_ENDPOINT_URL ACCOUNT_ID CHECKED CLUSTER_NAME \
    BUCKET IMAGE REPOSITORY WITH DRY_RUN TAG_VALUE NAMESPACE SERVICE_ACCOUNT TOOLS TARGET_ROLE_ARN EXTERNAL_ID SESSION_POLICY SESSION_TAGS
  export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_EC2_METADATA_DISABLED=true AWS_REGION=eu-west-1
  export FILLED=$BATS_FILE_TMPDIR/filled WITH=eksctl
  (toolbox aws) # the server behind it ends with the process that starts it, which a test would be
}

announced="AWS cannot be asked "

# the_plan: a dry run of all steps says so once, and prints all that up.sh would do.
the_plan() {
  run --separate-stderr "$(script_path up)" --dry-run
  echo "$stderr"
  ((status == 0))
  (($(grep -c "^$announced" <<<"$stderr") == 1))
  [[ $stderr == *'$ aws s3api create-bucket --region eu-west-1 --bucket pod-identity-demo-111122223333-eu-west-1 '*'$ aws s3api put-bucket-policy '* ]]
  [[ $stderr == *'$ aws iam create-policy --policy-name pod-identity-demo-eu-west-1 '*'$ aws iam create-policy --policy-name pod-identity-demo-irsa-eu-west-1 '* ]]
  [[ $stderr == *'$ eksctl create cluster '*'$ eksctl create nodegroup '*'$ aws eks create-addon '*'$ eksctl create podidentityassociation '* ]]
  [[ $stderr == *'$ aws ecr create-repository '*' build --tag 111122223333.dkr.ecr.eu-west-1.amazonaws.com/pod-identity-demo:'*' push 111122223333.dkr.ecr'* ]]
  [[ $stderr == *'$ kubectl apply --kustomize '* ]]
  grep -q 'bucket-111122223333\|pod-identity-demo-111122223333-eu-west-1' "$FILLED/eks/kustomization.yaml"
}

@test "without the AWS CLI, eksctl, kubectl and an engine for images" {
  toolbox cp
  the_plan
}

@test "without credentials" {
  toolbox aws
  the_plan
}

@test "without a connection" {
  toolbox aws
  AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_ENDPOINT_URL=http://127.0.0.1:1 the_plan
}

@test "a plan shows eksctl where it is not installed, says at its end what it was, and shows no reads" {
  toolbox cp
  unset WITH
  the_plan
  [[ ${stderr_lines[-1]} == "This was a dry run: nothing has been changed. "* ]]
  # The one that is left is of a pipe that changes something.
  [[ $(grep -E '^\$ aws [a-z0-9]+ (describe|get|list|head)-' <<<"$stderr") == *" get-login-password --region eu-west-1 | "*" docker login "* ]]
}

@test "in another partition, names and addresses are that partition's" {
  toolbox cp
  AWS_REGION=eusc-de-east-1 run --separate-stderr "$(script_path up)" --dry-run
  echo "$stderr"
  [[ $status == 0 && $stderr == *"arn:aws-eusc:iam::111122223333:policy/"*" push 111122223333.dkr.ecr.eusc-de-east-1.amazonaws.eu/"* ]]
  AWS_REGION=cn-north-1 run --separate-stderr "$(script_path up)" --dry-run
  [[ $status == 0 && $stderr == *"arn:aws-cn:iam::111122223333:policy/"*" push 111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn/"* ]]
}

@test "the nodes have the architecture of the image, and every role has the permissions boundary" {
  local boundary=arn:aws:iam::111122223333:policy/limits
  toolbox cp
  ARCHITECTURE=arm64 the_plan
  grep -qx '    instanceType: t4g.medium' "$FILLED/nodes.yaml"
  run ! grep -r PermissionsBoundary "$FILLED"
  INSTANCE_TYPE=m7i-flex.large PERMISSIONS_BOUNDARY=$boundary the_plan
  grep -qx '    instanceType: m7i-flex.large' "$FILLED/nodes.yaml"
  grep -qx "      instanceRolePermissionsBoundary: $boundary" "$FILLED/nodes.yaml"
  grep -qx "  serviceRolePermissionsBoundary: $boundary" "$FILLED/cluster.yaml"
  [[ $stderr == *'$ eksctl create podidentityassociation '*" --permission-boundary-arn $boundary"* ]]
  WITH=aws PERMISSIONS_BOUNDARY=$boundary run --separate-stderr "$(script_path association)" --dry-run
  [[ $(jq -r .Resources.Role.Properties.PermissionsBoundary "$FILLED/role.json") == "$boundary" ]]
  WITH=aws TARGET_ROLE_ARN=arn:aws:iam::111122223333:role/target PERMISSIONS_BOUNDARY=$boundary run --separate-stderr "$(script_path association)" --dry-run
  [[ $(jq -r .Resources.Role.Properties.PermissionsBoundary "$FILLED/chained-role.json") == "$boundary" ]]
  PERMISSIONS_BOUNDARY=$boundary run --separate-stderr "$(script_path compare)" --dry-run
  [[ $stderr == *'$ eksctl create iamserviceaccount --config-file '* ]]
  [[ $(jq -c '.iam.serviceAccounts[0] | [.permissionsBoundary, .attachPolicyARNs, .tags]' "$FILLED/irsa.json") == '["'$boundary'",["arn:aws:iam::111122223333:policy/pod-identity-demo-irsa-eu-west-1"],{"pod-identity-demo":"pod-identity-demo"}]' ]]

  INSTANCE_TYPE=m7g.large run --separate-stderr "$(script_path up)" --dry-run
  [[ $status == 1 && ${stderr_lines[-1]} == *"INSTANCE_TYPE m7g.large is not for ARCHITECTURE amd64, "* ]]
}

@test "the comparison with IRSA is planned too, and without --dry-run missing credentials are an error" {
  toolbox aws
  run --separate-stderr "$(script_path compare)" --dry-run
  echo "$stderr"
  ((status == 0))
  [[ $stderr == "$announced"*'$ eksctl utils associate-iam-oidc-provider '*'$ eksctl create iamserviceaccount '*'$ kubectl apply '* ]]
  COMPONENTS='require-pod-identity monitoring' run --separate-stderr "$(script_path compare)" --dry-run
  echo "$stderr"
  [[ $status == 0 && ${stderr_lines[0]} == "without the component require-pod-identity here: "* ]]
  grep -q 'components/monitoring' "$FILLED/irsa/kustomization.yaml"
  run --separate-stderr "$(script_path bucket)"
  [[ $status == 1 && $stderr == *"no usable AWS credentials"* ]]
}

@test "what would be deleted is not planned without AWS, which alone knows what there is" {
  local script
  toolbox aws
  for script in down bucket policy association addon registry cluster compare deploy; do
    if [[ $script == down ]]; then set --; else set -- delete; fi
    run --separate-stderr "$(script_path "$script")" "$@" --dry-run
    echo "$script: $stderr"
    [[ $status == 1 && $stderr == *[Cc]redentials* && $stderr != *already* && $stderr != *"$announced"* ]]
  done
}
