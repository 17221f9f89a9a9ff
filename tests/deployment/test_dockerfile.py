"""The Dockerfile, as far as it can be read without an engine; tests/interop performs its steps."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from deploy.build_without_engine import instructions

from deployment.manifests import REPOSITORY, program
from vecgate_server.config import load_settings
from vecgate_server.config_faults import InvalidSettingsError

DOCKERFILE = REPOSITORY / "deploy/Dockerfile"
STEPS = list(instructions(DOCKERFILE.read_text()))
IMAGES = ("gpu", "served")


def stage(name: str) -> list[tuple[str, str]]:
    """Return the instructions of a stage, with those of the one it begins from."""
    found: list[tuple[str, str]] = []
    current = ""
    for word, rest in STEPS:
        if word == "FROM":
            source, _, current = rest.partition(" AS ")
            if current == name:
                found = stage(source)
        elif current == name:
            found.append((word, rest))
    return found


def test_hadolint_has_nothing_to_say() -> None:
    done = subprocess.run(
        [program("hadolint"), str(DOCKERFILE)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert "hadolint ignore" not in DOCKERFILE.read_text()


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_runs_as_nobody_in_particular_and_tells_its_health(name: str) -> None:
    words = dict(stage(name))
    assert words["USER"] == "10001:10001"
    assert json.loads(words["VOLUME"]) == ["/data"]
    assert words["STOPSIGNAL"] == "SIGTERM"
    check, entry = words["HEALTHCHECK"].partition(" CMD ")[2], words["ENTRYPOINT"]
    assert json.loads(check) == [*json.loads(entry), "healthcheck"]


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_holds_nothing_of_what_built_it(name: str) -> None:
    copied = [rest.split() for word, rest in stage(name) if word == "COPY"]
    assert all(words[0].startswith("--from=") for words in copied)
    assert {words[-1] for words in copied} <= {"/opt/vecgate", "/models", "/etc/vecgate", "/data", "/var/cache/vecgate"}
    assert "RUN" not in dict(stage(name))
    assert "torch" not in json.dumps([rest for word, rest in stage("packages") if word == "RUN"])


@pytest.mark.parametrize("packages", ["packages", "gpu-packages"])
def test_an_image_has_what_any_backend_and_traces_need(packages: str) -> None:
    (installed,) = [
        found[1].split(",")
        for word, rest in stage(packages)
        if word == "RUN" and "VIRTUAL_ENV/bin/python" in rest and (found := re.search(r"\$1\[([\w,]+)\]", rest))
    ]
    assert {"faiss", "qdrant", "pinecone", "telemetry"} < set(installed)


def test_paths_in_commands_are_variables() -> None:
    # build_without_engine.py rewrites variables and nothing else.
    commands = "\n".join(rest for word, rest in STEPS if word == "RUN")
    assert re.findall(r"(?<![\w}\"$./:*])/\w[\w/]*", commands) == []


def test_everything_that_is_copied_is_let_in_and_nothing_else() -> None:
    ignored = (REPOSITORY / ".dockerignore").read_text().splitlines()
    let_in = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    copied = [rest.split()[:-1] for word, rest in STEPS if word == "COPY" and not rest.startswith("--from=")]
    assert {name for names in copied for name in names} == let_in
    assert all((REPOSITORY / name).exists() for name in let_in)
    assert "*" in ignored


def test_the_image_listens_on_the_ports_it_names_once_told_that_this_is_meant(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(InvalidSettingsError, match="allow_insecure"):
        load_settings(REPOSITORY / "deploy/image.yaml")
    monkeypatch.setenv("VECGATE_SERVER__ALLOW_INSECURE", "true")
    settings = load_settings(REPOSITORY / "deploy/image.yaml")
    listening = [settings.server.port, settings.server.health_port, settings.telemetry.metrics_port]
    assert dict(stage("served"))["EXPOSE"].split() == [str(port) for port in listening]
    (model,) = settings.models.available
    assert model.path == Path("/models") / settings.models.default
    assert settings.backends["faiss"].options == {"path": "/data/store"}
