"""What the vector store keeps, refuses and finds, beyond LangChain's standard tests."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from langchain_core.vectorstores import InMemoryVectorStore
from pydantic import SecretStr

from vecgate import Client, FailedPreconditionError, InvalidArgumentError, NotFoundError, Timestamp, field
from vecgate.langchain import VecgateEmbeddings, VecgateVectorStore
from vecgate.langchain.asynchronous import AsynchronousStore
from vecgate.langchain.blocking import BlockingStore

MakeStore = Callable[..., VecgateVectorStore]
TEXTS = ["The cat sat on the mat.", "The dog slept in the garden.", "The central bank raised interest rates."]
METADATAS: list[dict[str, Any]] = [
    {"year": 2024, "tags": ["pet", "indoors"], "source": {"file": "a.txt", "page": 1}},
    {"year": 2023, "tags": ["pet"], "source": {"file": "b.txt", "page": 7}},
    {"year": 2024, "draft": True},
]
IDS = ["cat", "dog", "bank"]


class PlaneEmbedding(Embeddings):
    """Points of a plane, written as text."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [[float(number) for number in text.split()] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


@pytest.fixture
def store(make_store: MakeStore) -> VecgateVectorStore:
    """Three texts that the server encoded."""
    made = make_store()
    assert made.add_texts(TEXTS, METADATAS, ids=IDS) == IDS
    return made


def test_the_server_encodes_documents_and_queries(store: VecgateVectorStore) -> None:
    (nearest, score), *others = store.similarity_search_with_score("Where is the kitten?", k=3)
    assert nearest == Document(id="cat", page_content=TEXTS[0], metadata=METADATAS[0])
    assert score > 0.4
    assert [score for _, score in others] == sorted((score for _, score in others), reverse=True)
    assert store.embeddings is None


@pytest.mark.parametrize(
    ("filter_", "found"),
    [
        ({"year": 2024}, {"cat", "bank"}),
        ({"year": {"$lt": 2024}}, {"dog"}),
        ({"year": {"$gt": 2022, "$lte": 2023}}, {"dog"}),
        ({"year": {"$in": [2020, 2023]}}, {"dog"}),
        ({"year": {"$nin": [2020, 2023]}}, {"cat", "bank"}),
        ({"year": {"$ne": 2024}}, {"dog"}),
        ({"tags": "pet"}, {"cat", "dog"}),
        ({"tags": "pet", "year": 2024}, {"cat"}),
        ({"source.page": {"$gte": 7}}, {"dog"}),
        ({"draft": {"$exists": False}}, {"cat", "dog"}),
        ({"$or": [{"draft": True}, {"tags": "indoors"}]}, {"cat", "bank"}),
        ({"$and": [{"year": 2024}, {"$not": {"draft": True}}]}, {"cat"}),
        ({}, set(IDS)),
        (None, set(IDS)),
        ('year >= 2024 AND tags:"pet"', {"cat"}),
        (~field("tags").exists(), {"bank"}),
    ],
    ids=str,
)
def test_filters_in_all_their_forms(store: VecgateVectorStore, filter_: Any, found: set[str]) -> None:
    assert {document.id for document in store.similarity_search("a", k=3, filter=filter_)} == found
    vector = [1.0] * 384
    assert {document.id for document in store.similarity_search_by_vector(vector, 3, filter=filter_)} == found
    retriever = store.as_retriever(search_type="mmr", search_kwargs={"k": 3, "filter": filter_})
    assert {document.id for document in retriever.invoke("a")} == found


@pytest.mark.parametrize(
    ("filter_", "told"),
    [
        ({"year": [2023, 2024]}, r"filter\['year'\]: \[2023, 2024\] is no single value; \$in takes several"),
        ({"year": None}, r"\$exists"),
        ({"year": {"$near": 1}}, r"unknown operator '\$near'"),
        ({"$nor": []}, r"unknown operator '\$nor'"),
        ({"$and": {}}, r"filter\['\$and'\]: expected a list"),
        ({"$or": [{}]}, r"filter\['\$or'\]\[0\]: expected a dictionary that is not empty"),
        ({"year": {"$in": 3}}, r"\['\$in'\]: expected a list"),
        ({"source": {"page": 1}}, "a nested value is named 'a.b'"),
        ({1: 2}, "not a string"),
        (["year"], "expected a dictionary, a string or a Filter"),
        ("year >", "FILTER_SYNTAX"),
    ],
    ids=str,
)
def test_what_is_no_filter_is_refused(store: VecgateVectorStore, filter_: Any, told: str) -> None:
    with pytest.raises(InvalidArgumentError, match=told):
        store.similarity_search("a", filter=filter_)


