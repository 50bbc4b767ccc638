#!/usr/bin/env bats
# bats file_tags=go
# Clusters that have the Pod Identity Agent without the add-on: EKS Auto Mode, and an
# agent that somebody installed otherwise. And what kubectl is not allowed to list.

# shellcheck disable=SC2154 # status, output and stderr are of bats' run
# shellcheck source-path=SCRIPTDIR source=../lib/wiring.sh
load ../lib/wiring.sh

setup_file() {
  start_cloud control-plane
  toolbox aws chmod eksctl kubectl curl awk find wc xargs
  a_cluster
  "$repository/scripts/steps/policy.sh"
  # A pod of the service account that the tests associate.
  kubectl apply -f - <<'YAML'
{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "pod-identity-demo"}}
---
{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "pod-identity-demo", "namespace": "pod-identity-demo"}}
---
{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "associated", "namespace": "pod-identity-demo"},
  "spec": {"serviceAccountName": "pod-identity-demo", "nodeName": "node", "containers": [{"name": "main", "image": "main"}]}}
YAML
}

teardown_file() { stop_cloud; }

# audit_finds IDS: what the audit finds about agents.
audit_finds() {
  step audit --json
  [[ $(jq -r '[.findings[].id | select(startswith("agent"))] | join(" ")' <<<"$output") == "$1" ]]
}

@test "EKS Auto Mode has the agent built in: no add-on is installed, and eksctl makes the association" {
  : >"$CLUSTER_STATE/auto-mode"
  step addon
  ((status == 0))
  [[ $stderr == *"already exists: the Pod Identity Agent of EKS Auto Mode"* && -z $(writes) ]]
  step association
  ((status == 0))
  [[ $stderr == *"the cluster has the Pod Identity Agent of EKS Auto Mode"*'$ eksctl create podidentityassociation'* ]]
  audit_finds ''
  step association delete
  ((status == 0))
  rm "$CLUSTER_STATE/auto-mode"
}

@test "an agent that is not an add-on is not changed, and the AWS CLI creates the association, because eksctl would refuse" {
  step association
  ((status == 1))
  [[ $stderr == *"install it with scripts/steps/addon.sh" && -z $(writes) ]]
  kubectl apply -f - <<'YAML'
apiVersion: apps/v1
kind: DaemonSet
metadata:
  name: their-agent
  namespace: default
  labels: {app.kubernetes.io/name: eks-pod-identity-agent}
spec:
  selector: {matchLabels: {app.kubernetes.io/name: eks-pod-identity-agent}}
  template:
    metadata: {labels: {app.kubernetes.io/name: eks-pod-identity-agent}}
    spec:
      tolerations: [{operator: Exists}] # as the agent's
      containers: [{name: agent, image: agent}]
YAML
  step addon
  ((status == 0))
  [[ $stderr == *"already exists: a Pod Identity Agent that is not an EKS add-on: daemonset.apps/their-agent"* && -z $(writes) ]]
  step association
  ((status == 0))
  [[ $stderr == *"daemonset.apps/their-agent"*'$ aws eks create-pod-identity-association'* ]]
  # It is there, and not ready on the pod's node: nothing runs here.
  eventually 30 audit_finds agent_not_ready
  step association delete
  ((status == 0))
}

# other_context: from here on, kubectl uses another cluster.
other_context() {
  kubectl config view --raw --output json | jq '.clusters[].cluster.server = "https://another.example"' >"$BATS_TEST_TMPDIR/other"
  export KUBECONFIG=$BATS_TEST_TMPDIR/other
}

@test "with the context of another cluster nothing is installed, because an agent could not be seen" {
  other_context
  step addon
  ((status == 1))
  [[ ${stderr_lines[-1]} == "addon.sh: kubectl uses https://another.example, not pod-identity-demo: aws eks update-kubeconfig --region us-east-1 --name pod-identity-demo" ]]
  [[ -z $(writes) ]]
  CLUSTER_NAME=not-there step addon --dry-run
  [[ $status == 0 && $stderr == *'$ aws eks create-addon'* ]]
}

@test "a namespace that eksctl made is deleted only if it has nothing but the service account" {
  local thing
  export NAMESPACE=made-by-eksctl
  kubectl create namespace made-by-eksctl
  kubectl apply -f - <<'YAML'
{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "pod-identity-demo-irsa", "namespace": "made-by-eksctl",
  "labels": {"app.kubernetes.io/managed-by": "eksctl"}}}
