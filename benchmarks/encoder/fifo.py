"""The plain way to batch: one queue, whole batches, first come, first served. Over the same graph that the server runs."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from benchmarks.encoder.load import seconds_of_calls_for

if TYPE_CHECKING:
    from benchmarks.encoder.bench import Bench

BATCH = 32
# One batch runs and one waits: fewer would let the model stand idle, more would let queries wait longer.
BATCHES_AT_HAND = 2


class FifoQueue:
    """The queue and its model, in a child process."""

    def __init__(self, bench: Bench) -> None:
        """Load the served form of the default model."""
        self._process = ProcessPoolExecutor(
            1, mp_context=get_context("spawn"), initializer=_load, initargs=(str(served_form(bench)), bench.cores)
        )

    def seconds_of_queries_beside(
        self, documents: Sequence[str], queries: Sequence[str], seconds: float
    ) -> tuple[list[float], float]:
        """Ask one query after another while documents are encoded without a pause.

        Returns:
            The seconds of each query, and the documents a second.
        """
        return self._process.submit(_queries_beside_documents, documents, queries, seconds).result()

    def seconds_of_single_texts(self, texts: Sequence[str]) -> list[float]:
        """Encode texts one by one with no queue between, and return the seconds of each."""
        return self._process.submit(_seconds_of_single_texts, texts).result()

    def seconds_of_sorted(self, texts: Sequence[str], tokens: int) -> float:
        """Encode texts sorted by length, in batches of so many padded tokens, and return the seconds."""
        return self._process.submit(_seconds_of_sorted, texts, tokens).result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.shutdown()


def served_form(bench: Bench) -> Path:
    """Export the default model with the shipped command, once a run."""
    directory = bench.work / "served-form"
    if not directory.exists():
        command = [sys.executable, "-m", "vecgate_server", "export-model", "all-MiniLM-L6-v2", str(directory)]
        subprocess.run(command, check=True, capture_output=True, cwd=bench.work)
    return directory


# In the child: the function that encodes a batch, under this name.
_child: dict[str, Any] = {}


def _load(directory: str, threads: int) -> None:
    import onnxruntime  # noqa: PLC0415  # in the child alone
    from tokenizers import Tokenizer  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(f"{directory}/model.onnx", options, providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(f"{directory}/tokenizer.json")
    tokenizer.enable_truncation(256)
    inputs = {each.name for each in session.get_inputs()}

    def encode(texts: Sequence[str]) -> None:
        rows = tokenizer.encode_batch(list(texts))
        longest = max(len(row.ids) for row in rows)
        arrays = {
            "input_ids": [row.ids for row in rows],
            "attention_mask": [row.attention_mask for row in rows],
            "token_type_ids": [row.type_ids for row in rows],
        }
        session.run(
            None,
            {
                name: np.array([ids[:longest] + [0] * (longest - len(ids)) for ids in array], np.int64)
                for name, array in arrays.items()
                if name in inputs
            },
        )

    # Rows are padded above, to the longest of their batch.
    tokenizer.no_padding()
    _child["encode"] = encode
    _child["tokenizer"] = tokenizer
    encode(["warm", "the model up"])


def _queries_beside_documents(
    documents: Sequence[str], queries: Sequence[str], seconds: float
) -> tuple[list[float], float]:
    waiting: queue.Queue[tuple[Sequence[str], Future[None]] | None] = queue.Queue()
    worker = threading.Thread(target=_serve, args=(waiting,))
    worker.start()
    stopped = threading.Event()
    done = [0] * BATCHES_AT_HAND

    def ask(texts: Sequence[str]) -> None:
        answer: Future[None] = Future()
        waiting.put((texts, answer))
        answer.result()

    def keep_busy(number: int) -> None:
        for batch in _batches(documents, number):
            if stopped.is_set():
                return
            ask(batch)
            done[number] += len(batch)

    producers = [threading.Thread(target=keep_busy, args=(number,)) for number in range(BATCHES_AT_HAND)]
    began = time.monotonic()
    for producer in producers:
        producer.start()
    times = seconds_of_calls_for(lambda number: ask([queries[number % len(queries)]]), seconds=seconds)
    rate = sum(done) / (time.monotonic() - began)
    stopped.set()
    for producer in producers:
        producer.join()
    waiting.put(None)
    worker.join()
    # The first query met a queue that was not yet full.
    return times[1:] or times, rate


def _batches(documents: Sequence[str], number: int) -> Iterator[Sequence[str]]:
    """Yield every second batch of the documents, for ever."""
    while True:
        for start in range(number * BATCH, len(documents), BATCHES_AT_HAND * BATCH):
            yield documents[start : start + BATCH]


def _serve(waiting: queue.Queue[tuple[Sequence[str], Future[None]] | None]) -> None:
    encode: Callable[[Sequence[str]], None] = _child["encode"]
    while (job := waiting.get()) is not None:
        texts, answer = job
        try:
            encode(texts)
        except Exception as error:  # noqa: BLE001  # the caller raises it
            answer.set_exception(error)
        else:
            answer.set_result(None)


def _seconds_of_single_texts(texts: Sequence[str]) -> list[float]:
    seconds = []
    for text in texts:
        began = time.perf_counter()
        _child["encode"]([text])
        seconds.append(time.perf_counter() - began)
    return seconds


def _seconds_of_sorted(texts: Sequence[str], tokens: int) -> float:
    began = time.perf_counter()
    lengths = [len(row.ids) for row in _child["tokenizer"].encode_batch(list(texts))]
    batch: list[str] = []
    longest = 0
    # Longest first, so that the first of a batch is its longest.
    for index in np.argsort(lengths)[::-1].tolist():
        if batch and (len(batch) + 1) * longest > tokens:
            _child["encode"](batch)
            batch = []
        if not batch:
            longest = lengths[index]
        batch.append(texts[index])
    if batch:
        _child["encode"](batch)
    return time.perf_counter() - began
