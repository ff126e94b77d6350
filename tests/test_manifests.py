"""Images, compose and Kubernetes manifests agree with the code, and keep the rules of a safe cluster."""

import json
import re
import subprocess
import sys
import tomllib
from dataclasses import fields
from ipaddress import ip_address, ip_network
from pathlib import Path
from urllib.parse import urlsplit

import kubernetes_validate
import pytest
import yaml
from prometheus_client import REGISTRY

from concord.cli import COMMANDS
from concord.kit import rpc, telemetry
from concord.kit.blobs import places
from concord.kit.log import topics
from concord.kit.log.kafka import url
from concord.kit.log.kafka.topics import settings_of
from concord.kit.settings import IGNORED, Settings, from_environment, key_homes
from concord.labeling import service as labeling
from concord.process import START_S
from concord.runs import demand, watchtower
from concord.runs.teams import parsed
from concord.scoring import service as scoring
from concord.training import service as training
from concord.triage import service as triage
from concord.v1 import (
    labeling_service_pb2,
    runs_service_pb2,
    scoring_service_pb2,
    tasks_service_pb2,
    training_service_pb2,
    triage_service_pb2,
)
from concord.wiring import GRACE_S, HOLD_STORE, SERVICES
from tests.manifests import (
    K8S,
    OVERLAYS,
    ROOT,
    built,
    compose,
    containers,
    filled,
    named,
    of_kind,
    targets,
    with_components,
    workloads,
)

PROTOS = {
    "runs": runs_service_pb2,
    "tasks": tasks_service_pb2,
    "labeling": labeling_service_pb2,
    "scoring": scoring_service_pb2,
    "triage": triage_service_pb2,
    "training": training_service_pb2,
}
WORK = {
    labeling.SERVICE: topics.LABEL,
    scoring.SERVICE: topics.SCORE,
    triage.SERVICE: topics.TRIAGE,
    training.SERVICE: topics.TRAIN,
}
STRICT = "1.36"
# What kubernetes-validate has no schema for; `make kube` has the first two checked by a real API server.
FOREIGN = {"ScaledObject", "TriggerAuthentication", "ServiceMonitor", "PrometheusRule", "ExternalSecret", "Gateway"}
FOREIGN |= {"HTTPRoute"}
SETTING = re.compile(r"\bCONCORD_[A-Z_]+\b")
KNOWN = {f"CONCORD_{field.name.upper()}" for field in fields(Settings)}
PLACES = (ROOT / "deploy", ROOT / "k8s")
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
CONTROL = {"runs", "tasks", "door", "console"}
BINARY = (".binpb", ".pyc")
DEPLOYED = [
    path for place in PLACES for path in sorted(place.rglob("*")) if path.is_file() and path.suffix not in BINARY
]
DEPLOYED += [ROOT / "docker-compose.yml", ROOT / ".env.example"]

# The judges' answers are kept in the database as well.
WITH_STORE = HOLD_STORE | {"labeling"}


def full_name(service: str) -> str:
    """The service's name in the contract, as health knows it."""
    (one,) = PROTOS[service].DESCRIPTOR.services_by_name.values()
    return one.full_name


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def env(container) -> dict[str, object]:
    return {one["name"]: one for one in container.get("env", ())}


# --- one name everywhere


def test_every_service_has_an_image_a_compose_entry_and_a_manifest():
    assert set(SERVICES) <= set(targets())
    for name in SERVICES:
        entry = compose()["services"][name]
        assert entry["build"] == {"context": ".", "dockerfile": "deploy/Dockerfile", "target": name}
        assert entry["image"] == f"concord-{name}:{VERSION}"
        assert (K8S / "base" / f"{name}.yaml").exists()
    for overlay in OVERLAYS:
        assert set(SERVICES) <= set(of_kind("Deployment", built(overlay)))


def test_an_image_starts_the_service_of_its_name():
    stages = (ROOT / "deploy/Dockerfile").read_text().split("\nFROM ")
    said = {stage.split()[2]: re.search(r'^CMD \["(\w+)"\]', stage, re.M) for stage in stages if " AS " in stage}
    assert {name: match[1] for name, match in said.items() if match} == {name: name for name in SERVICES}


