"""Every overlay renders, is valid by Kubernetes' own schemas, hangs together, and tells the programs nothing they do not know."""

import json
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

import kubernetes_validate
import yaml

from manifests import KUBERNETES, OVERLAYS, ROOT, objects, of_kind, pod_templates

BIN = pathlib.Path(os.environ["GPTVQ_BIN"])
# Kinds of operators, whose schemas no package carries; what matters in them is tested by name below.
CUSTOM_KINDS = {"Certificate", "Issuer", "ServiceMonitor", "PodMonitor", "PrometheusRule", "ScaledObject", "LocalQueue"}
KUBERNETES_VERSION = "1.37"
# Variables that a program's libraries read.
FOREIGN_VARIABLES = {"OPENBLAS_NUM_THREADS", "PGPASSWORD"}


def flags_of(program, *command):
    help_text = subprocess.run([BIN / program, *command, "--help"], check=True, capture_output=True, text=True).stdout
    return set(re.findall(r"^  (?:-\w,)?(--[a-z-]+)", help_text, re.MULTILINE))


def selects(selector, labels):
    """Whether a LabelSelector takes a pod with these labels."""
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    for expression in selector.get("matchExpressions", []):
        assert expression["operator"] == "In", expression
        if labels.get(expression["key"]) not in expression["values"]:
            return False
    return True


