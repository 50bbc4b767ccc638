#!/usr/bin/env bats
# deploy and its inverse, status and inspect: in a cluster of the stand-in, whose
# pods are the real program, with credentials by the associations of MiniStack.

# shellcheck source-path=SCRIPTDIR source=story.sh
load story.sh

setup_file() {
  start_story
  world cluster addon bucket role
}

teardown_file() { stop_story; }

@test "a dry run prints and changes nothing, and a missing bucket is reported first" {
  local before
  before=$(objects)
  step deploy --dry-run
  ((status == 0))
  [[ $stderr == *'$ kubectl apply --kustomize '* ]]
  [[ -z $(writes) && $(objects) == "$before" ]]
  BUCKET=nobodys step deploy
  ((status == 1))
  [[ ${stderr_lines[-1]} == "deploy.sh: there is no bucket nobodys: "* ]]
  [[ $(objects) == "$before" ]]
}

@test "without an association it shows why the pod ended, and fails" {
  step deploy
  ((status == 1))
  [[ -z $output ]]
  [[ $stderr == *"there is no association for story/uploader yet"* ]]
  [[ $stderr == *"Scheduled"*"Started container"* ]]
  [[ $stderr == *"exit code 3: not the identity that is required"* ]]
  [[ $stderr == *"the program says why (not_injected)"*"what to do: "* ]]
  [[ ${stderr_lines[-1]} == "deploy.sh: there is no association for story/uploader: create it with scripts/steps/association.sh"* ]]
}

@test "with an association the Job recovers by itself, and its first object is in the bucket" {
  world association
  step deploy
  ((status == 0))
  [[ $stderr == *"already exists: the Job pod-identity-demo"* ]]
  [[ $stderr == *"injected for pod-identity, has uploaded"* ]]
  [[ $output == s3://story-pictures/* ]]
  admin s3api head-object --bucket story-pictures --key "${output#s3://story-pictures/}"
}

@test "deployed again it is there already; with another image or other settings it is made again" {
  step deploy
  ((status == 0))
  [[ $stderr == *"job.batch/pod-identity-demo unchanged"*"already exists"* ]]
  IMAGE=registry.example/pod-identity-demo:2 step deploy
  ((status == 0))
  [[ $stderr == *"replacing the Job pod-identity-demo: its pod template has changed"*"job.batch/pod-identity-demo created"* ]]
}

@test "status shows jobs, pods, logs and objects, and changes nothing" {
  step status
  ((status == 0))
  [[ $output == *"job.batch/pod-identity-demo"*"Running"* ]]
  [[ $output == *"INFO uploaded "*" bytes)"* ]]
  [[ ${lines[-1]} =~ ^[0-9]+\ objects,\ [0-9]+\ bytes$ ]]
  [[ -z $(writes) ]]
}

@test "inspect shows association, agent, injection beside a pod without, claims and the agent's log, and changes nothing" {
  local before pod
  before=$(objects)
  step inspect
  ((status == 0))
  pod=$(kubectl --namespace story get pods --output name | tail -n 1)
  [[ $output == *'"serviceAccount": "uploader"'*'"Service": "pods.eks.amazonaws.com"'* ]]
  [[ $output == *"eks-pod-identity-agent   2         2         2"* ]]
  [[ $output == *"the other: -    env AWS_CONTAINER_CREDENTIALS_FULL_URI=http://169.254.170.23/v1/credentials"* ]]
  [[ $output == *"the other: -    volume eks-pod-identity-token: token for pods.eks.amazonaws.com"* ]]
  [[ $output != *"the other: yes  env AWS_CONTAINER"* ]]
  [[ $output == *"audience        pods.eks.amazonaws.com"*"pod             ${pod#pod/}"* ]]
  [[ $output == *"role          story-uploader"*"ok: credentials from EKS Pod Identity"* ]]
  [[ $output == *'"client-addr":"10.0.1.'*"Calling EKS Auth"* ]]
  [[ -z $(writes) && $(objects) == "$before" ]]
}

@test "inspect finds what the agent logged for a pod with an IPv6 address" {
  local address
  KUBECTL_POD_NETWORK=2001:db8:: IMAGE=registry.example/pod-identity-demo:6 step deploy
  ((status == 0))
  step inspect
  ((status == 0))
  address=$(kubectl --namespace story get pods --output json | jq -r '.items[-1].status.podIP')
  [[ $address == 2001:db8::* ]]
  [[ $output == *"\"client-addr\":\"[$address]:40000\""*"Calling EKS Auth"* ]]
}

@test "settings that the program refuses fail at once, with its own line" {
  KUBECTL_POD_ENV=INTERVAL=often IMAGE=registry.example/pod-identity-demo:3 step deploy
  ((status == 1))
  [[ $stderr == *"exit code 2: unusable settings"* ]]
  [[ $stderr == *"INTERVAL"*"often"* ]]
  [[ ${stderr_lines[-1]} == "deploy.sh: Failed: PodFailurePolicy: "* ]]
}

@test "an image that cannot be pulled is named" {
  PULL_GRACE=1 KUBECTL_MISSING_IMAGES=registry.example/gone:1 IMAGE=registry.example/gone:1 step deploy
  ((status == 1))
  [[ $stderr == *"replacing the Job pod-identity-demo: it has ended (Failed)"* ]]
  [[ $stderr == *"Failed to pull image"* ]]
  [[ ${stderr_lines[-1]} == "deploy.sh: ErrImagePull: the image registry.example/gone:1 cannot be pulled: "* ]]
}

@test "an image that can be pulled only at the second attempt is waited for" {
  KUBECTL_LATE_IMAGES=registry.example/late:1 IMAGE=registry.example/late:1 step deploy
  ((status == 0))
  [[ $stderr == *": ErrImagePull"*": ImagePullBackOff"* ]]
  [[ $output == s3://story-pictures/* ]]
}

@test "a bucket that the role may not write to is explained by the program's diagnosis" {
  admin s3api create-bucket --bucket another >"$BATS_TEST_TMPDIR/made"
  BUCKET=another KUBECTL_POD_ENV=STARTUP_GRACE=500ms DEPLOY_TIMEOUT=4 step deploy
  ((status == 1))
  [[ $stderr == *"ended with exit code 4: no credentials, or no access to S3, within STARTUP_GRACE"* ]]
  [[ $stderr == *"the program says why (s3_access_denied)"* ]]
  [[ ${stderr_lines[-1]} == "deploy.sh: pod-identity-demo-"*" has uploaded nothing within 4 s" ]]
}

@test "delete ends all of it, twice is no error, and another's namespace is refused and left" {
  step deploy delete
  ((status == 0))
  [[ $(objects) != *story* && $(objects) != *pod-identity-demo* ]]
  step deploy delete
  ((status == 0))
  [[ $stderr == *"already deleted: the namespace story"* ]]

  kubectl apply -f - <<<'{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "story"}}'
  step deploy
  ((status == 1))
  [[ ${stderr_lines[-1]} == *"a namespace story that these scripts did not create"* ]]
  step deploy delete
  ((status == 0))
  [[ $stderr == *"left alone: the namespace story"* ]]
  kubectl get namespace/story
}
