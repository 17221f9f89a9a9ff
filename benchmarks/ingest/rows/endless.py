"""The memory of a client whose records never end."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection

import numpy as np

from benchmarks.ingest.bench import Bench
from benchmarks.result import Measured, Row, at_most, figure
from benchmarks.server import MIB, memory_of, serving
from vecgate import Client, Record, UpsertProgress

DIMENSION = 384
KEPT = 5_000
"""Ids that come again and again, so that the store stays small."""
SETTLED_SHARE = 0.25
"""Part of the time after which the client has as much under way as it ever will."""


class EnoughError(Exception):
    """The time is over."""


def measure(bench: Bench) -> Measured:
    """Read an endless iterable in a process of its own; its memory after a while, and at the end."""
    ours, theirs = get_context("spawn").Pipe()
    early: list[float] = []
    grown: list[float] = []
    rates: list[float] = []
    servers: list[float] = []
    with serving(bench.work, models={"preload": []}) as server:
        with server.client() as client:
            client.create_collection("endless", dimension=DIMENSION)
        for _ in range(bench.scale.rounds):
            process = get_context("spawn").Process(target=_upsert, args=(server.address, bench.scale.seconds, theirs))
            process.start()
            assert process.pid is not None
            settled = ours.recv()
            before = memory_of(process.pid).rss
            ours.send(None)
            finished = ours.recv()
            early.append(before / MIB)
            grown.append(memory_of(process.pid).rss / before)
            rates.append((finished - settled) / (bench.scale.seconds * (1 - SETTLED_SHARE)))
            servers.append(server.memory().rss / MIB)
            ours.send(None)
            process.join()
    return Measured(
        figures=(
            figure("memory of the client once it has settled", "MiB", early),
            figure("memory of the server at the end", "MiB", servers),
            figure("records between the two", "records/s", rates),
        ),
        verdicts=(at_most("memory at the end to memory once settled", "x", grown, 1.05),),
        notes=(f"{bench.scale.seconds:g} s; vectors of {DIMENSION} components, ids that come again after {KEPT:,}",),
    )


def _upsert(address: str, seconds: float, marks: Connection) -> None:
    chance = np.random.default_rng(5)
    vectors = chance.standard_normal((KEPT, DIMENSION), np.float32)
    began = time.monotonic()
    settled = False

    def records() -> Iterator[Record]:
        for number in itertools.count():
            yield Record(str(number % KEPT), vector=vectors[number % KEPT], metadata={"number": number})

    def note(progress: UpsertProgress) -> None:
        nonlocal settled
        passed = time.monotonic() - began
        if not settled and passed > SETTLED_SHARE * seconds:
            settled = True
            marks.send(progress.finished)
            marks.recv()
        if passed > seconds:
            marks.send(progress.finished)
            marks.recv()
            raise EnoughError

    try:
        with Client(address) as client:
            client.upsert_many("endless", records(), on_progress=note)
    except EnoughError:
        pass


ROW = Row("endless", "an endless iterable: the memory of the client", measure)
