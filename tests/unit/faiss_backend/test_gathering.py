"""Single searches that arrive together run as one, and each gets its own answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from vecgate_backends.faiss import gathering
from vecgate_backends.faiss.company import ASKED_ALONE, LONELY_RUNS, Company
from vecgate_backends.faiss.gathering import Question, Ranked, SearchGathering
from vecgate_backends.faiss.partition import Partition
from vecgate_backends.faiss.search import Plan, Ranking
from vecgate_backends.faiss.segment_index import Breadths
from vecgate_backends.records import FloatMatrix, Metric

QUESTION = Question(Partition("", 1), 3, Breadths())
OTHER = Question(QUESTION.partition, 4, Breadths())


def query(number: int) -> FloatMatrix:
    return np.array([[number]], np.float32)


class Runs:
    """Answers each query with its number as the id, when it is let go if it `waits`; a single one here and now if it is `short`."""

    def __init__(self, *, waits: bool = False, short: bool = False) -> None:
        self.seen: list[tuple[int, list[int]]] = []
        self.alone: list[int] = []
        self.held: list[asyncio.Event] = []
        self.fault: Exception | None = None
        self._waits = waits
        self._short = short

    def plan(self, question: Question) -> Plan:
        return Plan(Metric.DOT, question.top_k, ())

    def run_alone(self, plan: Plan, query: FloatMatrix) -> Ranking | None:
        if not (self._short and plan.top_k == QUESTION.top_k):
            return None
        self.alone.append(int(query[0, 0]))
        return _ranking(self.alone[-1])

    async def run_aside(self, plan: Plan, queries: FloatMatrix) -> list[Ranking]:
        numbers = [int(number) for number in queries[:, 0]]
        self.seen.append((plan.top_k, numbers))
        if self.fault is not None:
            raise self.fault
        if self._waits:
            self.held.append(asyncio.Event())
            await self.held[-1].wait()
        return [_ranking(number) for number in numbers]


def _ranking(number: int) -> Ranking:
    return Ranking([str(number)], [number], np.zeros(1, np.float32), 0)


def ids(answers: Sequence[Ranked]) -> list[str]:
    return [answer.ranking.ids[0] for answer in answers]


async def test_what_arrives_in_one_step_of_the_loop_runs_as_one() -> None:
    runs = Runs()
    gathered = SearchGathering(runs, concurrent_runs=1)
    answers = await asyncio.gather(*(gathered.ask(QUESTION, query(number)) for number in range(5)))
    assert ids(answers) == ["0", "1", "2", "3", "4"]
    assert runs.seen == [(3, [0, 1, 2, 3, 4])]


async def test_one_that_comes_alone_and_is_short_enough_is_not_run_aside() -> None:
    runs = Runs(short=True)
    gathered = SearchGathering(runs, concurrent_runs=1)
    assert ids([await gathered.ask(QUESTION, query(7))]) == ["7"]
    answers = await asyncio.gather(*(gathered.ask(QUESTION, query(number)) for number in range(2)))
    assert ids(answers) == ["0", "1"]
    assert runs.alone == [7]
    assert runs.seen == [(3, [0, 1])]


async def test_searches_of_different_kinds_run_apart() -> None:
    runs = Runs()
    gathered = SearchGathering(runs, concurrent_runs=1)
    answers = await asyncio.gather(
        gathered.ask(QUESTION, query(0)), gathered.ask(OTHER, query(1)), gathered.ask(QUESTION, query(2))
    )
    assert ids(answers) == ["0", "1", "2"]
    assert [answer.plan.top_k for answer in answers] == [3, 4, 3]
    assert runs.seen == [(3, [0, 2]), (4, [1])]


async def test_what_arrives_while_all_threads_are_busy_is_gathered_behind_them() -> None:
    runs = Runs(waits=True)
    gathered = SearchGathering(runs, concurrent_runs=2)
    tasks = []
    for number in range(5):
        tasks.append(asyncio.create_task(gathered.ask(QUESTION, query(number))))
        await asyncio.sleep(0.001)
    assert [numbers for _, numbers in runs.seen] == [[0], [1]]
    runs.held[0].set()
    assert ids([await tasks[0]]) == ["0"]
    await asyncio.sleep(0.001)
    assert [numbers for _, numbers in runs.seen] == [[0], [1], [2, 3, 4]]
    for event in runs.held:
        event.set()
    assert ids(await asyncio.gather(*tasks)) == ["0", "1", "2", "3", "4"]


async def test_those_who_wait_for_a_run_are_company() -> None:
    runs, company = Runs(waits=True), Company()
    gathered = SearchGathering(runs, concurrent_runs=1, company=company)
    for _ in range(LONELY_RUNS):
        company.came(QUESTION, 1)
    for _ in range(ASKED_ALONE):
        assert not company.expected(QUESTION)
    tasks = [asyncio.create_task(gathered.ask(QUESTION, query(0)))]
    await asyncio.sleep(0.001)
    tasks.append(asyncio.create_task(gathered.ask(QUESTION, query(1))))
    await asyncio.sleep(0.001)
    runs.held[0].set()
    await tasks[0]
    await asyncio.sleep(0.001)
    assert company.expected(QUESTION)
    runs.held[1].set()
    assert ids(await asyncio.gather(*tasks)) == ["0", "1"]


async def test_a_run_has_an_upper_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "MOST_QUERIES", 2)
    runs = Runs()
    gathered = SearchGathering(runs, concurrent_runs=3)
    answers = await asyncio.gather(*(gathered.ask(QUESTION, query(number)) for number in range(5)))
    assert ids(answers) == ["0", "1", "2", "3", "4"]
    assert [numbers for _, numbers in runs.seen] == [[0, 1], [2, 3], [4]]


async def test_one_that_leaves_is_not_run_and_takes_nobody_along() -> None:
    runs = Runs(waits=True)
    gathered = SearchGathering(runs, concurrent_runs=1)
    tasks = [asyncio.create_task(gathered.ask(QUESTION, query(0)))]
    await asyncio.sleep(0.001)
    tasks += [asyncio.create_task(gathered.ask(QUESTION, query(number))) for number in (1, 2)]
    await asyncio.sleep(0.001)
    tasks[0].cancel()
    tasks[1].cancel()
    runs.held[0].set()
    await asyncio.sleep(0.001)
    runs.held[1].set()
    assert ids([await tasks[2]]) == ["2"]
    assert [numbers for _, numbers in runs.seen] == [[0], [2]]
    assert tasks[0].cancelled()
    assert tasks[1].cancelled()


async def test_a_fault_reaches_all_who_wait_and_none_after_them() -> None:
    runs = Runs()
    gathered = SearchGathering(runs, concurrent_runs=1)
    runs.fault = MemoryError("none left")
    answers = await asyncio.gather(
        *(gathered.ask(QUESTION, query(number)) for number in range(2)), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [MemoryError, MemoryError]
    runs.fault = None
    assert ids([await gathered.ask(QUESTION, query(7))]) == ["7"]
