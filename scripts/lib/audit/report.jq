# Builds the report, with all findings. The input files are cluster, associations, iam, providers, pods,
# accounts and namespaces; the last three contain null if Kubernetes was not read.
include "policy";
include "findings";

# Seconds since 1970, from a number or from the formats of ISO 8601 that AWS and Kubernetes print.
def seconds:
  if type == "number" then .
  else capture("^(?<time>[0-9-]+T[0-9:]+)(\\.[0-9]+)?(?<zone>Z|[+-][0-9:]+)$")
    | (.zone | if . == "Z" then 0 else capture("(?<sign>[+-])(?<h>[0-9]{2}):?(?<m>[0-9]{2})")
        | ((.h | tonumber) * 3600 + (.m | tonumber) * 60) * (if .sign == "-" then -1 else 1 end) end) as $offset
    | (.time + "Z" | fromdateiso8601) - $offset end;

def role_name: sub("^.*/"; "");
def plural($n; $one): if $n == 1 then "1 " + $one else "\($n) \($one)s" end;

$cluster[0].cluster as $c
| ($c.arn | split(":")) as $arn | $arn[1] as $partition | $arn[4] as $account
| ($c.identity.oidc.issuer // "" | sub("^https?://"; "")) as $issuer
| ($pods[0] != null) as $looked
| ($pods[0] // []) as $all
| ([$all | group_by(.key)[] | {key: .[0].key, value: .}] | from_entries) as $pods_of
| ($iam[0] | roles_by_arn) as $roles | ($iam[0] | documents_by_arn) as $documents
| ([$accounts[0] // [] | .[] | {key: "\(.namespace)/\(.name)", value: .}] | from_entries) as $known_accounts
| ($associations[0] | map(.service_account = .serviceAccount) | by_account) as $associated

| def policy($kind; $name; $arn; $document):
    {kind: $kind, name: $name, arn: $arn}
    + if $document == null then {actions: null, denied: null}
      else {actions: ($document | actions("Allow")), denied: ($document | actions("Deny"))} end;

  def role($arn):
    $roles[$arn // ""] as $r
    | {arn: $arn, exists: ($r != null), permissions_boundary: $r.PermissionsBoundary.PermissionsBoundaryArn,
       policies: ([$r.AttachedManagedPolicies[]? | policy("attached"; .PolicyName; .PolicyArn; $documents[.PolicyArn])]
         + [$r.RolePolicyList[]? | policy("inline"; .PolicyName; null; .PolicyDocument)])};

  # EKS sends aws:SourceArn and the request tags with AssumeRole for this workload.
  def pod_identity_context($ns; $sa; $untagged):
    {known: ({"aws:sourcearn": $c.arn, "aws:sourceaccount": $account} + if $untagged then {} else {
      "aws:requesttag/eks-cluster-arn": $c.arn, "aws:requesttag/eks-cluster-name": $c.name,
      "aws:requesttag/kubernetes-namespace": $ns, "aws:requesttag/kubernetes-service-account": $sa} end),
     never: (if $untagged then "^aws:requesttag/" else "^aws:requesttag/(?!kubernetes-pod-(name|uid)$)" end)};

  def pod_identity_trust($r; $ns; $sa; $untagged):
    pod_identity_context($ns; $sa; $untagged) as $context
    | "role \($r.RoleName)" as $object
    | def ask($action): $r.AssumeRolePolicyDocument
        | trusts(.Principal == "*" or (.Principal.Service? | list | index(["pods.eks.amazonaws.com"])) != null;
            $action; $context);
      ask("sts:AssumeRole") as $assume | (if $untagged then "yes" else ask("sts:TagSession") end) as $tag
    | "its trust policy does not allow pods.eks.amazonaws.com to perform " as $lacks
    | if $assume == "no" then finding("trust_no_service"; $object; $lacks + "sts:AssumeRole")
      elif $tag == "no" then finding("trust_no_tag_session"; $object; $lacks + "sts:TagSession")
      elif [$assume, $tag] | index(["condition"])
      then finding("trust_condition"; $object; "a condition in its trust policy excludes service account \($ns)/\($sa) of this cluster")
      else empty end;

  # The role of the association assumes the target role, with the association's external ID and the same tags.
  def target_trust($t; $a):
    pod_identity_context($a.namespace; $a.serviceAccount; $a.disableSessionTags // false) as $sent
    | {known: ({"aws:principalarn": $a.roleArn, "aws:principalaccount": $account}
        + if $a.externalId then {"sts:externalid": $a.externalId} else {} end
        + ($sent.known | with_entries(select(.key | startswith("aws:requesttag/"))))),
       never: ($sent.never + if $a.externalId then "" else "|^sts:externalid$" end)} as $context
    | "role \($t.RoleName)" as $object
    | def ask($action): $t.AssumeRolePolicyDocument
        | trusts(.Principal == "*" or ([.Principal.AWS? | list[]
              | IN("*", $a.roleArn, $account, "arn:\($partition):iam::\($account):root")] | any); $action; $context);
      ask("sts:AssumeRole") as $assume | (if $a.disableSessionTags then "yes" else ask("sts:TagSession") end) as $tag
    | "its trust policy does not let \($a.roleArn) do " as $lacks
    | if $assume == "no" then finding("target_trust"; $object; $lacks + "sts:AssumeRole")
      elif $tag == "no" then finding("target_trust_no_tag_session"; $object; $lacks + "sts:TagSession")
      elif [$assume, $tag] | index(["condition"])
      then finding("target_trust_condition"; $object; "a condition in its trust policy excludes service account \($a.namespace)/\($a.serviceAccount) of this cluster"
        + if $a.externalId then ", whose external ID is \($a.externalId)" else "" end)
      else empty end;

  def irsa_trust($r; $ns; $sa; $audience):
    ($issuer | ascii_downcase) as $prefix
    | {known: {($prefix + ":sub"): "system:serviceaccount:\($ns):\($sa)", ($prefix + ":aud"): $audience},
       never: ":(sub|aud)$"} as $context
    | $r.AssumeRolePolicyDocument
    | trusts(.Principal.Federated? | list | index(["arn:\($partition):iam::\($account):oidc-provider/\($issuer)"]) != null;
        "sts:AssumeRoleWithWebIdentity"; $context)
    | "role \($r.RoleName)" as $object
    | if . == "no" then finding("irsa_trust"; $object; "its trust policy does not name this cluster's OIDC provider, \($issuer)")
      elif . == "condition"
      then finding("irsa_trust_condition"; $object; "its conditions exclude system:serviceaccount:\($ns):\($sa)")
      else empty end;

  def static_keys($object):
    if .static_keys == [] then empty
    else finding("static_keys"; $object; "AWS_ACCESS_KEY_ID is set in \(.static_keys | join(", ")): the SDKs use static keys first")
    end;

  # The findings for a pod whose service account has an association.
  def pod_findings($a):
    "pod \(.namespace)/\(.name)" as $object
    | if .fargate then finding("fargate"; $object; "it has an association, but runs on Fargate, where there is no agent")
      elif .irsa_role
      then finding("irsa_shadows"; $object; "it has IRSA's variables, for \(.irsa_role): the SDKs use these first")
      elif .injected | not then finding("not_injected"; $object; "it lacks \(.lacks | join(", ")): it "
        # Both are whole seconds. In the second of the association the webhook cannot know of it yet.
        + if (.created | seconds) <= ($a.createdAt | seconds) then "was created before the association" else "was missed by the webhook" end)
      else empty end,
      if .host_network
      then finding("host_network"; $object; "it uses the node's network") else empty end,
      static_keys($object),
      if .proxied == [] then empty
      else finding("proxy"; $object; "HTTP_PROXY covers the agent's address in \(.proxied | join(", "))") end;

  def state: if .injected then "injected" else "NOT injected" end;
  def view: {name, node, state: state, host_network};

  def association:
    . as $a | "\(.namespace)/\(.serviceAccount)" as $key | $roles[.roleArn] as $r
    | ($pods_of[$key] // []) as $mine
    | [ if .targetRoleArn == null then empty
        elif $roles[.targetRoleArn] then target_trust($roles[.targetRoleArn]; $a)
        elif .targetRoleArn | split(":")[4] == $account
        then finding("target_role_missing"; "association \($key)"; "its target role does not exist: \(.targetRoleArn)")
        else finding("target_role_elsewhere"; "association \($key)"; "its target role is in another account: \(.targetRoleArn)")
        end ] as $target
    | [ if $r then pod_identity_trust($r; .namespace; .serviceAccount; .disableSessionTags // false)
        else finding("role_missing"; "association \($key)"; "its role does not exist: \(.roleArn)") end ] as $trust
    | {id: .associationId, namespace, service_account: .serviceAccount, created: (.createdAt | seconds | floor | todate),
       session_tags: (.disableSessionTags | not), owner: .ownerArn, session_policy: .policy,
       role: (role(.roleArn) + {trust: ($trust | map(.id))}),
       target_role: (.targetRoleArn // null
         | if . then role(.) + {trust: [$target[] | select(.severity == "fault") | .id]} else null end),
       pods: [$mine[] | view],
       findings: ($trust + $target
         + if $looked | not then []
           elif $namespaces[0] | index([$a.namespace]) | not
           then [finding("namespace_missing"; "association \($key)"; "there is no namespace \($a.namespace)")]
           elif $known_accounts[$key] == null
           then [finding("service_account_missing"; "association \($key)"; "there is no service account \($key)")]
           elif $known_accounts[$key].role
           then [finding("irsa_annotation_unused"; "service account \($key)";
             "it has an association and IRSA's annotation, for \($known_accounts[$key].role)")]
           else [] end
         + [$mine[] | pod_findings($a)])};

  def irsa:
    . as $s | "\(.namespace)/\(.name)" as $key | $roles[.role] as $r | "service account \($key)" as $object
    | ($pods_of[$key] // []) as $mine
    | [ if $r then irsa_trust($r; .namespace; .name; .audience)
        elif (.role | split(":")[4]) as $owner | $owner != null and $owner != $account
        then finding("irsa_role_elsewhere"; $object; "its role is in another account: \(.role)")
        else finding("irsa_role_missing"; $object; "the role of its annotation does not exist: \(.role)") end,
        if [$providers[0][] | .Arn | endswith(":oidc-provider/\($issuer)")] | any then empty
        elif $r then finding("irsa_provider_missing"; $object; "the account has no OIDC provider for \($issuer)") else empty end ] as $trust
    | {namespace, service_account: .name, role: (role(.role) + {trust: ($trust | map(.id))}),
       pods: [$mine[] | {name, node, state: (if .irsa_role then "injected" else "NOT injected" end), host_network}],
       findings: ($trust + [$mine[] | "pod \(.namespace)/\(.name)" as $pod
         | if .irsa_role == $s.role then empty
           elif .irsa_role
           then finding("irsa_other_role"; $pod; "it was injected for \(.irsa_role), but the annotation is for \($s.role)")
           elif .injected then finding("no_association"; $pod; "it was injected for an association that no longer exists")
           else finding("irsa_not_injected"; $pod;
             "it lacks IRSA's variables: it was created before the annotation, or the webhook missed it") end,
           static_keys($pod)])};

  # Nodes that run pods with associations, but no ready agent. In EKS Auto Mode the agent is not a pod.
  def agents($under):
    [$all[] | select(.agent)] as $agents
    | if $looked and $under != [] and ($c.computeConfig.enabled // false | not) then
        if $agents == [] then finding("agent_missing"; "cluster \($c.name)"; "there are associations, but no Pod Identity Agent")
        else ([$under[] | select(.fargate or .node == null | not) | .node] | unique) - [$agents[] | select(.ready) | .node]
          | .[] | finding("agent_not_ready"; "node \(.)"; "it runs pods with associations, but has no ready agent") end
      else empty end;

  [$associations[0] | sort_by(.namespace, .serviceAccount)[] | association] as $by_association
  | [$accounts[0] // [] | .[] | select(.role and ($associated["\(.namespace)/\(.name)"] | not)) | irsa] as $by_annotation
  | ($by_association + $by_annotation | by_account) as $covered
  | [$all[] | select($covered[.key] | not)] as $rest
  | [$rest[] | select((.injected or .irsa_role or .static_keys != []) | not)] as $bare
  | [$bare | group_by(.key)[] | {namespace: .[0].namespace, service_account: .[0].service_account, pods: length,
      host_network: (map(select(.host_network)) | length)}] as $node_role
  | ([$by_association[].findings[], $by_annotation[].findings[]]
     + [$rest[] | select(.injected)
         | finding("no_association"; "pod \(.namespace)/\(.name)"; "it was injected for an association that no longer exists")]
     + [agents([$all[] | select($associated[.key])])]
     + if $node_role == [] then [] else [finding("node_role"; "cluster \($c.name)";
         "\(plural($bare | length; "pod")) of \(plural($node_role | length; "service account")) can only get the node's role")] end
     | unique_by([.id, .object, .what]) | sort_by(.severity != "fault", .id, .object)) as $findings
  | {cluster: {name: $c.name, arn: $c.arn, issuer: $issuer}, kubernetes: $looked,
     associations: [$by_association[] | del(.findings)], irsa: [$by_annotation[] | del(.findings)],
     node_role: $node_role, findings: $findings,
     summary: {associations: ($by_association | length), irsa: ($by_annotation | length), pods: ($all | length),
       faults: ([$findings[] | select(.severity == "fault")] | length)}}