def test_metadata_comes_back_as_it_went_in(make_store: MakeStore) -> None:
    noon = datetime(2024, 1, 31, 12, tzinfo=UTC)
    metadata = {
        "int": 1, "float": 1.0, "bool": True, "text": "größe", "list": ["a", "a"], "none": None, "noon": noon,
        "precise": Timestamp(1, 1), "numpy": np.int64(7), "deep": {"a": {"b": [1, {"c": None}]}, "list": ["x"]}, "mixed": [1, "a"],
    }  # fmt: skip
    store = make_store()
    given = Document(page_content="a", metadata=metadata)
    (id_,) = store.add_documents([given])
    (read,) = store.get_by_ids([id_])
    expected = {name: value for name, value in metadata.items() if value is not None}
    assert read.metadata == expected
    kinds = {name: type(value) for name, value in expected.items()} | {"numpy": int}
    assert {name: type(value) for name, value in read.metadata.items()} == kinds
    assert given.metadata is metadata or given.metadata == metadata
    assert store.similarity_search("a", filter={"noon": {"$gte": noon}})
    assert store.similarity_search("a", filter={"deep.list": "x"})


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        ({"a": {"b": {1}}}, r'documents\[1\].metadata\["a"\]\["b"\]: set cannot be kept'),
        ({"a": [1, b"x"]}, r'metadata\["a"\]\[1\]: bytes cannot be kept'),
        ({"a": {"b": datetime(2024, 1, 1, tzinfo=UTC)}}, "datetime cannot be kept inside of a nested value"),
        ({"nested:json": "x"}, "reserved"),
        ({"a": {1: 2}}, "the field name 1 is not a string"),
        ({"a.b": 1, "a": {"b": 2}}, "both a field and a leaf"),
    ],
    ids=str,
)
def test_metadata_that_cannot_be_kept_is_refused_before_anything_is_stored(
    make_store: MakeStore, metadata: dict[str, Any], told: str
) -> None:
    store = make_store()
    with pytest.raises(InvalidArgumentError, match=told):
        store.add_texts(["a", "b"], [{}, metadata], ids=["1", "2"])
    assert store.get_by_ids(["1", "2"]) == []


def test_a_refused_document_is_an_error_that_tells_what_was_stored(make_store: MakeStore) -> None:
    store = make_store()
    with pytest.raises(InvalidArgumentError, match=r"records\[1\]") as raised:
        store.add_texts(["a", "b"], [{}, {"a": float("nan")}], ids=["1", "2"])
    assert raised.value.acknowledged
    assert raised.value.acknowledged.stored == 1
    assert [document.id for document in store.get_by_ids(["2", "1"])] == ["1"]


def test_text_too_long_for_the_model_is_refused_unless_it_may_be_cut(make_store: MakeStore) -> None:
    with pytest.raises(InvalidArgumentError, match="TEXT_TOO_LONG"):
        make_store().add_texts(["word " * 1000])
    assert make_store(truncation="truncate").add_texts(["word " * 1000])


@pytest.mark.parametrize(
    ("metric", "expected"),
    [("cosine", [1.0, 0.724, 0.0]), ("dot", [0.731, 0.622, 0.119]), ("euclidean", [1.0, 0.472, 0.25])],
)
def test_relevance_lies_between_0_and_1(make_store: MakeStore, metric: Any, expected: list[float]) -> None:
    store = make_store(PlaneEmbedding(), metric=metric)
    store.add_texts(["1 0", "0.5 1", "-2 0"])
    scored = store.similarity_search_with_relevance_scores("1 0", k=3)
    assert [score for _, score in scored] == pytest.approx(expected, abs=1e-3)
    retriever = store.as_retriever(search_type="similarity_score_threshold", search_kwargs={"score_threshold": 0.3})
    assert [document.page_content for document in retriever.invoke("1 0")] == ["1 0", "0.5 1"]


