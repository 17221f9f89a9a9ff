"""The process that runs one model: `python -m vecgate_server.encoders.worker_process CONTROL QUERIES DOCUMENTS`.

The arguments are descriptors of inherited sockets, see worker_messages. The process ends when the server's end of CONTROL is
closed, which is also when the server is killed. It imports what runs the model and neither gRPC nor a backend.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from logging.handlers import QueueHandler
from multiprocessing.connection import Connection
from pathlib import Path
from queue import Queue
from threading import Lock, Thread
from typing import Any, TypeAlias

from vecgate_server.encoders.base import ModelKind, Role
from vecgate_server.encoders.runtime import Runtime
from vecgate_server.encoders.runtime_choice import load_runtime
from vecgate_server.encoders.tokenized_text import TokenizedText
from vecgate_server.encoders.worker_messages import (
    ForwardFailed,
    Job,
    Loaded,
    NotLoaded,
    PackedVectors,
    packed_vectors,
    unpacked,
)
from vecgate_server.encoders.worker_socket import receive, send
from vecgate_server.errors import ModelUnavailableError

OWN_PACKAGE = "vecgate_server"

logger = logging.getLogger(f"{OWN_PACKAGE}.encoders.worker_process")

# What is sent and received are the messages of worker_messages.
Control: TypeAlias = "Connection[Any, Any]"


def main(arguments: Sequence[str]) -> None:
    """Load the model and serve it until the server is gone."""
    # Ctrl-C reaches the whole process group, and the server drains its calls first.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    descriptors = [int(argument) for argument in arguments]
    for descriptor in descriptors:
        # A process that this one starts must not keep them open.
        os.set_inheritable(descriptor, False)
    control: Control = Connection(descriptors[0])
    queries, documents = (socket.socket(fileno=descriptor) for descriptor in descriptors[1:])
    job: Job = control.recv()
    Thread(target=_end_with_server, args=(control,), daemon=True).start()
    _log_to_server(control, job)
    runtime = _load(job)
    if isinstance(runtime, NotLoaded):
        _tell(control, runtime)
        return
    _tell(control, Loaded(runtime.description, runtime.tokenizer, runtime.concurrent, resident_bytes()))
    turn = nullcontext() if runtime.concurrent else Lock()
    Thread(target=_serve, args=(documents, Role.DOCUMENT, runtime, turn), daemon=True).start()
    _serve(queries, Role.QUERY, runtime, turn)


class _ServerHandler(QueueHandler):
    """Sends log records to the server, which knows where they go and in what form."""

    def __init__(self, control: Control) -> None:
        super().__init__(Queue())  # which stays empty
        self._control = control

    def enqueue(self, record: logging.LogRecord) -> None:
        self._control.send(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # the name is logging's
        """Say nothing: the server is gone, and so is this process in a moment."""


def _log_to_server(control: Control, job: Job) -> None:
    # The server gives records their form.
    logging.basicConfig(level=job.others_log_level, handlers=[_ServerHandler(control)], format="%(message)s")
    logging.getLogger(OWN_PACKAGE).setLevel(job.log_level)


def _tell(control: Control, message: Loaded | NotLoaded) -> None:
    try:
        control.send(message)
    except OSError:
        # The server ended while the model was loaded, and said why; a traceback of ours would stand below it.
        os._exit(0)


def _end_with_server(control: Control) -> None:
    try:
        control.recv()
    finally:
        # Whatever the other threads do: nobody waits for it any more.
        os._exit(0)


def _load(job: Job) -> Runtime | NotLoaded:
    try:
        runtime = load_runtime(job.model, job.settings)
        _warm(runtime)
    except ModelUnavailableError as error:
        return NotLoaded(error.message)
    except Exception as error:
        logger.exception("model %s cannot be loaded", job.model.name)
        return NotLoaded(f"model {job.model.name} cannot be loaded: {type(error).__name__}: {error}")
    return runtime


def _warm(runtime: Runtime) -> None:
    """Run the model once: the first run allocates and chooses kernels, and no request should wait for that."""
    if runtime.description.kind is ModelKind.CROSS_ENCODER:
        runtime.forward(runtime.tokenizer.tokenize_pairs("warm", ["warm"]), Role.QUERY)
    else:
        runtime.forward(runtime.tokenizer.tokenize(["warm"], Role.QUERY), Role.QUERY)


def _serve(end: socket.socket, role: Role, runtime: Runtime, turn: AbstractContextManager[Any]) -> None:
    """Answer batches until the server is gone. Any other end takes the whole process along, which is then replaced."""
    try:
        while True:
            send(end, _forward(runtime, unpacked(receive(end)), role, turn))
    except EOFError:
        return
    except BaseException:
        logger.exception("model %s: the thread for %s broke", runtime.description.name, role)
        os._exit(1)


def _forward(
    runtime: Runtime, batch: Sequence[TokenizedText], role: Role, turn: AbstractContextManager[Any]
) -> PackedVectors | ForwardFailed:
    try:
        with turn:
            return packed_vectors(runtime.forward(batch, role))
    except Exception as error:
        logger.exception("model %s failed on %d texts", runtime.description.name, len(batch))
        return ForwardFailed(type(error).__name__, str(error))


def resident_bytes() -> int:
    """Measure the memory of this process that is in RAM, shared libraries included."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
    # Elsewhere the peak must do; macOS tells it in bytes.
    import resource  # noqa: PLC0415  # not on every system

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    main(sys.argv[1:])
