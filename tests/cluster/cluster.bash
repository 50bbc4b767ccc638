# shellcheck shell=bash
# What the tests in the cluster share: `load cluster`.
# shellcheck disable=SC2034,SC2154 # status, output and stderr are of bats' run

bats_require_minimum_version 1.5.0
state=${CLUSTER_STATE-} # set by setup_suite.bash, before any test runs
export POLL_PAUSE=0.5 LAG=5 DEPLOY_TIMEOUT=120
# shellcheck source-path=SCRIPTDIR source=calls.bash
. "${BASH_SOURCE[0]%/*}/calls.bash"
# shellcheck source-path=SCRIPTDIR source=objects.bash
. "$project/tests/cluster/objects.bash"
within=("$project/cluster/cluster.sh" run)

# The first process in the cluster's network.
[[ -z $state ]] || node=$(pgrep --parent "$(<"$state/pid")")

# in_cluster COMMAND...: runs a command in the cluster's network, with its tools and the emulated account.
in_cluster() {
  "${within[@]}" "$@"
}

# kube ARGUMENT...: kubectl, as the cluster's administrator. As `cluster/cluster.sh kubectl`, without starting the script.
kube() {
  nsenter --target "$node" --net "$project/.tools/cluster/bin/kubectl" --kubeconfig "$state/admin.conf" "$@"
}

# aws ARGUMENT...: the AWS CLI, with output as text.
aws() {
  in_cluster aws --output text "$@"
}

# listing: what the account holds, a line each.
listing() {
  in_cluster "$project/.tools/ministack/bin/python" "$project/tests/cluster/listing.py"
}

# containers ARGUMENT...: containerd's command-line tool, for the images and containers of the node.
containers() {
  ctr --address "$state/containerd.sock" --namespace k8s.io "$@"
}

# objects: all objects of the cluster but events and what changes by itself.
objects() {
  kube get namespaces,serviceaccounts,configmaps,jobs,pods --all-namespaces --output name
}

# world NAMESPACE: an emulated cluster with the agent's add-on, and a bucket and a role of its own for this
# namespace, without an association. The scripts' settings name them.
world() {
  local policy
  export CLUSTER_NAME=cluster NAMESPACE=$1 SERVICE_ACCOUNT=uploader BUCKET=$1-pictures
  policy='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:PutObject","s3:AbortMultipartUpload"],"Resource":"arn:aws:s3:::'$BUCKET'/*","Condition":{"StringEquals":{"aws:PrincipalTag/kubernetes-namespace":"'$1'"}}}]}'
  if ! aws eks describe-cluster --name cluster >"$BATS_FILE_TMPDIR/cluster" 2>&1; then
    aws iam create-role --role-name control-plane --assume-role-policy-document "${trust/pods.eks/eks}"
    aws eks create-cluster --name cluster --role-arn arn:aws:iam::123456789012:role/control-plane --resources-vpc-config subnetIds=subnet-a,subnet-b \
      --tags pod-identity-demo=cluster
    aws eks create-addon --cluster-name cluster --addon-name eks-pod-identity-agent
  fi
  in_cluster aws eks update-kubeconfig --name cluster
  aws s3api create-bucket --bucket "$BUCKET"
  aws iam create-role --role-name "$1" --assume-role-policy-document "$trust"
  aws iam put-role-policy --role-name "$1" --policy-name upload --policy-document "$policy"
  eventually 30 kube --namespace kube-system rollout status daemonset/eks-pod-identity-agent --timeout=1s
} >"$BATS_FILE_TMPDIR/world" 2>&1

# end_world: deletes the emulated cluster, so that another file can have its own, and the admission policy,
# which is no namespace's.
end_world() {
  kube delete validatingadmissionpolicybindings,validatingadmissionpolicies --selector app.kubernetes.io/part-of=pod-identity-demo
  aws eks delete-addon --cluster-name cluster --addon-name eks-pod-identity-agent
  aws eks delete-cluster --name cluster
  aws iam delete-role --role-name control-plane
}

# associate NAMESPACE: creates the association, and waits until the webhook knows it.
associate() {
  aws eks create-pod-identity-association --cluster-name cluster --namespace "$1" --service-account uploader \
    --role-arn "arn:aws:iam::123456789012:role/$1" --query association.associationId
  eventually 10 grep -qs "\"namespace\": \"$1\"" "$state/identities.json"
}
