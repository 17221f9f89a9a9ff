"""A worker in a process of its own, so that a model that takes its process down takes nothing else with it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from threading import Condition, Thread
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from vecgate_server.encoders.base import ModelDescription, ModelState, Role
from vecgate_server.encoders.runtime import Tokenizer, WorkerDiedError
from vecgate_server.encoders.settings import EncoderSettings, ModelSettings
from vecgate_server.encoders.tokenized_text import TokenizedText
from vecgate_server.encoders.worker_link import WorkerLink
from vecgate_server.encoders.worker_messages import Loaded
from vecgate_server.errors import ModelUnavailableError, ShuttingDownError

logger = logging.getLogger(__name__)

STEADY_SECONDS = 60.0
"""A process that lived this long died by chance; its replacement comes at once."""
PATIENT_DEATHS = 3
"""Deaths in a row for which calls wait; from the next one on they are refused while the worker pauses."""
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A batch that came while there was no process to run it."""

    batch: Sequence[TokenizedText]
    role: Role
    answer: asyncio.Future[NDArray[np.float32]]


class ProcessWorker:
    """Implements Worker. A thread watches the process and replaces it when it dies."""

    def __init__(
        self,
        model: ModelSettings,
        settings: EncoderSettings,
        *,
        start: Callable[[ModelSettings, EncoderSettings], WorkerLink] = WorkerLink,
    ) -> None:
        """Start the first process; load() waits for it.

        Args:
            model: the model.
            settings: how it runs.
            start: starts a process.

        Raises:
            OSError: no process can be started.
        """
        self._name = model.name
        self._start = partial(start, model, settings)
        # Guards what follows, and is notified whenever some of it changes.
        self._changed = Condition()
        self._link: WorkerLink | None = self._start()
        self._loaded: Loaded | None = None
        self._waiting: list[_Waiting] = []
        self._closed = False
        self.state = ModelState.LOADING
        self.detail = ""
        self.restarts = 0
        self._watcher = Thread(target=self._watch, name=f"watch {model.name}", daemon=True)

    @property
    def description(self) -> ModelDescription:
        """What the model is."""
        return self._known.description

    @property
    def tokenizer(self) -> Tokenizer:
        """What turns texts into the model's tokens; a copy of the process's own."""
        return self._known.tokenizer

    @property
    def concurrent(self) -> bool:
        """See Runtime.concurrent."""
        return self._known.concurrent

    @property
    def memory_bytes(self) -> int:
        """What the process took when it was loaded."""
        return self._known.memory_bytes if self.state is ModelState.READY else 0

    def load(self) -> None:
        """Wait until the first process has loaded and warmed the model; see Worker.load."""
        assert self._link is not None  # noqa: S101  # for the type checker: only the watcher takes it away
        try:
            loaded = self._link.await_loaded()
        except (ModelUnavailableError, WorkerDiedError) as error:
            with self._changed:
                self._refuse_when_closed()
                self.state, self.detail = ModelState.FAILED, str(error)
            raise ModelUnavailableError(str(error)) from error
        with self._changed:
            self._refuse_when_closed()
            self._loaded, self.state = loaded, ModelState.READY
        self._watcher.start()

    def forward(self, batch: Sequence[TokenizedText], role: Role) -> asyncio.Future[NDArray[np.float32]]:
        """Run the model on a batch; see Worker.forward."""
        answer: asyncio.Future[NDArray[np.float32]] = asyncio.get_running_loop().create_future()
        self._begin(_Waiting(batch, role, answer))
        return answer

    def close(self) -> None:
        """End the process; see Worker.close."""
        with self._changed:
            self._closed = True
            self._tell()
            if self._link is not None:
                self._link.kill()
        if self._watcher.is_alive():
            self._watcher.join()

    @property
    def _known(self) -> Loaded:
        if self._loaded is None:
            raise RuntimeError(f"model {self._name} was not loaded")
        return self._loaded

    def _begin(self, waiting: _Waiting) -> None:
        """Have the process run it; if there is none now, this is called again once that has changed."""
        try:
            link = self._link_for(waiting)
            if link is not None:
                link.forward(waiting.batch, waiting.role, partial(self._end, link, waiting.answer))
        except Exception as error:  # noqa: BLE001  # whoever waits has to be told, whatever it is
            _settle(waiting.answer, error)

    def _link_for(self, waiting: _Waiting) -> WorkerLink | None:
        with self._changed:
            self._refuse_when_closed()
            if self.state is ModelState.FAILED:
                raise ModelUnavailableError(self.detail)
            if self.state is ModelState.READY and self._link is not None and self._link.answers(waiting.role):
                return self._link
            # One that died at rest may be known here before the watcher sees it.
            self.state = ModelState.LOADING
            self._waiting.append(waiting)
            return None

    def _end(
        self, link: WorkerLink, answer: asyncio.Future[NDArray[np.float32]], outcome: NDArray[np.float32] | Exception
    ) -> None:
        if isinstance(outcome, WorkerDiedError):
            with self._changed:
                if self._closed:
                    outcome = ShuttingDownError(f"model {self._name} is closed")
                elif self._link is link:
                    # Before the watcher sees it, so that the next batch waits for another process.
                    self.state = ModelState.LOADING
        _settle(answer, outcome)

    def _tell(self) -> None:
        """Wake whoever waits for a change; called with the lock held."""
        self._changed.notify_all()
        all_waiting, self._waiting = self._waiting, []
        for waiting in all_waiting:
            with suppress(RuntimeError):  # its event loop is closed, and nobody waits any more
                waiting.answer.get_loop().call_soon_threadsafe(self._begin, waiting)

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise ShuttingDownError(f"model {self._name} is closed")

    def _watch(self) -> None:
        """Replace the process whenever it dies, until close() or until there is no equal one."""
        link, deaths = self._link, 0
        while link is not None:
            began = monotonic()
            end = link.await_end()
            with self._changed:
                self._link = None
                if self._closed:
                    return
                self.state = ModelState.LOADING
            deaths = 1 if monotonic() - began > STEADY_SECONDS else deaths + 1
            logger.warning("worker %d of model %s %s; it is replaced", link.pid, self._name, end)
            link, deaths = self._replacement(deaths)

    def _replacement(self, deaths: int) -> tuple[WorkerLink | None, int]:
        """Start processes until one answers; return it, and how many died in a row. None: there will be no other."""
        while True:
            if not self._pause(deaths):
                return None, deaths
            try:
                link = self._start()
                with self._changed:
                    self._link = link
                    if self._closed:
                        link.kill()
                loaded = link.await_loaded()
            except Exception as error:  # whatever it is, callers must not wait for ever
                deaths += 1
                with self._changed:
                    failed, self._link = self._link, None
                    self.detail = str(error) or type(error).__name__
                if failed is not None:
                    failed.kill()
                    failed.await_end()
                expected = isinstance(error, ModelUnavailableError | WorkerDiedError | OSError)
                logger.warning("model %s has no worker: %s", self._name, error, exc_info=not expected)
                continue
            return (link if self._take(link, loaded) else None), deaths

    def _pause(self, deaths: int) -> bool:
        """Wait before the next process, not at all after the first death; False when the worker was closed."""
        seconds = min(FIRST_PAUSE_SECONDS * 2 ** min(deaths - 2, 10), LONGEST_PAUSE_SECONDS) if deaths > 1 else 0.0
        with self._changed:
            if seconds and deaths <= PATIENT_DEATHS:
                self._changed.wait_for(lambda: self._closed, seconds)
            elif seconds:
                self.state = ModelState.FAILED
                self.detail = (
                    f"model {self._name}: its worker died {deaths} times in a row"
                    f"{f', at last with: {self.detail}' if self.detail else ''}"
                )
                self._tell()
                self._changed.wait_for(lambda: self._closed, seconds)
            if self._closed:
                return False
            self.state, self.detail = ModelState.LOADING, ""
            return True

    def _take(self, link: WorkerLink, loaded: Loaded) -> bool:
        """Put a new process in the place of the dead one, if it runs the same model."""
        with self._changed:
            if self._closed:
                link.kill()
                link.await_end()
                return False
            same = loaded.description.fingerprint == self.description.fingerprint
            if same:
                self._loaded, self.state, self.detail = loaded, ModelState.READY, ""
                self.restarts += 1
            else:
                self._link, self.state = None, ModelState.FAILED
                self.detail = (
                    f"model {self._name} changed on the disk while it was served, from {self.description.fingerprint} to "
                    f"{loaded.description.fingerprint}; restart the server to serve the new one"
                )
            self._tell()
        if same:
            logger.info("model %s has worker %d now", self._name, link.pid)
        else:
            logger.error("%s", self.detail)
            link.kill()
            link.await_end()
        return same


def _settle(answer: asyncio.Future[NDArray[np.float32]], outcome: NDArray[np.float32] | Exception) -> None:
    """Answer, unless nobody waits any more."""
    if answer.done():
        return
    if isinstance(outcome, Exception):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)
