"""What every room of tests may use: real servers and larger data.

`start_server` runs `python -m vecgate_server` as a process of its own; it is stopped when the test ends. `memory_server` (no
models) and `model_server` (the real all-MiniLM-L6-v2, Faiss on disk) are such processes that live for the whole session.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

# How long an example takes says how busy the machine is, and nothing of the code.
hypothesis_settings.register_profile("vecgate", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("vecgate")

REPOSITORY = Path(__file__).resolve().parents[1]
SERVER_PYTHON = os.environ.get("VECGATE_TEST_SERVER_PYTHON", sys.executable)
SERVING = "vecgate-server: serving on "
LOCAL: dict[str, Any] = {"server": {"port": 0, "health_interval_seconds": 0.1}}
NO_MODELS: dict[str, Any] = {"models": {"preload": []}}
MEMORY: dict[str, Any] = {"backends": {"memory": {"kind": "memory"}}}
# sitecustomize.py, which Python reads at the start of a process: of the server and of those that it starts.
SITE_WITHOUT = "import sys\nsys.modules.update(dict.fromkeys({}))\n"


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of larger data: VECGATE_TEST_DATA, or ../shared/data beside the repository."""
    folder = Path(os.environ.get("VECGATE_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"larger test data is not at {folder}; VECGATE_TEST_DATA names the folder")
    return folder


class ServerProcess:
    """`python -m vecgate_server` on a configuration, serving at `address`.

    `missing` packages are as if not installed; `prefix` is a command that runs the server's, in its own process.
    VECGATE_TEST_SERVER_PYTHON names another interpreter for it than that of the tests.
    """

    def __init__(
        self, folder: Path, settings: dict[str, Any], missing: Sequence[str] = (), prefix: Sequence[str] = ()
    ) -> None:
        self.configuration = folder / "vecgate.yaml"
        # JSON is YAML too.
        self.configuration.write_text(json.dumps(LOCAL | settings))
        self.log = folder / "server.log"
        environment = dict(os.environ)
        if missing:
            site = folder / "site"
            site.mkdir()
            (site / "sitecustomize.py").write_text(SITE_WITHOUT.format(repr(missing)))
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(site), environment.get("PYTHONPATH"))))
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*prefix, SERVER_PYTHON, "-m", "vecgate_server", "--config", str(self.configuration)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=folder,
                env=environment,
            )
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line.startswith(SERVING):
            self.kill()
            raise AssertionError(f"the server did not start: {line}{self.log.read_text()}")
        self.address = line.removeprefix(SERVING).strip()

    def stop(self) -> int:
        """Send SIGTERM, and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """Send SIGKILL: nothing is flushed, nothing is closed."""
        self.process.kill()
        self.wait()

    def wait(self) -> int:
        """Wait for the end of the process, and return its exit code."""
        code = self.process.wait(timeout=60)
        if self.process.stdout:
            self.process.stdout.close()
        return code


StartServer = Callable[..., ServerProcess]


@pytest.fixture(scope="session")
def server_process() -> type[ServerProcess]:
    """The class itself, for fixtures of a module that start servers of their own and stop them."""
    return ServerProcess


@pytest.fixture(scope="session")
def graph_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The graphs of this session, of all its processes: whoever needs one first makes it."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    graphs = folder / "graphs"
    graphs.mkdir(exist_ok=True)
    return graphs


@pytest.fixture
def start_server(tmp_path: Path, graph_directory: Path) -> Iterator[StartServer]:
    """Start a server process on settings; relative paths in them lie in the test's own folder."""
    started: list[ServerProcess] = []

    def start(settings: dict[str, Any], missing: Sequence[str] = (), prefix: Sequence[str] = ()) -> ServerProcess:
        graphs = {"encoder": {"graph_directory": str(graph_directory)}}
        server = ServerProcess(tmp_path, graphs | settings, missing, prefix)
        started.append(server)
        return server

    yield start
    for server in started:
        if server.process.poll() is None:
            server.kill()
        else:
            server.wait()


@pytest.fixture(scope="session")
def memory_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with the memory backend and no loaded model."""
    server = ServerProcess(tmp_path_factory.mktemp("memory_server"), MEMORY | NO_MODELS)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def model_server(tmp_path_factory: pytest.TempPathFactory, graph_directory: Path) -> Iterator[ServerProcess]:
    """A server as it is without any configuration: all-MiniLM-L6-v2, and Faiss in ./vecgate-data."""
    settings = {"encoder": {"graph_directory": str(graph_directory)}}
    server = ServerProcess(tmp_path_factory.mktemp("model_server"), settings)
    yield server
    server.stop()
