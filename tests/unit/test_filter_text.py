"""The text form of filters: what it means, how it is written, what it refuses, and that its document is right."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecgate_backends.conformance.strategies import filters, metadata
from vecgate_backends.errors import FilterSyntaxError, FilterTypeError, InvalidArgumentError
from vecgate_backends.filter_text import MAX_CHARACTERS, MAX_NESTING, parse, to_text
from vecgate_backends.filters import And, Compare, Eq, Exists, Filter, In, Not, Or, Order, Ordered, Scalar, matches
from vecgate_backends.records import Metadata, Timestamp

DOCUMENT = (Path(__file__).parents[2] / "docs/filters.md").read_text()
EXAMPLES = [
    line for block in re.findall(r"```filter\n(.*?)```", DOCUMENT, re.DOTALL) for line in block.splitlines() if line
]
REFUSED_EXAMPLES = re.findall(r"^\| `(.*?)` \| (filter, character .*) \|$", DOCUMENT, re.MULTILINE)

MEANINGS: dict[str, Filter] = {
    'a = "x"': Eq("a", "x"),
    'a : "x"': Eq("a", "x"),
    "a != 1": Not(Eq("a", 1)),
    "a:*": Exists("a"),
    "exists ( a )": Exists("a"),
    "NOT exists(a)": Not(Exists("a")),
    'a IN ("x", 1, 2.5, true)': In("a", ("x", 1, 2.5, True)),
    "a IN (1)": In("a", (1,)),
    "a>1": Compare("a", Order.GT, 1),
    "a >= -1.5e3": Compare("a", Order.GTE, -1500.0),
    "a<.5": Compare("a", Order.LT, 0.5),
    "a<=+5.": Compare("a", Order.LTE, 5.0),
    "a = 9223372036854775807": Eq("a", 2**63 - 1),
    "a = -9223372036854775808": Eq("a", -(2**63)),
    "a = 0000000000000000000000007": Eq("a", 7),
    "a = false": Eq("a", False),
    'a > timestamp("2024-01-01T00:00:00Z")': Compare("a", Order.GT, Timestamp(1_704_067_200)),
    'a = timestamp("1969-12-31T23:59:59.000000001-01:30")': Eq("a", Timestamp(5_399, 1)),
    'timestamp < timestamp("0001-01-01T00:00:00Z")': Compare("timestamp", Order.LT, Timestamp(-62_135_596_800)),
    "exists = 1 AND true = false": And((Eq("exists", 1), Eq("true", False))),
    '"a.b" = 1': Eq("a.b", 1),
    '"日本 \\u00e9" = 1': Eq("日本 é", 1),
    '"AND" = 1': Eq("AND", 1),
    "ANDy = 1 AND INput IN (2)": And((Eq("ANDy", 1), In("INput", (2,)))),
    r'a = "\"\\\n\ud83d\ude00"': Eq("a", '"\\\n😀'),
    'a = "new\nline"': Eq("a", "new\nline"),
    "a=1 OR b=2 AND c=3": Or((Eq("a", 1), And((Eq("b", 2), Eq("c", 3))))),
    "a=1 AND b=2 OR c=3": Or((And((Eq("a", 1), Eq("b", 2))), Eq("c", 3))),
    "(a=1 OR b=2) AND c=3": And((Or((Eq("a", 1), Eq("b", 2))), Eq("c", 3))),
    "NOT a=1 AND b=2": And((Not(Eq("a", 1)), Eq("b", 2))),
    "NOT (a=1 AND b=2)": Not(And((Eq("a", 1), Eq("b", 2)))),
    "NOT NOT a=1": Not(Not(Eq("a", 1))),
    "a=1 AND b=2 AND c=3": And((Eq("a", 1), Eq("b", 2), Eq("c", 3))),
    "a=1 AND (b=2 AND c=3)": And((Eq("a", 1), And((Eq("b", 2), Eq("c", 3))))),
    "((a=1))": Eq("a", 1),
    "\n a\t= 1 ": Eq("a", 1),
}

REFUSALS: dict[str, str] = {
    "": "character 1: it ends where a field",
    "a": "character 2: it ends where an operator",
    "a =": "character 4: it ends where a value",
    "a = 1 AND": "character 10: it ends where a field",
    "a IN ()": 'character 7: found "\\)" where a value',
    "a IN (1 2)": 'character 9: found "2" where a "," or "\\)"',
    "a IN 1": 'character 6: found "1" where a "\\("',
    "a = 1)": 'character 6: found "\\)" where the end',
    "(a = 1": 'character 7: it ends where a "\\)"',
    "a = x": 'quote a string: "x"',
    "a = nan": 'quote a string: "nan"',
    "a = 'x'": "straight double quotes",
    "a = “x”": "straight double quotes",
    'a = "x': "character 5: .* the string has no end",
    "a.b = 1": "character 2: .* quote a field",
    "a-b = 1": "character 2: .* quote a field",
    "ä = 1": "character 1: .* a field",
    "a = 1 and b = 2": "character 7: .* write AND",
    "not a = 1": "character 5",
    "a in (1)": "character 3: .* write IN",
    "a = 1 b = 2": "character 7: .* AND, OR or the end",
    "a = 1 AND OR b = 2": 'character 11: found "OR" where a field',
    "a == 1": 'character 4: found "="',
    "a <> 1": 'character 4: found ">"',
    "-a = 1": "character 1",
    "AND = 1": "character 1",
    "a = 1AND b = 2": "character 5",
    "a = 1.2.3": "character 5",
    "a = 0x10": "character 5",
    "a = timestamp(5)": 'character 15: .* "quoted string"',
    'a = timestamp("2024")': "character 15: a timestamp looks like",
    'a = timestamp("2024-02-30T00:00:00Z")': "there is no 2024-02-30T00:00:00",
    'a = timestamp("2024-01-01T00:00:00+24:00")': "there is no offset",
    'a = timestamp("2016-12-31T23:59:60Z")': "there is no 2016-12-31T23:59:60",
    'a = timestamp("0001-01-01T00:00:00+00:01")': "between the years",
    'a = timestamp("9999-12-31T23:59:59-00:01")': "between the years",
    'a = timestamp("2024-01-01T00:00:00.1234567890Z")': "looks like",
    'a = timestamp("\uff12024-01-01T00:00:00Z")': "looks like",
    "a = 9223372036854775808": "64 bits",
    "a = " + "9" * 5_000: "64 bits",
    "a = 1e999": "larger than a double",
    r'a = "\q"': "backslash",
    r'a = "\ud800"': "surrogate",
    "(" * 10_000: "character 10001: it ends where a field",
    "(" * 5_000 + "a = 1" + ")" * 5_000: "deeper than 100",
    "NOT " * 3_000 + "a = 1": "deeper than 100",
    "a " + "x" * 5_000: 'character 3: found "x{40}" where an operator',
    "a = 1 OR " * 5_000 + "a = 1": "at most 16,384",
}

names = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"'), min_size=1, max_size=8)
orderables: st.SearchStrategy[Ordered] = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.builds(Timestamp, st.integers(-62_135_596_800, 253_402_300_799), st.integers(0, 999_999_999)),
)
scalars: st.SearchStrategy[Scalar] = st.one_of(
    orderables, st.booleans(), st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
)
plain_conditions: st.SearchStrategy[Filter] = st.one_of(
    st.builds(Eq, names, scalars),
    st.builds(In, names, st.lists(scalars, min_size=1, max_size=4).map(tuple)),
    st.builds(Compare, names, st.sampled_from(Order), orderables),
    st.builds(Exists, names),
)


def joined(inner: st.SearchStrategy[Filter]) -> st.SearchStrategy[Filter]:
    children = st.lists(inner, min_size=2, max_size=3).map(tuple)
    return st.one_of(st.builds(Not, inner), st.builds(And, children), st.builds(Or, children))


sayable: st.SearchStrategy[Filter] = st.recursive(plain_conditions, joined, max_leaves=12)
"""Filters that the text form has words for."""


@pytest.mark.parametrize("text", MEANINGS)
def test_text_means_its_tree(text: str) -> None:
    # repr tells 1 from 1.0 and from True, which == does not
    assert repr(parse(text)) == repr(MEANINGS[text])


@pytest.mark.parametrize("text", REFUSALS, ids=lambda text: text[:40])
def test_wrong_text_is_refused_in_one_line_that_says_where(text: str) -> None:
    with pytest.raises(FilterSyntaxError, match=REFUSALS[text]) as refusal:
        parse(text)
    assert "\n" not in refusal.value.message
    assert len(refusal.value.message) < 300


@pytest.mark.parametrize("operand", ['"x"', "true", "false", '""'])
@pytest.mark.parametrize("sign", ["<", "<=", ">", ">="])
def test_a_range_over_a_string_or_a_boolean_is_a_type_error(sign: str, operand: str) -> None:
    with pytest.raises(
        FilterTypeError, match=f"character 3: {sign} takes a number or a timestamp, not a (string|boolean)"
    ):
        parse(f"a {sign} {operand}")


def test_nesting_is_taken_up_to_its_limit() -> None:
    assert parse("(" * MAX_NESTING + "a = 1" + ")" * MAX_NESTING) == Eq("a", 1)
    with pytest.raises(FilterSyntaxError):
        parse("(" * (MAX_NESTING + 1) + "a = 1" + ")" * (MAX_NESTING + 1))


def test_length_is_taken_up_to_its_limit() -> None:
    assert parse("a = 1".ljust(MAX_CHARACTERS)) == Eq("a", 1)
    with pytest.raises(FilterSyntaxError):
        parse("a = 1".ljust(MAX_CHARACTERS + 1))


@given(sayable)
def test_what_is_written_reads_back_equal(node: Filter) -> None:
    assert repr(parse(to_text(node))) == repr(node)


@given(filters(depth=3), metadata)
def test_what_is_written_means_the_same(node: Filter, record: Metadata) -> None:
    assert matches(parse(to_text(node)), record) is matches(node, record)


@given(st.text(max_size=40))
def test_any_text_is_a_filter_or_refused(text: str) -> None:
    with contextlib.suppress(FilterSyntaxError, FilterTypeError):
        parse(text)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite_cannot_be_written(value: float) -> None:
    with pytest.raises(InvalidArgumentError, match="cannot hold"):
        to_text(Eq("a", value))


@pytest.mark.parametrize("text", EXAMPLES)
def test_every_example_of_the_document_is_a_filter(text: str) -> None:
    parse(text)


def test_the_document_has_examples_of_both_sorts() -> None:
    assert len(EXAMPLES) >= 8
    assert len(REFUSED_EXAMPLES) >= 3


@pytest.mark.parametrize(("text", "message"), REFUSED_EXAMPLES)
def test_the_document_quotes_the_messages(text: str, message: str) -> None:
    with pytest.raises(FilterSyntaxError) as refusal:
        parse(text)
    assert refusal.value.message == message


def test_the_documents_precedence_example_holds() -> None:
    plain, grouped = EXAMPLES[3:5]
    assert parse(plain) == parse(grouped)
    assert plain != grouped
