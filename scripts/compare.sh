#!/usr/bin/env bash
# Compares IRSA with Pod Identity: runs the same job under both, and shows their
# service accounts, trust policies and identities, and a table of the differences.
#
#   scripts/compare.sh [delete] [--dry-run]
#
# Associates the cluster's OIDC provider, creates the IRSA service account with its
# role, and deploys the job under it. With delete, deletes the Job, the service
# account and the role, and the OIDC provider if it is ours and no other service
# account uses it; with KUBERNETES=none, only what is in AWS. Requires eksctl, the AWS
# CLI, jq, kubectl, and the job of scripts/steps/deploy.sh. Only S3 requests cost money.

# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=lib/settings.sh
. "$root/scripts/lib/settings.sh"
# shellcheck source=lib/steps.sh
. "$root/scripts/lib/steps.sh"
# shellcheck source=lib/pods.sh
. "$root/scripts/lib/pods.sh"

readonly irsa_job=pod-identity-demo-irsa annotation=eks.amazonaws.com/role-arn
readonly stack=eksctl-$CLUSTER_NAME-addon-iamserviceaccount-$NAMESPACE-$IRSA_SERVICE_ACCOUNT
readonly eksctl_cluster=(--cluster "$CLUSTER_NAME" --region "$AWS_REGION")

# provider_arn: prints the ARN that the cluster's OIDC provider has in IAM; false when
# the cluster does not exist.
provider_arn() {
  local issuer
  capture issuer found ResourceNotFoundException aws eks describe-cluster --region "$AWS_REGION" --name "$CLUSTER_NAME" \
    --query cluster.identity.oidc.issuer --output text || return 1
  echo "arn:$PARTITION:iam::$ACCOUNT_ID:oidc-provider/${issuer#*://}"
}

# provider_is_ours PROVIDER OWNER: prints the ARN, and `ours` or `theirs`; false when IAM
# does not have the provider. eksctl tags it with the cluster's name, and cannot add our
# tag. OWNER is our tag on the cluster: in a cluster of ours, the name is enough. In any
# other cluster, the provider must have our tag.
provider_is_ours() {
  local tags name tag
  capture tags found NoSuchEntity aws iam get-open-id-connect-provider --open-id-connect-provider-arn "$1" \
    --query "[Tags[?Key=='alpha.eksctl.io/cluster-name'].Value | [0], Tags[?Key=='$TAG_KEY'].Value | [0]]" --output text || return 1
  read -r name tag <<<"$tags"
  if [[ $tag == "$TAG_VALUE" || ($name == "$CLUSTER_NAME" && $2 == "$TAG_VALUE") ]]; then echo "$1 ours"; else echo "$1 theirs"; fi
}

# cluster_owner: prints our tag on the cluster, or None; false when there is no cluster.
cluster_owner() {
  local state
  capture state find_cluster || return 1
  echo "${state##*[[:space:]]}"
}

# find_provider: prints the ARN of the cluster's OIDC provider, and whose it is; false
# when the cluster or the provider does not exist.
find_provider() {
  local provider owner
  capture owner cluster_owner && capture provider provider_arn || return 1
  provider_is_ours "$provider" "$owner"
}

