# How IAM reads policies, as far as it can be told without asking IAM. What depends
# on something that is not known here is null: neither true nor false.

def list: if . == null then [] elif type == "array" then . else [.] end;

# The AWS CLI decodes policy documents; a version that does not leaves text.
def document: if type == "string" then fromjson else . end;
def statements: document | .Statement | list;

# Out of GetAccountAuthorizationDetails: roles by ARN, and the managed policies' documents by ARN.
def roles_by_arn: [.RoleDetailList[] | {key: .Arn, value: .}] | from_entries;
def documents_by_arn:
  [.Policies[] | {key: .Arn, value: ([.PolicyVersionList[] | select(.IsDefaultVersion)][0].Document)}] | from_entries;
# What has a namespace and a service account, by these two.
def by_account: [.[] | {key: "\(.namespace)/\(.service_account)", value: .}] | from_entries;

# Whether the text matches IAM's pattern, in which * and ? are wildcards.
def like($pattern):
  if $pattern | test("[*?]") then
    test("^" + ($pattern | gsub("(?<c>[.^$+(){}|\\[\\]\\\\])"; "\\\(.c)") | gsub("\\*"; ".*") | gsub("\\?"; ".")) + "$")
  else . == $pattern end;

# Whether a statement is about an action; IAM compares actions without case.
def about($action):
  ($action | ascii_downcase) as $a
  | if .NotAction then [.NotAction | list[] | ascii_downcase | . as $p | $a | like($p)] | any | not
    else [.Action | list[] | ascii_downcase | . as $p | $a | like($p)] | any end;

def both: if any(.[]; . == false) then false elif any(.[]; . == null) then null else true end;
def either: if any(.[]; . == true) then true elif any(.[]; . == null) then null else false end;

# One value against one operator's pattern: true, false, or null where this does not know the operator.
def compare($operator; $pattern):
  if $pattern | tostring | contains("${") then null
  elif $operator == "StringEquals" then . == $pattern
  elif $operator == "StringEqualsIgnoreCase" then ascii_downcase == ($pattern | ascii_downcase)
  elif $operator | IN("StringLike", "ArnLike", "ArnEquals") then like($pattern)
  else null end;

# One key of a condition. $context: {known: {key in lower case: value or list of values}, never: pattern
# of keys that are certainly absent}.
def condition($operator; $key; $patterns; $context):
  ($key | ascii_downcase) as $k
  | ($operator | sub("^For(Any|All)Values?:"; "") | sub("IfExists$"; "")) as $plain
  | ($plain | sub("Not"; "")) as $positive
  | if $context.known | has($k) then $context.known[$k] | list
    elif $k | test($context.never) then []
    else null end
  | if . == null then null
    elif $plain == "Null" then (. == []) == ($patterns | list[0] | tostring == "true")
    elif . == [] then ($plain != $positive) or ($operator | test("IfExists$|^ForAllValues"))
    else [.[] as $v | $patterns | list[] as $p | $v | compare($positive; $p)] | either
      | if . != null and $plain != $positive then not else . end
    end;

def conditions_hold($context):
  [.Condition // {} | to_entries[] | .key as $operator | .value | to_entries[]
    | condition($operator; .key; .value; $context)] | both;

# Whether a trust policy lets the principal (a filter on statements) do the action: "yes",
# "condition" (it would, but for a condition), or "no".
def trusts(principal; $action; $context):
  [statements[] | select(principal) | select(about($action))] as $all
  | [$all[] | select(.Effect == "Allow")] as $allow
  | if $allow == [] then "no"
    elif any($all[]; .Effect == "Deny" and conditions_hold($context) == true)
      or all($allow[]; conditions_hold($context) == false) then "condition"
    else "yes" end;

# What a policy's statements of one effect name, for a person to read.
def actions($effect):
  [statements[] | select(.Effect == $effect)
    | (.Action | list[]), (.NotAction | list[] | "all but " + .)] | unique;
