# shellcheck shell=bash
# audit.sh --can: lists the pods that are allowed to perform an action. audit.sh sources this file and sets its variables.
# shellcheck disable=SC2154

# Asks IAM once for each role and the session tags that its policies mention.
can() {
  local question decision
  run aws ec2 describe-instances --region "$AWS_REGION" --filters "Name=tag-key,Values=kubernetes.io/cluster/$CLUSTER_NAME" \
    --query 'Reservations[].Instances[].{id: InstanceId, name: PrivateDnsName, profile: IamInstanceProfile.Arn, metadata: MetadataOptions}' \
    --output json >"$scratch/instances" || cannot_audit "the nodes' roles cannot be read (see above): allow ec2:DescribeInstances"
  with_files --slurpfile instances "$scratch/instances" --slurpfile report "$scratch/report" \
    --arg action "$action" --arg resource "$resource" -f "$here/can.jq" >"$scratch/can" ||
    cannot_audit "jq could not prepare the simulations: see its message above"
  : >"$scratch/answers"
  while IFS= read -r question; do
    decision=$(simulate "$question" </dev/null) ||
      cannot_audit "IAM did not simulate the policies (see above): allow iam:SimulatePrincipalPolicy and iam:SimulateCustomPolicy"
    jq -c --argjson decision "$decision" '. + $decision' <<<"$question" >>"$scratch/answers"
  done < <(jq -c '.questions[]' "$scratch/can")
  jq -s --arg action "$action" --arg resource "$resource" --slurpfile can "$scratch/can" '{
      action: $action, resource: $resource,
      pods: [.[] | select(.decision != "denied") | . as $a | .pods[] + {role: $a.role, via: $a.via, depends_on: $a.depends_on}],
      not_asked: $can[0].skipped}' "$scratch/answers" >"$scratch/answer"
  if [[ -n $json ]]; then
    cat "$scratch/answer"
  else
    jq -r '(.pods[] | "\(.namespace)/\(.name)  (service account \(.service_account))  \(.via)  \(.role)"
        + if .depends_on == [] then "" else "  if the condition on \(.depends_on | join(", ")) holds" end),
      "pods that may perform \(.action) on \(.resource): \(.pods | length)"' "$scratch/answer"
    jq -r '.not_asked[] | "not asked about, because they \(.reason): \(.pods)"' "$scratch/answer" >&2
  fi
}

# simulate QUESTION: prints {"decision": "allowed" or "denied" or "depends", "depends_on": [keys]}. If the
# association has a session policy, both that and the role's policies must allow the action.
simulate() {
  local session
  local -a entries arguments=(--action-names "$action" --resource-arns "$resource" --output json)
  mapfile -t entries < <(jq -r '.tags | to_entries[]
    | "ContextKeyName=aws:PrincipalTag/\(.key),ContextKeyType=string,ContextKeyValues=\(.value)"' <<<"$1")
  ((${#entries[@]} == 0)) || entries=(--context-entries "${entries[@]}")
  session=$(jq -r '.session_policy // empty' <<<"$1")
  : >"$scratch/simulated"
  run aws iam simulate-principal-policy --policy-source-arn "$(jq -r .role <<<"$1")" "${arguments[@]}" \
    "${entries[@]+"${entries[@]}"}" >>"$scratch/simulated" || return
  if [[ -n $session ]]; then
    run aws iam simulate-custom-policy --policy-input-list "$session" "${arguments[@]}" \
      "${entries[@]+"${entries[@]}"}" >>"$scratch/simulated" || return
  fi
  jq -c -s '[.[].EvaluationResults[]]
    | ([.[] | select(.EvalDecision != "allowed") | .MissingContextValues // []]) as $open
    | if $open == [] then {decision: "allowed", depends_on: []}
      elif any(.[]; .EvalDecision == "explicitDeny") or any($open[]; . == []) then {decision: "denied", depends_on: []}
      else {decision: "depends", depends_on: ($open | add | unique)} end' "$scratch/simulated"
}
