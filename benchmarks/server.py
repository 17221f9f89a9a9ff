"""A server as a process of its own, and the memory of a process and all its children."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from types import TracebackType
from typing import Any, Self

import grpc

from vecgate import Client
from vecgate.v1.model_pb2 import ListModelsRequest, ModelInfo
from vecgate.v1.service_pb2_grpc import VectorSearchServiceStub

SERVING = "vecgate-server: serving on "
READY_SECONDS = 600.0
MIB = 1 << 20
# A server that is measured must not keep the cores warm by answering its health more often than this.
POLL_SECONDS = 0.01


class ServerFailedError(Exception):
    """A server did not start; the message ends with its log."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory of a process and its children, in bytes.

    Attributes:
        rss: the sum of their resident sets; a page that two share counts twice.
        pss: the sum of their proportional sets; a page that two share counts once.
        processes: how many there are.
    """

    rss: int
    pss: int
    processes: int


def memory_of(root: int) -> Memory:
    """Read the memory of a process and everything below it; a process that has just ended counts nothing."""
    rss = pss = processes = 0
    for process in tree(root):
        with suppress(FileNotFoundError, ProcessLookupError):
            fields = dict(
                line.split(":", 1) for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]
            )
            rss += int(fields["Rss"].split()[0]) * 1024
            pss += int(fields["Pss"].split()[0]) * 1024
            processes += 1
    return Memory(rss, pss, processes)


def tree(root: int) -> Iterator[int]:
    """Yield a process and everything below it."""
    yield root
    with suppress(FileNotFoundError, ProcessLookupError):
        for children in Path(f"/proc/{root}/task").glob("*/children"):
            for child in children.read_text().split():
                yield from tree(int(child))


class ServerProcess:
    """`python -m vecgate_server` with settings, from its start; SERVING when the constructor returns.

    Attributes:
        address: where it listens. folder: where its relative paths lie.
        seconds_to_serving: from the start of the process to the first SERVING that health answers.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        """Start a server whose relative paths lie in a folder.

        Raises:
            ServerFailedError: it ended instead of serving.
        """
        self.folder = folder
        (folder / "vecgate.yaml").write_text(json.dumps(settings))  # JSON is YAML too
        self._log = folder / "server.log"
        started = time.monotonic()
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "vecgate_server", "--config", "vecgate.yaml"],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=folder,
                # So that its workers can be ended with it, whatever became of it.
                start_new_session=True,
            )
        try:
            self.address = self._read_address()
            self._wait_until_serving()
        except BaseException:
            self.close()
            raise
        self.seconds_to_serving = time.monotonic() - started

    def client(self) -> Client:
        """Make the shipped client of this server."""
        return Client(self.address)

    def memory(self) -> Memory:
        """Read the memory of the server and its children."""
        return memory_of(self.process.pid)

    def default_model(self) -> ModelInfo:
        """Ask for the default model."""
        with grpc.insecure_channel(self.address) as channel:
            models = VectorSearchServiceStub(channel).ListModels(ListModelsRequest()).models
        return next(model for model in models if model.is_default)

    def close(self) -> None:
        """Stop the server, and end what is left of it after its grace."""
        self.process.terminate()
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            pass
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            if self.process.stdout:
                self.process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read_address(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line.startswith(SERVING):
            raise ServerFailedError(f"the server did not start: {line}{self._log.read_text()[-2000:]}")
        return line.removeprefix(SERVING).strip()

    def _wait_until_serving(self) -> None:
        end = time.monotonic() + READY_SECONDS
        with self.client() as client:
            while client.health().value != "serving":
                if self.process.poll() is not None or time.monotonic() > end:
                    raise ServerFailedError(f"the server never became SERVING: {self._log.read_text()[-2000:]}")
                time.sleep(POLL_SECONDS)


@contextmanager
def serving(
    work: Path,
    *,
    server: Mapping[str, Any] | None = None,
    encoder: Mapping[str, Any] | None = None,
    models: Mapping[str, Any] | None = None,
    backends: Mapping[str, Any] | None = None,
    name: str = "server",
) -> Iterator[ServerProcess]:
    """Serve for the length of a with-block, on a free port, with Faiss in a fresh folder.

    Args:
        work: where the folder is made.
        server, encoder, models, backends: settings of these sections; None leaves the default.
        name: begins the folder's name.
    """
    settings: dict[str, Any] = {
        "server": {"port": 0, "health_interval_seconds": 0.5, "shutdown_grace_seconds": 1} | dict(server or {}),
        "encoder": dict(encoder or {}),
        "models": dict(models or {}),
    }
    if backends is not None:
        settings["backends"] = dict(backends)
    with ServerProcess(Path(mkdtemp(prefix=f"{name}-", dir=work)), settings) as process:
        yield process
