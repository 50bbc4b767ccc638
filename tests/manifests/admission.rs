//! Evaluates the CEL of the `ValidatingAdmissionPolicy` for pods as the webhooks return them.
//! Unlike the API server, the interpreter does not check types.

use std::collections::HashMap;

use cel::{Context, Program, Value as Cel, to_value};
use serde_json::{Value, json};

use crate::built::{all, filled, list};
use crate::restricted::set_pointer;

const URI: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
const POD_IDENTITY: &str = "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount";
const IRSA: &str = "/var/run/secrets/eks.amazonaws.com/serviceaccount";

/// A pod as the Job controller creates it from an overlay.
fn pod(overlay: &str) -> Value {
    let mut pod = filled(overlay).job_pod().clone();
    pod["metadata"]["namespace"] = "pictures".into();
    pod["metadata"]["generateName"] = "pod-identity-demo-".into();
    pod
}

fn push(list: &mut Value, element: Value) {
    if list.is_null() {
        *list = json!([]);
    }
    list.as_array_mut().expect("a list").push(element);
}

fn set(pod: &mut Value, container: usize, name: &str, value: &str) {
    let env = &mut pod["spec"]["containers"][container]["env"];
    push(env, json!({ "name": name, "value": value }));
}

/// Adds a projected token, and mounts it in a container.
fn project(pod: &mut Value, container: usize, name: &str, audience: &str, path: &str) {
    let token = json!({ "audience": audience, "expirationSeconds": 86400, "path": "token" });
    let sources = json!([{ "serviceAccountToken": token }]);
    push(&mut pod["spec"]["volumes"], json!({ "name": name, "projected": { "sources": sources } }));
    let mounts = &mut pod["spec"]["containers"][container]["volumeMounts"];
    push(mounts, json!({ "name": name, "mountPath": path, "readOnly": true }));
}

/// Adds what EKS's webhook adds for an association.
fn inject(pod: &mut Value, container: usize) {
    set(pod, container, URI, "http://169.254.170.23/v1/credentials");
    set(pod, container, TOKEN, &format!("{POD_IDENTITY}/eks-pod-identity-token"));
    project(pod, container, "eks-pod-identity-token", "pods.eks.amazonaws.com", POD_IDENTITY);
}

/// Adds what the webhook adds for the annotation of IRSA.
fn inject_irsa(pod: &mut Value) {
    set(pod, 0, "AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/irsa");
    set(pod, 0, "AWS_WEB_IDENTITY_TOKEN_FILE", &format!("{IRSA}/token"));
    project(pod, 0, "aws-iam-token", "sts.amazonaws.com", IRSA);
}

fn injected() -> Value {
    let mut pod = pod("eks");
    inject(&mut pod, 0);
    pod
}

/// The messages for a pod that the policy rejects; none for a pod that it admits.
fn refusals(pod: &Value) -> Vec<String> {
    let policy = &filled("eks").only("ValidatingAdmissionPolicy")["spec"];
    let mut variables: HashMap<String, Cel> = HashMap::new();
    let evaluate = |expression: &Value, variables: &HashMap<String, Cel>| {
        let expression = expression.as_str().expect("an expression");
        let program = Program::compile(expression).expect("CEL");
        let mut context = Context::default();
        context.add_variable_from_value("object", to_value(pod).expect("a pod"));
        context.add_variable_from_value("variables", variables.clone());
        program.execute(&context).unwrap_or_else(|error| panic!("{error}: {expression}"))
    };
    for variable in list(&policy["variables"]) {
        let value = evaluate(&variable["expression"], &variables);
        variables.insert(variable["name"].as_str().expect("a name").to_owned(), value);
    }
    let violated = list(&policy["validations"]).iter().filter(|validation| {
        match evaluate(&validation["expression"], &variables) {
            Cel::Bool(kept) => !kept,
            other => panic!("not a Boolean: {other:?}"),
        }
    });
    let message = |validation: &Value| {
        let text = validation["message"].as_str().expect("a message").to_owned();
        if validation["messageExpression"].is_null() {
            return text;
        }
        match evaluate(&validation["messageExpression"], &variables) {
            Cel::String(text) => text.to_string(),
            other => panic!("not a string: {other:?}"),
        }
    };
    violated.map(message).collect()
}

/// Asserts that the policy rejects the pod with a message that contains this text.
#[track_caller]
fn refused(pod: &Value, text: &str) {
    let refusals = refusals(pod);
    assert!(refusals.iter().any(|said| said.contains(text)), "{text}: {refusals:#?}");
}

#[test]
fn an_injected_pod_is_admitted() {
    for overlay in ["eks", "fleet"] {
        let mut pod = pod(overlay);
        inject(&mut pod, 0);
        assert_eq!(refusals(&pod), [""; 0]);
    }
    let mut ipv6 = pod("eks");
    set(&mut ipv6, 0, URI, "http://[fd00:ec2::23]/v1/credentials");
    set(&mut ipv6, 0, TOKEN, &format!("{POD_IDENTITY}/eks-pod-identity-token"));
    project(&mut ipv6, 0, "token", "pods.eks.amazonaws.com", POD_IDENTITY);
    assert_eq!(refusals(&ipv6), [""; 0]);
}

#[test]
fn a_pod_that_the_webhook_missed_is_rejected_with_a_fix() {
    for overlay in ["eks", "fleet"] {
        let refusals = refusals(&pod(overlay));
        assert_eq!(refusals.len(), 2, "{refusals:#?}");
        for said in refusals {
            let who = "service account uploader in namespace pictures";
            assert!(said.contains(who) && said.contains("Create the association"), "{said}");
        }
    }
}

