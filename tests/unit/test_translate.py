"""Wire ⇄ records: what goes in comes back, with its type."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecgate.v1 import filter_pb2, search_pb2
from vecgate.v1.metadata_pb2 import StringList, Value, ValueList
from vecgate.v1.record_pb2 import MetadataFields, ReturnFields
from vecgate_backends.answers import Explanation, Hits
from vecgate_backends.contract import ByIds
from vecgate_backends.errors import InvalidArgumentError
from vecgate_backends.filters import And, Compare, Eq, Exists, Filter, In, Not, Or, Order
from vecgate_backends.records import IDS_ONLY, Fields, MetadataValue, Record, Timestamp
from vecgate_server.config_limits import LimitSettings
from vecgate_server.errors import LimitExceededError
from vecgate_server.translate.filters import filter_from_wire, selector_from_wire
from vecgate_server.translate.metadata import metadata_from_wire, metadata_to_wire, value_from_wire, value_to_wire
from vecgate_server.translate.records import record_to_wire, return_fields
from vecgate_server.translate.search import leave_out, search_plan, search_result
from vecgate_server.translate.vectors import vector_to_wire
from vecgate_server.validate import metadata_rules

LIMITS = LimitSettings()

plain_text = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20)
names = st.text("abc éπ.[]", min_size=1, max_size=20)
timestamps = st.builds(
    Timestamp,
    st.integers(metadata_rules.EARLIEST_SECOND, metadata_rules.LATEST_SECOND),
    st.integers(0, 999_999_999),
)
numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
scalars = plain_text | numbers | st.booleans() | timestamps
values = scalars | st.lists(plain_text, max_size=4).map(tuple)
filters = st.recursive(
    st.builds(Eq, names, scalars)
    | st.builds(In, names, st.lists(scalars, min_size=1, max_size=3).map(tuple))
    | st.builds(Compare, names, st.sampled_from(Order), numbers | timestamps)
    | st.builds(Exists, names, st.booleans()),
    lambda children: (
        st.lists(children, min_size=1, max_size=3).map(tuple).map(And)
        | st.lists(children, min_size=1, max_size=3).map(tuple).map(Or)
        | children.map(Not)
    ),
    max_leaves=8,
)


def filter_to_wire(node: Filter) -> filter_pb2.Filter:
    """What a client writes."""
    match node:
        case And(children):
            return filter_pb2.Filter(all_of=filter_pb2.FilterList(filters=[filter_to_wire(each) for each in children]))
        case Or(children):
            return filter_pb2.Filter(any_of=filter_pb2.FilterList(filters=[filter_to_wire(each) for each in children]))
        case Not(child):
            return filter_pb2.Filter(negation=filter_to_wire(child))
        case Eq(field, value):
            condition = filter_pb2.Condition(field=field, eq=value_to_wire(value))
        case In(field, listed):
            in_list = ValueList(values=[value_to_wire(value) for value in listed])
            condition = filter_pb2.Condition(field=field, in_list=in_list)
        case Compare(field, order, value):
            condition = filter_pb2.Condition(field=field)
            getattr(condition, order.value).CopyFrom(value_to_wire(value))
        case Exists(field, present):
            condition = filter_pb2.Condition(field=field, exists=present)
    return filter_pb2.Filter(condition=condition)


@given(values)
def test_a_value_comes_back_with_its_type(value: MetadataValue) -> None:
    wire = Value.FromString(value_to_wire(value).SerializeToString())
    back = value_from_wire(wire)
    assert (type(back), back) == (type(value), value)
    metadata_rules.value(wire, "value")


@given(st.dictionaries(names, values, max_size=4))
def test_metadata_comes_back(metadata: Mapping[str, MetadataValue]) -> None:
    assert repr(metadata_from_wire(metadata_to_wire(metadata))) == repr(metadata)


@given(filters)
def test_a_filter_comes_back(node: Filter) -> None:
    # By text, since Python calls 1, 1.0 and True equal.
    assert repr(filter_from_wire(filter_to_wire(node), "filter", LIMITS)) == repr(node)


@given(st.lists(st.floats(width=32), min_size=1, max_size=8), st.booleans())
def test_a_vector_comes_back_bit_by_bit(components: list[float], as_floats: bool) -> None:
    vector = np.array(components, np.float32)
    wire = vector_to_wire(vector, as_floats=as_floats)
    back = np.array(wire.floats.values, np.float32) if as_floats else np.frombuffer(wire.packed, "<f4")
    assert np.array_equal(back, vector, equal_nan=True)


def test_absent_parts_of_a_record_are_absent_on_the_wire() -> None:
    wire = record_to_wire(Record("a"), as_floats=False)
    assert (wire.HasField("text"), wire.HasField("vector"), len(wire.metadata)) == (False, False, 0)
    assert record_to_wire(Record("a", text=""), as_floats=False).HasField("text")


RETURN_FIELDS = {
    "unset": (None, Fields()),
    "set, empty": (ReturnFields(), IDS_ONLY),
    "all metadata": (
        ReturnFields(metadata=MetadataFields(all=True)),
        Fields(text=False, metadata=True, vector=False),
    ),
    "named metadata and vector": (
        ReturnFields(metadata=MetadataFields(names={"names": ["a", "b"]}), vector=True),
        Fields(text=False, metadata=frozenset({"a", "b"}), vector=True),
    ),
}


@pytest.mark.parametrize(("message", "fields"), RETURN_FIELDS.values(), ids=RETURN_FIELDS)
def test_a_choice_of_fields_is_read(message: ReturnFields | None, fields: Fields) -> None:
    assert return_fields(message, "fields").fields == fields


def test_columns_read_no_records() -> None:
    plan = search_plan(search_pb2.SearchOptions(layout=search_pb2.MATCH_LAYOUT_COLUMNS), "options", LIMITS)
    assert plan.options.fields.nothing


def test_a_limit_below_the_default_holds_where_nothing_is_asked() -> None:
    limits = LimitSettings(max_top_k=3)
    assert search_plan(search_pb2.SearchOptions(), "options", limits).options.top_k == 3


@pytest.fixture
def hits() -> Hits:
    scores = np.array([0.5, 0.25, 0.125], np.float32)
    return Hits(["a", "b", "c"], scores, [Record("a"), Record("b"), Record("c")], Explanation("looked", {"ef": 64}))


@pytest.mark.parametrize(
    ("identifier", "kept"),
    [("a", ["b", "c"]), ("b", ["a", "c"]), ("elsewhere", ["a", "b"])],
)
def test_a_record_is_left_out_of_its_own_neighbours(hits: Hits, identifier: str, kept: list[str]) -> None:
    rest = leave_out(hits, identifier, 2)
    assert rest.ids == kept
    assert [record.id for record in rest.records or ()] == kept
    assert rest.scores.tolist() == [hits.scores[hits.ids.index(each)] for each in kept]


def test_an_explanation_comes_only_when_asked_for(hits: Hits) -> None:
    asked = search_plan(search_pb2.SearchOptions(explain=True), "options", LIMITS)
    explanation = search_result(hits, asked, None).explanation
    assert (explanation.plan, explanation.details["ef"].int_value) == ("looked", 64)
    unasked = search_plan(search_pb2.SearchOptions(), "options", LIMITS)
    assert not search_result(hits, unasked, None).HasField("explanation")


def test_an_expression_counts_towards_the_limits_of_the_tree_it_stands_in() -> None:
    message = filter_pb2.Filter(negation=filter_pb2.Filter(expression="a = 1 AND b = 2"))
    with pytest.raises(InvalidArgumentError, match="nested 3 deep"):
        filter_from_wire(message, "filter", LimitSettings(max_filter_depth=2))
    with pytest.raises(InvalidArgumentError, match="has 2 or more conditions"):
        filter_from_wire(message, "filter", LimitSettings(max_filter_terms=1))


def test_a_filter_over_the_limit_is_refused_before_the_rest_is_read() -> None:
    listed = filter_pb2.Condition(field="a", in_list=ValueList(values=[Value()] * 3))
    with pytest.raises(LimitExceededError):
        filter_from_wire(filter_pb2.Filter(condition=listed), "filter", LimitSettings(max_filter_terms=2))
    good = filter_pb2.Filter(condition=filter_pb2.Condition(field="a", exists=True))
    children = filter_pb2.FilterList(filters=[good, good, good, filter_pb2.Filter()])
    with pytest.raises(LimitExceededError):
        filter_from_wire(filter_pb2.Filter(any_of=children), "filter", LimitSettings(max_filter_terms=2))


def test_a_list_is_refused_as_an_operand_before_its_strings_are_read() -> None:
    operand = Value(string_list_value=StringList(values=["\0"]))
    message = filter_pb2.Filter(condition=filter_pb2.Condition(field="a", eq=operand))
    with pytest.raises(InvalidArgumentError, match="takes one value, not a list"):
        filter_from_wire(message, "filter", LIMITS)


@pytest.mark.parametrize(("ids_limit", "most"), [("max_batch", 2), ("max_page_size", 3)])
def test_a_selector_of_too_many_ids_is_refused_before_they_are_read(ids_limit: str, most: int) -> None:
    limits = LimitSettings(max_batch=2, max_page_size=3)
    selector = filter_pb2.Selector(ids=filter_pb2.IdList(ids=[""] * (most + 1)))
    with pytest.raises(LimitExceededError, match=f"limits.{ids_limit} is {most}"):
        selector_from_wire(selector, "selector", limits, ids_limit=ids_limit)
    taken = filter_pb2.Selector(ids=filter_pb2.IdList(ids=["a"] * most))
    assert selector_from_wire(taken, "selector", limits, ids_limit=ids_limit) == ByIds(("a",))