class OverlayChecks:
    """What must hold for every overlay; a test case of its own for each is made below."""

    overlay: pathlib.Path

    def setUp(self):
        self.manifest = objects(self.overlay)
        self.assertGreater(len(self.manifest), 10)

    def test_is_valid_by_the_schemas_of_a_current_version(self):
        manifest = self.manifest
        checked = 0
        for item in manifest:
            if item["kind"] in CUSTOM_KINDS:
                continue
            kubernetes_validate.validate(item, KUBERNETES_VERSION, strict=True)
            checked += 1
        self.assertGreater(checked, 10)

    def test_selectors_find_pods(self):
        manifest = self.manifest
        pods = [template["metadata"]["labels"] for template in pod_templates(manifest).values()]
        services = [item["metadata"]["labels"] for item in of_kind("Service", manifest)]
        for item in of_kind("Service", manifest):
            self.assertTrue(any(selects({"matchLabels": item["spec"]["selector"]}, labels) for labels in pods), item)
        for kind in ("PodDisruptionBudget", "PodMonitor", "Deployment", "StatefulSet"):
            for item in of_kind(kind, manifest):
                self.assertTrue(any(selects(item["spec"]["selector"], labels) for labels in pods), item)
        for item in of_kind("ServiceMonitor", manifest):
            self.assertTrue(any(selects(item["spec"]["selector"], labels) for labels in services), item)
        for item in of_kind("NetworkPolicy", manifest):
            self.assertTrue(any(selects(item["spec"]["podSelector"], labels) for labels in pods), item)
        for kind in ("ScaledObject", "HorizontalPodAutoscaler"):
            for item in of_kind(kind, manifest):
                target = item["spec"]["scaleTargetRef"]["name"]
                scaled = next(other for other in of_kind("Deployment", manifest) if other["metadata"]["name"] == target)
                self.assertNotIn("replicas", scaled["spec"], "two masters over one number")

    def test_ports_are_those_of_the_containers_and_of_the_configuration(self):
        manifest = self.manifest
        config = {item["metadata"]["name"]: item["data"] for item in of_kind("ConfigMap", manifest)}
        names = {}
        for template in pod_templates(manifest).values():
            for container in template["spec"]["containers"]:
                ports = {port["name"]: port["containerPort"] for port in container["ports"]}
                names[container["name"]] = ports
                values = config[container["envFrom"][0]["configMapRef"]["name"]]
                self.assertTrue(values["GPTVQ_METRICS_LISTEN"].endswith(f":{ports['metrics']}"))
                if "GPTVQ_LISTEN" in values:
                    self.assertTrue(values["GPTVQ_LISTEN"].endswith(f":{ports['grpc']}"))
                if "GPTVQ_COORDINATOR" in values:
                    service = of_kind("Service", manifest)[0]
                    port = next(port["port"] for port in service["spec"]["ports"] if port["name"] == "grpc")
                    self.assertEqual(values["GPTVQ_COORDINATOR"], f"{service['metadata']['name']}:{port}")
        known = set(names["coordinator"].values())
        for item in of_kind("NetworkPolicy", manifest):
            for rule in item["spec"].get("ingress", []):
                self.assertLessEqual({port["port"] for port in rule["ports"]}, known, item)
        for kind, key in (("ServiceMonitor", "endpoints"), ("PodMonitor", "podMetricsEndpoints")):
            for item in of_kind(kind, manifest):
                for endpoint in item["spec"][key]:
                    self.assertIn(endpoint["port"], names["coordinator"])

    def test_every_variable_is_a_flag_of_its_program(self):
        manifest = self.manifest
        config = {item["metadata"]["name"]: item["data"] for item in of_kind("ConfigMap", manifest)}
        for template in pod_templates(manifest).values():
            for container in template["spec"]["containers"]:
                variables = set(config[container["envFrom"][0]["configMapRef"]["name"]])
                variables |= {entry["name"] for entry in container.get("env", [])}
                flags = flags_of(f"gptvq-{container['name']}")
                for variable in variables - FOREIGN_VARIABLES:
                    flag = "--" + variable.removeprefix("GPTVQ_").lower().replace("_", "-")
                    self.assertIn(flag, flags, variable)

    def test_what_a_container_writes_lies_on_a_volume(self):
        manifest = self.manifest
        config = {item["metadata"]["name"]: item["data"] for item in of_kind("ConfigMap", manifest)}
        for template in pod_templates(manifest).values():
            for container in template["spec"]["containers"]:
                mounts = [pathlib.PurePath(mount["mountPath"]) for mount in container["volumeMounts"]]
                self.assertTrue(container["securityContext"]["readOnlyRootFilesystem"])
                for variable, value in config[container["envFrom"][0]["configMapRef"]["name"]].items():
                    if value.startswith("/"):
                        path = pathlib.PurePath(value)
                        self.assertTrue(any(path.is_relative_to(mount) for mount in mounts), variable)

    def test_pods_end_later_than_their_programs_give_up(self):
        """10 s: kStopGrace of the coordinator, farewell_timeout of the worker; twice that and more for the way there."""
        manifest = self.manifest
        for name, template in pod_templates(manifest).items():
            self.assertGreaterEqual(template["spec"]["terminationGracePeriodSeconds"], 30, name)


for path in OVERLAYS:
    case = "Overlay_" + path.name.replace("-", "_")
    globals()[case] = type(case, (OverlayChecks, unittest.TestCase), {"overlay": path})


