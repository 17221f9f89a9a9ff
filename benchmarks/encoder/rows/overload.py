"""Twenty times the tokens that the server encodes, for a minute."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.encoder.bench import Bench
from benchmarks.encoder.load import TEXTS_A_CALL, bulk_load
from benchmarks.encoder.offered_calls import Ending, Offer, OfferedCall, least_cosine, make_calls, offering
from benchmarks.result import Measured, Row, Verdict, at_least, at_most, figure, milliseconds
from benchmarks.server import MIB, ServerProcess
from benchmarks.statistics import percentile

TIMES = 20.0
# Some seconds of work on two cores, so that the queue is full after a moment and empty soon after the end.
QUEUE_TOKENS = 65_536
LOW_RATE_CALLS_A_SECOND = 5.0
MEMORY_EVERY_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class _Answered:
    """An offer, and what became of its calls."""

    offer: Offer
    calls: Sequence[OfferedCall]

    def kept(self) -> list[tuple[list[str], NDArray[np.float32]]]:
        """Return the texts and vectors of the answers that were kept."""
        return [(self.offer.texts(call.number), call.vectors) for call in self.calls if call.vectors is not None]


@dataclass(frozen=True, slots=True)
class _Overload:
    """What was seen.

    Attributes:
        load, low_rate: the calls of the overload, and those of the caller apart.
        steady, overloaded: memory (RSS, MiB) before and meanwhile.
        tokens_a_second, texts_a_second: what the server drained before.
        lasted: seconds until every call had ended.
    """

    load: _Answered
    low_rate: _Answered
    steady: Sequence[float]
    overloaded: Sequence[float]
    tokens_a_second: float
    texts_a_second: float
    lasted: float

    @property
    def refusals(self) -> list[float]:
        """Seconds of the low-rate caller's refusals."""
        refusals = [call.seconds for call in self.low_rate.calls if call.ending is Ending.REFUSED]
        if not refusals:
            raise RuntimeError("the low-rate caller was never refused: the server was not overloaded")
        return refusals


def measure(bench: Bench) -> Measured:
    """Measure how fast the server drains, then offer 20 times that and watch memory, refusals and every call."""
    scale, documents = bench.scale, bench.texts.documents
    with bench.warm_server(queue_tokens=QUEUE_TOKENS) as server:
        with watching_memory(server) as steady, bulk_load(server.address, documents) as load:
            began = time.monotonic()
            time.sleep(scale.seconds)
            ended = time.monotonic()
        drained, texts = load.tokens_a_second(began, ended), load.texts_a_second(began, ended)
        calls_a_second = TIMES * texts / TEXTS_A_CALL
        offer = Offer(documents, TEXTS_A_CALL, calls_a_second, scale.overload_seconds)
        low_rate = Offer(documents[::-1], TEXTS_A_CALL, LOW_RATE_CALLS_A_SECOND, scale.overload_seconds)
        with watching_memory(server) as overloaded, offering(server.address, offer) as offered:
            apart = _in_thread(server.address, low_rate)
            began = time.monotonic()
            calls, seen = offered.result(), apart.result()
            over = time.monotonic() - began
        offers = (_Answered(offer, calls), _Answered(low_rate, seen))
    return _sum_up(_Overload(*offers, steady, overloaded, drained, texts, over), _least_cosine(bench, offers))


def _least_cosine(bench: Bench, offers: Sequence[_Answered]) -> tuple[float, int]:
    """Compare the answers that were kept with SentenceTransformer's; return the least cosine, and how many texts it is of."""
    kept = [pair for answered in offers for pair in answered.kept()]
    with bench.reference() as model:
        cosine = least_cosine([vectors for _, vectors in kept], [model.vectors(texts) for texts, _ in kept])
    return cosine, len(kept) * TEXTS_A_CALL


def _sum_up(seen: _Overload, compared: tuple[float, int]) -> Measured:
    everyone = (*seen.load.calls, *seen.low_rate.calls)
    endings = Counter(call.ending for call in everyone)
    lost = [call.detail for call in everyone if call.ending is Ending.LOST]
    offered = len(seen.load.calls) * TEXTS_A_CALL / seen.load.offer.seconds
    return Measured(
        figures=(
            figure("drained before", "tokens/s", [seen.tokens_a_second]),
            figure("offered to drained", "x", [offered / seen.texts_a_second]),
            figure("calls", "", [endings.total()]),
            figure("answered", "", [endings[Ending.ANSWERED]]),
            figure("refused", "", [endings[Ending.REFUSED]]),
            figure(
                "texts answered while it lasted", "texts/s", [endings[Ending.ANSWERED] * TEXTS_A_CALL / seen.lasted]
            ),
            milliseconds("refusal, low-rate caller, p50", [percentile(seen.refusals, 50)]),
            figure("memory before, saturated, median (RSS)", "MiB", [percentile(seen.steady, 50)]),
            figure("memory under overload, median (RSS)", "MiB", [percentile(seen.overloaded, 50)]),
            figure("memory under overload, largest (RSS)", "MiB", [max(seen.overloaded)]),
        ),
        verdicts=_verdicts(seen, len(lost), compared),
        notes=(
            (
                f"calls of {TEXTS_A_CALL} documents for {seen.load.offer.seconds:g} s, no text twice; "
                f"encoder.queue_tokens {QUEUE_TOKENS}; "
                f"low rate: {LOW_RATE_CALLS_A_SECOND:g} calls/s, {len(seen.refusals)} refused"
            ),
            *sorted(set(lost))[:3],
        ),
    )


def _verdicts(seen: _Overload, lost: int, compared: tuple[float, int]) -> tuple[Verdict, ...]:
    cosine, texts = compared
    growth = max(seen.overloaded) / percentile(seen.steady, 50)
    return (
        at_most("largest memory to the steady state", "x", [growth], 1.3),
        at_most("refusal, low-rate caller, p99", "ms", [1000 * percentile(seen.refusals, 99)], 200),
        at_most("calls with neither an answer nor a refusal", "", [lost], 0),
        at_least(f"least cosine of {texts} answered texts", "", [cosine], 0.99999),
    )


@contextmanager
def watching_memory(server: ServerProcess) -> Iterator[list[float]]:
    """Read the server's memory (RSS, MiB) every now and then for the length of a with-block."""
    seen: list[float] = []
    stopped = threading.Event()

    def watch() -> None:
        while not stopped.wait(MEMORY_EVERY_SECONDS):
            seen.append(server.memory().rss / MIB)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        stopped.set()
        thread.join()


def _in_thread(address: str, offer: Offer) -> Future[list[OfferedCall]]:
    """Make the calls of an offer from this process."""
    answer: Future[list[OfferedCall]] = Future()

    def work() -> None:
        try:
            answer.set_result(make_calls(address, offer))
        except Exception as error:  # noqa: BLE001  # the caller raises it
            answer.set_exception(error)

    threading.Thread(target=work).start()
    return answer


ROW = Row("overload", "20 times the tokens, calls of 32 documents", measure)