def test_a_relevance_function_of_ones_own(make_store: MakeStore) -> None:
    store = make_store(PlaneEmbedding(), relevance_score_fn=lambda score: score / 2)
    store.add_texts(["1 0"])
    assert store.similarity_search_with_relevance_scores("1 0")[0][1] == pytest.approx(0.5)


@pytest.mark.parametrize("lambda_mult", [0.0, 0.25, 0.5, 1.0])
def test_marginal_relevance_is_langchains(make_store: MakeStore, lambda_mult: float) -> None:
    embedding = DeterministicFakeEmbedding(size=6)
    store, oracle = make_store(embedding), InMemoryVectorStore(embedding)
    texts = [f"text {number}" for number in range(30)]
    for each in (store, oracle):
        each.add_texts(texts)
    how: dict[str, Any] = {"k": 6, "fetch_k": 15, "lambda_mult": lambda_mult}
    chosen = [document.page_content for document in store.max_marginal_relevance_search("a", **how)]
    assert chosen == [document.page_content for document in oracle.max_marginal_relevance_search("a", **how)]
    vector = embedding.embed_query("a")
    again = store.max_marginal_relevance_search_by_vector(vector, **how)
    assert [document.page_content for document in again] == chosen


def test_marginal_relevance_in_other_metrics(make_store: MakeStore) -> None:
    for metric in ("dot", "euclidean"):
        store = make_store(PlaneEmbedding(), metric=metric)
        store.add_texts(["1 0", "0.9 0.01", "0.5 0.8"])
        found = store.max_marginal_relevance_search("1 0", k=2, lambda_mult=0.3)
        assert [document.page_content for document in found] == ["1 0", "0.5 0.8"]


def test_given_embeddings_and_the_server_do_not_mix(make_store: MakeStore, store: VecgateVectorStore) -> None:
    with pytest.raises(FailedPreconditionError, match="encoded by the server with 'all-MiniLM-L6-v2': leave out"):
        make_store(PlaneEmbedding(), collection=store.collection).add_texts(["1 0"])
    plane = make_store(PlaneEmbedding())
    plane.add_texts(["1 0"])
    with pytest.raises(FailedPreconditionError, match="holds raw vectors: give the embedding"):
        make_store(collection=plane.collection).similarity_search("a")
    with pytest.raises(InvalidArgumentError, match="DIMENSION_MISMATCH"):
        plane.add_texts(["1 0 0"])
    with pytest.raises(ValueError, match="either embedding"):
        make_store(PlaneEmbedding(), model="all-MiniLM-L6-v2")


def test_reads_make_no_collection(make_store: MakeStore, target: str) -> None:
    store = make_store()
    assert store.similarity_search("a") == store.get_by_ids(["1"]) == store.max_marginal_relevance_search("a") == []
    assert store.delete(["1"])
    with Client(target) as client:
        assert store.collection not in {each.name for each in client.list_collections().collections}
    with pytest.raises(NotFoundError, match="COLLECTION_NOT_FOUND"):
        VecgateVectorStore("langchain-absent", target=target, create_collection=False).similarity_search("a")


def test_deleting(store: VecgateVectorStore) -> None:
    store.delete(filter={"year": 2023})
    assert {document.id for document in store.get_by_ids(IDS)} == {"cat", "bank"}
    with pytest.raises(ValueError, match="either ids or a filter"):
        store.delete(["cat"], filter={"year": 2024})
    store.delete([])
    assert len(store.get_by_ids(IDS)) == 2
    store.delete()
    assert store.get_by_ids(IDS) == []


def test_many_documents_go_in_several_requests(make_store: MakeStore) -> None:
    store = make_store(DeterministicFakeEmbedding(size=6))
    ids = store.add_texts(f"text {number}" for number in range(700))
    assert [document.id for document in store.get_by_ids(ids)] == ids
    store.delete(ids[:600])
    assert [document.id for document in store.get_by_ids(ids)] == ids[600:]


def test_namespaces_are_apart(make_store: MakeStore, store: VecgateVectorStore) -> None:
    other = make_store(collection=store.collection, namespace="other")
    assert other.similarity_search("a") == []
    other.add_texts(["a"], ids=["cat"])
    assert store.get_by_ids(["cat"])[0].page_content == TEXTS[0]


