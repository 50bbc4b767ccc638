#!/usr/bin/env bats
# Prometheus's own evaluation of the alert for credentials that expire, over series as the program has them.

bats_require_minimum_version 1.5.0
repository=$(CDPATH='' cd -- "$BATS_TEST_DIRNAME/../../.." && pwd -P)

setup() {
  cd "$BATS_TEST_TMPDIR" || return
  awk 'inside { sub(/^  /, ""); print } /^spec:$/ { inside = 1 }' "$repository/k8s/components/monitoring/rules.yaml" >rules.yaml
}

# at fires|silent EXPIRY FAILURES TIME...: at these times, the alert fires or is silent. The series have
# a value each half minute, in Prometheus's notation: when the credentials expire, and how many refreshes failed.
at() {
  local firing=0 time labels='{namespace="n", pod="p"}'
  [[ $1 == silent ]] || firing=1
  {
    cat <<END
rule_files: [rules.yaml]
evaluation_interval: 30s
tests:
  - interval: 30s
    input_series:
      - {series: 'pod_identity_demo_credentials_expiry_timestamp_seconds$labels', values: '$2'}
      - {series: 'pod_identity_demo_interval_seconds$labels', values: '30x900'}
      - {series: 'pod_identity_demo_credentials_refreshes_total{namespace="n", pod="p", result="failure"}', values: '$3'}
      - {series: 'pod_identity_demo_credentials_refreshes_total{namespace="n", pod="p", result="success"}', values: '1+1x900'}
    promql_expr_test:
END
    for time in "${@:4}"; do
      printf '      - expr: count(ALERTS{alertname="PodIdentityDemoCredentialsExpiring", alertstate="firing"}) or vector(0)\n'
      printf '        eval_time: %s\n        exp_samples: [{value: %s}]\n' "$time" "$firing"
    done
  } >test.yaml
  "$repository/.tools/promtool/bin/promtool" test rules test.yaml
}

@test "the hourly credentials of a target role, which the agent renews seconds before their end, are no fault" {
  at silent '3600x119 7200x119 10800x119 14400x119' '0x900' 30m 51m 55m 59m 61m 1h55m 2h58m30s
}

@test "credentials of six hours that are renewed in their last quarter of an hour are no fault" {
  at silent '21600x690 43200x200' '0x900' 4h 5h44m 5h46m 5h55m 6h30m
}

@test "credentials of six hours that nothing has renewed are one, also while the agent answers with the old ones" {
  at silent '21600x900' '0x900' 5h49m
  at fires '21600x900' '0x900' 5h52m 5h59m 6h5m
}

@test "a refresh that fails is one, whatever the credentials' lifetime" {
  at fires '3600x200' '0x100 1+1x100' 53m 58m
  at fires '21600x900' '0x690 1+1x200' 5h53m
}

@test "hourly credentials that have expired are one" {
  at fires '3600x300' '0x300' 1h2m
}
