"""Filters as Pinecone's: never too little is let through, and nothing too much where the translation says so."""

from __future__ import annotations

import pytest
from emulators.pinecone.metadata_filters import compile_filter
from emulators.pinecone.vectors import checked_metadata
from hypothesis import given, settings
from hypothesis import strategies as st

from vecgate_backends.conformance.filters import MEANINGS, VALUES
from vecgate_backends.conformance.strategies import filters, metadata
from vecgate_backends.errors import UnsupportedError
from vecgate_backends.filters import And, Compare, Eq, Exists, Filter, In, Not, Or, Order, matches
from vecgate_backends.pinecone.filter_translation import translate
from vecgate_backends.pinecone.record_codec import LONGEST_COPY, filterable
from vecgate_backends.records import Metadata, Timestamp


def lets_through(node: Filter, row: Metadata) -> bool:
    """Ask the emulator, which checks the filter and the metadata as Pinecone does."""
    translation = translate(node)
    if translation.nothing:
        return False
    stored = {key: value for field, kept in row.items() for key, value in filterable(field, kept).items()}
    return translation.expression is None or compile_filter(translation.expression)(checked_metadata(stored))


def check(node: Filter, row: Metadata) -> None:
    passed, expected = lets_through(node, row), matches(node, row)
    assert passed or not expected, (translate(node), row)
    if translate(node).exact:
        assert passed is expected, (translate(node), row)


@settings(deadline=None)
@given(filters(depth=4), st.lists(metadata, min_size=1, max_size=8))
def test_no_record_that_matches_is_kept_back(node: Filter, rows: list[Metadata]) -> None:
    for row in rows:
        check(node, row)


@pytest.mark.parametrize("node", [node for node, _ in MEANINGS], ids=str)
def test_every_filter_of_the_suite_lets_through_what_matches(node: Filter) -> None:
    for value in VALUES.values():
        check(node, {} if value is None else {"f": value})


@pytest.mark.parametrize(
    "node",
    [
        Eq("f", "games"),
        Eq("f", 1),
        Eq("f", True),
        Eq("f", Timestamp(5, 7)),
        Not(Eq("f", 1)),
        Not(Eq("f", False)),
        In("f", ("a", 1, True, Timestamp(1))),
        Compare("f", Order.GTE, 2.5),
        Not(Compare("f", Order.LT, Timestamp(5, 7))),
        Not(Exists("f")),
        And((Exists("f"), Or((Eq("g", "x"), Not(Compare("g", Order.LT, 3)))))),
    ],
    ids=str,
)
def test_common_filters_need_no_second_look(node: Filter) -> None:
    assert translate(node).exact


@pytest.mark.parametrize(
    "node",
    [
        Eq("f", 2**53 + 1),
        Not(Eq("f", 2**60)),
        Compare("f", Order.GT, 2**53),
        In("f", (1, 2**53)),
        Not(Eq("f", "games")),
        And((Eq("g", 1), Not(In("f", ("a", "b"))))),
    ],
    ids=str,
)
def test_filters_that_pinecone_cannot_tell_exactly_say_so(node: Filter) -> None:
    assert not translate(node).exact


def test_long_strings_are_found_by_their_digest() -> None:
    long = "x" * (LONGEST_COPY + 1)
    assert len(str(filterable("f", long)["s:f"])) < LONGEST_COPY
    for stored, asked in ((long, long), ((long, "y"), long), (long + "x", long), ("sha256:00", "sha256:00")):
        check(Eq("f", asked), {"f": stored})


def test_a_filter_that_nothing_can_match_asks_for_nothing() -> None:
    assert translate(In("f", ())).nothing
    assert translate(And((Eq("g", 1), In("f", ())))).nothing
    assert translate(Not(In("f", ()))).expression is None


def test_more_values_than_pinecone_compares_with_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="10,000"):
        translate(In("f", tuple(range(10_001))))