@pytest.mark.parametrize("path", DEPLOYED, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_setting_that_a_deployment_file_names_exists(path):
    unknown = set(SETTING.findall(path.read_text())) - KNOWN - {f"CONCORD_{name.upper()}" for name in IGNORED}
    assert not unknown


def test_the_dockerfiles_are_clean():
    for path in (ROOT / "deploy").rglob("Dockerfile"):
        hadolint = str(Path(sys.executable).parent / "hadolint")
        done = subprocess.run([hadolint, "--failure-threshold", "warning", str(path)], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


def requirements(extras: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "deploy/requirements.py", extras]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_the_extras_of_the_images_exist_and_none_brings_torch():
    given = re.findall(r'^ARG \w*EXTRAS="?([\w,]*)"?$', (ROOT / "deploy/Dockerfile").read_text(), re.M)
    assert given == ["kafka,postgres,s3,web,tracing", ""]
    for extras in given:
        asked = requirements(extras)
        assert asked.returncode == 0, asked.stderr
        assert "numpy" in asked.stdout
        assert "torch" not in asked.stdout
    assert "trl>=" in requirements("torch").stdout, "what TRAINING_EXTRAS may name"
    assert "kafka-python" in requirements("kafka,postgres,s3").stdout


def test_an_unknown_extra_is_refused_by_name():
    assert requirements("kafka,nope").stderr == f"no such extra: nope; there are: {', '.join(known_extras())}\n"


def known_extras() -> list[str]:
    return list(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])


# --- compose


def test_compose_publishes_on_the_loopback_alone():
    ports = [port for service in compose()["services"].values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_compose_checks_limits_and_restarts_whatever_keeps_running():
    for name, service in compose()["services"].items():
        if service.get("restart") == "no":
            continue
        assert service["restart"] == "unless-stopped", name
        resources = service["deploy"]["resources"]
        assert "memory" in resources.get("limits", {}) or "devices" in resources["reservations"], name
        if name not in ("prometheus", "grafana"):
            assert service["healthcheck"]["test"], name


def test_compose_services_cannot_write_and_have_no_rights():
    for name in (*SERVICES, "door"):
        service = compose()["services"][name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_compose_waits_for_log_store_and_bucket_before_the_services_start():
    for name in SERVICES:
        assert compose()["services"][name]["depends_on"] == {
            "kafka": {"condition": "service_healthy"},
            "postgres": {"condition": "service_healthy"},
            "bucket": {"condition": "service_completed_successfully"},
        }


def test_a_fraction_of_a_cpu_is_a_limit_that_scoring_starts_with():
    with_limit = yaml.safe_load(filled((ROOT / "docker-compose.yml").read_text().replace("SERVICE_CPUS:-1", "X:-1.5")))
    scoring = with_limit["services"]["scoring"]
    assert scoring["deploy"]["resources"]["limits"]["cpus"] == scoring["environment"]["CONCORD_PROCESSES"] == "1.5"
    assert from_environment({"CONCORD_PROCESSES": scoring["environment"]["CONCORD_PROCESSES"]}).processes == 1


def test_every_variable_of_compose_has_a_default_and_the_example_names_no_other():
    text = (ROOT / "docker-compose.yml").read_text()
    assert not re.findall(r"\$\{\w+\}", text)
    example = set(re.findall(r"^(\w+)=", (ROOT / ".env.example").read_text(), re.M))
    assert example <= set(re.findall(r"\$\{(\w+)", text))


def test_defaults_within_defaults_are_filled_in():
    assert filled("${A:-x${B:-y}z}") == "xyz"


def test_the_urls_of_compose_are_such_as_the_services_read():
    for name in SERVICES:
        environment = compose()["services"][name]["environment"]
        assert url.parse(environment["CONCORD_LOG_URL"]).bootstrap == ("kafka:9092",)
        assert places.parse(environment["CONCORD_BLOB_URL"], "s3").bucket == "concord"
        assert environment.get("CONCORD_STATE_URL", "").startswith("postgresql://") == (name in WITH_STORE)
        assert environment["CONCORD_RUNS_ADDRESS"] == "runs:7070"


def test_the_stand_in_for_kafka_is_the_version_that_compose_names():
    pom = (ROOT / "deploy/kafka/pom.xml").read_text()
    assert compose()["services"]["kafka"]["image"].endswith(
        ":" + re.search(r"kafka_2.13</artifactId>\s*<version>([\d.]+)", pom)[1]
    )


def test_prometheus_scrapes_every_service_on_the_port_that_they_are_given():
    (job,) = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    assert set(found["names"]) == set(SERVICES)
    assert str(found["port"]) == compose()["services"]["runs"]["environment"]["CONCORD_METRICS_PORT"]


# --- the front door


def test_the_door_leads_each_call_to_its_service():
    text = (K8S / "base/door/nginx.conf").read_text()
    for name in SERVICES:
        assert re.search(
            rf'location /{re.escape(full_name(name))}/ {{ set \$to "{name}\$domain:7070"; grpc_pass', text
        ), name


# --- the pages


def test_the_pages_have_an_image_a_compose_entry_and_a_manifest_that_start_them_in_front_of_runs():
    stage = (ROOT / "deploy/Dockerfile").read_text().split("\nFROM control AS console\n")[1].split("\nFROM ")[0]
    assert 'ENTRYPOINT ["python", "-m", "concord.console"]' in stage and "USER 10001:10001" in stage
    entry = compose()["services"]["console"]
    assert entry["build"] == {"context": ".", "dockerfile": "deploy/Dockerfile", "target": "console"}
    assert entry["read_only"] is True and entry["cap_drop"] == ["ALL"]
    assert entry["environment"]["CONCORD_CONSOLE_DOOR"] == "runs:7070"
    for overlay in OVERLAYS:
        (container,) = containers(of_kind("Deployment", built(overlay))["console"])
        said = {name: one.get("value") for name, one in env(container).items()}
        assert said["CONCORD_CONSOLE_DOOR"] == "runs:7070"
        ports = {one["name"]: one["containerPort"] for one in container["ports"]}
        assert said["CONCORD_CONSOLE_LISTEN"] == f"0.0.0.0:{ports['http']}"
        mounts = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
        assert said["CONCORD_CONSOLE_SECRET_FILE"] == f"{mounts['secret']}/secret"
        assert all(container[probe]["httpGet"]["path"] == "/health" for probe in ("readinessProbe", "livenessProbe"))
        service = of_kind("Service", built(overlay))["console"]["spec"]
        assert service["ports"][0]["targetPort"] == "http"


def test_the_pages_reach_nothing_but_runs():
    (rule,) = of_kind("NetworkPolicy", built("prod"))["console"]["spec"]["egress"]
    assert rule["to"] == [
        {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "runs", "app.kubernetes.io/part-of": "concord"}}}
    ] or rule["to"] == [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "runs"}}}]


