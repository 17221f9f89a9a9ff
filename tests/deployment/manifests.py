"""What kubectl makes of deploy/kubernetes, for tests of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
KUBERNETES = REPOSITORY / "deploy/kubernetes"
RESTORE = KUBERNETES / "restore.yaml"
OVERLAYS = sorted(path.name for path in (KUBERNETES / "overlays").iterdir())
OPTIONAL = ("gpu", "servicemonitor", "cert-manager")
"""The components that no overlay contains."""
SERVER = {"app.kubernetes.io/name": "vecgate", "app.kubernetes.io/component": "server"}

Manifest = dict[str, Any]


def program(name: str) -> str:
    """Find a program that a Python package brought, or one of this machine."""
    beside = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    found = shutil.which(name, path=beside)
    assert found, f"{name} is not installed: make setup brings it on Linux; elsewhere install it yourself"
    return found


def kustomized(folder: Path) -> tuple[Manifest, ...]:
    """Run `kubectl kustomize` on a folder."""
    done = subprocess.run(
        [program("kubectl"), "kustomize", str(folder)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    return tuple(yaml.safe_load_all(done.stdout))


@cache
def overlay(name: str) -> tuple[Manifest, ...]:
    """Return the manifests of an overlay; not to be changed."""
    return kustomized(KUBERNETES / "overlays" / name)


@cache
def extended(name: str, components: tuple[str, ...] = OPTIONAL) -> tuple[Manifest, ...]:
    """Return the manifests of an overlay of one's own, which adds components to one of ours; not to be changed."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        document = {
            # kustomize takes no absolute path.
            "resources": [os.path.relpath(KUBERNETES / "overlays" / name, folder)],
            "components": [os.path.relpath(KUBERNETES / "components" / component, folder) for component in components],
        }
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(document))
        return kustomized(folder)


def of_kind(manifests: Sequence[Manifest], *kinds: str) -> list[Manifest]:
    """Return the manifests of some kinds."""
    return [manifest for manifest in manifests if manifest["kind"] in kinds]


def pod_templates(manifests: Sequence[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Yield the name and the pod template of everything that makes pods."""
    for manifest in manifests:
        spec = manifest.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec:
            yield manifest["metadata"]["name"], spec["template"]


def server_pod(manifests: Sequence[Manifest]) -> Manifest:
    """Return the spec of the server's pod."""
    (template,) = [template for _, template in pod_templates(manifests) if template["metadata"]["labels"] == SERVER]
    spec: Manifest = template["spec"]
    return spec


def server_container(manifests: Sequence[Manifest]) -> Manifest:
    """Return the only container of the server's pod."""
    (container,) = server_pod(manifests)["containers"]
    only: Manifest = container
    return only


def variables(container: Manifest) -> Mapping[str, str]:
    """Return the variables that a container sees: limits of itself as numbers, secrets as "secret"."""
    seen = {}
    for variable in container["env"]:
        source = variable.get("valueFrom", {})
        if "resourceFieldRef" in source:
            reference = source["resourceFieldRef"]
            assert (reference["containerName"], reference["divisor"]) == (container["name"], "1")
            bound, resource = reference["resource"].split(".")
            seen[variable["name"]] = container["resources"][bound][resource]
        else:
            seen[variable["name"]] = variable.get("value", "secret" if "secretKeyRef" in source else None)
    assert len(seen) == len(container["env"]), "a variable is set twice"
    return seen


def configuration(manifests: Sequence[Manifest]) -> str:
    """Return the vecgate.yaml that the server's pod mounts."""
    (volume,) = [volume for volume in server_pod(manifests)["volumes"] if volume["name"] == "configuration"]
    (source,) = [
        each for each in of_kind(manifests, "ConfigMap") if each["metadata"]["name"] == volume["configMap"]["name"]
    ]
    text: str = source["data"]["vecgate.yaml"]
    return text
