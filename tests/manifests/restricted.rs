//! Checks each rule of the restricted Pod Security Standard:
//! <https://kubernetes.io/docs/concepts/security/pod-security-standards/>.

use serde_json::{Value, json};

use crate::built::{all, filled, list};

const VOLUMES: [&str; 8] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
];
const SYSCTLS: [&str; 10] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
];
const SELINUX_TYPES: [&str; 5] =
    ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];

/// The rules that a pod violates, by their names in the standard.
fn violated(pod: &Value) -> Vec<&'static str> {
    let spec = &pod["spec"];
    let context = &spec["securityContext"];
    let mut violated = Vec::new();
    let mut rule = |name, kept: bool| {
        if !kept {
            violated.push(name);
        }
    };

    let shared = ["hostNetwork", "hostPID", "hostIPC"];
    rule("Host Namespaces", shared.iter().all(|field| spec[field] != true));
    let volume = |volume: &Value| {
        let source = volume.as_object().expect("a volume").keys().find(|key| *key != "name");
        source.is_none_or(|source| VOLUMES.contains(&source.as_str()))
    };
    rule("Volume Types", list(&spec["volumes"]).iter().all(volume));
    let sysctl = |sysctl: &Value| SYSCTLS.iter().any(|name| sysctl["name"] == *name);
    rule("Sysctls", list(&context["sysctls"]).iter().all(sysctl));
    let annotations = pod["metadata"]["annotations"].as_object();
    let unconfined = annotations.into_iter().flatten().any(|(key, value)| {
        let profile = value.as_str().unwrap_or_default();
        key.starts_with("container.apparmor.security.beta.kubernetes.io/")
            && profile != "runtime/default"
            && !profile.starts_with("localhost/")
    });
    rule("AppArmor", !unconfined);

    // Each rule applies to the security context of the pod and of each container.
    let kinds = ["containers", "initContainers", "ephemeralContainers"];
    let containers: Vec<&Value> = kinds.iter().flat_map(|kind| list(&spec[kind])).collect();
    let contexts = containers.iter().map(|container| &container["securityContext"]);
    for context in contexts.chain([context]) {
        rule("HostProcess", context["windowsOptions"]["hostProcess"] != true);
        let selinux = &context["seLinuxOptions"];
        let label = |name: &str| selinux[name].as_str().unwrap_or_default();
        let plain = label("user").is_empty() && label("role").is_empty();
        rule("SELinux", plain && SELINUX_TYPES.contains(&label("type")));
        rule("AppArmor", context["appArmorProfile"]["type"] != "Unconfined");
        rule("Seccomp", context["seccompProfile"]["type"] != "Unconfined");
        rule("Running as Non-root", context["runAsNonRoot"] != false);
        rule("Running as Non-root user", context["runAsUser"] != 0);
    }

    for container in containers {
        let own = &container["securityContext"];
        rule("Privileged Containers", own["privileged"] != true);
        rule("Privilege Escalation", own["allowPrivilegeEscalation"] == false);
        let capabilities = &own["capabilities"];
        let added = list(&capabilities["add"]);
        let dropped = list(&capabilities["drop"]).iter().any(|name| name == "ALL");
        rule("Capabilities", dropped && added.iter().all(|name| name == "NET_BIND_SERVICE"));
        let mount = &own["procMount"];
        rule("/proc Mount Type", mount.is_null() || mount == "Default");
        let port = |port: &Value| port["hostPort"].as_u64().unwrap_or_default() == 0;
        rule("Host Ports", list(&container["ports"]).iter().all(port));
        let (probes, hooks) = (["liveness", "readiness", "startup"], ["postStart", "preStop"]);
        let handlers = probes.iter().map(|name| &container[format!("{name}Probe")]);
        let host = |handler: &Value| {
            ["httpGet", "tcpSocket"].iter().any(|kind| !handler[kind]["host"].is_null())
        };
        let mut handlers = handlers.chain(hooks.iter().map(|name| &container["lifecycle"][name]));
        rule("Host Probes / Lifecycle Hooks", !handlers.any(host));
        // The container's value overrides the pod's.
        let said = |name: &str| if own[name].is_null() { &context[name] } else { &own[name] };
        rule("Running as Non-root", *said("runAsNonRoot") == true);
        let seccomp = &said("seccompProfile")["type"];
        rule("Seccomp", seccomp == "RuntimeDefault" || seccomp == "Localhost");
    }
    violated.sort_unstable();
    violated.dedup();
    violated
}

#[test]
fn every_pod_complies_with_the_restricted_standard_and_its_namespace_enforces_it() {
    for built in all() {
        for (name, pod) in built.pod_templates() {
            assert_eq!(violated(pod), [""; 0], "{name} in {}", built.name());
        }
        let labels = &built.only("Namespace")["metadata"]["labels"];
        assert_eq!(labels["pod-security.kubernetes.io/enforce"], "restricted");
    }
}

