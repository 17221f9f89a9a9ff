"""Filters mean what they mean to Haystack's own function, whatever they are and whatever documents hold."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import haystack.utils.filters as haystacks
import numpy as np
import pytest
from haystack import Document
from haystack.errors import FilterError
from haystack.utils.filters import document_matches_filter
from hypothesis import given, settings
from hypothesis import strategies as st

from vecgate import field
from vecgate.haystack import VecgateDocumentStore

namespaces = itertools.count(1)
WHOLE_DATE = re.compile(r"\d{4}-\d\d-\d\d($|[Tt ])")
NOON = datetime(2024, 1, 31, 12, tzinfo=timezone(timedelta(hours=2)))
DATES = [
    "2024-01-31",
    "2024-01-31T00:00:00",
    "2024-01-31T12:00:00",
    "2024-01-31 12:00:00.000001",
    "2024-01-31T12:00:00Z",
    "2024-01-31T10:00:00+00:00",
    "2024-01-31T12:00:00+02:00",
    "1969-07-21T20:17:40",
]
NUMBERS: list[Any] = [-1, 0, 1, 2, 2**53 + 1, -0.5, 0.0, 1.0, 1.5, 2.0**53, 1e300]
MOMENTS = [NOON, NOON.astimezone(UTC), NOON + timedelta(microseconds=1)]
TEXTS = ["", "a", "b", "1", "true", "größe 😀", "2024", "20240131", "2024-13-45", *DATES]
LISTS: list[Any] = [
    [],
    ["a"],
    ["a", "b"],
    ["b", "a"],
    [1],
    [1.0],
    [True],
    [None],
    ["1"],
    [["a"]],
    {},
    {"x": "a"},
    {"x": ["a"]},
]
numbers = st.sampled_from(NUMBERS)
moments = st.sampled_from(MOMENTS)
texts = st.sampled_from(TEXTS)
scalars = st.one_of(numbers, st.booleans(), texts, st.none())
lists = st.one_of(st.lists(texts, max_size=2), st.lists(scalars, max_size=2))
dictionaries = st.dictionaries(st.sampled_from(["x", "y"]), st.one_of(scalars, lists), max_size=2)
metas = st.dictionaries(
    st.sampled_from(["p", "q"]), st.one_of(scalars, scalars, moments, lists, dictionaries), max_size=2
)
places = st.sampled_from(["meta.p", "meta.q", "meta.p.x", "meta.q.y", "p", "meta.none", "content", "id"])
equalities = st.fixed_dictionaries(
    {
        "field": places,
        "operator": st.sampled_from(["==", "!="]),
        "value": st.one_of(scalars, moments, lists, dictionaries),
    }
)
memberships = st.fixed_dictionaries(
    {
        "field": places,
        "operator": st.sampled_from(["in", "not in"]),
        "value": st.lists(st.one_of(scalars, lists), max_size=3),
    }
)
ranges = st.fixed_dictionaries(
    {
        "field": places,
        "operator": st.sampled_from([">", ">=", "<", "<="]),
        "value": st.one_of(numbers, st.booleans(), st.none(), st.sampled_from(DATES), moments),
    }
)
filters = st.recursive(
    st.one_of(equalities, memberships, ranges),
    lambda children: st.fixed_dictionaries(
        {"operator": st.sampled_from(["AND", "OR", "NOT"]), "conditions": st.lists(children, max_size=3)}
    ),
    max_leaves=5,
)


def finding_nothing(compare: Callable[..., bool]) -> Callable[..., bool]:
    """Haystack's comparison, where a document that it cannot compare is not found rather than an error for all.

    Text that does not begin with a whole date is none, though Haystack would guess one.
    """

    def compared(*, value: Any, filter_value: Any, **how: Any) -> bool:
        try:
            if isinstance(value, str) and not WHOLE_DATE.match(value):
                return False
            return compare(value=value, filter_value=filter_value, **how)
        except (FilterError, TypeError, ValueError):
            return False

    return compared


@pytest.fixture(scope="module", autouse=True)
def _documents_that_cannot_be_compared_are_not_found() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for kind in (">", ">=", "<", "<="):
            patch.setitem(haystacks.COMPARISON_OPERATORS, kind, finding_nothing(haystacks.COMPARISON_OPERATORS[kind]))
        yield


@pytest.fixture(scope="module")
def store_of(target: str) -> Iterator[Callable[[list[Document]], VecgateDocumentStore]]:
    """Put documents in a namespace of their own."""
    made: list[VecgateDocumentStore] = []

    def put(documents: list[Document]) -> VecgateDocumentStore:
        store = VecgateDocumentStore(
            f"haystack-filters-{os.getpid()}", target=target, namespace=f"n{next(namespaces)}", embedding_dimension=2
        )
        made.append(store)
        assert store.write_documents(documents) == len(documents)
        return store

    yield put
    made[0]._collection.deleted()
    for store in made:
        store.close()


def test_every_kind_of_value_is_compared_with_every_other_as_haystack_does(
    store_of: Callable[[list[Document]], VecgateDocumentStore],
) -> None:
    values = [None, True, False, *NUMBERS, *TEXTS, *MOMENTS, *LISTS]
    documents = [Document(id=f"{place}", meta={"p": value}) for place, value in enumerate(values)]
    store = store_of(documents)
    ordered = [value for value in values if value not in [*LISTS, *(set(TEXTS) - set(DATES))]]
    asked = [{"field": "meta.p", "operator": kind, "value": value} for kind in ("==", "!=") for value in values]
    asked += [
        {"field": "meta.p", "operator": kind, "value": value} for kind in (">", ">=", "<", "<=") for value in ordered
    ]
    asked += [
        {"field": "meta.p", "operator": kind, "value": [value, "b"]} for kind in ("in", "not in") for value in values
    ]
    for each in asked:
        expected = {document.id for document in documents if document_matches_filter(each, document)}
        assert {document.id for document in store.filter_documents(each)} == expected, each


@settings(deadline=None, max_examples=150)
@given(
    metas=st.lists(metas, min_size=3, max_size=8),
    contents=st.lists(st.sampled_from([None, "", "a", "1"]), min_size=8, max_size=8),
    asked=st.lists(filters, min_size=1, max_size=8),
)
def test_filters_find_what_haystack_finds(
    store_of: Callable[[list[Document]], VecgateDocumentStore],
    metas: list[dict[str, Any]],
    contents: list[str | None],
    asked: list[dict[str, Any]],
) -> None:
    documents = [
        Document(id="ab1"[place] if place < 3 else f"{place}", content=content, meta=meta)
        for place, (meta, content) in enumerate(zip(metas, contents, strict=False))
    ]
    store = store_of(documents)
    for each in asked:
        expected = {document.id for document in documents if document_matches_filter(each, document)}
        assert {document.id for document in store.filter_documents(each)} == expected
        assert store.count_documents_by_filter(each) == len(expected)


@settings(deadline=None, max_examples=60)
@given(metas=st.lists(metas, min_size=1, max_size=8), update=metas, asked=filters)
def test_an_update_changes_what_matches_and_nothing_else(
    store_of: Callable[[list[Document]], VecgateDocumentStore],
    metas: list[dict[str, Any]],
    update: dict[str, Any],
    asked: dict[str, Any],
) -> None:
    documents = [Document(id=f"{place}", content="a", meta=meta) for place, meta in enumerate(metas)]
    store = store_of(documents)
    matching = {document.id for document in documents if document_matches_filter(asked, document)}
    assert store.update_by_filter(asked, update) == len(matching)
    expected = {each.id: each.meta | update if each.id in matching else each.meta for each in documents}
    for document in store.filter_documents():
        wanted = {name: value for name, value in expected[document.id].items() if value is not None}
        assert document.meta == wanted
        assert {name: type(value) for name, value in document.meta.items()} == {
            name: type(value) for name, value in wanted.items()
        }
        again = store.filter_documents({"operator": "AND", "conditions": [same(name, wanted) for name in wanted]})
        assert document.id in {each.id for each in again}
    assert store.delete_by_filter(asked | {}) == sum(
        document_matches_filter(asked, Document(id=id_, content="a", meta=meta)) for id_, meta in expected.items()
    )


@pytest.mark.parametrize("no_id", ["", "a" * 513, "a\n", "\x85", "\ud800"], ids=ascii)
def test_what_can_be_no_id_is_that_of_no_document(
    store_of: Callable[[list[Document]], VecgateDocumentStore], no_id: str
) -> None:
    longest = "b" * 512
    store = store_of([Document(id="a"), Document(id=longest)])
    assert store.filter_documents({"field": "id", "operator": "==", "value": no_id}) == []
    among = {"field": "id", "operator": "in", "value": [no_id, longest]}
    assert [document.id for document in store.filter_documents(among)] == [longest]
    assert store.count_documents_by_filter(among) == 1
    assert store.update_by_filter({"field": "id", "operator": "==", "value": no_id}, {"p": 1}) == 0


def same(name: str, meta: dict[str, Any]) -> dict[str, Any]:
    return {"field": f"meta.{name}", "operator": "==", "value": meta[name]}


@pytest.mark.parametrize(
    ("malformed", "told"),
    [
        ({"field": "meta.p", "operator": "~", "value": 1}, "unknown operator '~'"),
        ({"operator": "XOR", "conditions": []}, "unknown operator 'XOR'"),
        ({"operator": "AND", "conditions": {}}, "'conditions' must be a list"),
        ({"operator": "AND", "conditions": ["p"]}, "expected a dictionary"),
        ({"field": 3, "operator": "==", "value": 1}, "'field' must be a string"),
        ({"field": "blob.mime_type", "operator": "==", "value": "a"}, "no field 'blob.mime_type'"),
        ({"field": "meta.p", "operator": ">", "value": "tomorrow"}, "dates in ISO 8601"),
        ({"field": "meta.p", "operator": "<=", "value": {}}, "not dict"),
        ({"field": "meta.p", "operator": "<", "value": float("nan")}, "finite"),
        ({"field": "meta.p", "operator": "==", "value": b"a"}, "bytes cannot be compared"),
        ({"field": "meta.p", "operator": "==", "value": [b"a"]}, "cannot be compared"),
        ({"field": "embedding", "operator": "==", "value": [1.0, 0.0]}, "compared with None alone"),
        ({"field": 'meta."', "operator": "==", "value": 1}, "field"),
        ('p = "', "filter, character"),
    ],
)
def test_a_malformed_filter_is_told_in_a_sentence(
    store_of: Callable[[list[Document]], VecgateDocumentStore], malformed: Any, told: str
) -> None:
    store = store_of([Document(content="a", meta={"p": 1})])
    with pytest.raises(FilterError, match=told):
        store.filter_documents(malformed)


def test_operands_that_nothing_can_equal_find_nothing(
    store_of: Callable[[list[Document]], VecgateDocumentStore],
) -> None:
    store = store_of([Document(content="a", meta={"p": 1})])
    for value in (float("nan"), float("inf"), 2**70, 10**400, datetime(2024, 1, 1)):  # noqa: DTZ001  # it names no point in time
        assert store.filter_documents({"field": "meta.p", "operator": "==", "value": value}) == []
    for value in (2**70, 10**400):
        assert len(store.filter_documents({"field": "meta.p", "operator": "<", "value": value})) == 1
        assert store.filter_documents({"field": "meta.p", "operator": "<", "value": -value}) == []
    assert len(store.filter_documents({"field": "meta.p", "operator": "==", "value": np.int64(1)})) == 1


def test_filters_of_vecgates_own_are_taken_everywhere(
    store_of: Callable[[list[Document]], VecgateDocumentStore],
) -> None:
    store = store_of([Document(id="1", content="a", meta={"tags": ["x", "y"]}), Document(id="2", content="b")])
    for own in (field("tags").contains("x"), 'tags:"x"'):
        assert [document.id for document in store.filter_documents(own)] == ["1"]
        assert store.count_documents_by_filter(own) == 1
    haystacks_own = {"field": "meta.tags", "operator": "==", "value": "x"}
    assert store.filter_documents(haystacks_own) == []
    assert store.update_by_filter('tags:"x"', {"seen": True}) == 1
    assert store.delete_by_filter(~field("seen").exists()) == 1


def test_documents_are_found_by_id_and_by_what_else_they_have(
    store_of: Callable[[list[Document]], VecgateDocumentStore],
) -> None:
    store = store_of(
        [Document(id="1", content="a", embedding=[1.0, 0.0], meta={"p": 1}), Document(id="2", content="b")]
    )

    def found(*conditions: tuple[str, str, Any]) -> set[str]:
        parts = [{"field": name, "operator": kind, "value": value} for name, kind, value in conditions]
        return {document.id for document in store.filter_documents({"operator": "AND", "conditions": parts})}

    assert found(("id", "in", ["1", "1", "3"])) == {"1"}
    assert found(("id", "==", "2"), ("meta.p", "==", 1)) == set()
    assert found(("id", "!=", "2")) == {"1"}
    assert found(("embedding", "==", None)) == {"2"}
    assert found(("content", "in", ["b", "c"]), ("meta.p", "==", None)) == {"2"}
    assert store.filter_documents({"field": "id", "operator": "==", "value": "1"})[0].embedding == [1.0, 0.0]


def test_a_search_refuses_conditions_that_are_not_about_meta(
    store_of: Callable[[list[Document]], VecgateDocumentStore],
) -> None:
    store = store_of([Document(content="a")])
    with pytest.raises(FilterError, match="meta alone"):
        store.embedding_retrieval([1.0, 0.0], filters={"field": "content", "operator": "==", "value": "a"})
