# Evaluates policies as IAM does, as far as that is possible without asking IAM. A result that depends
# on something unknown is null: neither true nor false.

def list: if . == null then [] elif type == "array" then . else [.] end;

# The AWS CLI decodes policy documents, except for versions that return them as text.
def document: if type == "string" then fromjson else . end;
def statements: document | .Statement | list;

# From GetAccountAuthorizationDetails: the roles by ARN, and the documents of the managed policies by ARN.
def roles_by_arn: [.RoleDetailList[] | {key: .Arn, value: .}] | from_entries;
def documents_by_arn:
  [.Policies[] | {key: .Arn, value: ([.PolicyVersionList[] | select(.IsDefaultVersion)][0].Document)}] | from_entries;
# Objects with a namespace and a service account, by NAMESPACE/SERVICE_ACCOUNT.
def by_account: [.[] | {key: "\(.namespace)/\(.service_account)", value: .}] | from_entries;

# Whether the text matches IAM's pattern, in which * and ? are wildcards.
def like($pattern):
  if $pattern | test("[*?]") then
    test("^" + ($pattern | gsub("(?<c>[.^$+(){}|\\[\\]\\\\])"; "\\\(.c)") | gsub("\\*"; ".*") | gsub("\\?"; ".")) + "$")
  else . == $pattern end;

# Whether a statement applies to an action. IAM ignores the case of actions.
def about($action):
  ($action | ascii_downcase) as $a
  | if .NotAction then [.NotAction | list[] | ascii_downcase | . as $p | $a | like($p)] | any | not
    else [.Action | list[] | ascii_downcase | . as $p | $a | like($p)] | any end;

# The conjunction and the disjunction of values that may be null.
def both: if any(.[]; . == false) then false elif any(.[]; . == null) then null else true end;
def either: if any(.[]; . == true) then true elif any(.[]; . == null) then null else false end;

# Compares a value with a pattern: true, false, or null if this function does not know the operator.
def compare($operator; $pattern):
  if $pattern | tostring | contains("${") then null
  elif $operator == "StringEquals" then . == $pattern
  elif $operator == "StringEqualsIgnoreCase" then ascii_downcase == ($pattern | ascii_downcase)
  elif $operator | IN("StringLike", "ArnLike", "ArnEquals") then like($pattern)
  else null end;

# Evaluates one key of a condition. $context: {known: {key in lower case: value or list of values}, never: pattern
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

# Whether a trust policy allows the principal (a filter on statements) to perform the action: "yes", "no", or
# "condition" if only a condition or a Deny statement prevents it.
def trusts(principal; $action; $context):
  [statements[] | select(principal) | select(about($action))] as $all
  | [$all[] | select(.Effect == "Allow")] as $allow
  | if $allow == [] then "no"
    elif any($all[]; .Effect == "Deny" and conditions_hold($context) == true)
      or all($allow[]; conditions_hold($context) == false) then "condition"
    else "yes" end;

# The actions in a policy's statements of one effect, as text for the report.
def actions($effect):
  [statements[] | select(.Effect == $effect)
    | (.Action | list[]), (.NotAction | list[] | "all but " + .)] | unique;