# orphans: prints the ARNs of the OIDC providers of a cluster of this name that does
# not exist any more.
orphans() {
  local arns arn state
  capture arns found none aws iam list-open-id-connect-providers --query 'OpenIDConnectProviderList[].[Arn]' --output text || return 0
  for arn in $arns; do
    [[ $arn == arn:*:oidc-provider/* ]] || continue
    [[ $arn != *:oidc-provider/oidc.eks.* || $arn == *:oidc-provider/oidc.eks."$AWS_REGION".* ]] || continue
    if capture state provider_is_ours "$arn" "$TAG_VALUE" && [[ $state == *ours ]]; then echo "$arn"; fi
  done
}

# annotated_role: prints the role in the annotation of the IRSA service account; false
# when there is none.
annotated_role() {
  local account role
  capture account found 'not found' "${kube[@]}" get "serviceaccount/$IRSA_SERVICE_ACCOUNT" --ignore-not-found --output json
  role=$(jq -r --arg name "$annotation" '.metadata.annotations[$name] // ""' <<<"${account:-null}")
  [[ -n $role ]] || return 1
  echo "$role"
}

associate_provider() {
  local provider owner
  if find_provider >/dev/null; then
    say "already exists: the OIDC provider of the cluster, in IAM"
    return
  fi
  change "${associate[@]}"
  # eksctl has no option for tags in this command. In a cluster of ours, its own tag is enough.
  if ! capture owner cluster_owner || ! capture provider provider_arn; then die "the cluster $CLUSTER_NAME was deleted"; fi
  [[ $owner == "$TAG_VALUE" ]] ||
    change aws iam tag-open-id-connect-provider --open-id-connect-provider-arn "$provider" --tags "$tag_pair"
}

# irsa_config: writes eksctl's configuration of the service account, which alone can name a permissions boundary.
irsa_config() {
  mkdir -p "$FILLED"
  jq --null-input '{apiVersion: "eksctl.io/v1alpha5", kind: "ClusterConfig", metadata: {name: env.CLUSTER_NAME, region: env.AWS_REGION},
    iam: {withOIDC: true, serviceAccounts: [{metadata: {name: env.IRSA_SERVICE_ACCOUNT, namespace: env.NAMESPACE},
      attachPolicyARNs: [env.IRSA_POLICY_ARN], permissionsBoundary: env.PERMISSIONS_BOUNDARY, tags: {(env.TAG_KEY): env.TAG_VALUE}}]}}' >"$FILLED/irsa.json"
}

# repair_stack: deletes the stack that an earlier run left without its service account: eksctl says "no tasks"
# where the stack exists, and exits with 0 (eksctl issue 4941).
repair_stack() {
  local state status tag
  capture state find_stack "$stack" || return 0
  find_stack_of "$IRSA_SERVICE_ACCOUNT" "$stack" >/dev/null ||
    die "the stack $stack is that of another service account: set IRSA_SERVICE_ACCOUNT to another name"
  read -r status _ tag <<<"$state"
  [[ $tag == "$TAG_VALUE" ]] || die "there is a stack $stack, which these scripts did not create: delete it, or set IRSA_SERVICE_ACCOUNT to another name"
  [[ $status != *_IN_PROGRESS || -n $dry_run ]] || poll 600 "the stack $stack, which an earlier run began" stack_rests "$stack" ||
    die "the stack $stack is still $status: run this again later"
  find_stack "$stack" >/dev/null || return 0
  say "left incomplete by an earlier run: the stack $stack exists, but the service account lacks its role; creating both again"
  delete_stack "$stack"
}

create_account() {
  local role
  if capture role annotated_role; then
    say "already exists: the service account $NAMESPACE/$IRSA_SERVICE_ACCOUNT, annotated with $role"
    return
  fi
  found NoSuchEntity aws iam get-policy --policy-arn "$IRSA_POLICY_ARN" --query Policy.DefaultVersionId --output text >/dev/null ||
    [[ -n $dry_run ]] || die "the policy $IRSA_POLICY_NAME does not exist: create it with scripts/steps/policy.sh"
  repair_stack
  change "${create_irsa_account[@]}"
}

# side_by_side: prints the service accounts, trust policies and identities of both.
side_by_side() {
  local id role
  section "the service accounts: with IRSA the role is in Kubernetes, as an annotation"
  run "${kube[@]}" get serviceaccount "$SERVICE_ACCOUNT" "$IRSA_SERVICE_ACCOUNT" --output yaml

  section "the trust policy with Pod Identity: one principal, for any cluster"
  capture id find_association "$SERVICE_ACCOUNT" || die "there is no association to compare with: create it with scripts/steps/association.sh"
  capture role found ResourceNotFoundException aws eks describe-pod-identity-association "${at_eks[@]}" --association-id "$id" \
    --query association.roleArn --output text || die "there is no association to compare with: create it with scripts/steps/association.sh"
  show_role "${role##*/}"
  section "the trust policy with IRSA: this cluster's provider, this service account"
  capture role annotated_role || die "the service account has lost its annotation: run scripts/compare.sh delete, then this again"
  show_role "${role##*/}"

  job_identity pod-identity-demo
  job_identity "$irsa_job"

  section "which service accounts have a role, according to AWS"
  run eksctl get podidentityassociation "${eksctl_cluster[@]}"
  say "the list does not contain $NAMESPACE/$IRSA_SERVICE_ACCOUNT, which uses IRSA, and AWS has no other list of such" \
    "service accounts: only the annotations in the cluster tell which service account has which role"
}

job_identity() {
  local pods
  section "the identity of $1, as its pod sees it"
  capture pods pods_of "$1" || die "the Job $1 has no pod: run this again"
  show_identity "$pods"
}

# differences: prints the table. Sources: the EKS user guide (service-accounts,
# pod-id-*), the IAM quotas, and the source code of the agent and the webhook.
differences() {
  section "what differs"
  cat <<'EOF'
                      Pod Identity                                IRSA
  trust policy        pods.eks.amazonaws.com, sts:AssumeRole      the cluster's OIDC provider,
                      and sts:TagSession; written once            sts:AssumeRoleWithWebIdentity, condition on sub
                                                                  and aud; again for each cluster
  association is in   the EKS API                                 an annotation on the service account
  OIDC provider       none                                        one in IAM for each cluster (quota: 100 by
                                                                  default)
  credentials from    the agent on the node, which asks EKS       STS, asked by the SDK in each pod
                      Auth, and caches
  token's audience    pods.eks.amazonaws.com                      sts.amazonaws.com
  session tags        cluster ARN and name, namespace, service    none
                      account, pod name and UID: policies can
                      refer to them
  another account     a target role, which the association        trust the provider there, or chain roles in
                      names; EKS assumes both                     the application
  needs               the add-on eks-pod-identity-agent           nothing on the node
                      (EKS Auto Mode has it)
  runs on             Linux nodes in EC2                          Linux and Windows nodes, Fargate
  clusters            EKS in the cloud, 1.24 and later            EKS, EKS Anywhere, ROSA, self-managed
  limits              EKS's quota of associations in a cluster;   2,048 characters of trust policy: some 4
                      one role for a service account              service accounts or clusters, 8 if raised
  hostNetwork pods    failures were reported, though the agent    work
                      does not check for them
  who has what        aws eks list-pod-identity-associations      no API: search the annotations
EOF
}

# without_guard: drops require-pod-identity from COMPONENTS, which people export for deploy.sh.
without_guard() {
  local component kept=''
  for component in ${COMPONENTS-}; do
    if [[ $component == require-pod-identity ]]; then
      say "without the component require-pod-identity here: the pods of IRSA have no Pod Identity"
    else
      kept+=" $component"
    fi
  done
  COMPONENTS=$kept
}

create() {
  local pods folder
  without_guard
  settle ACCOUNT_ID PARTITION BUCKET IMAGE IRSA_POLICY_ARN
  need_tool eksctl
  associate=(eksctl utils associate-iam-oidc-provider "${eksctl_cluster[@]}" --approve)
  create_irsa_account=(eksctl create iamserviceaccount "${eksctl_cluster[@]}" --namespace "$NAMESPACE" --name "$IRSA_SERVICE_ACCOUNT"
    --attach-policy-arn "$IRSA_POLICY_ARN" --tags "$tag_map" --approve)
  if [[ -n ${PERMISSIONS_BOUNDARY-} ]]; then
    irsa_config
    create_irsa_account=(eksctl create iamserviceaccount --config-file "$FILLED/irsa.json" --approve)
  fi
  can_be_stack "$stack" ||
    die "eksctl would name a stack $stack, which CloudFormation refuses: set IRSA_SERVICE_ACCOUNT to a name without dots, and CLUSTER_NAME to a cluster without underscores"
  if ! reach_cluster; then
    change "${associate[@]}"
    change "${create_irsa_account[@]}"
    # shellcheck disable=SC2086 # COMPONENTS is a list of names
    folder=$(scripts/steps/manifests.sh irsa $COMPONENTS) || exit
    change kubectl apply --kustomize "$folder"
    differences
    return
  fi
  capture pods pods_of pod-identity-demo || [[ -n $dry_run ]] || die "there is no job to compare with in $NAMESPACE: create it with scripts/steps/deploy.sh"
  associate_provider
  create_account
  apply_job irsa "$irsa_job"
  if [[ -z $dry_run ]]; then
    await_upload "$irsa_job" "$IRSA_SERVICE_ACCOUNT" >"$scratch/url"
    side_by_side
  fi
  differences
}

# other_users PROVIDER: prints the other service accounts with a role in their annotation; if
# kubectl cannot reach the cluster, the roles of others that trust the provider.
other_users() {
  local roles
  if [[ $KUBERNETES == none ]]; then
    capture roles found none aws iam list-roles --query 'Roles[].[RoleName, AssumeRolePolicyDocument]' --output json
    # Our own role, which has just been deleted, may still be listed.
    jq -r --arg provider "$1" --arg ours "system:serviceaccount:$NAMESPACE:$IRSA_SERVICE_ACCOUNT" '.[]? | select(.[1] | tojson | contains($provider)) |
      select([.[1] | .. | strings | select(startswith("system:serviceaccount:"))] | unique != [$ours]) | "the role \(.[0])"' <<<"$roles"
    return
  fi
  kubectl get serviceaccounts --all-namespaces --output json |
    jq -r --arg ours "$NAMESPACE/$IRSA_SERVICE_ACCOUNT" --arg name "$annotation" '.items[] |
      select(.metadata.annotations[$name]) | "\(.metadata.namespace)/\(.metadata.name)" | select(. != $ours)' ||
    die "the OIDC provider stays, because the service accounts that may use it cannot be listed: see the message of kubectl above"
}

delete_provider() {
  local state provider whose users
  if ! capture state find_provider; then
    say "already deleted: the OIDC provider of the cluster"
    return
  fi
  read -r provider whose <<<"$state"
  if [[ $whose != ours ]]; then
    say "left alone: the OIDC provider, which these scripts did not create"
    return
  fi
  capture users other_users "$provider"
  if [[ -n $users ]]; then
    say "left alone: the OIDC provider, because other service accounts use it: ${users//$'\n'/, }"
  else
    change aws iam delete-open-id-connect-provider --open-id-connect-provider-arn "$provider"
  fi
}

delete() {
  local state tag cluster_exists='' by_eksctl='' arns arn
  settle ACCOUNT_ID PARTITION
  if find_cluster >/dev/null; then
    cluster_exists=yes
    if [[ $KUBERNETES == none ]]; then
      say "left alone: the Job and the service account inside the cluster, because KUBERNETES=none"
    else
      need_kubernetes
      change "${kube[@]}" delete "job/$irsa_job" --ignore-not-found --cascade=foreground --wait --timeout=120s
    fi
  fi
  if ! capture state find_stack_of "$IRSA_SERVICE_ACCOUNT" "$stack"; then
    say "already deleted: the service account $NAMESPACE/$IRSA_SERVICE_ACCOUNT and its role"
  else
    tag=${state##*[[:space:]]}
    if [[ $tag != "$TAG_VALUE" ]]; then
      say "left alone: the stack $stack, which these scripts did not create"
      return
    elif [[ $KUBERNETES != none && -n $cluster_exists ]] && command -v eksctl >/dev/null && find_provider >/dev/null; then
      by_eksctl=yes
      change eksctl delete iamserviceaccount "${eksctl_cluster[@]}" --namespace "$NAMESPACE" --name "$IRSA_SERVICE_ACCOUNT" --wait
    fi
    # Without the cluster, its API server and its provider, eksctl cannot delete the stack.
    if [[ -z $dry_run || -z $by_eksctl ]] && find_stack "$stack" >/dev/null; then delete_stack "$stack"; fi
  fi
  if [[ -n $cluster_exists ]]; then
    delete_provider
  else
    capture arns orphans
    for arn in $arns; do
      say "left incomplete by an earlier run: the OIDC provider of the cluster, which does not exist any more"
      change aws iam delete-open-id-connect-provider --open-id-connect-provider-arn "$arn"
    done
  fi
}

left() {
  settle ACCOUNT_ID PARTITION
  local state arns arn
  if find_cluster >/dev/null; then
    if capture state find_provider && [[ $state == *ours ]]; then echo "the OIDC provider ${state%% *}"; fi
    return
  fi
  capture arns orphans
  for arn in $arns; do echo "the OIDC provider $arn"; done
}

begin_step "$@"
need_jq
"$action"
