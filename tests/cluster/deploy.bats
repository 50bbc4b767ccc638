#!/usr/bin/env bats
# deploy and its inverse: what it says while it waits, and where it fails. The tests build on each other.

# shellcheck disable=SC2030,SC2031,SC2154 # each test is a subshell; status, output and stderr are of bats' run
# shellcheck source-path=SCRIPTDIR source=cluster.bash
load cluster

setup_file() {
  export FILLED=$BATS_FILE_TMPDIR/filled
  world story
}

teardown_file() {
  kube delete namespace story --ignore-not-found
  end_world
}

# another_image NAME: the node has the program's image under this name too.
another_image() {
  containers images tag --force localhost/pod-identity-demo:test "localhost/$1" >"$BATS_TEST_TMPDIR/tagged"
}

@test "a dry run prints and changes nothing, and a missing bucket is reported first" {
  local before
  before=$(objects)
  step deploy --dry-run
  ((status == 0))
  [[ $stderr == *'$ kubectl apply --kustomize '* ]]
  [[ -z $(writes) && $(objects) == "$before" ]]
  export BUCKET=nobodys
  step deploy
  export BUCKET=story-pictures
  ((status == 1))
  [[ ${stderr_lines[-1]} == "deploy.sh: there is no bucket nobodys: "* ]]
  [[ $(objects) == "$before" ]]
}

@test "without an association it shows why the pod ended, and fails" {
  step deploy
  ((status == 1))
  [[ -z $output ]]
  [[ $stderr == *"there is no association for story/uploader yet"* ]]
  [[ $stderr == *"Scheduled"* && $stderr == *"Started"* ]]
  [[ $stderr == *"exit code 3: not the identity that is required"* ]]
  [[ $stderr == *"the program says why (not_injected)"*"what to do: "* ]]
  [[ ${stderr_lines[-1]} == "deploy.sh: there is no association for story/uploader: create it with scripts/steps/association.sh"* ]]
}

@test "with an association the Job recovers by itself, and its first object is in the bucket" {
  associate story
  step deploy
  ((status == 0))
  [[ $stderr == *"already exists: the Job pod-identity-demo"* ]]
  [[ $stderr == *"injected for pod-identity, has uploaded"* ]]
  [[ $output == s3://story-pictures/* ]]
  aws s3api head-object --bucket story-pictures --key "${output#s3://story-pictures/}"
}

@test "deployed again it is there already; with another image or other settings it is made again" {
  local older
  step deploy
  ((status == 0))
  [[ $stderr == *"job.batch/pod-identity-demo unchanged"*"already exists"* ]]
  older=$(newest story)
  another_image pod-identity-demo:2
  export IMAGE=localhost/pod-identity-demo:2
  step deploy
  ((status == 0))
  [[ $stderr == *"replacing the Job pod-identity-demo: its pod template has changed"*"job.batch/pod-identity-demo created"* ]]
  [[ $output == "s3://story-pictures/$(newest story)/"* && $output != *"/$older/"* ]]

  older=$(newest story)
  SETTINGS=INTERVAL=3s step deploy
  ((status == 0))
  [[ $stderr == *"replacing the Job pod-identity-demo: its settings have changed"*"job.batch/pod-identity-demo created"* ]]
  [[ $output == "s3://story-pictures/$(newest story)/"* && $output != *"/$older/"* ]]
}

@test "settings that the program refuses fail at once, with its own line" {
  export SETTINGS=INTERVAL=often
  step deploy
  ((status == 1))
  [[ $stderr == *"exit code 2: unusable settings"* ]]
  [[ $stderr == *"INTERVAL"*"often"* ]]
  [[ ${stderr_lines[-1]} == "deploy.sh: Failed: PodFailurePolicy: "* ]]
}

@test "an image that cannot be pulled is named" {
  export PULL_GRACE=1 IMAGE=localhost/gone:1
  step deploy
  ((status == 1))
  [[ $stderr == *"replacing the Job pod-identity-demo: it has ended (Failed)"* ]]
  [[ $stderr == *"Failed to pull image"* ]]
  [[ ${stderr_lines[-1]} == "deploy.sh: ErrImagePull: the image localhost/gone:1 cannot be pulled: "* ]]
}

@test "an image that can be pulled only at the second attempt is waited for" {
  export IMAGE=localhost/late:1
  local said=$BATS_TEST_TMPDIR/said object
  late() {
    eventually 120 grep -q ": ImagePullBackOff" "$said"
    another_image late:1
  }
  : >"$said"
  late >"$BATS_TEST_TMPDIR/late" 2>&1 3>&- &
  object=$(in_cluster "$project/scripts/steps/deploy.sh" 2>"$said") || { cat "$said" "$BATS_TEST_TMPDIR/late" && false; }
  [[ $object == s3://story-pictures/* ]]
}

@test "a bucket that the role may not write to is explained by the program's diagnosis" {
  aws s3api create-bucket --bucket another >"$BATS_TEST_TMPDIR/made"
  # On a busy machine, it takes some time until the first pod has ended.
  export BUCKET=another SETTINGS=STARTUP_GRACE=500ms DEPLOY_TIMEOUT=60
  step deploy
  ((status == 1))
  [[ $stderr == *"ended with exit code 4: no credentials, or no access to S3, within STARTUP_GRACE"* ]]
  [[ $stderr == *"the program says why (s3_access_denied)"* ]]
  [[ ${stderr_lines[-1]} == "deploy.sh: pod-identity-demo-"*" has uploaded nothing within 60 s"* ]]
}

@test "a bucket whose own policy denies the upload is explained by what S3 says" {
  export SETTINGS=STARTUP_GRACE=500ms DEPLOY_TIMEOUT=60
  aws s3api put-bucket-policy --bucket story-pictures --policy '{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::story-pictures/*"}]}'
  step deploy
  aws s3api delete-bucket-policy --bucket story-pictures
  ((status == 1))
  [[ $stderr == *"the program says why (s3_access_denied)"*"S3 says: AccessDenied: "*"with an explicit deny in a resource-based policy"*"what to do: s3:PutObject on arn:aws:s3:::story-pictures/*: change the bucket's policy, which denies it explicitly"* ]]
}

@test "the policy of docs/permissions.md is enough to deploy, and to delete" {
  local policy keys key secret token administrator=("${within[@]}")
  policy=$(documented_policy | sed -E 's|:pod-identity-demo-\*|:story-*|; s|/pod-identity-demo(["/])|/cluster\1|')
  keys=$(session_of deployer "$policy" aws)
  read -r key secret token <<<"$keys"
  within+=(env "AWS_ACCESS_KEY_ID=$key" "AWS_SECRET_ACCESS_KEY=$secret" "AWS_SESSION_TOKEN=$token")
  step deploy delete
  ((status == 0))
  step deploy
  [[ $status == 0 && $output == s3://story-pictures/* ]]
  within=("${administrator[@]}")
  end_session deployer aws
}

@test "delete ends all of it, twice is no error, and another's namespace is refused and left" {
  step deploy delete
  ((status == 0))
  [[ $(objects) != *story* && $(objects) != *pod-identity-demo* ]]
  step deploy delete
  ((status == 0))
  [[ $stderr == *"already deleted: the namespace story"* ]]

  kube apply --filename - <<<'{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "story"}}'
  step deploy
  ((status == 1))
  [[ ${stderr_lines[-1]} == *"a namespace story that these scripts did not create"* ]]
  step deploy delete
  ((status == 0))
  [[ $stderr == *"left alone: the namespace story"* ]]
  kube get namespace/story
}
