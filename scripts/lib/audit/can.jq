# Lists the questions to ask IAM, in order to find the pods that may perform $action on $resource: one question for
# each role and each set of values of the session tags that its policies mention. The input files are those of
# report.jq, and in addition $report, its result, and $instances, the EC2 instances of the nodes.
include "policy";

def tag($c; $pod): {
  "eks-cluster-arn": $c.arn, "eks-cluster-name": $c.name, "kubernetes-namespace": $pod.namespace,
  "kubernetes-service-account": $pod.service_account, "kubernetes-pod-name": $pod.name, "kubernetes-pod-uid": $pod.uid};

# Replaces the policy variables of tags by the tags' values, and all other policy variables by a wildcard.
def resolve($tags):
  reduce ($tags | to_entries[]) as $t (.; gsub("\\$\\{aws:PrincipalTag/" + $t.key + "[^}]*\\}"; $t.value; "i"))
  | gsub("\\$\\{[^}]*\\}"; "*");

# Whether an Allow statement might match the question. If none does, the answer is no, and IAM is not asked.
def candidate($documents; $tags):
  any($documents[] | . // {Statement: {Effect: "Allow", Action: "*", Resource: "*"}} | statements[];
    .Effect == "Allow" and about($action)
    and (.NotResource != null or any(.Resource | list[]; resolve($tags) as $p | $resource | like($p))));

$report[0] as $r | ($pods[0] // []) as $all
| ($iam[0] | roles_by_arn) as $roles | ($iam[0] | documents_by_arn) as $texts
| ($r.associations | by_account) as $associated | ($r.irsa | by_account) as $annotated
# The name of a node is the private DNS name or the ID of its instance. A pod that does not use the node's network
# can always use IMDSv1, but needs a hop limit of at least 2 to use IMDSv2.
| ([$roles[] | .Arn as $role | .InstanceProfileList // [] | .[] | {key: .Arn, value: $role}] | from_entries) as $profiles
| ([$instances[0][] | select($profiles[.profile // ""] and .metadata.HttpEndpoint != "disabled")
    | (.metadata.HttpTokens == "optional" or (.metadata.HttpPutResponseHopLimit // 2) >= 2) as $reachable
    | {role: $profiles[.profile], reachable: $reachable} as $node
    | {key: (.name, .id), value: $node} | select(.key)] | from_entries) as $node_roles
# The role whose credentials each pod gets from the default credential provider chain of the SDKs.
| [$all[] | . as $pod | $associated[.key] as $a | $annotated[.key] as $s
    | if .static_keys != [] then {skip: "have static keys"}
      elif .irsa_role and $s and $s.role.trust != [] then {skip: "have a role that does not trust them"}
      elif .irsa_role then {role: .irsa_role, via: "IRSA", tagged: false}
      elif .injected then
        if $a == null or $a.role.trust != [] or (($a.target_role.trust // []) != []) or .fargate or .proxied != []
        then {skip: "cannot get their association's credentials"}
        else {role: ($a.target_role // $a.role).arn, via: "Pod Identity", tagged: $a.session_tags,
              session_policy: $a.session_policy} end
      else $node_roles[.node // ""] as $node
        | if $node == null then {skip: "run on nodes that are not EC2 instances with a role"}
          elif .host_network or $node.reachable then {role: $node.role, via: "the node's role", tagged: false}
          else {skip: "cannot reach the node's metadata"} end
      end
    | if .role and $roles[.role] == null then {skip: "have a role of another account"} else . end
    | . + {pod: $pod}] as $identities
# The policies of a role are the same for all pods, so read them only once.
| ([$identities[] | .role // empty] | unique | map($roles[.] as $role
    | ([$role.AttachedManagedPolicies[]? | $texts[.PolicyArn]] + [$role.RolePolicyList[]? | .PolicyDocument]) as $documents
    | {key: ., value: {documents: $documents, mentions: ($documents | tostring | ascii_downcase)}}) | from_entries) as $policies
| [$identities[] | select(.role)
    | $policies[.role] as $p
    | (if .tagged then tag($r.cluster; .pod) else {} end
        | with_entries(select(.key as $k | $p.mentions | contains("aws:principaltag/" + $k)))) as $tags
    | {role, via, tags: $tags, session_policy, pod: (.pod | {namespace, service_account, name})}]
| [group_by([.role, .via, .tags, .session_policy])[] | .[0] as $one
    | select(candidate($policies[$one.role].documents; $one.tags))
    | {role: $one.role, via: $one.via, session_policy: $one.session_policy, tags: $one.tags, pods: map(.pod)}]
| {questions: ., skipped: ([$identities[] | select(.skip)] | group_by(.skip) | map({reason: .[0].skip, pods: length}))}
