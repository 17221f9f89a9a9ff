"""Whether several callers ask the same at once is told by the runs, and forgotten in time."""

from __future__ import annotations

import weakref

from vecgate_backends.faiss.company import ASKED_ALONE, KEPT, LONELY_RUNS, Company


def asked(company: Company, question: str, times: int) -> list[bool]:
    return [company.expected(question) for _ in range(times)]


def test_company_is_expected_until_runs_stay_alone() -> None:
    company = Company()
    assert asked(company, "a", 50) == [True] * 50
    for _ in range(LONELY_RUNS - 1):
        company.came("a", 1)
        assert company.expected("a")
    company.came("a", 1)
    assert asked(company, "a", ASKED_ALONE + 1) == [False] * ASKED_ALONE + [True]
    assert company.expected("b")


def test_a_trial_that_stays_alone_is_followed_by_many_that_are_not_tried() -> None:
    company = Company()
    for _ in range(LONELY_RUNS):
        company.came("a", 1)
    asked(company, "a", ASKED_ALONE)
    company.came("a", 1)
    assert asked(company, "a", ASKED_ALONE) == [False] * ASKED_ALONE
    company.came("a", 2)
    company.came("a", 1)
    assert company.expected("a")


def test_a_question_is_not_kept_alive() -> None:
    class Partition:
        pass

    company, partition = Company(), Partition()
    left = weakref.ref(partition)
    for _ in range(LONELY_RUNS):
        company.came((partition, 10), 1)
    assert not company.expected((partition, 10))
    del partition
    assert left() is None


def test_no_more_questions_are_remembered_than_are_kept() -> None:
    company = Company()
    for number in range(KEPT + 1):
        for _ in range(LONELY_RUNS):
            company.came(number, 1)
    assert company.expected(0)
    assert not company.expected(1)
    assert not company.expected(KEPT)