def test_from_texts_and_documents(target: str, make_store: MakeStore) -> None:
    name = make_store().collection
    documents = [Document(page_content=text, id=id_) for text, id_ in zip(TEXTS, IDS, strict=True)]
    filled = VecgateVectorStore.from_documents(documents, None, collection=name, target=target)
    assert [document.id for document in filled.get_by_ids(IDS)] == IDS
    assert filled.as_retriever(search_kwargs={"k": 1}).invoke("kitten")[0].id == "cat"
    filled.close()


async def test_everything_asynchronously(target: str, make_store: MakeStore) -> None:
    name = make_store().collection
    store = await VecgateVectorStore.afrom_texts(TEXTS, None, METADATAS, ids=IDS, collection=name, target=target)
    assert [document.id for document in await store.aget_by_ids(IDS)] == IDS
    ((nearest, score),) = await store.asimilarity_search_with_relevance_scores("Where is the kitten?", k=1)
    assert nearest.id == "cat"
    assert 0.5 < score <= 1
    vector = (await VecgateEmbeddings(target=target).aembed_documents([TEXTS[1]]))[0]
    assert [document.id for document in await store.asimilarity_search_by_vector(vector, 1)] == ["dog"]
    assert len(await store.amax_marginal_relevance_search("kitten", k=2)) == 2
    assert len(await store.amax_marginal_relevance_search_by_vector(vector, k=2)) == 2
    retriever = store.as_retriever(search_kwargs={"k": 5, "filter": {"year": 2023}})
    assert [document.id for document in await retriever.ainvoke("a")] == ["dog"]
    await store.adelete(filter={"year": 2023})
    assert len(await store.aget_by_ids(IDS)) == 2
    await store.adelete_collection()
    await store.aclose()


def test_options_of_a_search_reach_the_server(store: VecgateVectorStore) -> None:
    assert len(store.similarity_search("Where is the kitten?", k=3, score_threshold=0.4, exact=True, timeout=20)) == 1
    with pytest.raises(TypeError, match="fetch"):
        store.similarity_search("kitten", fetch=3)


def test_embeddings_treat_queries_and_documents_each_their_way(target: str) -> None:
    embeddings = VecgateEmbeddings(target=target)
    with Client(target) as client:
        query, document = client.encode(["a"], "query").vectors[0], client.encode(["a"], "document").vectors[0]
    assert embeddings.embed_query("a") == query.tolist()
    assert embeddings.embed_documents(["a"]) == [document.tolist()]
    assert embeddings.embed_documents([]) == []
    with pytest.raises(NotFoundError, match="MODEL_NOT_FOUND"):
        VecgateEmbeddings("absent", target=target).embed_query("a")
    embeddings.close()


def test_ids_and_metadatas_are_one_a_text(make_store: MakeStore) -> None:
    store = make_store()
    with pytest.raises(InvalidArgumentError, match="ids: 1 for 2 documents"):
        store.add_texts(["a", "b"], ids=["1"])
    with pytest.raises(InvalidArgumentError, match="metadatas: 1 for 2 texts"):
        store.add_texts(["a", "b"], [{}])
    assert store.add_texts([]) == []


@pytest.mark.parametrize("made", [VecgateVectorStore, VecgateEmbeddings])
def test_a_key_is_never_shown(made: Any) -> None:
    store = made("docs", api_key=SecretStr("hush"))
    assert "hush" not in repr(store) + str(store) + repr(vars(store)) + repr(store._clients)


@pytest.mark.parametrize("made", [VecgateVectorStore, VecgateEmbeddings])
def test_an_argument_that_there_is_not_is_refused_at_once(made: Any) -> None:
    with pytest.raises(TypeError, match="nmespace"):
        made("docs", nmespace="typo")


def test_every_method_has_an_asynchronous_twin() -> None:
    for name, method in vars(BlockingStore).items():
        if inspect.isfunction(method) and not name.startswith("_"):
            twin = getattr(AsynchronousStore, f"a{name}")
            assert inspect.signature(twin) == inspect.signature(method)
            assert inspect.iscoroutinefunction(twin)
