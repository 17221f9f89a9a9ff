"""Long searches that arrive together run as one: rows are compared with many queries in hardly more time than with one.

Nobody waits for a timer. What a step of the event loop brings is gathered and runs in the next step; while as many runs are under way on
other threads as there are threads, what arrives meanwhile is gathered behind them. One that stays alone may run on the event loop if it is not too long:
another thread would give it back later, the later the more the server has to do. Short searches do not come here, but for those that share much of
their work: they run on the event loop, which brings them one by one, at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np

from vecgate_backends.faiss.company import Company
from vecgate_backends.faiss.partition import Partition
from vecgate_backends.faiss.search import Plan, Ranking
from vecgate_backends.faiss.segment_index import Breadths
from vecgate_backends.filters import Filter
from vecgate_backends.records import FloatMatrix

MOST_QUERIES = 64
"""Queries of one run; more only make the first wait for the last."""


@dataclass(frozen=True, slots=True)
class Question:
    """What searches have in common that can run together.

    Attributes:
        breadths: None: exactly.
        filter, filter_text: the filter and its repr(), which tells apart what Python takes for equal.
    """

    partition: Partition
    top_k: int
    breadths: Breadths | None
    filter: Filter | None = field(default=None, compare=False)
    filter_text: str = ""


class Ranked(NamedTuple):
    """How a search was done, and what it found."""

    plan: Plan
    ranking: Ranking


class Runner(Protocol):
    """Plans and runs searches."""

    def plan(self, question: Question) -> Plan:
        """Choose how the question is answered now."""

    def run_alone(self, plan: Plan, query: FloatMatrix) -> Ranking | None:
        """Search for one query, shape (1, dimension), here and now; None if it is to run on another thread."""

    async def run_aside(self, plan: Plan, queries: FloatMatrix) -> list[Ranking]:
        """Search for queries, shape (n, dimension), on other threads."""


@dataclass(slots=True)
class _Gathered:
    """Queries, each of shape (dimension,), and who waits for them."""

    queries: list[FloatMatrix] = field(default_factory=list)
    answers: list[asyncio.Future[Ranked]] = field(default_factory=list)


class SearchGathering:
    """Gathers single searches of one collection; used on the event loop."""

    def __init__(self, runner: Runner, *, concurrent_runs: int, company: Company | None = None) -> None:
        """Begin with none; `company` is told of every run on another thread."""
        self._runner = runner
        self._company = company
        self._free = concurrent_runs
        self._waiting: dict[Question, _Gathered] = {}
        self._due = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, question: Question, query: FloatMatrix) -> Ranked:
        """Search for one query, shape (1, dimension), in index form."""
        gathered = self._waiting.setdefault(question, _Gathered())
        answer: asyncio.Future[Ranked] = asyncio.get_running_loop().create_future()
        gathered.queries.append(query)
        gathered.answers.append(answer)
        self._schedule()
        return await answer

    def _schedule(self) -> None:
        if not self._due and self._free and self._waiting:
            self._due = True
            asyncio.get_running_loop().call_soon(self._begin)

    def _begin(self) -> None:
        """Run what was gathered first."""
        self._due = False
        question = next(iter(self._waiting))
        gathered = self._waiting[question]
        try:
            self._run(question, self._runner.plan(question), self._take(question, MOST_QUERIES))
        except Exception as error:  # noqa: BLE001  # whatever it is belongs to those who wait
            self._waiting.pop(question, None)
            _fail(gathered.answers, error)
        self._schedule()

    def _take(self, question: Question, count: int) -> _Gathered:
        """Take so many queries out for whom somebody still waits."""
        gathered = self._waiting.pop(question)
        if len(gathered.queries) > count:
            self._waiting[question] = _Gathered(gathered.queries[count:], gathered.answers[count:])
        pairs = zip(gathered.queries[:count], gathered.answers[:count], strict=True)
        awaited = [(query, answer) for query, answer in pairs if not answer.done()]
        return _Gathered([query for query, _ in awaited], [answer for _, answer in awaited])

    def _run(self, question: Question, plan: Plan, gathered: _Gathered) -> None:
        if not gathered.queries:
            return
        if len(gathered.queries) == 1 and (ranking := self._runner.run_alone(plan, gathered.queries[0])) is not None:
            gathered.answers[0].set_result(Ranked(plan, ranking))
            return
        self._free -= 1
        task = asyncio.create_task(self._await(question, plan, gathered))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _await(self, question: Question, plan: Plan, gathered: _Gathered) -> None:
        try:
            _answer(gathered.answers, plan, await self._runner.run_aside(plan, np.concatenate(gathered.queries)))
        except Exception as error:  # noqa: BLE001  # as above
            _fail(gathered.answers, error)
        finally:
            if self._company is not None:
                # Whoever came meanwhile would have asked beside it.
                waiting = self._waiting.get(question)
                self._company.came(question, len(gathered.queries) + (len(waiting.queries) if waiting else 0))
            self._free += 1
            self._schedule()


def _answer(answers: Sequence[asyncio.Future[Ranked]], plan: Plan, rankings: Sequence[Ranking]) -> None:
    for answer, ranking in zip(answers, rankings, strict=True):
        if not answer.done():
            answer.set_result(Ranked(plan, ranking))


def _fail(answers: Sequence[asyncio.Future[Ranked]], error: Exception) -> None:
    for answer in answers:
        if not answer.done():
            answer.set_exception(error)
