"""A server on one port that is killed and started again while others use it, and what its lives encoded together."""

from __future__ import annotations

import random
import re
import threading
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Self

WAIT_SECONDS = 300.0
METRIC = re.compile(r"^vecgate_model_(texts|texts_reused)_total\{.*\} (\S+)$", re.MULTILINE)


class KilledServer:
    """`start` makes a server process of settings; port and metrics port stay the same over all its lives.

    Attributes:
        address: of every life. encoded: texts that the model ran for in the lives that are over.
    """

    def __init__(self, start: Callable[[dict[str, Any]], Any], settings: dict[str, Any], ports: Sequence[int]) -> None:
        port, self._metrics_port = ports
        self._settings = settings | {
            "server": {"port": port, "health_interval_seconds": 0.1},
            "telemetry": {"metrics_port": self._metrics_port},
        }
        self._start = start
        self._process = start(self._settings)
        self.address: str = self._process.address
        self.encoded = 0

    def kill_and_restart(self) -> None:
        """Send SIGKILL, and start the next life."""
        self.encoded += self.encoded_in_this_life()
        self._process.kill()
        self._process = self._start(self._settings)

    def encoded_in_this_life(self) -> int:
        """Ask the server for how many texts the model ran."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._metrics_port}/metrics", timeout=10) as answer:
            found = METRIC.findall(answer.read().decode())
        return int(sum(float(value) * (1 if name == "texts" else -1) for name, value in found))


class Killer:
    """Kills a server a little after each of some marks is passed; for a with-block, which raises what went wrong.

    Marks are whatever the caller counts, such as the records that are stored.
    """

    def __init__(
        self, server: KilledServer, marks: Sequence[int], seed: int = 6, wait_seconds: float = WAIT_SECONDS
    ) -> None:
        self._server = server
        self._wait_seconds = wait_seconds
        self._marks = marks
        self._chance = random.Random(seed)
        self._reached = 0
        self._condition = threading.Condition()
        self._over = False
        self.kills = 0

    def reach(self, mark: int) -> None:
        """Tell how far it is."""
        with self._condition:
            self._reached = mark
            self._condition.notify_all()

    def __enter__(self) -> Self:
        self._executor = ThreadPoolExecutor(1)
        self._killing: Future[None] = self._executor.submit(self._kill)
        return self

    def __exit__(self, *_: object) -> None:
        with self._condition:
            self._over = True
            self._condition.notify_all()
        self._executor.shutdown()
        self._killing.result()

    def _kill(self) -> None:
        for mark in self._marks:
            with self._condition:
                passed = self._condition.wait_for(partial(self._passed, mark), self._wait_seconds)
            if self._over or not passed:
                return
            threading.Event().wait(self._chance.uniform(0, 0.3))
            self._server.kill_and_restart()
            self.kills += 1

    def _passed(self, mark: int) -> bool:
        return self._over or self._reached >= mark
