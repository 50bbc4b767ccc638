//! Every overlay, as it is and filled in with every combination of components that it supports,
//! built once for all tests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;
use std::thread;

use serde_json::Value;

/// The name of the program, its container, its `ConfigMap` and its namespace.
pub const NAME: &str = "pod-identity-demo";
/// The settings that the tests fill in.
pub const SETTINGS: [(&str, &str); 10] = [
    ("NAMESPACE", "pictures"),
    ("SERVICE_ACCOUNT", "uploader"),
    ("IRSA_SERVICE_ACCOUNT", "uploader-irsa"),
    ("BUCKET", "my-bucket"),
    ("AWS_REGION", "eu-west-1"),
    ("IMAGE", "registry.example:5000/team/pod-identity-demo:0.1.0-abc"),
    ("ARCHITECTURE", "arm64"),
    ("FLEET_SIZE", "7"),
    ("CLUSTER_NAME", "demo"),
    ("WITH", "aws"),
];

/// The index of the fleet's pod whose environment the tests check.
pub const INDEX: &str = "3";

/// All of an overlay's objects.
pub struct Built {
    pub overlay: &'static str,
    /// The components. None means the overlay as it is in the repository.
    pub components: Option<Vec<&'static str>>,
    pub yaml: String,
    pub objects: Vec<Value>,
}

static ALL: LazyLock<Vec<Built>> = LazyLock::new(|| {
    let combinations = combinations();
    thread::scope(|scope| {
        let builds: Vec<_> = combinations
            .into_iter()
            .map(|(overlay, components)| scope.spawn(|| Built::new(overlay, components)))
            .collect();
        builds.into_iter().map(|build| build.join().expect("it builds")).collect()
    })
});

fn combinations() -> Vec<(&'static str, Option<Vec<&'static str>>)> {
    let all = ["require-pod-identity", "network-policy", "monitoring"];
    let mut combinations = Vec::new();
    for overlay in ["eks", "irsa", "fleet", "localstack"] {
        combinations.push((overlay, None));
        combinations.push((overlay, Some(vec![])));
        combinations.push((overlay, Some(vec!["monitoring"])));
    }
    for set in 1..1 << all.len() {
        let chosen = (0..all.len()).filter(|bit| set & (1 << bit) != 0).map(|bit| all[bit]);
        combinations.push(("eks", Some(chosen.collect())));
    }
    combinations.push(("eks", Some(vec!["network-policy-cilium"])));
    combinations.push(("irsa", Some(vec!["network-policy", "monitoring"])));
    combinations.push(("fleet", Some(all.to_vec())));
    combinations
}

/// Every overlay and combination.
pub fn all() -> &'static [Built] {
    &ALL
}

/// An overlay, filled in, with all the components that it supports in these tests.
pub fn filled(overlay: &str) -> &'static Built {
    let builds = ALL.iter().filter(|built| built.overlay == overlay && built.components.is_some());
    builds.max_by_key(|built| built.components.as_ref().map_or(0, Vec::len)).expect(overlay)
}

impl Built {
    fn new(overlay: &'static str, components: Option<Vec<&'static str>>) -> Self {
        let scratch = tempfile::tempdir().expect("a folder");
        let folder = match &components {
            None => project(&format!("k8s/overlays/{overlay}")),
            Some(components) => {
                let arguments: Vec<&str> =
                    [overlay].into_iter().chain(components.clone()).collect();
                let output = fill(scratch.path(), &arguments, &SETTINGS);
                assert!(output.status.success(), "{output:?}");
                PathBuf::from(text(&output.stdout).trim())
            }
        };
        let yaml = kustomize(&folder);
        let objects = serde_saphyr::from_multiple(&yaml).expect("YAML");
        Self { overlay, components, yaml, objects }
    }

    /// The name to show when a test fails.
    pub fn name(&self) -> String {
        let components = self.components.as_ref().map(|components| components.join(" "));
        format!("{} ({})", self.overlay, components.as_deref().unwrap_or("not filled in"))
    }

    pub fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.objects.iter().filter(move |object| object["kind"] == kind)
    }

    /// The only object of this kind.
    pub fn only(&self, kind: &str) -> &Value {
        let found: Vec<_> = self.of_kind(kind).collect();
        assert_eq!(found.len(), 1, "{kind} in {}", self.name());
        found[0]
    }

    /// The name and pod template of every object that creates pods.
    pub fn pod_templates(&self) -> impl Iterator<Item = (&str, &Value)> {
        let with =
            self.objects.iter().filter(|object| object["spec"]["template"]["spec"].is_object());
        with.map(|object| {
            let name = object["metadata"]["name"].as_str().expect("a name");
            (name, &object["spec"]["template"])
        })
    }

    /// The pod template of the job.
    pub fn job_pod(&self) -> &Value {
        &self.only("Job")["spec"]["template"]
    }

    /// The job's container.
    pub fn job_container(&self) -> &Value {
        &self.job_pod()["spec"]["containers"][0]
    }

    /// A container's environment as the kubelet would set it: `env` overrides `envFrom`, and
    /// $(NAME) is replaced by the value of a variable before it.
    pub fn environment(&self, container: &Value) -> BTreeMap<String, String> {
        let mut environment = BTreeMap::new();
        for from in list(&container["envFrom"]) {
            environment.extend(self.data(&from["configMapRef"]["name"]));
        }
        for entry in list(&container["env"]) {
            let (from, field) =
                (&entry["valueFrom"]["configMapKeyRef"], &entry["valueFrom"]["fieldRef"]);
            let value = if from.is_object() {
                self.data(&from["name"])[from["key"].as_str().expect("a key")].clone()
            } else if field.is_object() {
                INDEX.to_owned()
            } else {
                let written = entry["value"].as_str().expect("text").to_owned();
                environment.iter().fold(written, |text, (name, value): (&String, &String)| {
                    text.replace(&format!("$({name})"), value)
                })
            };
            environment.insert(entry["name"].as_str().expect("a name").to_owned(), value);
        }
        environment
    }

    /// The data of a `ConfigMap`.
    fn data(&self, name: &Value) -> BTreeMap<String, String> {
        let mut maps = self.of_kind("ConfigMap");
        let map = maps.find(|map| map["metadata"]["name"] == *name).expect("the ConfigMap");
        serde_json::from_value(map["data"].clone()).expect("texts")
    }
}

/// The elements of an array, or none if it is missing.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Runs `scripts/steps/manifests.sh` from another folder, with only these settings.
pub fn fill(into: &Path, arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    let mut command = Command::new(project("scripts/steps/manifests.sh"));
    command.args(arguments).current_dir(std::env::temp_dir()).env_clear();
    command.env("PATH", std::env::var_os("PATH").expect("a PATH"));
    command.env("FILLED", into).envs(settings.iter().copied());
    command.output().expect("the script runs")
}

/// What `kubectl kustomize` builds from a folder.
pub fn kustomize(folder: &Path) -> String {
    let output = Command::new(tool("kubectl")).arg("kustomize").arg(folder).output();
    let output = output.expect("kubectl runs");
    let (yaml, said) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && said.is_empty(), "{}: {said}", folder.display());
    yaml
}

/// One of the tools that `scripts/test.sh` installs.
pub fn tool(name: &str) -> PathBuf {
    let tool = project(".tools/manifests/bin").join(name);
    assert!(
        tool.exists(),
        "{name} is missing: run scripts/test.sh, or scripts/dev/tools.sh manifests"
    );
    tool
}

/// A path in the project.
pub fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
