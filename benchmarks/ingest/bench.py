"""What every row is given: sizes, servers, and the two ways in."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from benchmarks.result import Figure, Verdict, at_least, figure
from benchmarks.statistics import ratios
from vecgate import Client, Record, UpsertResult

BATCH_SIZES = (16, 64, 256, None)
"""Records of a batch; None: as each of the two chooses by itself."""
WARM_UP = 512


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured.

    Attributes:
        rounds: how often each side of a comparison has its turn.
        texts: to encode, of one turn. vectors: of one turn.
        seconds: how long an endless iterable is read.
    """

    rounds: int = 3
    texts: int = 3_000
    vectors: int = 20_000
    seconds: float = 20.0


FULL = Scale()
QUICK = Scale(rounds=2, texts=200, vectors=1_000, seconds=2.0)


@dataclass(frozen=True, slots=True)
class Bench:
    """The setting of a run; `work` is a folder for what is made, gone after the run."""

    scale: Scale
    data: Path
    work: Path


Way = Callable[[Client, str, Sequence[Record], int | None], None]
"""Puts records into a collection in batches of a size."""


def stream(client: Client, collection: str, records: Sequence[Record], size: int | None) -> None:
    """Put records in with upsert_many()."""
    _check(client.upsert_many(collection, records, batch_size=size), len(records))


def loop(client: Client, collection: str, records: Sequence[Record], size: int | None) -> None:
    """Put records in with upsert(), a request after the other."""
    if size is None:
        _check(client.upsert(collection, records), len(records))
        return
    for begin in range(0, len(records), size):
        batch = records[begin : begin + size]
        _check(client.upsert(collection, batch, batch_size=size), len(batch))


def compare(
    client: Client, records: Callable[[], Sequence[Record]], rounds: int, wanted: float, dimension: int | None
) -> tuple[list[Figure], list[Verdict]]:
    """Let both ways take turns, each turn into a collection of its own, for every batch size.

    Args:
        client: of the server.
        records: what goes in.
        rounds: turns of each way.
        wanted: how many times as fast the stream is to be.
        dimension: of the collections; None: of the server's model.
    """
    names = (f"turn-{number}" for number in count())
    _turn(client, stream, next(names), records()[:WARM_UP], None, dimension)
    figures, verdicts = [], []
    for size in BATCH_SIZES:
        rates: dict[Way, list[float]] = {loop: [], stream: []}
        for _ in range(rounds):
            for way, found in rates.items():
                found.append(_turn(client, way, next(names), records(), size, dimension))
        label = "the client's own batches" if size is None else f"batches of {size}"
        figures += [
            figure(f"upsert() in a loop, {label}", "records/s", rates[loop]),
            figure(f"upsert_many(), {label}", "records/s", rates[stream]),
        ]
        verdicts.append(
            at_least(f"upsert_many() to upsert(), {label}", "x", ratios(rates[stream], rates[loop]), wanted)
        )
    return figures, verdicts


def _turn(
    client: Client, way: Way, name: str, records: Sequence[Record], size: int | None, dimension: int | None
) -> float:
    client.create_collection(name, dimension=dimension)
    began = time.perf_counter()
    way(client, name, records, size)
    rate = len(records) / (time.perf_counter() - began)
    client.delete_collection(name)
    return rate


def _check(result: UpsertResult, stored: int) -> None:
    if (result.stored, result.reused) != (stored, 0):
        raise AssertionError(f"stored {result.stored} of {stored} records, {result.reused} reused")