# --- Kubernetes


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_manifest_passes_the_strict_schemas(overlay):
    kinds = set()
    for manifest in built(overlay):
        kinds.add(manifest["kind"])
        if manifest["kind"] not in FOREIGN:
            kubernetes_validate.validate(manifest, STRICT, strict=True)
    assert {"Deployment", "Service", "ServiceAccount", "PodDisruptionBudget", "NetworkPolicy", "Namespace"} <= kinds


def test_the_strict_schemas_would_find_a_misspelt_field():
    manifest = json.loads(json.dumps(of_kind("Deployment", built("dev"))["runs"]))
    manifest["spec"]["replica"] = 2
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, STRICT, strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_is_restricted(overlay):
    manifests = built(overlay)
    labels = of_kind("Namespace", manifests)["concord"]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    for name, workload in workloads(manifests).items():
        pod = workload["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] > 0, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["serviceAccountName"] in of_kind("ServiceAccount", manifests), name
        for container in containers(workload):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            # Apache's image of Kafka writes its settings beside its programs.
            assert context["readOnlyRootFilesystem"] is (name != "kafka")
            assert {"cpu", "memory"} <= set(container["resources"]["requests"])
            assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_probed_by_grpc_alive_as_a_process_and_ready_by_its_name(name, overlay):
    (container,) = containers(of_kind("Deployment", built(overlay))[name])
    port = {one["name"]: one["containerPort"] for one in container["ports"]}["grpc"]
    assert (
        container["startupProbe"]["grpc"] == container["livenessProbe"]["grpc"] == {"port": port, "service": rpc.ALIVE}
    )
    assert container["readinessProbe"]["grpc"] == {"port": port, "service": full_name(name)}
    image = re.search(r"CONCORD_LISTEN=0\.0\.0\.0:(\d+)", (ROOT / "deploy/Dockerfile").read_text())
    assert port == int(image[1])


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_time_to_end_its_calls_and_its_loop(name):
    """What `Running.stop` waits for: calls, a step of the loop, and the grace that units under way have."""
    least = GRACE_S + START_S
    pod = of_kind("Deployment", built("prod"))[name]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    said = {one["name"]: one.get("value") for one in container["env"]}.get("CONCORD_GRACE_S", Settings.grace_s)
    sleeps = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] >= least + float(said) + sleeps
    service = compose()["services"][name]
    said = service["environment"].get("CONCORD_GRACE_S", Settings.grace_s)
    assert seconds(service["stop_grace_period"]) >= least + float(said)