YAML
  eventually 30 kubectl --namespace made-by-eksctl get configmap/kube-root-ca.crt serviceaccount/default
  for thing in "configmap theirs" "secret generic theirs" "deployment theirs --image=x --replicas=0" "service clusterip theirs --tcp=80" "serviceaccount theirs"; do
    # shellcheck disable=SC2086 # words
    kubectl --namespace made-by-eksctl create $thing
    step deploy delete
    [[ $status == 0 && $stderr == *"left alone: the namespace made-by-eksctl"* ]]
    kubectl --namespace made-by-eksctl delete "${thing%% *}/theirs"
  done
  kubectl apply -f - <<'YAML'
{"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "theirs", "namespace": "made-by-eksctl"},
  "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}
YAML
  step deploy delete
  [[ $status == 0 && $stderr == *"left alone: the namespace made-by-eksctl"* ]]
  kubectl --namespace made-by-eksctl delete persistentvolumeclaim/theirs
  step deploy delete
  ((status == 0))
  [[ $stderr == *'$ kubectl delete namespace made-by-eksctl'* && $stderr != *'$ kubectl delete validatingadmission'* ]]
  [[ -z $(kubectl get namespace/made-by-eksctl --ignore-not-found --output name) ]]
}

@test "the admission policy is deleted where it is, and not with a namespace that is left alone" {
  local policies=validatingadmissionpolicies,validatingadmissionpolicybindings
  NAMESPACE=required apply eks require-pod-identity
  NAMESPACE=pod-identity-demo step deploy delete
  [[ $status == 0 && $stderr == *"left alone: the namespace pod-identity-demo"* ]]
  [[ $(kubectl get "$policies" --output name | wc -l) == 2 ]]
  NAMESPACE=required step deploy delete
  ((status == 0))
  [[ -z $(kubectl get "$policies" --output name) ]]
}

@test "an add-on whose creation failed is made again only if it is ours" {
  admin eks create-addon --cluster-name pod-identity-demo --addon-name eks-pod-identity-agent
  add_on_is CREATE_FAILED
  step addon
  mv "$BATS_FILE_TMPDIR/toolbox/real-aws" "$BATS_FILE_TMPDIR/toolbox/aws"
  ((status == 1))
  [[ ${stderr_lines[-1]} == "addon.sh: the add-on eks-pod-identity-agent of the cluster pod-identity-demo is CREATE_FAILED, and these scripts did not create it: "* ]]
  [[ -z $(writes) ]]
  admin eks delete-addon --cluster-name pod-identity-demo --addon-name eks-pod-identity-agent
}

# add_on_is STATUS: from here on, the AWS CLI says that the add-on has this status. The emulator's are active.
add_on_is() {
  mv "$BATS_FILE_TMPDIR/toolbox/aws" "$BATS_FILE_TMPDIR/toolbox/real-aws"
  cat >"$BATS_FILE_TMPDIR/toolbox/aws" <<AWS
#!/usr/bin/env bash
[[ "\$*" == *describe-addon* ]] || exec "$BATS_FILE_TMPDIR/toolbox/real-aws" "\$@"
"$BATS_FILE_TMPDIR/toolbox/real-aws" "\$@" | sed -E "s/ACTIVE|CREATING/$1/"
AWS
  chmod +x "$BATS_FILE_TMPDIR/toolbox/aws"
}

# Agents that are ready, in the status of the DaemonSet; no kubelet is here to say so.
agents_are_ready() {
  local agents=(--namespace kube-system --selector app.kubernetes.io/name=eks-pod-identity-agent) agent
  agent=$(kube get pods "${agents[@]}" --output name) && [[ -n $agent ]] || return 1
  kube --namespace kube-system patch "$agent" --subresource status --patch '{"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}'
  [[ $(kube --namespace kube-system get daemonset/eks-pod-identity-agent --output 'jsonpath={.status.numberAvailable}') == 1 ]]
}

@test "an add-on that stays DEGRADED although every agent is ready is a warning, and the rest goes on" {
  admin eks create-addon --cluster-name pod-identity-demo --addon-name eks-pod-identity-agent
  eventually 60 agents_are_ready
  add_on_is DEGRADED
  step addon
  mv "$BATS_FILE_TMPDIR/toolbox/real-aws" "$BATS_FILE_TMPDIR/toolbox/aws"
  ((status == 0))
  [[ $stderr == *"warning: the add-on eks-pod-identity-agent is DEGRADED, although "*'$ aws eks describe-addon '*' --query addon.health'*"rollout status"* ]]
  admin eks delete-addon --cluster-name pod-identity-demo --addon-name eks-pod-identity-agent
}

