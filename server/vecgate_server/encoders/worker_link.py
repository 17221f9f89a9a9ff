"""One worker process as its server sees it: started, asked, ended. It is not replaced here."""

from __future__ import annotations

import contextlib
import logging
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection
from threading import Lock, Thread
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vecgate_server.encoders.base import Role
from vecgate_server.encoders.runtime import WorkerDiedError
from vecgate_server.encoders.settings import EncoderSettings, ModelSettings
from vecgate_server.encoders.tokenized_text import TokenizedText
from vecgate_server.encoders.worker_messages import (
    ForwardFailed,
    Job,
    Loaded,
    NotLoaded,
    PackedVectors,
    packed,
    unpacked_vectors,
)
from vecgate_server.encoders.worker_socket import AskingSocket
from vecgate_server.errors import ModelUnavailableError

logger = logging.getLogger(__name__)

MODULE = "vecgate_server.encoders.worker_process"
# A hundred times what a run takes on a slow machine: what takes longer is not under way.
LONGEST_RUN_SECONDS = 60.0
SECONDS_A_TOKEN = 0.02
# What is sent and received are the messages of worker_messages.
Control: TypeAlias = "Connection[Any, Any]"
Settle: TypeAlias = Callable[["NDArray[np.float32] | Exception"], None]


class WorkerLink:
    """A started worker process and the sockets to it."""

    def __init__(self, model: ModelSettings, settings: EncoderSettings) -> None:
        """Start the process; it begins to load the model at once.

        Raises:
            OSError: no process can be started.
        """
        self._model = model.name
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            ends: list[socket.socket] = []
            descriptors: list[int] = []
            for _ in range(3):
                our_end, their_end = socket.socketpair()
                ends.append(ours.enter_context(our_end))
                theirs.enter_context(their_end)
                descriptors.append(their_end.fileno())
            self._process = subprocess.Popen(  # noqa: S603  # this package
                [sys.executable, "-m", MODULE, *map(str, descriptors)],
                pass_fds=descriptors,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
            ours.pop_all()
        control, queries, documents = ends
        self._control: Control = Connection(control.detach())
        self._roles = {Role.QUERY: AskingSocket(queries), Role.DOCUMENT: AskingSocket(documents)}
        self._reaping = Lock()
        levels = [logging.getLogger(name).getEffectiveLevel() for name in ("vecgate_server", None)]
        with contextlib.suppress(OSError):  # await_loaded() tells of a process that is gone already
            self._control.send(Job(model, settings, *levels))

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def await_loaded(self) -> Loaded:
        """Wait until the model is loaded. Called once, before await_end().

        Raises:
            ModelUnavailableError: it cannot be loaded.
            WorkerDiedError: the process ended before.
        """
        answer = self._next_message()
        if isinstance(answer, Loaded):
            return answer
        code = self._reap()
        if isinstance(answer, NotLoaded):
            raise ModelUnavailableError(answer.message)
        raise WorkerDiedError(f"the worker of model {self._model} {_ended(code)} while it was loading")

    def await_end(self) -> str:
        """Wait until the process has ended, and say how, such as "was ended by SIGKILL"."""
        while self._next_message() is not None:
            pass
        return _ended(self._reap())

    def answers(self, role: Role) -> bool:
        """Whether the process can be asked for this role, as far as is known."""
        return self._roles[role].is_open

    def forward(self, batch: Sequence[TokenizedText], role: Role, settle: Settle) -> None:
        """Have a batch run; one call for each role at a time, on the event loop. See Runtime.forward.

        Args:
            batch: the texts.
            role: their role.
            settle: is called with the vectors; or with ModelUnavailableError, the model failed on the batch; or with
                WorkerDiedError, the process ended before it answered. That may be before this returns.
        """
        seconds = LONGEST_RUN_SECONDS + SECONDS_A_TOKEN * sum(map(len, batch))
        self._roles[role].ask(packed(batch), seconds, partial(self._answered, settle))

    def kill(self) -> None:
        """End the process with SIGKILL; it has nothing to save. Who waits for an answer gets WorkerDiedError."""
        with self._reaping:
            # Popen would not signal a stranger either, but only if nobody reaps meanwhile.
            if self._process.returncode is None:
                self._process.kill()

    def _answered(self, settle: Settle, answer: PackedVectors | ForwardFailed | Exception) -> None:
        if isinstance(answer, ForwardFailed):
            settle(ModelUnavailableError(f"model {self._model} failed: {answer.kind}: {answer.message}"))
        elif isinstance(answer, Exception):
            # Alive or not, it does not answer, or not in words that are understood.
            logger.warning("worker %d of model %s: %s: %s", self.pid, self._model, type(answer).__name__, answer)
            died = WorkerDiedError(f"the worker of model {self._model} died or did not answer: {answer}")
            died.__cause__ = answer
            settle(died)
            # Not here, because it waits for a reaping that is under way.
            Thread(target=self.kill, name=f"kill worker {self.pid}", daemon=True).start()
        else:
            settle(unpacked_vectors(answer))

    def _next_message(self) -> Loaded | NotLoaded | None:
        """Pass log records on until something else comes; None when the process's end of the socket is closed."""
        while True:
            try:
                message = self._control.recv()
            except (EOFError, OSError):
                return None
            except Exception:  # what it sends cannot be read, such as after the package was replaced on the disk
                logger.exception("the worker of model %s is not understood", self._model)
                return None
            if not isinstance(message, logging.LogRecord):
                found: Loaded | NotLoaded = message
                return found
            target = logging.getLogger(message.name)
            if target.isEnabledFor(message.levelno):
                target.handle(message)

    def _reap(self) -> int:
        self.kill()
        with self._reaping:
            code = self._process.wait()
        self._control.close()
        for end in self._roles.values():
            end.close()
        return code


def _ended(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    return f"was ended by {signal.Signals(-code).name}"