@pytest.mark.parametrize("overlay", [one for one in OVERLAYS if one != "dev"])
def test_triage_asks_for_what_as_many_rounds_as_it_takes_at_once_were_measured_to_hold(overlay):
    measured = json.loads((ROOT / "benchmarks/results/triage_memory.json").read_text())
    assert measured["settings"]["pairs"] >= 100_000
    peak = measured["peak_mb_by_units_at_once"]["triage_round"][str(Settings.concurrency)]["median"]
    (container,) = containers(of_kind("Deployment", built(overlay))["triage"])
    assert float(container["resources"]["requests"]["memory"].removesuffix("Mi")) > 1.2 * peak


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_pod_asks_a_drain_for_more_than_ten_minutes(overlay):
    """What cluster autoscalers wait for at most, unless told otherwise."""
    for name, workload in workloads(built(overlay)).items():
        assert workload["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] <= 600, name


def test_connections_to_postgresql_are_bounded_and_the_bound_is_said():
    """Of prod with as many replicas as its autoscalers allow."""
    most = {name: one["spec"]["maxReplicaCount"] for name, one in of_kind("ScaledObject", built("prod")).items()}
    total = 0
    for name in SERVICES:
        deployment = of_kind("Deployment", built("prod"))[name]
        # Labeling's are for answers (1), batches (2) and turns (1); other workers hold no database.
        each = Settings.state_connections if name in HOLD_STORE else 4 if name in WITH_STORE else 0
        # One more while an update puts a new pod beside the old ones.
        total += each * (most.get(name) or deployment["spec"]["replicas"]) + each
    assert f"at most {total} with prod's most replicas" in (ROOT / "deploy/README.md").read_text(), total


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_services_are_headless_and_spread_and_drains_take_one_at_a_time(overlay):
    manifests = built(overlay)
    for name in SERVICES:
        service = of_kind("Service", manifests)[name]["spec"]
        assert service["clusterIP"] == "None"
        chosen = {"app.kubernetes.io/name": name}
        labels = of_kind("Deployment", manifests)[name]["spec"]["template"]["metadata"]["labels"]
        assert service["selector"].items() <= labels.items()
        budget = of_kind("PodDisruptionBudget", manifests)[name]["spec"]
        assert budget["maxUnavailable"] == 1
        assert budget["selector"] == {"matchLabels": chosen}
        pod = of_kind("Deployment", manifests)[name]["spec"]["template"]["spec"]
        over = {spread["topologyKey"]: spread for spread in pod["topologySpreadConstraints"]}
        assert set(over) == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
        # A cluster in one zone, or on one node, must take them all the same.
        assert over["topology.kubernetes.io/zone"]["whenUnsatisfiable"] == "ScheduleAnyway"
        for spread in over.values():
            assert spread["nodeTaintsPolicy"] == "Honor"
            assert spread["labelSelector"] == {"matchLabels": chosen}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nothing_comes_in_or_goes_out_unless_a_policy_says_so(overlay):
    policies = of_kind("NetworkPolicy", built(overlay))
    assert policies["default-deny"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for name in workloads(built(overlay)):
        chosen = policies[name]["spec"]["podSelector"]["matchLabels"]
        assert chosen == {"app.kubernetes.io/name": name}
    # Only the judges and, in prod, the back ends are outside; never where clouds keep a machine's credentials.
    for policy in policies.values():
        for rule in policy["spec"].get("egress", ()):
            assert rule.get("to"), policy["metadata"]["name"]
            for to in rule["to"]:
                if to.get("ipBlock", {}).get("cidr") == "0.0.0.0/0":
                    assert "169.254.0.0/16" in to["ipBlock"]["except"]


def lets_out(overlay: str, name: str, address: str, port: int) -> bool:
    """Whether a policy lets the service's pods out to an address that is no pod of the cluster."""
    labels = of_kind("Deployment", built(overlay))[name]["spec"]["template"]["metadata"]["labels"].items()
    policies = [policy["spec"] for policy in of_kind("NetworkPolicy", built(overlay)).values()]
    meant = [spec for spec in policies if spec["podSelector"].get("matchLabels", {}).items() <= labels]
    rules = [rule for spec in meant for rule in spec.get("egress", ())]
    return any(
        one["port"] == port
        and ip_address(address) in ip_network(block["cidr"])
        and not any(ip_address(address) in ip_network(but) for but in block.get("except", ()))
        for rule in rules
        for one in rule["ports"]
        for block in (to["ipBlock"] for to in rule["to"] if "ipBlock" in to)
    )


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_workers_have_neither_the_database_s_password_nor_a_way_to_it_and_reach_the_front_door(overlay):
    deployments, policies = of_kind("Deployment", built(overlay)), of_kind("NetworkPolicy", built(overlay))
    store_label = {"concord.dev/store": "true"}
    assert policies["postgres" if overlay == "dev" else "outside-store"]["spec"]["podSelector"]["matchLabels"]
    for name in SERVICES:
        template = deployments[name]["spec"]["template"]
        assert ("concord-state" in json.dumps(template)) == (name in WITH_STORE)
        assert (store_label.items() <= template["metadata"]["labels"].items()) == (name in WITH_STORE)
        (container,) = template["spec"]["containers"]
        address = {one["name"]: one.get("value") for one in container["env"]}.get("CONCORD_RUNS_ADDRESS")
        assert (address == "runs:7070") == (name not in HOLD_STORE)
        own = policies[name]["spec"]["egress"]
        ways = [(json.dumps(rule["to"]), [one["port"] for one in rule["ports"]]) for rule in own]
        assert any(5432 in ports for _, ports in ways) == (name in WITH_STORE)
        to_runs = any('"app.kubernetes.io/name": "runs"' in to and 7070 in ports for to, ports in ways)
        assert to_runs == (name not in HOLD_STORE)


def test_with_grpc_tls_everybody_shows_a_certificate_and_probes_ask_in_plain():
    shown = with_components("prod", "grpc-tls")
    files = "cert_file=/etc/concord/grpc/tls.crt&key_file=/etc/concord/grpc/tls.key&ca_file=/etc/concord/grpc/ca.crt"
    listen = f"tls://0.0.0.0:7070?{files}"
    (settings,) = [one["data"] for one in shown if one["kind"] == "ConfigMap" and "CONCORD_LISTEN" in one["data"]]
    assert settings["CONCORD_LISTEN"] == listen
    assert from_environment({"CONCORD_LISTEN": listen}).listen == listen
    asked = yaml.safe_load_all((K8S / "components/grpc-tls/certificates.yaml").read_text())
    certificates = {one["spec"]["commonName"]: one["spec"] for one in asked if one}
    assert set(certificates) == {*SERVICES, "console", "door"}
    for name, deployment in of_kind("Deployment", shown).items():
        kubernetes_validate.validate(deployment, STRICT, strict=True)
        spec = deployment["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        (secret,) = [one["secret"]["secretName"] for one in spec["volumes"] if one["name"] == "grpc-tls"]
        assert secret == certificates[name]["secretName"] == f"concord-grpc-{name}"
        assert {"name": "grpc-tls", "mountPath": "/etc/concord/grpc", "readOnly": True} in container["volumeMounts"]
        probes = [container[f"{kind}Probe"] for kind in ("startup", "liveness", "readiness")]
        assert not [one for one in probes if "grpc" in one]
        if name in SERVICES:
            assert [one["httpGet"]["path"] for one in probes] == ["/alive", "/alive", "/ready"]
        environment = {one["name"]: one.get("value", "") for one in container.get("env", ())}
        to_runs = environment.get("CONCORD_RUNS_ADDRESS") or environment.get("CONCORD_CONSOLE_DOOR")
        assert to_runs == (None if name in (*HOLD_STORE, "door") else f"tls://runs:7070?{files}")
    plain, guarded = ((K8S / at / "nginx.conf").read_text() for at in ("base/door", "components/grpc-tls"))
    ways = re.compile(r"location (/concord\S+) .*?grpc_pass grpcs?:")
    assert ways.findall(plain) == ways.findall(guarded) and len(ways.findall(plain)) == len(SERVICES)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_teams_are_a_file_that_runs_alone_reads(overlay):
    """None unless it is asked for; as it stands it is one that the service takes, with keys that a judge may have."""
    assert "CONCORD_TEAMS_FILE" not in json.dumps(built(overlay))
    shown = with_components(overlay, "teams")
    for name, workload in workloads(shown).items():
        assert ("CONCORD_TEAMS_FILE" in json.dumps(workload)) == (name == "runs")
    pod = of_kind("Deployment", shown)["runs"]["spec"]["template"]["spec"]
    kubernetes_validate.validate(of_kind("Deployment", shown)["runs"], STRICT, strict=True)
    (container,) = pod["containers"]
    (file,) = (Path(one["value"]) for one in container["env"] if one["name"] == "CONCORD_TEAMS_FILE")
    (mount,) = (one for one in container["volumeMounts"] if Path(one["mountPath"]) == file.parent)
    (name,) = (one["configMap"]["name"] for one in pod["volumes"] if one["name"] == mount["name"])
    teams = parsed(yaml.safe_load(of_kind("ConfigMap", shown)[name]["data"][file.name]), file.name)
    homes = key_homes(from_environment({"CONCORD_JUDGE_KEYS": settings_in("prod")["CONCORD_JUDGE_KEYS"]}))
    assert {key for team in teams.values() for key in team.keys} <= set(homes)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_old_answers_are_pruned_by_nobody_unless_it_is_asked_for_and_then_by_a_command_that_there_is(overlay):
    assert not of_kind("CronJob", built(overlay))
    shown = with_components(overlay, "prune")
    job = of_kind("CronJob", shown)["prune"]
    kubernetes_validate.validate(job, STRICT, strict=True)
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    command, days = container["args"][0], float(container["args"][2])
    assert container["command"] == ["concord"] and command == "prune" and days > 0
    assert command in {one.__name__ for one in COMMANDS}
    # As the services have it: the same image, settings and store, and no more rights.
    runs = of_kind("Deployment", shown)["runs"]["spec"]["template"]["spec"]
    (like,) = runs["containers"]
    for field in ("securityContext", "envFrom"):
        assert container[field] == like[field]
    assert container["image"].rpartition("/")[2] == like["image"].rpartition("/")[2]
    assert pod["securityContext"] == runs["securityContext"]
    assert container["env"][0] == next(one for one in like["env"] if one["name"] == "CONCORD_STATE_URL")


INSIDE = (
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.100.100.200",
    "127.0.0.1",
    "0.0.0.0",
    "169.254.169.254",
    "192.0.0.192",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "fe80::1",
    "fd00:ec2::254",
    "fc00::1",
    "::ffff:10.0.0.1",
    "64:ff9b::a00:1",
    "2002:a00:1::1",
)


@pytest.mark.parametrize("address", INSIDE)
def test_in_prod_a_judge_s_url_leads_to_nothing_inside(address):
    assert not any(
        lets_out("prod", "labeling", address, port) for port in (80, 443, 5432, 6443, 7070, 8000, 8080, 9000, 9093)
    )


def test_in_prod_judges_and_s3_are_reached_at_public_addresses_over_https_alone():
    for name in SERVICES:
        for address in ("93.184.215.14", "172.15.0.1", "2606:4700::1111"):
            assert lets_out("prod", name, address, 443)
            assert not lets_out("prod", name, address, 80)
    assert lets_out("dev", "labeling", "10.0.0.1", 8000), "dev has judges anywhere, or this would find nothing"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_configmap_that_a_pod_names_is_there_and_every_secret_is_there_or_said_to_be_needed(overlay):
    manifests = built(overlay)
    said = "".join(path.read_text() for path in K8S.rglob("kustomization.yaml"))
    for name, workload in workloads(manifests).items():
        pod = workload["spec"]["template"]["spec"]
        maps = set(named(pod, re.compile(r'"configMap(?:Ref)?": {"name": "([\w-]+)"')))
        assert maps <= set(of_kind("ConfigMap", manifests)), name
        keys = set(named(pod, re.compile(r'"secretKeyRef": {[^}]*"name": "([\w-]+)"')))
        keys |= set(named(pod, re.compile(r'"secretName": "([\w-]+)"')))
        for secret in keys:
            assert secret in of_kind("Secret", manifests) or (overlay != "dev" and secret in said), (name, secret)


def test_prod_brings_no_secret():
    assert not of_kind("Secret", built("prod"))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_image_has_a_version_and_one_that_is_on_its_node_is_taken_from_there(overlay):
    """Without a tag an image is `latest`, and is pulled always: on a node that has it by hand it would never start."""
    for name, workload in workloads(built(overlay)).items():
        for container in containers(workload):
            image = container["image"]
            assert re.search(r":[\w.-]*\d[\w.-]*$|@sha256:[0-9a-f]{64}$", image), image
            assert container["imagePullPolicy"] == "IfNotPresent", name
            if "concord-" in image:
                assert image.endswith(f"concord-{name}:{VERSION}"), image


def test_dev_starts_the_very_images_that_compose_builds():
    for name in (*SERVICES, "console"):
        (container,) = containers(of_kind("Deployment", built("dev"))[name])
        assert container["image"] == compose()["services"][name]["image"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_answers_goes_before_what_works_and_nobody_is_put_out_for_a_worker(overlay):
    classes = of_kind("PriorityClass", built(overlay))
    assert classes["concord-control"]["value"] > classes["concord-work"]["value"] > 0
    assert classes["concord-work"]["preemptionPolicy"] == "Never"
    for name, deployment in of_kind("Deployment", built(overlay)).items():
        wanted = "concord-control" if name in CONTROL else "concord-work"
        assert deployment["spec"]["template"]["spec"]["priorityClassName"] == wanted, name


@pytest.mark.parametrize("overlay", ["dev", "prod"])
def test_a_judge_may_have_a_key_and_prod_says_where_it_may_go(overlay):
    (container,) = containers(of_kind("Deployment", built(overlay))["labeling"])
    (secret,) = (one["secretRef"] for one in container["envFrom"] if "secretRef" in one)
    settings = from_environment({"CONCORD_JUDGE_KEYS": settings_in(overlay)["CONCORD_JUDGE_KEYS"]})
    homes = key_homes(settings)
    assert homes
    if overlay == "prod":
        assert all(home.startswith("https://") for urls in homes.values() for home in urls) and all(homes.values())
        made = (K8S / "overlays/prod/kustomization.yaml").read_text()
        assert all(re.search(rf"generic {secret['name']} .*{name}=", made) for name in homes)
    else:
        (name,) = (n for n in of_kind("Secret", built("dev")) if n.startswith(secret["name"]))
        assert set(of_kind("Secret", built("dev"))[name]["data"]) == set(homes)


def settings_in(overlay: str) -> dict[str, str]:
    """The ConfigMap that all services read."""
    maps = of_kind("ConfigMap", built(overlay))
    (data,) = (one["data"] for name, one in maps.items() if re.fullmatch(r"concord-[a-z0-9]{10}", name))
    return data


OUTSIDE = (
    ("outside", "KAFKA_NETWORK"),
    ("outside-store", "POSTGRES_NETWORK"),
    ("outside-endpoints", "ENDPOINTS_NETWORK"),
)


def test_one_file_says_where_everything_outside_is():
    """Prod's addresses stand in outside.env alone, and every manifest that needs one has it from there."""
    said = settings_in("prod")
    lines = (K8S / "overlays/prod/outside.env").read_text().splitlines()
    given = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert given.items() <= said.items()
    for name, variable in OUTSIDE:
        (rule,) = of_kind("NetworkPolicy", built("prod"))[name]["spec"]["egress"]
        assert rule["to"][0]["ipBlock"]["cidr"] == given[variable]
    ingress = of_kind("Ingress", built("prod"))["console"]["spec"]
    assert ingress["rules"][0]["host"] == ingress["tls"][0]["hosts"][0] == given["CONSOLE_HOST"]
    assert given["CONCORD_CONSOLE_URL"] == f"https://{given['CONSOLE_HOST']}"
    overlay = "".join((K8S / "overlays/prod" / name).read_text() for name in ("kustomization.yaml",))
    settings = [line for line in overlay.splitlines() if not line.lstrip().startswith("#")]
    assert not [line for line in settings if ".example" in line and "registry.example" not in line]


def test_the_pages_come_in_over_tls_and_the_door_only_with_a_client_certificate():
    shown = with_components("prod", "door-ingress")
    services = of_kind("Service", shown)
    for name, ingress in of_kind("Ingress", shown).items():
        assert ingress["spec"]["tls"][0]["secretName"] == f"concord-{name}-tls"
        assert ingress["spec"]["tls"][0]["hosts"] == [rule["host"] for rule in ingress["spec"]["rules"]]
        (path,) = ingress["spec"]["rules"][0]["http"]["paths"]
        port = path["backend"]["service"]["port"]["name"]
        assert port in {one["name"] for one in services[path["backend"]["service"]["name"]]["spec"]["ports"]}
        kubernetes_validate.validate(ingress, STRICT, strict=True)
        policies = json.dumps(of_kind("NetworkPolicy", shown)[name if name == "console" else "door-ingress"])
        assert "concord.dev/ingress" in policies
    assert set(of_kind("Ingress", shown)) == {"console", "door"}
    assert set(of_kind("Ingress", built("prod"))) == {"console"}, "the door asks nobody who he is"
    said = of_kind("Ingress", shown)["door"]["metadata"]["annotations"]
    assert said["nginx.ingress.kubernetes.io/auth-tls-verify-client"] == "on"
    assert said["nginx.ingress.kubernetes.io/auth-tls-secret"] == "concord/concord-callers"


def test_a_gateway_leads_to_the_pages_over_tls_as_well():
    shown = with_components("dev", "gateway")
    (listener,) = of_kind("Gateway", shown)["concord"]["spec"]["listeners"]
    assert listener["protocol"] == "HTTPS" and listener["tls"]["certificateRefs"] == [{"name": "concord-console-tls"}]
    (rule,) = of_kind("HTTPRoute", shown)["console"]["spec"]["rules"]
    assert rule["backendRefs"] == [
        {"name": "console", "port": of_kind("Service", shown)["console"]["spec"]["ports"][0]["port"]}
    ]


def test_external_secrets_bring_every_secret_with_every_key_that_a_pod_reads():
    shown = with_components("prod", "external-secrets")
    brought = {
        one["spec"]["target"]["name"]: {data["secretKey"] for data in one["spec"].get("data", ())}
        for one in of_kind("ExternalSecret", shown).values()
    }
    for workload in workloads(shown).values():
        for container in containers(workload):
            for one in container.get("env", ()):
                if wanted := one.get("valueFrom", {}).get("secretKeyRef"):
                    assert wanted["key"] in brought[wanted["name"]]
            for one in container.get("envFrom", ()):
                assert "secretRef" not in one or one["secretRef"]["name"] in brought
    files = set(re.findall(r"/etc/concord/tls/([\w.]+)", settings_in("prod")["CONCORD_LOG_URL"]))
    assert files <= brought["concord-tls"] and "secret" in brought["concord-console"]


def test_the_urls_of_the_overlays_are_such_as_the_services_read():
    for overlay in ("dev", "prod"):
        data = settings_in(overlay)
        kafka = url.parse(data["CONCORD_LOG_URL"])
        places.parse(data["CONCORD_BLOB_URL"], "s3")
        if overlay == "prod":
            assert kafka.replication == 3
            mounts = containers(of_kind("Deployment", built("prod"))["runs"])[0]["volumeMounts"]
            (tls,) = (mount["mountPath"] for mount in mounts if mount["name"] == "tls")
            assert Path(kafka.ca_file).parent == Path(kafka.password_file).parent == Path(tls)


def test_dev_runs_the_same_back_ends_as_compose():
    sets = of_kind("StatefulSet", built("dev"))
    for name in ("kafka", "postgres", "s3"):
        assert containers(sets[name])[-1]["image"] == compose()["services"][name]["image"]
    door = of_kind("Deployment", built("dev"))["door"]
    assert containers(door)[0]["image"] == compose()["services"]["door"]["image"]


# --- scaling


@pytest.mark.parametrize("name", WORK)
def test_keda_asks_runs_for_the_work_that_may_run(name):
    scaled = of_kind("ScaledObject", built("prod"))[name]["spec"]
    assert scaled["scaleTargetRef"] == {"name": name}
    (trigger,) = scaled["triggers"]
    assert trigger["type"] == "metrics-api"
    asked = urlsplit(trigger["metadata"]["url"])
    service = of_kind("Service", built("prod"))["runs"]
    assert asked.hostname == f"runs.{service['metadata']['namespace']}.svc.cluster.local"
    assert asked.port in {one["port"] for one in service["spec"]["ports"] if one["name"] == "metrics"}
    assert asked.path == watchtower.WANTED
    assert demand.WORKERS[WORK[name]] == trigger["metadata"]["valueLocation"] == name
    assert scaled["minReplicaCount"] == 0 < scaled["maxReplicaCount"] <= WORK[name].partitions
    # Its number of replicas is KEDA's: an apply must not set it back.
    assert "replicas" not in of_kind("Deployment", built("prod"))[name]["spec"]
    policy = of_kind("NetworkPolicy", built("prod"))["wanted"]["spec"]
    assert policy["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "runs"}
    assert policy["ingress"][0]["ports"] == [{"port": "metrics"}]


def test_only_workers_are_scaled_by_what_waits():
    assert set(of_kind("ScaledObject", built("prod"))) == set(WORK)


def test_training_is_never_scaled_in_while_a_unit_computes():
    behaviour = of_kind("ScaledObject", built("prod"))["training"]["spec"]["advanced"]["horizontalPodAutoscalerConfig"]
    assert behaviour == {"behavior": {"scaleDown": {"selectPolicy": "Disabled"}}}
    grace = {
        name: of_kind("Deployment", built("prod"))[name]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
        for name in SERVICES
    }
    assert max(grace, key=grace.get) == "training"


@pytest.mark.parametrize("overlay", ["dev", "prod"])
def test_nothing_asks_for_a_gpu_that_uses_none(overlay):
    assert "nvidia" not in json.dumps(built(overlay))


def test_with_gpus_training_and_scoring_ask_for_one_each_and_for_a_node_that_has_it_and_nothing_else_does():
    pods = {name: one["spec"]["template"]["spec"] for name, one in workloads(built("prod-gpu")).items()}
    assert {name for name, pod in pods.items() if "nvidia" in json.dumps(pod)} == {"scoring", "training"}
    for pod in (pods["scoring"], pods["training"]):
        assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
        assert pod["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
        assert pod["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
        assert {"name": "tmp", "emptyDir": {"sizeLimit": "100Gi"}} in pod["volumes"]
    environment = {one["name"]: one.get("value") for one in pods["training"]["containers"][0]["env"]}
    assert environment["CONCORD_CONCURRENCY"] == "1" and environment["CONCORD_GRACE_S"], (
        "one training at a time, stopped as ever"
    )
    of_scoring = {one["name"]: one.get("value") for one in pods["scoring"]["containers"][0]["env"]}
    assert of_scoring["CONCORD_PROCESSES"] == "1", "one process has the device"


# --- metrics


def metrics() -> set[str]:
    """The names as Prometheus sees them."""
    assert telemetry.UNITS  # imported: its metrics are registered
    names = set()
    for family in REGISTRY.collect():
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}.get(
            family.type, ()
        )
        names |= {family.name + suffix for suffix in suffixes}
    return names


def test_alerts_and_panels_ask_for_metrics_that_the_services_have():
    asked = [panel_target["expr"] for panel in dashboard()["panels"] for panel_target in panel["targets"]]
    rules = of_kind("PrometheusRule", built("prod"))["concord"]["spec"]["groups"]
    asked += [rule["expr"] for group in rules for rule in group["rules"]]
    for expression in asked:
        wanted = set(re.findall(r"\b(?:concord|process)_\w+", expression))
        assert wanted or "up{" in expression
        assert wanted <= metrics(), expression


def dashboard():
    return json.loads((K8S / "components/monitoring/dashboards/concord.json").read_text())


def test_kube_prometheus_stack_finds_the_monitor_and_the_alerts():
    """Its chart reads what is labelled with its release's name, and nothing else."""
    for kind in ("ServiceMonitor", "PrometheusRule"):
        labels = of_kind(kind, built("prod"))["concord"]["metadata"]["labels"]
        assert labels["release"] == "kube-prometheus-stack"
    dashboards = of_kind("ConfigMap", built("prod"))["concord-dashboard"]["metadata"]["labels"]
    assert dashboards["grafana_dashboard"] == "1"


def test_the_monitor_finds_the_metrics_port_of_every_service():
    monitor = of_kind("ServiceMonitor", built("prod"))["concord"]["spec"]
    for name in SERVICES:
        service = of_kind("Service", built("prod"))[name]
        assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
        ports = {port["name"]: port["port"] for port in service["spec"]["ports"]}
        assert monitor["endpoints"][0]["port"] in ports
        assert ports["metrics"] == 9464


# --- Strimzi's examples


def test_the_topics_for_strimzi_are_those_of_the_code():
    given = yaml.safe_load_all((K8S / "examples/strimzi/topics.yaml").read_text())
    said = {one["metadata"]["name"]: one["spec"] for one in given}
    assert said == {
        topic.name: {"partitions": topic.partitions, "replicas": 3, "config": settings_of(topic, 3)}
        for topic in topics.ALL
    }


def test_the_users_for_strimzi_may_use_every_topic_and_group():
    users = {
        one["metadata"]["name"]: one for one in yaml.safe_load_all((K8S / "examples/strimzi/users.yaml").read_text())
    }
    acls = users["concord"]["spec"]["authorization"]["acls"]
    groups = {acl["resource"]["name"] for acl in acls if acl["resource"]["type"] == "group"}
    (prefix,) = (acl["resource"]["name"] for acl in acls if acl["resource"]["type"] == "topic")
    assert groups == set(SERVICES)
    assert all(topic.name.startswith(prefix) for topic in topics.ALL)
