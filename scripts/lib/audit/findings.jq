# All findings of an audit: the ID, the severity and the fix of each.

def known_findings: {
  role_missing: ["fault", "create the role, or update the association to one that exists"],
  trust_no_service: ["fault", "allow the principal {\"Service\": \"pods.eks.amazonaws.com\"} to perform sts:AssumeRole and sts:TagSession in the role's trust policy"],
  trust_no_tag_session: ["fault", "allow sts:TagSession in addition to sts:AssumeRole in the role's trust policy"],
  trust_condition: ["fault", "change the condition in the role's trust policy, or associate the service account with another role"],
  target_role_missing: ["fault", "create the target role, or update the association"],
  target_trust: ["fault", "allow the associated role to perform sts:AssumeRole and sts:TagSession in the target role's trust policy"],
  target_trust_no_tag_session: ["fault", "allow sts:TagSession in addition to sts:AssumeRole in the target role's trust policy"],
  target_trust_condition: ["fault", "correct the condition in the target role's trust policy: sts:ExternalId must be the association's external ID"],
  target_role_elsewhere: ["info", "audit that account too: its trust policy and policies cannot be read from here"],
  namespace_missing: ["fault", "create the namespace, or delete the association: whoever creates the namespace can use the role"],
  service_account_missing: ["fault", "create the service account, or delete the association: whoever creates the service account can use the role"],
  not_injected: ["fault", "delete the pod so that a new one is created; restarting its container is not enough"],
  host_network: ["info", "nothing, if the pod gets its credentials; if not, run it without hostNetwork (failures were reported: issue 139 of the agent)"],
  fargate: ["fault", "use IRSA: Fargate does not support Pod Identity"],
  irsa_shadows: ["fault", "delete the pod so that a new one is created, or remove AWS_WEB_IDENTITY_TOKEN_FILE from its spec"],
  static_keys: ["fault", "remove AWS_ACCESS_KEY_ID from the pod's spec"],
  proxy: ["fault", "add 169.254.170.23,[fd00:ec2::23] to NO_PROXY"],
  no_association: ["fault", "create the association again, or delete the pod so that a new one is created without the variables"],
  agent_missing: ["fault", "install the add-on eks-pod-identity-agent"],
  agent_not_ready: ["fault", "check the agent's pod on that node: kubectl get pods -A -l app.kubernetes.io/name=eks-pod-identity-agent -o wide"],
  irsa_annotation_unused: ["info", "remove the annotation eks.amazonaws.com/role-arn: new pods use the association"],
  irsa_role_missing: ["fault", "create the role, or correct the annotation eks.amazonaws.com/role-arn"],
  irsa_role_elsewhere: ["info", "audit that account too: its trust policy and policies cannot be read from here"],
  irsa_provider_missing: ["fault", "create the OIDC provider: eksctl utils associate-iam-oidc-provider --cluster NAME --approve"],
  irsa_trust: ["fault", "allow the cluster's OIDC provider to perform sts:AssumeRoleWithWebIdentity in the role's trust policy"],
  irsa_trust_condition: ["fault", "correct the conditions on sub and aud in the role's trust policy"],
  irsa_not_injected: ["fault", "delete the pod so that a new one is created; restarting its container is not enough"],
  irsa_other_role: ["fault", "delete the pod so that a new one is created: the annotation has changed since the pod was created"],
  node_role: ["info", "no action is required if these pods do not use AWS; otherwise create an association, and then replace the pods"]
};

def finding($id; $object; $what):
  known_findings[$id] as $known | {id: $id, severity: $known[0], object: $object, what: $what, fix: $known[1]};
