# Prints the report of an audit as text. With $quiet, it prints only the faults.

def pad($n): . + (" " * ($n - length) // "");
def columns($head):
  [$head] + . | . as $rows
  | [range($head | length) as $i | [$rows[][$i] | length] | max] as $widths
  | $rows[] | [range(length) as $i | .[$i] | pad($widths[$i])] | join("  ") | sub(" +$"; "");

def pods: if length == 0 then "none"
  else group_by(.state) | map("\(length) \(.[0].state)") | join(", ") end;
# Whether the trust policy of a role is right.
def trust: if .trust | index("target_role_missing") then "no such role" elif .trust != [] then "wrong"
  elif .exists then "right" else "not readable" end;
def details:
  (.role.policies[] | "  policy  \(.name // "") (\(.kind)): "
    + if .actions == null then "not readable" else (.actions + [.denied[] | "denies " + .] | join(", ")) end),
  (if .role.permissions_boundary then "  boundary  \(.role.permissions_boundary)" else empty end),
  (if .session_policy then "  policy  of the association (session): limits the role's policies" else empty end),
  (if .target_role then "  target role  \(.target_role.arn)  " + (.target_role | trust) else empty end),
  (.pods[] | "  pod  \(.name)  \(.state)" + if .host_network then "  (hostNetwork)" else "" end);

def rows($via): [.[] | ["\(.namespace)/\(.service_account)", $via, (.role.arn | sub("^.*/"; "")), (.role | if .exists then trust else "no such role" end), (.pods | pods)]];

def report:
  "cluster \(.cluster.name): \(.summary.associations) associations, \(.summary.irsa) IRSA service accounts, "
    + if .kubernetes then "\(.summary.pods) pods" else "pods not read" end,
  "",
  # The rows in columns, and the details of each row below it.
  ((.associations | rows("Pod Identity")) + (.irsa | rows("IRSA"))) as $rows
  | if $rows == [] then empty else
      [$rows | columns(["SERVICE ACCOUNT", "VIA", "ROLE", "TRUST", "PODS"])] as $lines
      | $lines[0], (.associations + .irsa | to_entries[] | $lines[.key + 1], (.value | details)), "" end,
    if .node_role == [] then empty else
      ([.node_role[] | ["\(.namespace)/\(.service_account)", "\(.pods)", "\(.host_network)"]]
        | columns(["ONLY THE NODE'S ROLE", "PODS", "ON THE NODE'S NETWORK"])), "" end;

if $quiet then empty else report end,
(.findings[] | select(.severity == "fault" or ($quiet | not)) | "\(.severity): \(.id): \(.object): \(.what); \(.fix)"),
if $quiet then empty elif .summary.faults == 0 then "no faults found" else "faults: \(.summary.faults)" end
