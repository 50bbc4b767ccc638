# Reduces the output of `kubectl get pods -A -o json` to what an audit needs of each pod that has not ended.
# The webhook injects its variables into every container except those that the pod's annotation names, and
# does not replace variables that already exist.
include "policy";

def agent_v4: "169.254.170.23";

# Only the variables that the audit needs, because a container may have hundreds. The value is null if the manifest
# does not contain it (valueFrom).
def environment:
  reduce (.env // [] | .[] | select(.name[0:4] == "AWS_" or (.name | endswith("PROXY") or endswith("proxy")))) as $e
    ({}; .[$e.name] = ($e.value // (if $e.valueFrom then null else "" end)));

def number: split(".") | map(tonumber) | ((.[0] * 256 + .[1]) * 256 + .[2]) * 256 + .[3];
# Whether an entry of NO_PROXY covers the agent's address.
def covers_agent($v6):
  if . == "*" then true
  elif $v6 then test("^\\[?fd00:ec2:")
  elif test("^[0-9]+(\\.[0-9]+){3}/[0-9]+$") then
    split("/") | pow(2; 32 - (.[1] | tonumber)) as $size
    | (.[0] | number / $size | floor) == (agent_v4 | number / $size | floor)
  else sub(":[0-9]+$"; "") == agent_v4 end;

# Whether requests to the agent go to a proxy instead. The agent uses plain HTTP, so HTTP_PROXY applies to it unless
# NO_PROXY covers its address.
def proxied:
  environment as $e
  | [$e | to_entries[] | select(.key | IN("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")) | select(.value != "")] != []
    and all("NO_PROXY", "no_proxy"; . as $name | $e
      | if has($name) and .[$name] == null then false # the value is unknown, and may be correct
        else ($e.AWS_CONTAINER_CREDENTIALS_FULL_URI | contains("[")) as $v6
          | [.[$name] // "" | splits("[, ]+") | select(. != "") | covers_agent($v6)] | any | not
        end);

# What a container lacks of the injected variables.
def lacks:
  environment as $e
  | if ($e | has("AWS_CONTAINER_CREDENTIALS_FULL_URI") | not) then "AWS_CONTAINER_CREDENTIALS_FULL_URI"
    elif ($e.AWS_CONTAINER_CREDENTIALS_FULL_URI // "" | test("^http://(169\\.254\\.170\\.23|\\[fd00:ec2::23\\])/") | not)
    then "the agent's address in AWS_CONTAINER_CREDENTIALS_FULL_URI"
    else empty end,
    if ($e | has("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")) then empty else "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE" end;

[.items[]
  | select(.status.phase | IN("Succeeded", "Failed") | not)
  | (.metadata.annotations["eks.amazonaws.com/skip-containers"] // "" | [splits(" *, *")]) as $skipped
  | (.spec.serviceAccountName // "default") as $account
  | [.spec.containers[], (.spec.initContainers // [] | .[] | select(.restartPolicy == "Always"))
      | select(.name as $n | $skipped | index([$n]) | not)] as $containers
  | [.spec.volumes // [] | .[] | .projected.sources // [] | .[] | .serviceAccountToken.audience // empty] as $audiences
  | ([$containers[] | lacks] + (if $audiences | index(["pods.eks.amazonaws.com"]) then [] else ["the token's volume"] end)
      | unique) as $lacks
  | {
      key: "\(.metadata.namespace)/\($account)",
      namespace: .metadata.namespace, name: .metadata.name, uid: .metadata.uid, service_account: $account,
      created: .metadata.creationTimestamp, node: .spec.nodeName,
      host_network: (.spec.hostNetwork // false),
      fargate: (.metadata.labels // {} | has("eks.amazonaws.com/fargate-profile")),
      injected: ($lacks == []), lacks: $lacks,
      irsa_role: ([$containers[] | environment | select(has("AWS_WEB_IDENTITY_TOKEN_FILE")) | .AWS_ROLE_ARN // empty][0]),
      static_keys: [$containers[] | select(environment | has("AWS_ACCESS_KEY_ID")) | .name],
      proxied: (if $lacks == [] then [$containers[] | select(proxied) | .name] else [] end),
      # The add-on's agent is in kube-system, but people install it in other namespaces too.
      agent: (.metadata.labels["app.kubernetes.io/name"] == "eks-pod-identity-agent"),
      ready: ([.status.conditions // [] | .[] | select(.type == "Ready") | .status] == ["True"])
    }]