@test "with KUBERNETES=none, what compare made in AWS is deleted, but a provider that others use stays" {
  local provider stack=eksctl-pod-identity-demo-addon-iamserviceaccount-pod-identity-demo-pod-identity-demo-irsa template
  export KUBERNETES=none
  provider=$(admin iam create-open-id-connect-provider --url "$(<"$CLUSTER_STATE/issuer")" --thumbprint-list 0000000000000000000000000000000000000000 \
    --tags Key=pod-identity-demo,Value=pod-identity-demo --query OpenIDConnectProviderArn)
  # trusting ACCOUNT: the trust policy of IRSA for a service account.
  trusting() {
    jq --null-input --compact-output --arg provider "$provider" --arg account "$1" '{Version: "2012-10-17", Statement: [{Effect: "Allow", Principal: {Federated: $provider},
      Action: "sts:AssumeRoleWithWebIdentity", Condition: {StringEquals: {"\($provider | sub(".*provider/"; "")):sub": "system:serviceaccount:\($account)"}}}]}'
  }
  template=$(jq --null-input --argjson trust "$(trusting pod-identity-demo:pod-identity-demo-irsa)" --arg policy arn:aws:iam::123456789012:policy/pod-identity-demo-irsa-us-east-1 \
    '{Resources: {Role: {Type: "AWS::IAM::Role", Properties: {AssumeRolePolicyDocument: $trust, ManagedPolicyArns: [$policy]}}}}')
  admin cloudformation create-stack --stack-name "$stack" --template-body "$template" --capabilities CAPABILITY_IAM --tags Key=pod-identity-demo,Value=pod-identity-demo
  admin iam create-role --role-name neighbour --assume-role-policy-document "$(trusting default:neighbour)"

  step compare delete --dry-run
  [[ $status == 0 && $stderr == *'$ aws cloudformation delete-stack'* && -z $(writes) ]]
  step compare delete
  ((status == 0))
  [[ $stderr == *"left alone: the Job and the service account inside the cluster, because KUBERNETES=none"* ]]
  [[ $stderr == *"left alone: the OIDC provider, because other service accounts use it: the role neighbour"* ]]
  [[ -z $(admin cloudformation describe-stacks --query 'Stacks[].StackName') ]]
  admin iam delete-role --role-name neighbour
  step down
  ((status == 0))
  [[ $stderr == *'$ aws iam delete-open-id-connect-provider'*"nothing is left"* ]]
  [[ $(admin iam list-open-id-connect-providers --query 'length(OpenIDConnectProviderList)') == 0 ]]
  "$repository/scripts/steps/policy.sh"
}

@test "what the API server does not let kubectl list is not taken for nothing" {
  local provider
  # as USER: from here on, the API server treats kubectl as this user.
  as() {
    jq --arg user "$1" '.users[0].user.as = $user' "$BATS_TEST_TMPDIR/own" >"$BATS_TEST_TMPDIR/$1"
    export KUBECONFIG=$BATS_TEST_TMPDIR/$1
  }
  kubectl config view --raw --output json >"$BATS_TEST_TMPDIR/own"
  kubectl apply -f - <<'YAML'
{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "few"}, "rules": [
  {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get", "list", "watch", "delete"]},
  {"apiGroups": ["apiextensions.k8s.io"], "resources": ["customresourcedefinitions"], "verbs": ["get"]}]}
---
{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "few"},
  "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "few"}, "subjects": [{"kind": "User", "name": "few"}]}
YAML
  kubectl create clusterrole some --verb=get,list --resource=jobs.batch,configmaps,serviceaccounts,networkpolicies.networking.k8s.io
  kubectl create clusterrolebinding some --clusterrole=some --user=some
  kubectl create clusterrolebinding some-few --clusterrole=few --user=some
  as nobody
  NAMESPACE=default step deploy delete
  [[ $status == 1 && ${stderr_lines[-1]} == "deploy.sh: cannot tell whether the cluster has podmonitors.monitoring.coreos.com: "* ]]
  step addon
  [[ $status == 1 && ${stderr_lines[-1]} == "addon.sh: cannot tell whether the cluster has an agent without the add-on: "* && -z $(writes) ]]
  as few
  NAMESPACE=default step deploy delete
  [[ $status == 1 && ${stderr_lines[-1]} == "deploy.sh: cannot read the objects in the namespace default: "* ]]
  NAMESPACE=default step deploy left
  ((status == 1))
  # The component that has the admission policy may never have been deployed.
  as some
  NAMESPACE=default step deploy delete
  ((status == 0))
  [[ $stderr == *"not checked: the admission policy of require-pod-identity"*"have an administrator run:"* ]]

  as few
  # Others may use the provider.
  provider=$(admin iam create-open-id-connect-provider --url "$(<"$CLUSTER_STATE/issuer")" --thumbprint-list 0000000000000000000000000000000000000000 \
    --tags Key=pod-identity-demo,Value=pod-identity-demo --query OpenIDConnectProviderArn)
  step compare delete
  [[ $status == 1 && ${stderr_lines[-1]} == "compare.sh: the OIDC provider stays, because the service accounts that may use it cannot be listed: "* ]]
  [[ -z $(writes) ]]
  admin iam delete-open-id-connect-provider --open-id-connect-provider-arn "$provider"
}
