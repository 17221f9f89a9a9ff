"""Twenty times the tokens that the server encodes, for a minute."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager

from benchmarks.encoder.bench import Bench
from benchmarks.encoder.load import TEXTS_A_CALL, bulk_load
from benchmarks.encoder.offered_calls import Ending, Offer, OfferedCall, least_cosine, make_calls, offering
from benchmarks.encoder.result import Measured, Row, at_least, at_most, figure, milliseconds
from benchmarks.encoder.server import MIB, ServerProcess
from benchmarks.statistics import percentile

TIMES = 20.0
# Some seconds of work on two cores, so that the queue is full after a moment and empty soon after the end.
QUEUE_TOKENS = 65_536
LOW_RATE_CALLS_A_SECOND = 5.0
MEMORY_EVERY_SECONDS = 0.5


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
    return _sum_up(bench, offer, low_rate, calls, seen, (steady, overloaded), (drained, texts, over))


def _sum_up(
    bench: Bench,
    offer: Offer,
    low_rate: Offer,
    calls: Sequence[OfferedCall],
    seen: Sequence[OfferedCall],
    memory: tuple[Sequence[float], Sequence[float]],
    rates: tuple[float, float, float],
) -> Measured:
    drained, texts, over = rates
    steady, overloaded = memory
    refusals = [call.seconds for call in seen if call.ending is Ending.REFUSED]
    if not refusals:
        raise RuntimeError("the low-rate caller was never refused: the server was not overloaded")
    everyone = Counter(call.ending for call in (*calls, *seen))
    lost = [call.detail for call in (*calls, *seen) if call.ending is Ending.LOST]
    resting = percentile(steady, 50)
    answers = [(offer, call) for call in calls] + [(low_rate, call) for call in seen]
    kept = [(each.texts(call.number), call.vectors) for each, call in answers if call.vectors is not None]
    with bench.reference() as model:
        cosine = least_cosine([vectors for _, vectors in kept], [model.vectors(text) for text, _ in kept])
    return Measured(
        figures=(
            figure("drained before", "tokens/s", [drained]),
            figure("offered to drained", "x", [len(calls) * TEXTS_A_CALL / offer.seconds / texts]),
            figure("calls", "", [everyone.total()]),
            figure("answered", "", [everyone[Ending.ANSWERED]]),
            figure("refused", "", [everyone[Ending.REFUSED]]),
            figure("texts answered while it lasted", "texts/s", [everyone[Ending.ANSWERED] * TEXTS_A_CALL / over]),
            milliseconds("refusal, low-rate caller, p50", [percentile(refusals, 50)]),
            figure("memory before, saturated, median (RSS)", "MiB", [resting]),
            figure("memory under overload, median (RSS)", "MiB", [percentile(overloaded, 50)]),
            figure("memory under overload, largest (RSS)", "MiB", [max(overloaded)]),
        ),
        verdicts=(
            at_most("largest memory to the steady state", "x", [max(overloaded) / resting], 1.3),
            at_most("refusal, low-rate caller, p99", "ms", [1000 * percentile(refusals, 99)], 200),
            at_most("calls with neither an answer nor a refusal", "", [len(lost)], 0),
            at_least(f"least cosine of {len(kept) * TEXTS_A_CALL} answered texts", "", [cosine], 0.99999),
        ),
        notes=(
            (
                f"calls of {TEXTS_A_CALL} documents for {offer.seconds:g} s, no text twice; encoder.queue_tokens {QUEUE_TOKENS}; "
                f"low rate: {LOW_RATE_CALLS_A_SECOND:g} calls/s, {len(refusals)} refused"
            ),
            *sorted(set(lost))[:3],
        ),
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
