"""The manifests for Kubernetes: what every cluster must accept, and what belongs together."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from deployment.manifests import (
    KUBERNETES,
    OVERLAYS,
    REPOSITORY,
    RESTORE,
    SERVER,
    Manifest,
    extended,
    of_kind,
    overlay,
    pod_templates,
    server_container,
    server_pod,
)

CUSTOM = {"Certificate", "PrometheusRule", "ServiceMonitor"}
"""Kinds of cert-manager and of the Prometheus operator, which Kubernetes itself does not know."""
VERSIONS = ["1.30", kubernetes_validate.latest_version()]
"""The oldest that has everything used here (preStop sleep), and the newest known."""


@pytest.fixture(scope="session", params=OVERLAYS)
def plain(request: pytest.FixtureRequest) -> tuple[Manifest, ...]:
    """Each overlay."""
    return overlay(request.param)


@pytest.fixture(scope="session", params=OVERLAYS)
def full(request: pytest.FixtureRequest) -> tuple[Manifest, ...]:
    """Each overlay, with every optional component."""
    return extended(request.param)


def refusals(manifests: Sequence[Manifest], version: str) -> list[str]:
    """Validate as `kubernetes-validate --strict` does."""
    found = []
    for manifest in manifests:
        if manifest["kind"] in CUSTOM:
            continue
        try:
            kubernetes_validate.validate(manifest, version, strict=True)
        except kubernetes_validate.ValidationError as fault:
            found.append(f"{manifest['kind']} {manifest['metadata']['name']}: {fault.message}")
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_accepts_every_overlay(plain: tuple[Manifest, ...], version: str) -> None:
    assert refusals(plain, version) == []
    assert not of_kind(plain, *CUSTOM)


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_accepts_every_overlay_with_all_components(full: tuple[Manifest, ...], version: str) -> None:
    assert refusals(full, version) == []
    assert {manifest["kind"] for manifest in of_kind(full, *CUSTOM)} == CUSTOM


def test_what_kubernetes_does_not_know_would_be_seen() -> None:
    (deployment,) = of_kind(overlay("qdrant"), "Deployment")
    wrong = deployment | {"spec": deployment["spec"] | {"replica": 2, "minReadySeconds": "five"}}
    (first,) = refusals([deployment | wrong], VERSIONS[0])
    assert "replica" in first or "five" in first


def test_every_pod_keeps_to_the_restricted_standard(full: tuple[Manifest, ...]) -> None:
    # https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted, and a read-only root beside it
    (namespace,) = of_kind(full, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for name, template in pod_templates(full):
        spec = template["spec"]
        assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & set(spec), name
        pod = spec["securityContext"]
        assert pod["runAsNonRoot"] is True
        assert pod["runAsUser"] == pod["fsGroup"] == 10001
        assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        kinds = {next(key for key in volume if key != "name") for volume in spec["volumes"]}
        assert kinds <= {"configMap", "emptyDir", "persistentVolumeClaim", "secret"}
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {"cpu", "memory"} <= set(container["resources"]["requests"])
            assert {"cpu", "memory"} <= set(container["resources"]["limits"])


def test_everything_that_is_mounted_is_there_and_the_other_way_round(full: tuple[Manifest, ...]) -> None:
    claims = {claim["metadata"]["name"] for claim in of_kind(full, "PersistentVolumeClaim")}
    for made in of_kind(full, "StatefulSet"):
        templates = [template["metadata"]["name"] for template in made["spec"]["volumeClaimTemplates"]]
        claims |= {f"{name}-{made['metadata']['name']}-0" for name in templates}
    for _, template in pod_templates(full):
        volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
        mounted = {mount["name"] for container in template["spec"]["containers"] for mount in container["volumeMounts"]}
        assert mounted - {"data"} == set(volumes) - {"data"}
        for volume in volumes.values():
            assert volume.get("persistentVolumeClaim", {}).get("claimName", next(iter(claims), "")) in claims | {""}


def test_services_and_policies_speak_of_pods_and_ports_that_exist(full: tuple[Manifest, ...]) -> None:
    ports = {port["name"]: port["containerPort"] for port in server_container(full)["ports"]}
    for service in of_kind(full, "Service"):
        assert service["spec"]["selector"] == SERVER
        for port in service["spec"]["ports"]:
            assert ports[port["targetPort"]] == port["port"]
    labels = [template["metadata"]["labels"] for _, template in pod_templates(full)]
    for policy in of_kind(full, "NetworkPolicy", "PodDisruptionBudget"):
        selector = policy["spec"].get("podSelector") or policy["spec"]["selector"]
        assert selector["matchLabels"] in labels
        for rule in policy["spec"].get("ingress", []):
            assert {port["port"] for port in rule["ports"]} <= set(ports)
    policies = [policy["spec"] for policy in of_kind(full, "NetworkPolicy")]
    for template_labels in labels:
        covering = [spec for spec in policies if spec["podSelector"]["matchLabels"] == template_labels]
        assert {kind for spec in covering for kind in spec["policyTypes"]} == {"Ingress", "Egress"}


def test_one_service_alone_is_scraped(full: tuple[Manifest, ...]) -> None:
    (monitor,) = of_kind(full, "ServiceMonitor")
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    chosen = [each for each in of_kind(full, "Service") if wanted <= each["metadata"]["labels"].items()]
    assert [each["metadata"]["name"] for each in chosen] == ["vecgate"]
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["port"] in {port["name"] for port in chosen[0]["spec"]["ports"]}


def test_a_restore_has_the_pod_of_a_backup_and_kubernetes_accepts_it() -> None:
    job = yaml.safe_load(RESTORE.read_text())
    assert [found for version in VERSIONS for found in refusals([job], version)] == []
    (backup,) = of_kind(overlay("faiss"), "CronJob")
    theirs = backup["spec"]["jobTemplate"]["spec"]["template"]
    ours = job["spec"]["template"]
    assert ours["metadata"]["labels"] == theirs["metadata"]["labels"]
    same = ("securityContext", "volumes", "automountServiceAccountToken", "restartPolicy", "serviceAccountName")
    assert {key: ours["spec"][key] for key in same} == {key: theirs["spec"][key] for key in same}
    (our_container,), (their_container,) = ours["spec"]["containers"], theirs["spec"]["containers"]
    alike = ("image", "resources", "securityContext", "volumeMounts")
    assert {key: our_container[key] for key in alike} == {key: their_container[key] for key in alike}


def test_the_store_has_one_server_and_a_backup_on_its_node() -> None:
    manifests = overlay("faiss")
    (server,), (backup,) = of_kind(manifests, "StatefulSet"), of_kind(manifests, "CronJob")
    assert server["spec"]["replicas"] == 1
    assert not of_kind(manifests, "HorizontalPodAutoscaler", "Deployment")
    pod = backup["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (term,) = pod["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert (term["topologyKey"], term["labelSelector"]["matchLabels"]) == ("kubernetes.io/hostname", SERVER)
    # It shares files with the server, and so must be the same user.
    assert pod["securityContext"] == server_pod(manifests)["securityContext"]
    data = next(volume for volume in pod["volumes"] if volume["name"] == "data")
    assert data["persistentVolumeClaim"]["claimName"] == "data-vecgate-0"


@pytest.mark.parametrize("name", ["pinecone", "qdrant"])
def test_replicas_are_scaled_spread_and_kept(name: str) -> None:
    manifests = overlay(name)
    (deployment,) = of_kind(manifests, "Deployment")
    (scaler,) = of_kind(manifests, "HorizontalPodAutoscaler")
    (budget,) = of_kind(manifests, "PodDisruptionBudget")
    target = scaler["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"])
    # A number here would undo the autoscaler's at every apply.
    assert "replicas" not in deployment["spec"]
    assert scaler["spec"]["minReplicas"] >= 2
    assert budget["spec"]["maxUnavailable"] == 1
    keys = {each["topologyKey"] for each in server_pod(manifests)["topologySpreadConstraints"]}
    assert keys == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
    assert "None" in {service["spec"].get("clusterIP") for service in of_kind(manifests, "Service")}


def test_the_image_has_the_version_of_the_package(full: tuple[Manifest, ...]) -> None:
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    images = {container["image"] for _, template in pod_templates(full) for container in template["spec"]["containers"]}
    # Everything runs what the GPU needs, where the component gpu is in.
    assert images == {f"vecgate:{version}-gpu"}
    plain = {
        container["image"] for _, each in pod_templates(overlay("faiss")) for container in each["spec"]["containers"]
    }
    assert plain == {f"vecgate:{version}"}


def test_the_alerts_are_those_of_the_file() -> None:
    alerts = yaml.safe_load((REPOSITORY / "deploy/prometheus/alerts.yaml").read_text())
    rule: dict[str, Any] = yaml.safe_load((KUBERNETES / "components/servicemonitor/rules.yaml").read_text())
    assert rule["spec"] == alerts, "write it anew: python deploy/prometheus/kubernetes_rules.py"


def test_no_file_is_forgotten() -> None:
    named: set[Path] = set()
    for kustomization in KUBERNETES.rglob("kustomization.yaml"):
        document = yaml.safe_load(kustomization.read_text())
        files = [*document.get("resources", []), *(patch["path"] for patch in document.get("patches", []))]
        files += [file for made in document.get("configMapGenerator", []) for file in made["files"]]
        named |= {(kustomization.parent / file).resolve() for file in files}
    unnamed = {path for path in KUBERNETES.rglob("*.yaml") if path.name != "kustomization.yaml"} - named
    # Applied by hand, when it is needed.
    assert unnamed == {RESTORE}
