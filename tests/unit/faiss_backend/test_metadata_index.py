"""The metadata index decides as filters.matches does, whatever was added, changed and removed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap64

from vecgate_backends.conformance.strategies import FIELDS, filters, metadata
from vecgate_backends.faiss import field_index, metadata_columns, ordered_column
from vecgate_backends.faiss.changes import MetadataUpdated, RecordsAdded, RecordsRemoved
from vecgate_backends.faiss.field_index import FEW
from vecgate_backends.faiss.metadata_columns import metadata_index
from vecgate_backends.faiss.metadata_index import MetadataIndex
from vecgate_backends.field_statistics import describe_field
from vecgate_backends.filters import ORDERINGS, Compare, Exists, Filter, Order, matches
from vecgate_backends.records import Metadata

many_metadata = st.lists(metadata, max_size=12)


@pytest.fixture(autouse=True, params=["as it is", "columns"])
def few_values_are_folded(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run each test with columns from the first value on, too."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "columns":
            patch.setattr(field_index, "LEAST_FOLDED", 1)
            patch.setattr(field_index, "FOLDED_SHARE", 0)
            patch.setattr(field_index, "FOLDED_VERSIONS", 2)
            patch.setattr(metadata_columns, "FOLDED_VERSIONS", 2)
            patch.setattr(ordered_column, "LEAST_PREFIXED", 40)
        yield


def held(index: MetadataIndex, node: Filter | None) -> list[int]:
    return [int(internal_id) for internal_id in index.matching(node)]


@given(many_metadata, many_metadata, st.data())
def test_the_index_agrees_with_the_meaning_of_filters(
    first: list[Metadata], second: list[Metadata], data: st.DataObject
) -> None:
    index = MetadataIndex()
    stored = dict(enumerate(first, start=1))
    index.add(list(stored), list(stored.values()))
    removed = data.draw(st.lists(st.sampled_from(sorted(stored)), unique=True)) if stored else []
    index.remove(removed, [stored.pop(internal_id) for internal_id in removed])
    later = dict(enumerate(second, start=len(first) + 1))
    index.add(list(later), list(later.values()))
    stored |= later
    node = data.draw(filters(3))
    assert held(index, node) == [internal_id for internal_id, fields in stored.items() if matches(node, fields)]
    assert len(index) == len(stored)


@given(many_metadata, st.sampled_from(FIELDS), filters(1) | st.none(), st.integers(1, 5))
def test_statistics_of_a_field_are_those_counted_record_by_record(
    stored: list[Metadata], field: str, node: Filter | None, limit: int
) -> None:
    index = MetadataIndex()
    index.add(range(1, len(stored) + 1), stored)
    selected = [fields for fields in stored if node is None or matches(node, fields)]
    assert index.selection(field, node).describe(limit) == describe_field(selected, field, limit)


def test_a_field_is_forgotten_with_its_last_value() -> None:
    index = MetadataIndex()
    index.add([1, 2], [{"f": "a"}, {"f": ()}])
    index.remove([1, 2], [{"f": "a"}, {"f": ()}])
    assert index.selection("f", None).describe(10).distinct == 0
    assert len(index) == 0


def test_a_field_of_nothing_but_empty_lists_exists() -> None:
    index = MetadataIndex()
    index.add([1, 2], [{"f": ()}, {}])
    assert held(index, Exists("f")) == [1]
    assert held(index, Exists("f", present=False)) == [2]
    stats = index.selection("f", None).describe(10)
    assert (stats.distinct, stats.present, stats.missing) == (0, 1, 1)


def test_ranges_stay_right_when_many_values_come_at_once() -> None:
    values = np.random.default_rng(0).permutation(FEW * 3).tolist()
    index = MetadataIndex()
    index.add(range(1, FEW), [{"n": value} for value in values[1:FEW]])
    index.add(range(FEW, len(values)), [{"n": value} for value in values[FEW:]])
    below = [at for at, value in enumerate(values) if at and value < FEW]
    assert held(index, Compare("n", Order.LT, FEW)) == below


def test_what_a_filter_resolved_to_does_not_change_afterwards() -> None:
    index = MetadataIndex()
    index.add([1, 2], [{"f": "a"}, {"f": "a"}])
    everything = index.resolve(None)
    index.remove([1], [{"f": "a"}])
    assert list(everything) == [1, 2]


@given(many_metadata, many_metadata, st.data())
def test_an_index_made_aside_agrees_and_leaves_the_one_it_came_from_alone(
    first: list[Metadata], second: list[Metadata], data: st.DataObject
) -> None:
    before, index = MetadataIndex(), MetadataIndex()
    for each in (before, index):
        each.add(range(1, len(first) + 1), first)
    removed = data.draw(st.lists(st.integers(1, len(first)), unique=True)) if first else []
    followed = index.following(
        [
            RecordsRemoved("", removed, [first[internal_id - 1] for internal_id in removed]),
            MetadataUpdated(
                "",
                range(len(first) + 1, len(first) + 1 + len(second)),
                [{} for _ in second],
                second,
            ),
        ]
    )
    node = data.draw(filters(3))
    assert held(index, node) == held(before, node)
    expected = {at: fields for at, fields in enumerate(first + second, start=1) if at not in removed}
    assert held(followed, node) == [at for at, fields in expected.items() if matches(node, fields)]
    for field in FIELDS:
        assert index.selection(field, None).describe(9) == describe_field(first, field, 9)
        assert followed.selection(field, None).describe(9) == describe_field(list(expected.values()), field, 9)


def test_ranges_stay_right_when_many_values_go_at_once() -> None:
    index = MetadataIndex()
    index.add(range(FEW * 3), [{"n": at} for at in range(FEW * 3)])
    index.remove(range(FEW * 2), [{"n": at} for at in range(FEW * 2)])
    assert held(index, Compare("n", Order.LT, FEW * 2 + 3)) == [FEW * 2, FEW * 2 + 1, FEW * 2 + 2]


@given(many_metadata, many_metadata, many_metadata, st.data())
def test_an_index_that_was_folded_joined_and_sifted_agrees_too(
    first: list[Metadata], second: list[Metadata], third: list[Metadata], data: st.DataObject
) -> None:
    stored = dict(enumerate(first + second, start=1))
    index = metadata_index(range(1, len(first) + 1), first)
    index = index.joined(metadata_index(range(len(first) + 1, len(stored) + 1), second))
    removed = data.draw(st.lists(st.sampled_from(sorted(stored)), unique=True)) if stored else []
    if data.draw(st.booleans()):
        index = index.without(BitMap64(removed))
    else:
        index.remove(removed, [stored[internal_id] for internal_id in removed])
    stored = {internal_id: fields for internal_id, fields in stored.items() if internal_id not in removed}
    later = dict(enumerate(third, start=len(first) + len(second) + 1))
    vectors = np.empty((len(third), 0), np.float32)
    index = index.following(
        [RecordsAdded("", np.array(list(later), np.int64), list(map(str, later)), vectors, list(later.values()))]
    )
    stored |= later
    if data.draw(st.booleans()):
        index = index.folded()
    changed = data.draw(st.lists(st.sampled_from(sorted(stored)), unique=True)) if stored else []
    after = data.draw(st.lists(metadata, min_size=len(changed), max_size=len(changed)))
    before = [stored[internal_id] for internal_id in changed]
    index.follow(MetadataUpdated("", changed, before, after))
    stored |= dict(zip(changed, after, strict=True))
    node = data.draw(filters(3))
    assert held(index, node) == [internal_id for internal_id, fields in stored.items() if matches(node, fields)]
    assert len(index) == len(stored)
    for field in FIELDS:
        assert index.selection(field, None).describe(9) == describe_field(list(stored.values()), field, 9)


def test_ranges_of_a_long_column_are_those_of_its_values() -> None:
    values = np.random.default_rng(1).integers(0, 900, 1000).tolist()
    index = metadata_index(range(1, 1001), [{"n": value} for value in values])
    for bound in (-1, 0, 1, 449.5, 450, 898, 899, 1e300):
        for order, passes in ORDERINGS.items():
            expected = [at for at, value in enumerate(values, start=1) if passes(value, bound)]
            assert held(index, Compare("n", order, bound)) == expected


@pytest.mark.parametrize("shared", [1, 3])
def test_an_index_is_put_in_order_once_and_not_at_every_change(shared: int) -> None:
    least = field_index.LEAST_FOLDED
    index = MetadataIndex()
    index.add(range(2 * least * shared), [{"n": at // shared} for at in range(2 * least * shared)])
    assert index.due
    followed = index.following([])
    assert not followed.due
    assert len(followed.fields["n"].columns) == (shared <= field_index.FOLDED_VERSIONS)
    gone = list(range(least * shared))
    followed.remove(gone, [{"n": at // shared} for at in gone])
    assert followed.due == (shared <= field_index.FOLDED_VERSIONS)
    assert not followed.following([]).due
