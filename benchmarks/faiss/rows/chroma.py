"""The same searches and writes on Chroma's server: what a Python user would pick instead."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np

from benchmarks.faiss.bench import COLLECTION, SHARES, TOP_K, Bench, exact_ids, fill, recall, shares, wait_until_settled
from benchmarks.faiss.rows.search import found_ids
from benchmarks.faiss.vectors import FloatMatrix
from benchmarks.result import Measured, Row, RowSkippedError, at_least, figure
from benchmarks.statistics import ratios
from vecgate import IDS_ONLY, Client, field

PYTHON = "VECGATE_BENCH_CHROMA"
"""Names the Python of an environment with chromadb, which `make bench-faiss` makes."""
CALLERS = 16
EF = 100
"""With it Chroma reaches the recall that vecgate has by default."""
SIDE = Path(__file__).parents[1] / "chroma_side.py"
FILTER_SHARE = 0.01
FILTERED = " with a 1 % filter"


class Chroma:
    """The other side in its own environment; each method of chroma_side.Side is asked by name."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, name: str, **arguments: Any) -> Any:
        """Ask and wait for the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"ask": name, **arguments}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"Chroma's side ended at {name}")
        return json.loads(line)


@contextmanager
def chroma(work: Path) -> Iterator[Chroma]:
    """Run Chroma's server and client for the length of a with-block.

    Raises:
        RowSkippedError: there is no environment with Chroma.
    """
    python = os.environ.get(PYTHON)
    if not python:
        raise RowSkippedError(f"{PYTHON} names no Python with chromadb")
    command = [python, str(SIDE), mkdtemp(prefix="chroma-", dir=work)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            if not process.stdout.readline():
                raise RuntimeError("Chroma's server did not start")
            yield Chroma(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()


def measure(bench: Bench) -> Measured:
    """Fill both, then search both in turns, each through its own Python client in threads."""
    queries = bench.vectors.queries
    few = queries[: bench.scale.recall_queries]
    exact = exact_ids(bench.vectors.records, few)
    count = bench.scale.records
    arrays = {"records": bench.vectors.records, "random": shares(range(count)), "queries": queries, "few": few}
    paths = {name: str(_saved(bench.work / f"{name}.npy", array)) for name, array in arrays.items()}
    rates: dict[str, list[float]] = defaultdict(list)
    with chroma(bench.work) as other, bench.server() as server, server.client() as client:
        theirs_written = other.ask("fill", records=paths["records"], random=paths["random"], ef=EF)
        ours_written = fill(client, bench.vectors, range(count))
        wait_until_settled(client)
        ours = recall(found_ids(client, few), exact)
        theirs = recall(other.ask("found", queries=paths["few"], top_k=TOP_K), exact)
        for _ in range(max(1, bench.scale.rounds // 2)):
            _round(bench, other, server.address, paths["queries"], rates)
    return Measured(
        figures=(
            *(figure(f"{name}, {CALLERS} callers", "queries/s", rounds) for name, rounds in rates.items()),
            figure("upserts, vecgate", "records/s", [count / ours_written]),
            figure("upserts, Chroma", "records/s", [count / theirs_written]),
            figure("recall@10, Chroma", "share", [theirs]),
        ),
        verdicts=(
            at_least("searches", "x", ratios(rates["vecgate"], rates["Chroma"]), 3, 5),
            at_least(f"searches{FILTERED}", "x", ratios(rates[f"vecgate{FILTERED}"], rates[f"Chroma{FILTERED}"]), 25),
            at_least("durable upserts, searchable at the answer", "x", [theirs_written / ours_written], 3),
            at_least("recall@10", "share", [ours], 0.95),
        ),
        notes=(
            f"{count} records, ids and scores; Chroma: cosine, ef_search {EF}",
            f"both through their Python clients, {CALLERS} threads of one process",
        ),
    )


def _round(bench: Bench, other: Chroma, address: str, queries: str, rates: Mapping[str, list[float]]) -> None:
    """Search both without a filter and with one; `queries` is the file of the queries."""
    seconds = bench.scale.seconds
    for name, bound in (("", None), (FILTERED, round(FILTER_SHARE * SHARES))):
        asked = {"queries": queries, "top_k": TOP_K, "callers": CALLERS, "seconds": seconds, "bound": bound}
        rates[f"Chroma{name}"].append(other.ask("rate", **asked))
        rates[f"vecgate{name}"].append(_rate(address, bench.vectors.queries, bound, seconds))


def _saved(path: Path, array: Any) -> Path:
    np.save(path, array)
    return path


def _rate(address: str, queries: FloatMatrix, bound: int | None, seconds: float) -> float:
    """Search one query at a time through the blocking client from threads of another process."""
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_call, args=(address, queries, bound, seconds, there), daemon=True)
    process.start()
    if not here.poll(seconds + 60):
        raise RuntimeError("the callers do not answer")
    rate: float = here.recv()
    process.join()
    return rate


def _call(address: str, queries: FloatMatrix, bound: int | None, seconds: float, pipe: Any) -> None:
    counts, begin = [0] * CALLERS, time.perf_counter() + 1.0
    end = begin + seconds
    chosen = None if bound is None else field("random") < bound
    with Client(address) as client:

        def caller(number: int) -> None:
            at = number * 7919
            while (now := time.perf_counter()) < end:
                client.search(COLLECTION, queries[at % len(queries)], top_k=TOP_K, fields=IDS_ONLY, filter=chosen)
                at += 1
                counts[number] += now >= begin

        threads = [threading.Thread(target=caller, args=(number,)) for number in range(CALLERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    pipe.send(sum(counts) / (time.perf_counter() - begin))


ROW = Row("chroma", "the same on Chroma's server", measure)