class SomeOverlays(unittest.TestCase):
    def test_all_are_found(self):
        self.assertEqual({path.name for path in OVERLAYS}, {"cpu-demo", "gpu", "gpu-ha", "hpa", "kueue", "whole-node"})

    def test_gpu_workers_have_one_gpu_each(self):
        for name in ("gpu", "gpu-ha"):
            templates = pod_templates(objects(KUBERNETES / "overlays" / name))
            limits = templates["gptvq-worker"]["spec"]["containers"][0]["resources"]["limits"]
            self.assertEqual(limits["nvidia.com/gpu"], 1)

    def test_workers_of_whole_nodes_have_their_gpus_and_as_many_tasks(self):
        manifest = objects(ROOT / "tests" / "deploy" / "overlays" / "whole-node")
        limits = pod_templates(manifest)["gptvq-worker"]["spec"]["containers"][0]["resources"]["limits"]
        trigger = of_kind("ScaledObject", manifest)[0]["spec"]["triggers"][0]["metadata"]
        self.assertEqual(limits["nvidia.com/gpu"], 8)
        self.assertEqual(trigger["threshold"], str(limits["nvidia.com/gpu"]))

    def test_gpu_workers_compute_on_their_gpus(self):
        for path in OVERLAYS:
            if path.name not in ("gpu", "gpu-ha", "whole-node"):
                continue
            manifest = objects(path)
            config = {item["metadata"]["name"]: item["data"] for item in of_kind("ConfigMap", manifest)}
            container = pod_templates(manifest)["gptvq-worker"]["spec"]["containers"][0]
            settings = config[container["envFrom"][0]["configMapRef"]["name"]]
            self.assertEqual(settings["GPTVQ_DEVICE"], "cuda")
            self.assertNotIn("GPTVQ_DEVICE_SLOTS", settings)  # refused: a GPU is one slot
            self.assertIn("/worker-cuda:", container["image"])

    def test_cpu_demo_needs_no_operator(self):
        kinds = {item["kind"] for item in objects(KUBERNETES / "overlays" / "cpu-demo")}
        self.assertFalse(kinds & CUSTOM_KINDS)

    def test_the_queue_label_is_on_the_workers(self):
        overlay = next(path for path in OVERLAYS if path.name == "kueue")
        worker = of_kind("Deployment", objects(overlay))[0]
        queue = of_kind("LocalQueue", objects(overlay))[0]
        self.assertEqual(worker["metadata"]["labels"]["kueue.x-k8s.io/queue-name"], queue["metadata"]["name"])


class Monitoring(unittest.TestCase):
    """The component, by what alerts and dashboards expect."""

    def setUp(self):
        self.manifest = objects(KUBERNETES / "overlays" / "gpu")
        self.rules = {item["metadata"]["name"]: item["spec"] for item in of_kind("PrometheusRule", self.manifest)}

    def test_the_rules_are_those_of_deploy_prometheus(self):
        subprocess.run([ROOT / "deploy" / "prometheus" / "generate.py", "--check"], check=True)
        files = (ROOT / "deploy" / "prometheus" / "rules").glob("*.yml")
        self.assertEqual(self.rules, {f"gptvq-{path.stem}": yaml.safe_load(path.read_text()) for path in files})

    def test_prometheus_accepts_the_rules_and_their_groups_have_names_of_their_own(self):
        for name, spec in self.rules.items():
            groups = [group["name"] for group in spec["groups"]]
            self.assertEqual(len(groups), len(set(groups)), name)
            with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
                yaml.safe_dump(spec, file)
                file.flush()
                result = subprocess.run(["promtool", "check", "rules", file.name], capture_output=True, text=True)
            self.assertEqual(result.returncode, 0, result.stderr)

    def test_jobs_and_workers_get_the_labels_that_alerts_select_by(self):
        jobs = set()
        for kind, names in (("ServiceMonitor", of_kind("Service", self.manifest)),
                            ("PodMonitor", pod_templates(self.manifest).values())):
            for item in of_kind(kind, self.manifest):
                labels = [one["metadata"]["labels"] for one in names if selects(item["spec"]["selector"], one["metadata"]["labels"])]
                jobs |= {label[item["spec"]["jobLabel"]] for label in labels}
        reference = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
        self.assertEqual(jobs, {job["job_name"] for job in reference})
        endpoint = of_kind("PodMonitor", self.manifest)[0]["spec"]["podMetricsEndpoints"][0]
        self.assertEqual(endpoint["relabelings"], [{"sourceLabels": ["__meta_kubernetes_pod_name"], "targetLabel": "worker"}])

    def test_the_dashboards_are_there_under_the_label_of_the_sidecar(self):
        item = next(item for item in of_kind("ConfigMap", self.manifest) if "grafana_dashboard" in item["metadata"]["labels"])
        committed = {path.name: path.read_text() for path in (ROOT / "deploy" / "grafana" / "dashboards").glob("*.json")}
        self.assertEqual(item["data"], committed)


