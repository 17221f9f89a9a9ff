"""A model that a test holds inside its forward pass."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from vecgate_server.app import Server
from vecgate_server.encoders.base import ModelDescription, ModelState, Role
from vecgate_server.encoders.models import ModelPool
from vecgate_server.encoders.runtime import Worker
from vecgate_server.encoders.settings import EncoderSettings, ModelSettings
from vecgate_server.encoders.tokenized_text import TokenizedText
from vecgate_server.errors import ModelUnavailableError

MAX_TOKENS = 8


class HeldWorker(Worker):
    """A model of one token a letter, that answers (1, 0), can be held inside its forward pass, and fails to load on demand."""

    state = ModelState.READY
    detail = ""
    restarts = 0
    memory_bytes = 0

    def __init__(self) -> None:
        self.fingerprint = "sha256:0"
        self.failing_loads = 0
        self.entered = threading.Semaphore(0)
        self.read: list[str] = []
        self._released = threading.Event()
        self._released.set()

    @override
    def load(self) -> None:
        if self.failing_loads:
            self.failing_loads -= 1
            raise ModelUnavailableError("model held lies on a disk that is not mounted")

    @override
    def close(self) -> None:
        self.release()

    def hold(self) -> None:
        self.entered = threading.Semaphore(0)
        self._released.clear()

    def release(self) -> None:
        self._released.set()

    @property
    @override
    def description(self) -> ModelDescription:
        return ModelDescription("held", self.fingerprint, 2, MAX_TOKENS, "", "", True, "held", "test")

    @property
    @override
    def concurrent(self) -> bool:
        return False

    @property
    @override
    def tokenizer(self) -> HeldWorker:
        return self

    def tokenize_pairs(self, query: str, texts: Sequence[str]) -> list[TokenizedText]:
        return self.tokenize([query + text for text in texts], Role.QUERY)

    def tokenize(self, texts: Sequence[str], role: Role) -> list[TokenizedText]:  # noqa: ARG002  # one reading for all
        letters = [np.array([ord(letter) for letter in text], np.int32) for text in texts]
        return [TokenizedText(ids[:MAX_TOKENS], np.zeros_like(ids[:MAX_TOKENS]), len(ids)) for ids in letters]

    @override
    def forward(self, batch: Sequence[TokenizedText], role: Role) -> asyncio.Future[NDArray[np.float32]]:
        return asyncio.get_running_loop().run_in_executor(None, self.run, batch, role)

    def run(self, batch: Sequence[TokenizedText], role: Role) -> NDArray[np.float32]:  # noqa: ARG002  # one answer for all
        self.read += ["".join(map(chr, text.token_ids)) for text in batch]
        self.entered.release()
        assert self._released.wait(60)
        return np.tile(np.array([1, 0], np.float32), (len(batch), 1))

    async def has_entered(self) -> None:
        """Wait until it is inside the model."""
        assert await asyncio.to_thread(self.entered.acquire, timeout=60)


def held_models(worker: HeldWorker, queue_tokens: int = 4 * MAX_TOKENS) -> ModelPool:
    """Make the models of a server that has this one alone; a run of it takes one text of MAX_TOKENS."""
    settings = EncoderSettings(
        default="held",
        models=(ModelSettings("held"),),
        preload=(),
        micro_batch_tokens=MAX_TOKENS,
        queue_tokens=queue_tokens,
        cache_mib=0,
    )
    return ModelPool(settings, start=lambda *_: worker)


def waiting_tokens(server: Server) -> int:
    """Count what waits for the model, in all roles."""
    (model,) = server._models.statuses()
    return sum(model.counters.waiting_tokens.values())


async def until(condition: Callable[[], object]) -> None:
    """Yield to the loop until something holds that has no event."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  # as said
            await asyncio.sleep(0.001)
