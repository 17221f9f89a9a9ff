"""The conformance suite: the tests that every backend of vecgate passes, to be run on yours.

A module that adopts it holds one star import and the list CASES; each test then runs once a case. docs/backends.md shows one.
"""

# ruff: noqa: E402  # the modules come after register_assert_rewrite, so that their asserts explain themselves

import pkgutil

import pytest

pytest.register_assert_rewrite(*(f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__)))

from vecgate_backends.conformance.agreement import TestAgreement
from vecgate_backends.conformance.case import Case, Gap, GapKind
from vecgate_backends.conformance.concurrency import TestConcurrency
from vecgate_backends.conformance.encoding_stamps import TestEncodingStamps
from vecgate_backends.conformance.field_stats import TestFieldStats
from vecgate_backends.conformance.filters import TestFilters, TestRandomFilters
from vecgate_backends.conformance.fixtures import pytest_generate_tests, reopenable_store, store
from vecgate_backends.conformance.guard import TestSuite
from vecgate_backends.conformance.index_updates import TestIndexUpdates
from vecgate_backends.conformance.lifecycle import TestBackend, TestCollections
from vecgate_backends.conformance.namespaces import TestNamespaces
from vecgate_backends.conformance.reads import TestCount, TestGet, TestList
from vecgate_backends.conformance.recall import TestRecall
from vecgate_backends.conformance.refusals import TestRefusals
from vecgate_backends.conformance.scores import TestScores
from vecgate_backends.conformance.search import TestSearch
from vecgate_backends.conformance.stateful import TestHistories
from vecgate_backends.conformance.tokens import TestTokens
from vecgate_backends.conformance.writes import TestDelete, TestUpdateMetadata, TestUpsert

__all__ = [
    "Case",
    "Gap",
    "GapKind",
    "TestAgreement",
    "TestBackend",
    "TestCollections",
    "TestConcurrency",
    "TestCount",
    "TestDelete",
    "TestEncodingStamps",
    "TestFieldStats",
    "TestFilters",
    "TestGet",
    "TestHistories",
    "TestIndexUpdates",
    "TestList",
    "TestNamespaces",
    "TestRandomFilters",
    "TestRecall",
    "TestRefusals",
    "TestScores",
    "TestSearch",
    "TestSuite",
    "TestTokens",
    "TestUpdateMetadata",
    "TestUpsert",
    "pytest_generate_tests",
    "reopenable_store",
    "store",
]
