"""Faiss itself in a process of its own, without a server: what the Faiss backend is compared with."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

import numpy as np

from benchmarks.faiss.vectors import FloatMatrix
from vecgate_backends.records import HnswIndex

CALL_SECONDS = 3_600.0


class RawIndex:
    """A faiss.IndexHNSWFlat in another process, built with the parameters that a collection has by default."""

    def __init__(self, pipe: Any) -> None:
        self._pipe = pipe

    def ids(self, queries: FloatMatrix, *, ef: int, top_k: int) -> list[list[str]]:
        """Search all queries at once and return the rows found as ids."""
        found: list[list[str]] = self._ask("ids", queries, ef, top_k)
        return found

    def rate(self, queries: FloatMatrix, *, ef: int, top_k: int, batch: int, seconds: float, threads: int) -> float:
        """Search batches for so long on so many threads, and return queries a second."""
        found: float = self._ask("rate", queries, ef, top_k, batch, seconds, threads)
        return found

    def _ask(self, *question: Any) -> Any:
        self._pipe.send(question)
        if not self._pipe.poll(CALL_SECONDS):
            raise RuntimeError("the raw index does not answer")
        return self._pipe.recv()


@contextmanager
def raw_index(records: FloatMatrix) -> Iterator[RawIndex]:
    """Build the index over unit vectors for the length of a with-block."""
    here, there = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=_serve, args=(there,), daemon=True)
    process.start()
    try:
        here.send(records)
        if not here.poll(CALL_SECONDS) or here.recv() != "built":
            raise RuntimeError("the raw index was not built")
        yield RawIndex(here)
    finally:
        process.kill()
        process.join()


def _serve(pipe: Any) -> None:
    import faiss  # noqa: PLC0415  # in this process alone

    settings = HnswIndex()
    records = pipe.recv()
    index = faiss.IndexHNSWFlat(records.shape[1], settings.m, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = settings.ef_construction
    index.add(records)
    pipe.send("built")
    answers: dict[str, Callable[..., Any]] = {"ids": _ids, "rate": _rate}
    while True:
        name, *arguments = pipe.recv()
        pipe.send(answers[name](faiss, index, *arguments))


def _ids(faiss: Any, index: Any, queries: FloatMatrix, ef: int, top_k: int) -> list[list[str]]:
    _, rows = index.search(queries, top_k, params=faiss.SearchParametersHNSW(efSearch=ef))
    return [[str(row) for row in own] for own in rows.tolist()]


def _rate(
    faiss: Any, index: Any, queries: FloatMatrix, ef: int, top_k: int, batch: int, seconds: float, threads: int
) -> float:
    faiss.omp_set_num_threads(threads)
    parameters = faiss.SearchParametersHNSW(efSearch=ef)
    batches: Sequence[FloatMatrix] = [
        np.ascontiguousarray(queries[begin : begin + batch]) for begin in range(0, len(queries) - batch + 1, batch)
    ]
    done, began = 0, time.perf_counter()
    while (taken := time.perf_counter() - began) < seconds:
        index.search(batches[done % len(batches)], top_k, params=parameters)
        done += 1
    return done * batch / taken