#[test]
fn an_incomplete_injection_is_rejected() {
    let mut no_volume = pod("eks");
    set(&mut no_volume, 0, URI, "http://169.254.170.23/v1/credentials");
    set(&mut no_volume, 0, TOKEN, &format!("{POD_IDENTITY}/eks-pod-identity-token"));
    refused(&no_volume, TOKEN);

    let mut no_variables = pod("eks");
    project(&mut no_variables, 0, "token", "pods.eks.amazonaws.com", POD_IDENTITY);
    refused(&no_variables, URI);
    refused(&no_variables, TOKEN);

    let mut no_uri = no_variables.clone();
    set(&mut no_uri, 0, TOKEN, &format!("{POD_IDENTITY}/eks-pod-identity-token"));
    assert_eq!(refusals(&no_uri).len(), 1);
    refused(&no_uri, URI);

    let mut not_mounted = injected();
    set_pointer(&mut not_mounted, "/spec/containers/0/volumeMounts", json!([]));
    refused(&not_mounted, TOKEN);
    not_mounted["spec"]["containers"][0]
        .as_object_mut()
        .expect("a container")
        .remove("volumeMounts");
    refused(&not_mounted, TOKEN);

    let mut elsewhere = injected();
    set_pointer(&mut elsewhere, "/spec/containers/0/volumeMounts/0/mountPath", "/elsewhere".into());
    refused(&elsewhere, TOKEN);
}

#[test]
fn a_token_for_another_audience_or_an_agent_at_another_address_is_rejected() {
    let audience = "/spec/volumes/0/projected/sources/0/serviceAccountToken/audience";
    let mut pod = injected();
    set_pointer(&mut pod, audience, "sts.amazonaws.com".into());
    refused(&pod, "pods.eks.amazonaws.com");
    pod.pointer_mut("/spec/volumes/0/projected/sources/0/serviceAccountToken")
        .and_then(Value::as_object_mut)
        .expect("a token")
        .remove("audience");
    refused(&pod, "pods.eks.amazonaws.com");

    for uri in ["http://169.254.170.2/v1/credentials", "http://169.254.170.23.example/", ""] {
        let mut pod = injected();
        for entry in pod["spec"]["containers"][0]["env"].as_array_mut().expect("a list") {
            if entry["name"] == URI {
                entry["value"] = uri.into();
            }
        }
        refused(&pod, URI);
    }
}

#[test]
fn an_identity_that_precedes_pod_identity_in_the_chain_is_rejected() {
    let mut irsa = pod("eks");
    inject_irsa(&mut irsa);
    assert_eq!(refusals(&irsa).len(), 3);
    let mut both = injected();
    inject_irsa(&mut both);
    assert_eq!(refusals(&both).len(), 1);
    refused(&both, "eks.amazonaws.com/role-arn");
    let mut keys = injected();
    set(&mut keys, 0, "AWS_ACCESS_KEY_ID", "AKIDEXAMPLE");
    refused(&keys, "AWS_ACCESS_KEY_ID");
}

#[test]
fn only_the_container_of_the_program_is_checked() {
    let sidecar = json!({ "name": "sidecar", "image": "sidecar" });
    let mut pod = pod("eks");
    push(&mut pod["spec"]["containers"], sidecar.clone());
    inject(&mut pod, 1);
    refused(&pod, URI);
    inject(&mut pod, 0);
    assert_eq!(refusals(&pod), [""; 0]);
    // A sidecar needs neither the injection nor any variable.
    let mut pod = injected();
    push(&mut pod["spec"]["containers"], sidecar);
    assert_eq!(refusals(&pod), [""; 0]);
    // A pod without the program's container is rejected.
    set_pointer(&mut pod, "/spec/containers/0/name", "renamed".into());
    refused(&pod, URI);
    // Lists and names are optional.
    refused(
        &json!({ "metadata": {}, "spec": { "containers": [{ "name": "pod-identity-demo" }] } }),
        "default",
    );
}

/// Whether labels satisfy a selector.
fn selects(selector: &Value, labels: &Value) -> bool {
    let mut equal = selector["matchLabels"].as_object().into_iter().flatten();
    let expressions = list(&selector["matchExpressions"]);
    equal.all(|(label, value)| labels[label] == *value)
        && expressions.iter().all(|expression| {
            assert_eq!(expression["operator"], "In");
            let label = &labels[expression["key"].as_str().expect("a key")];
            list(&expression["values"]).contains(label)
        })
}

#[test]
fn the_policy_is_bound_only_to_pods_that_use_pod_identity() {
    let binding = &filled("eks").only("ValidatingAdmissionPolicyBinding")["spec"];
    let policy = filled("eks").only("ValidatingAdmissionPolicy");
    assert_eq!(binding["policyName"], policy["metadata"]["name"]);
    assert_eq!(binding["validationActions"], json!(["Deny"]));
    assert_eq!(policy["spec"]["failurePolicy"], "Fail");
    let rule = &policy["spec"]["matchConstraints"]["resourceRules"][0];
    assert_eq!(rule["operations"], json!(["CREATE"]));
    assert_eq!(rule["resources"], json!(["pods"]));

    let matched = &binding["matchResources"];
    for built in all() {
        let namespace = &built.only("Namespace")["metadata"]["labels"];
        assert!(selects(&matched["namespaceSelector"], namespace), "{}", built.name());
        for (name, pod) in built.pod_templates() {
            let selected = selects(&matched["objectSelector"], &pod["metadata"]["labels"]);
            let expected = ["eks", "fleet"].contains(&built.overlay);
            assert_eq!(selected, expected, "{name} in {}", built.name());
        }
    }
    assert!(!selects(&matched["namespaceSelector"], &json!({})));
}