class HighAvailability(unittest.TestCase):
    """The overlay gpu-ha: two coordinators on one journal, the rest in S3, nothing on a volume of the cluster."""

    def setUp(self):
        self.manifest = objects(KUBERNETES / "overlays" / "gpu-ha")
        self.coordinator = next(item for item in of_kind("Deployment", self.manifest)
                                if item["metadata"]["name"] == "gptvq-coordinator")
        self.pod = self.coordinator["spec"]["template"]["spec"]
        self.container = self.pod["containers"][0]

    def test_two_coordinators_are_updated_together(self):
        """A standby is never ready: an update that waits for that would never end."""
        self.assertFalse(of_kind("StatefulSet", self.manifest))
        self.assertEqual(self.coordinator["spec"]["replicas"], 2)
        self.assertEqual(self.coordinator["spec"]["strategy"], {"type": "Recreate"})
        self.assertNotIn("volumeClaimTemplates", self.coordinator["spec"])
        hosts = [spread for spread in self.pod["topologySpreadConstraints"] if spread["topologyKey"] == "kubernetes.io/hostname"]
        self.assertEqual([spread["whenUnsatisfiable"] for spread in hosts], ["DoNotSchedule"])

    def test_nothing_needs_a_volume_of_the_cluster(self):
        self.assertFalse(of_kind("PersistentVolumeClaim", self.manifest))
        for name, template in pod_templates(self.manifest).items():
            claims = [volume["name"] for volume in template["spec"]["volumes"] if "persistentVolumeClaim" in volume]
            self.assertEqual(claims, [], name)

    def test_only_the_leader_is_behind_the_service_and_a_standby_is_left_alive(self):
        self.assertEqual(self.container["readinessProbe"]["grpc"]["service"], "gptvq.v1.JobService")
        for probe in ("startupProbe", "livenessProbe"):
            self.assertNotIn("service", self.container[probe]["grpc"])

    def test_the_journal_comes_from_a_secret(self):
        journal = next(entry for entry in self.container["env"] if entry["name"] == "GPTVQ_JOURNAL")
        self.assertEqual(journal["valueFrom"], {"secretKeyRef": {"name": "gptvq-journal", "key": "uri"}})
        self.assertNotIn("journal", [volume["name"] for volume in self.pod["volumes"]])

    def test_the_store_is_a_place_of_the_example_profiles(self):
        config = {item["metadata"]["name"]: item["data"] for item in of_kind("ConfigMap", self.manifest)}
        store = config[self.container["envFrom"][0]["configMapRef"]["name"]]["GPTVQ_STORE"]
        example = KUBERNETES / "examples" / "storage-profiles.json"
        profiles = json.loads(example.read_text())
        self.assertIn(store.removeprefix("s3://").split("/")[0], profiles["places"])
        credentials = pathlib.PurePath(profiles["profiles"]["cluster"]["credentials"]["path"])
        for name, template in pod_templates(self.manifest).items():
            container = template["spec"]["containers"][0]
            variable = next(entry for entry in container["env"] if entry["name"] == "GPTVQ_STORAGE_PROFILES")
            mount = next(mount for mount in container["volumeMounts"] if mount["name"] == "storage")
            self.assertEqual(pathlib.PurePath(variable["value"]).parent, pathlib.PurePath(mount["mountPath"]), name)
            self.assertEqual(credentials.parent, pathlib.PurePath(mount["mountPath"]), name)
        result = subprocess.run([BIN / "gptvq-client", "inspect", "s3://elsewhere/x", "--storage-profiles", example],
                                capture_output=True, text=True)
        self.assertIn("no storage profile", result.stderr)  # and so was read

    def test_everybody_has_certificates_of_the_role_that_they_need(self):
        certificates = {item["spec"]["secretName"]: item["spec"] for item in of_kind("Certificate", self.manifest)}
        service = of_kind("Service", self.manifest)[0]
        self.assertIn(service["metadata"]["name"], certificates["gptvq-coordinator-tls"]["dnsNames"])
        self.assertEqual(certificates["gptvq-coordinator-tls"]["usages"][0], "server auth")
        self.assertEqual(certificates["gptvq-client-tls"]["usages"][0], "client auth")
        worker = pod_templates(self.manifest)["gptvq-worker"]["spec"]
        attributes = next(volume["csi"]["volumeAttributes"] for volume in worker["volumes"] if volume["name"] == "tls")
        identities = [certificates["gptvq-coordinator-tls"]["uris"][0], certificates["gptvq-client-tls"]["uris"][0],
                      attributes["csi.cert-manager.io/uri-sans"]]
        domain, = {identity.split("/")[2] for identity in identities}
        self.assertEqual([identity.removeprefix(f"spiffe://{domain}/gptvq/") for identity in identities],
                         ["coordinator/main", "client/jobs", "worker/${POD_NAME}"])
        issuers = {item["metadata"]["name"] for item in of_kind("Issuer", self.manifest)}
        named = {attributes["csi.cert-manager.io/issuer-name"], *(spec["issuerRef"]["name"] for spec in certificates.values())}
        self.assertEqual(named, issuers)
        self.assertIn(next(volume["secret"]["secretName"] for volume in self.pod["volumes"] if volume["name"] == "tls"), certificates)

    def test_probes_ask_where_no_certificate_is_needed(self):
        environment = {entry["name"]: entry.get("value") for entry in self.container["env"]}
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            self.assertEqual(f"0.0.0.0:{self.container[probe]['grpc']['port']}", environment["GPTVQ_HEALTH_LISTEN"])

    def test_what_it_depends_on_may_be_reached(self):
        ports = {"gptvq-coordinator": {53, 443, 5432}, "gptvq-worker": {53, 443, 7070}}
        for name, template in pod_templates(self.manifest).items():
            allowed = {port["port"] for item in of_kind("NetworkPolicy", self.manifest)
                       if selects(item["spec"]["podSelector"], template["metadata"]["labels"])
                       for rule in item["spec"].get("egress", []) for port in rule["ports"]}
            self.assertEqual(allowed, ports[name])