/// Properties of these pods that the standard does not require.
#[test]
fn the_job_has_a_read_only_root_no_api_token_and_a_user_of_its_own() {
    for built in all() {
        for (name, pod) in built.pod_templates() {
            assert_eq!(pod["spec"]["automountServiceAccountToken"], false, "{name}");
            assert_eq!(pod["spec"]["enableServiceLinks"], false, "{name}");
        }
        assert_eq!(built.job_container()["securityContext"]["readOnlyRootFilesystem"], true);
        assert_eq!(built.job_pod()["spec"]["securityContext"]["runAsUser"], 65532);
        for account in built.of_kind("ServiceAccount") {
            assert_eq!(account["automountServiceAccountToken"], false);
        }
    }
}

#[test]
fn every_container_has_requests_and_limits() {
    for built in all() {
        for (name, pod) in built.pod_templates() {
            for kind in ["containers", "initContainers"] {
                for container in list(&pod["spec"][kind]) {
                    for (bound, what) in [
                        ("requests", "cpu"),
                        ("requests", "memory"),
                        ("limits", "cpu"),
                        ("limits", "memory"),
                    ] {
                        let amount = &container["resources"][bound][what];
                        assert!(
                            amount.is_string(),
                            "{bound} of {what}: {name} in {}",
                            built.name()
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn a_violation_of_each_rule_is_found() {
    let container = "/spec/containers/0/securityContext";
    let unconfined = json!({ "type": "Unconfined" });
    let violations: [(&str, String, Value); 33] = [
        ("Host Namespaces", "/spec/hostNetwork".into(), json!(true)),
        ("Host Namespaces", "/spec/hostPID".into(), json!(true)),
        ("Host Namespaces", "/spec/hostIPC".into(), json!(true)),
        (
            "Volume Types",
            "/spec/volumes".into(),
            json!([{ "name": "v", "hostPath": { "path": "/" } }]),
        ),
        ("Volume Types", "/spec/volumes".into(), json!([{ "name": "v", "nfs": {} }])),
        ("Sysctls", "/spec/securityContext/sysctls".into(), json!([{ "name": "kernel.msgmax" }])),
        (
            "AppArmor",
            "/metadata/annotations".into(),
            json!({ "container.apparmor.security.beta.kubernetes.io/pod-identity-demo": "unconfined" }),
        ),
        ("AppArmor", "/spec/securityContext/appArmorProfile".into(), unconfined.clone()),
        ("AppArmor", format!("{container}/appArmorProfile"), unconfined.clone()),
        (
            "HostProcess",
            "/spec/securityContext/windowsOptions".into(),
            json!({ "hostProcess": true }),
        ),
        ("HostProcess", format!("{container}/windowsOptions"), json!({ "hostProcess": true })),
        ("SELinux", "/spec/securityContext/seLinuxOptions".into(), json!({ "type": "spc_t" })),
        ("SELinux", format!("{container}/seLinuxOptions"), json!({ "user": "system_u" })),
        ("SELinux", format!("{container}/seLinuxOptions"), json!({ "role": "system_r" })),
        ("Seccomp", "/spec/securityContext/seccompProfile".into(), Value::Null),
        ("Seccomp", "/spec/securityContext/seccompProfile".into(), unconfined.clone()),
        ("Seccomp", format!("{container}/seccompProfile"), unconfined),
        ("Running as Non-root", "/spec/securityContext/runAsNonRoot".into(), Value::Null),
        ("Running as Non-root", "/spec/securityContext/runAsNonRoot".into(), json!(false)),
        ("Running as Non-root", format!("{container}/runAsNonRoot"), json!(false)),
        ("Running as Non-root user", "/spec/securityContext/runAsUser".into(), json!(0)),
        ("Running as Non-root user", format!("{container}/runAsUser"), json!(0)),
        ("Privileged Containers", format!("{container}/privileged"), json!(true)),
        ("Privilege Escalation", format!("{container}/allowPrivilegeEscalation"), Value::Null),
        ("Privilege Escalation", format!("{container}/allowPrivilegeEscalation"), json!(true)),
        ("Capabilities", format!("{container}/capabilities"), Value::Null),
        ("Capabilities", format!("{container}/capabilities"), json!({ "drop": ["NET_RAW"] })),
        ("Capabilities", format!("{container}/capabilities/add"), json!(["SYS_ADMIN"])),
        ("/proc Mount Type", format!("{container}/procMount"), json!("Unmasked")),
        ("Host Ports", "/spec/containers/0/ports/0/hostPort".into(), json!(8080)),
        (
            "Host Probes / Lifecycle Hooks",
            "/spec/containers/0/livenessProbe/httpGet/host".into(),
            json!("169.254.169.254"),
        ),
        ("Privilege Escalation", "/spec/initContainers".into(), json!([{ "name": "another" }])),
        ("Capabilities", "/spec/ephemeralContainers".into(), json!([{ "name": "another" }])),
    ];
    for (rule, path, value) in violations {
        let mut pod = filled("eks").job_pod().clone();
        set_pointer(&mut pod, &path, value);
        assert!(violated(&pod).contains(&rule), "{rule}: {path}");
    }
}

/// Sets the target of a JSON pointer in an existing object.
pub fn set_pointer(target: &mut Value, path: &str, value: Value) {
    let (parent, key) = path.rsplit_once('/').expect("a path");
    let parent = target.pointer_mut(parent).unwrap_or_else(|| panic!("{parent} is missing"));
    parent[key] = value;
}
