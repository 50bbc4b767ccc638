#!/usr/bin/env bash
# IRSA beside Pod Identity: the same job under both, their service accounts, trust
# policies and identities, and a table of what differs.
#
#   scripts/compare.sh [delete] [--dry-run]
#
# It associates the cluster's OIDC provider, makes the IRSA service account with
# its role, and deploys the job under it. With delete: the Job, account and role,
# and the OIDC provider if it has our tag and nobody else needs it. It needs
# eksctl, the AWS CLI, jq, kubectl, and the job of scripts/steps/deploy.sh. It costs
# nothing but S3 requests.

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
readonly cluster=(--cluster "$CLUSTER_NAME" --region "$AWS_REGION")

# The OIDC provider of the cluster is in IAM: `provider` is its ARN, `answer` our tag or None.
provider=''
find_provider() {
  local issuer
  found ResourceNotFoundException aws eks describe-cluster --region "$AWS_REGION" --name "$CLUSTER_NAME" \
    --query cluster.identity.oidc.issuer --output text || return 1
  issuer=${answer#*://}
  provider=arn:$PARTITION:iam::$ACCOUNT_ID:oidc-provider/$issuer
  found NoSuchEntity aws iam get-open-id-connect-provider --open-id-connect-provider-arn "$provider" \
    --query "Tags[?Key=='$TAG_KEY'].Value | [0]" --output text
}

# The role that the IRSA service account is annotated with, in `answer`.
find_account() {
  found 'not found' "${kube[@]}" get "serviceaccount/$IRSA_SERVICE_ACCOUNT" --ignore-not-found --output json
  answer=$(jq -r --arg name "$annotation" '.metadata.annotations[$name] // ""' <<<"${answer:-null}")
  [[ -n $answer ]]
}

associate_provider() {
  if find_provider; then
    say "there already: the OIDC provider of the cluster, in IAM"
    return
  fi
  change eksctl utils associate-iam-oidc-provider "${cluster[@]}" --approve
  # eksctl has no words for tags here.
  change aws iam tag-open-id-connect-provider --open-id-connect-provider-arn "$provider" --tags "$tag_pair"
}

create_account() {
  if find_account; then
    say "there already: the service account $NAMESPACE/$IRSA_SERVICE_ACCOUNT, annotated with $answer"
    return
  fi
  found NoSuchEntity aws iam get-policy --policy-arn "$IRSA_POLICY_ARN" --query Policy.DefaultVersionId --output text ||
    [[ -n $dry_run ]] || die "there is no policy $IRSA_POLICY_NAME: make it with scripts/steps/policy.sh"
  change eksctl create iamserviceaccount "${cluster[@]}" --namespace "$NAMESPACE" --name "$IRSA_SERVICE_ACCOUNT" \
    --attach-policy-arn "$IRSA_POLICY_ARN" --tags "$tag_map" --approve
}

# What is where, printed to stdout.
side_by_side() {
  local role
  heading "the service accounts: with IRSA the role is in Kubernetes, as an annotation"
  run "${kube[@]}" get serviceaccount "$SERVICE_ACCOUNT" "$IRSA_SERVICE_ACCOUNT" --output yaml

  heading "the trust policy with Pod Identity: one principal, for any cluster"
  found ResourceNotFoundException aws eks list-pod-identity-associations "${at_eks[@]}" --namespace "$NAMESPACE" \
    --service-account "$SERVICE_ACCOUNT" --query 'associations[0].associationId' --output text
  found ResourceNotFoundException aws eks describe-pod-identity-association "${at_eks[@]}" --association-id "$answer" \
    --query association.roleArn --output text || die "there is no association to compare with: scripts/steps/association.sh"
  role=$answer
  show_role "${role##*/}"
  heading "the trust policy with IRSA: this cluster's provider, this service account"
  find_account || die "the service account has lost its annotation: scripts/compare.sh delete, then run this again"
  show_role "${answer##*/}"

  identity pod-identity-demo
  identity "$irsa_job"

  heading "who has a role, asked of AWS"
  run eksctl get podidentityassociation "${cluster[@]}"
  say "IRSA's $NAMESPACE/$IRSA_SERVICE_ACCOUNT is not among them, and AWS has no other list that it is in: only" \
    "the cluster's own annotations, one service account at a time, say who has which role"
}

identity() {
  heading "who the pod of $1 is, from inside"
  look_at "$1" || die "the Job $1 has no pod: run this again"
  run "${kube[@]}" exec "$pod" -- pod-identity-demo identity || say "that is not the identity that is required: see above"
}

# Facts of the EKS user guide (service-accounts, pod-id-*), the IAM quotas, and the
# sources of the agent and the webhook.
differences() {
  heading "what differs"
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
  hostNetwork pods    refused by the agent                        work
  who has what        aws eks list-pod-identity-associations      nobody: look through the annotations
EOF
}

create() {
  need eksctl "https://eksctl.io/installation/"
  settle ACCOUNT_ID PARTITION BUCKET IMAGE IRSA_POLICY_ARN
  if ! reach; then
    say "there is no cluster yet, so this cannot be said in more detail"
    differences
    return
  fi
  look_at pod-identity-demo || [[ -n $dry_run ]] || die "there is no job to compare with in $NAMESPACE: scripts/steps/deploy.sh makes it"
  associate_provider
  create_account
  deploy irsa "$irsa_job"
  if [[ -z $dry_run ]]; then
    await "$irsa_job" "$IRSA_SERVICE_ACCOUNT"
    side_by_side
  fi
  differences
}

# Other service accounts that a role is annotated on, which would lose it.
others() {
  kubectl get serviceaccounts --all-namespaces --output json |
    jq -r --arg ours "$NAMESPACE/$IRSA_SERVICE_ACCOUNT" --arg name "$annotation" '.items[] |
      select(.metadata.annotations[$name]) | "\(.metadata.namespace)/\(.metadata.name)" | select(. != $ours)'
}

delete_provider() {
  local users
  if ! find_provider; then
    say "gone already: the OIDC provider of the cluster"
  elif [[ $answer != "$TAG_VALUE" ]]; then
    say "left alone: the OIDC provider, which these scripts did not make"
  elif users=$(others) && [[ -n $users ]]; then
    say "left alone: the OIDC provider, because others use it: ${users//$'\n'/, }"
  else
    change aws iam delete-open-id-connect-provider --open-id-connect-provider-arn "$provider"
  fi
}

delete() {
  local tag cluster_is_there=''
  settle ACCOUNT_ID PARTITION
  if find_cluster; then
    cluster_is_there=yes
    need_kubernetes
    change "${kube[@]}" delete "job/$irsa_job" --ignore-not-found --wait --timeout=120s
  fi
  if ! find_stack "$stack"; then
    say "gone already: the service account $NAMESPACE/$IRSA_SERVICE_ACCOUNT and its role"
  else
    read -r _ tag <<<"$answer"
    if [[ $tag != "$TAG_VALUE" ]]; then
      say "left alone: the stack $stack, which these scripts did not make"
      return
    elif command -v eksctl >/dev/null && [[ -n $cluster_is_there ]] && find_provider; then
      change eksctl delete iamserviceaccount "${cluster[@]}" --namespace "$NAMESPACE" --name "$IRSA_SERVICE_ACCOUNT" --wait
    fi
    # What eksctl leaves, because it needs the cluster and its provider.
    if [[ -z $dry_run ]] && find_stack "$stack"; then delete_stack "$stack"; fi
  fi
  if [[ -n $cluster_is_there ]]; then delete_provider; fi
}

left() {
  settle ACCOUNT_ID PARTITION
  if find_stack "$stack"; then echo "the stack $stack"; fi
  if find_cluster && find_provider && [[ $answer == "$TAG_VALUE" ]]; then echo "the OIDC provider $provider"; fi
}

begin "$@"
need_jq
"$action"
