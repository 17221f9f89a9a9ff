"""docs/operations.md says what is so: its commands exist, its samples work, no alert is missing."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest
import yaml
from pydantic import BaseModel

from deployment.manifests import (
    KUBERNETES,
    OPTIONAL,
    OVERLAYS,
    REPOSITORY,
    kustomized,
    of_kind,
    overlay,
    pod_templates,
    program,
)
from vecgate.cli.app import cli
from vecgate_server.command import main
from vecgate_server.config import Settings

RUNBOOK = (REPOSITORY / "docs/operations.md").read_text()
ALERTS = REPOSITORY / "deploy/prometheus/alerts.yaml"
BLOCKS = re.findall(r"^ *```(\w+)\n(.*?)^ *```$", RUNBOOK, re.MULTILINE | re.DOTALL)
COMMANDS = [
    shlex.split(line, comments=True)
    for language, block in BLOCKS
    if language == "sh"
    for line in block.replace("\\\n", " ").splitlines()
]


def secrets_of(name: str) -> set[str]:
    """Return the Secrets that the pods of an overlay wait for."""
    text = yaml.safe_dump([template for _, template in pod_templates(overlay(name))])
    return set(re.findall(r"secretName: (\S+)", text)) | set(
        re.findall(r"secretKeyRef:\s+key: \S+\s+name: (\S+)", text)
    )


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_of_ones_own_is_written_as_shown(name: str, tmp_path: Path) -> None:
    (sample,) = [block for language, block in BLOCKS if language == "yaml" and "kind: Kustomization" in block]
    written = sample.replace("overlays/qdrant", f"overlays/{name}").replace("  # - ", "  - ")
    document = yaml.safe_load(written)
    assert {Path(component).name for component in document["components"]} == set(OPTIONAL)
    for section in ("resources", "components"):
        document[section] = [os.path.relpath(REPOSITORY / path, tmp_path) for path in document[section]]
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(document))
    made = kustomized(tmp_path)
    images = {container["image"] for _, pod in pod_templates(made) for container in pod["spec"]["containers"]}
    (image,) = document["images"]
    assert all(each.startswith(f"{image['newName']}:") for each in images)


def test_the_secrets_that_are_made_are_those_that_pods_wait_for(tmp_path: Path) -> None:
    for name in ("keys.yaml", "server.crt", "server.key"):
        (tmp_path / name).touch()
    made = {}
    for words in COMMANDS:
        if words[:1] == ["kubectl"] and "secret" in words and "|" not in words and "generic" in words:
            done = subprocess.run(
                [program("kubectl"), *words[1:], "--dry-run=client", "--output", "yaml"],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=True,
                timeout=60,
            )
            secret = yaml.safe_load(done.stdout)
            made[secret["metadata"]["name"]] = set(secret["data"] or {})
    assert {name for overlay_name in OVERLAYS for name in secrets_of(overlay_name)} == set(made) | {"vecgate-tls"}
    assert made == {"vecgate-keys": {"keys.yaml"}, "vecgate-qdrant": {"api-key"}, "vecgate-pinecone": {"api-key"}}


@pytest.mark.parametrize(("program_name", "root"), [("vecgate", cli), ("vecgate-server", main)])
def test_our_commands_exist_with_their_options(program_name: str, root: click.Group) -> None:
    shown = [words[1:] for words in COMMANDS if words[:1] == [program_name]]
    assert shown
    for words in shown:
        command: click.Command = root
        options = {option for parameter in root.params for option in [*parameter.opts, *parameter.secondary_opts]}
        for word in words:
            if isinstance(command, click.Group) and word in command.commands:
                command = command.commands[word]
                options |= {option for parameter in command.params for option in parameter.opts}
            elif word.startswith("--"):
                assert word in options, words
        assert not isinstance(command, click.Group), words


def test_every_setting_it_names_exists() -> None:
    for path in re.findall(r"`((?:server|limits|security|models|encoder|telemetry)\.[a-z_.]+)`", RUNBOOK):
        model: type[BaseModel] = Settings
        *sections, key = path.split(".")
        for section in sections:
            annotation = model.model_fields[section].annotation
            assert isinstance(annotation, type)
            assert issubclass(annotation, BaseModel)
            model = annotation
        assert key in model.model_fields, path


def test_every_alert_is_explained_and_no_other() -> None:
    files = [ALERTS, KUBERNETES / "components/servicemonitor/backup-rules.yaml"]
    documents = [yaml.safe_load(path.read_text()) for path in files]
    groups = [group for document in documents for group in document.get("spec", document)["groups"]]
    rules = [rule for group in groups for rule in group["rules"]]
    section = RUNBOOK.split("\n## Alerts\n")[1].split("\n## ")[0]
    assert re.findall(r"^### (\w+)$", section, re.MULTILINE) == [rule["alert"] for rule in rules]
    assert {rule["annotations"]["runbook_url"] for rule in rules} == {
        f"docs/operations.md#{rule['alert'].lower()}" for rule in rules
    }
    for rule in rules:
        paragraph = section.split(f"### {rule['alert']}\n")[1].split("\n### ")[0].strip()
        assert paragraph.startswith("Critical. ") == (rule["labels"]["severity"] == "critical"), rule["alert"]


def test_the_job_and_the_workloads_it_names_exist() -> None:
    everything = [manifest for name in OVERLAYS for manifest in overlay(name)]
    kinds = {"cronjob": "CronJob", "deployment": "Deployment", "statefulset": "StatefulSet"}
    for kind, name in re.findall(r"\b(cronjob|deployment|statefulset)/([\w-]+)", RUNBOOK):
        assert name in {manifest["metadata"]["name"] for manifest in of_kind(everything, kinds[kind])}
