"""How pytest finds the cases of the module that adopted the suite, and opens a store for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from vecgate_backends.conformance.case import Case
from vecgate_backends.conformance.store import Store

REFUSED = "refused"
"""Name of the property of a test that was passed by a refusal."""
EMULATED_SHARE = 5


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test of the suite once for every case in the adopting module's CASES."""
    if "case" not in metafunc.fixturenames or metafunc.cls is None:
        return
    examples = metafunc.config.getoption("conformance_examples", None)
    steps = metafunc.config.getoption("conformance_steps", None)
    name = f"{metafunc.cls.__name__}.{metafunc.function.__name__}"
    reopens = "reopenable_store" in metafunc.fixturenames
    cases = [_sized(case, examples, steps) for case in metafunc.module.CASES]
    metafunc.parametrize(
        "case",
        [pytest.param(case, marks=_marks(case, name), id=case.id) for case in cases if case.reopenable or not reopens],
    )


@pytest_asyncio.fixture
async def store(case: Case, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """Return a started backend on an empty directory."""
    opened = Store(case, tmp_path)
    await opened.backend.start()
    yield opened
    await opened.backend.close()
    request.node.user_properties.extend((REFUSED, what) for what in opened.refusals)


def _sized(case: Case, examples: int | None, steps: int | None) -> Case:
    """Return the case with as many random examples and steps as the run asks for; a stand-in is slow and gets a fifth."""
    if examples is not None:
        case = replace(case, examples=max(1, examples // EMULATED_SHARE) if case.emulated else examples)
    return case if steps is None else replace(case, steps=steps)


@pytest_asyncio.fixture
async def reopenable_store(store: Store) -> Store:
    """Return a started backend that keeps its data over a reopen; a test that asks for it runs on such cases only."""
    return store


def _marks(case: Case, name: str) -> list[pytest.MarkDecorator]:
    gap = case.gaps.get(name)
    return [] if gap is None else [pytest.mark.xfail(reason=f"{gap.kind}: {gap.reason}", strict=True)]