class SubmitJob(unittest.TestCase):
    def setUp(self):
        self.job = yaml.safe_load((KUBERNETES / "examples" / "submit-job.yaml").read_text())
        self.container = self.job["spec"]["template"]["spec"]["containers"][0]

    def test_is_valid(self):
        kubernetes_validate.validate(self.job, KUBERNETES_VERSION, strict=True)

    def test_its_command_line_is_accepted_up_to_the_coordinator(self):
        arguments = [argument for argument in self.container["args"] if not argument.startswith(("--coordinator", "--state-dir", "--wait"))]
        with open(os.devnull, "w") as null:
            result = subprocess.run([BIN / "gptvq-client", *arguments, "--coordinator=unix:/nowhere/socket", "--dry-run",
                                     "--retry-for=0s"],
                                    stdout=null, stderr=subprocess.PIPE, text=True, timeout=120)
        self.assertEqual(result.returncode, 4, result.stderr)

    def test_needs_no_volume_of_the_overlay(self):
        self.assertEqual([volume["name"] for volume in self.job["spec"]["template"]["spec"]["volumes"]], ["tmp"])

    def test_may_pass_the_network_policies(self):
        labels = self.job["spec"]["template"]["metadata"]["labels"]
        policies = of_kind("NetworkPolicy", objects(KUBERNETES / "overlays" / "cpu-demo"))
        opening = {item["metadata"]["name"] for item in policies if selects(item["spec"]["podSelector"], labels)}
        self.assertEqual(opening, {"default-deny", "allow-dns", "to-coordinator"})


if __name__ == "__main__":
    unittest.main()
