"""What the document store keeps, refuses and finds, beyond Haystack's standard tests."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from haystack import Document, Pipeline
from haystack.dataclasses import ByteStream, SparseEmbedding
from haystack.document_stores.errors import DocumentStoreError, DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy, FilterPolicy
from haystack.errors import FilterError
from haystack.utils import Secret

from vecgate import Client, NotFoundError
from vecgate.haystack import VecgateDocumentStore, VecgateEmbeddingRetriever, VecgateTextRetriever
from vecgate.haystack.asynchronous import AsynchronousStore
from vecgate.haystack.blocking import BlockingStore

MakeStore = Callable[..., VecgateDocumentStore]
CATS = [
    Document(id="cat", content="The cat sat on the mat.", meta={"year": 2024, "kind": "pet"}),
    Document(id="dog", content="The dog slept in the garden.", meta={"year": 2023, "kind": "pet"}),
    Document(id="bank", content="The central bank raised interest rates.", meta={"year": 2024, "kind": "money"}),
]


def test_what_the_wire_does_not_hold_is_kept(make_store: MakeStore) -> None:
    document = Document(
        id="1",
        content="",
        blob=ByteStream(b"\x00\xff", meta={"page": 1}, mime_type="image/png"),
        sparse_embedding=SparseEmbedding([1, 5], [0.5, 1e-9]),
        embedding=[1.0, 0.5],
        score=0.25,
        meta={
            "_split_overlap": [{"doc_id": "2", "range": [0, 5]}],
            "a": {"b": {"c": None, "d": [1, 2.0]}},
            "e": [],
            "f": 1.0,
        },
    )
    store = make_store(embedding_dimension=2)
    assert store.write_documents([document]) == 1
    (read,) = store.filter_documents()
    assert read == document
    assert type(read.meta["f"]) is float


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (Document(meta={"a": {"b": {1}}}), r'documents\[0\].meta\["a"\]\["b"\]: set cannot be kept'),
        (Document(meta={"a": b"x"}), "bytes cannot be kept"),
        (Document(meta={"haystack:wall:a": 1}), "reserved"),
        (Document(meta={"a.b": 1, "a": {"b": 2}}), "both a field and a leaf"),
        (Document(meta={"a": {"b": float("nan")}}), "not finite"),
        (Document(meta={"a": 2**70}), "64 bits"),
        (Document(meta={"filter.filter.a": float("nan")}), "filter.filter.a"),
        (Document(embedding=[0.0, 0.0]), "zero"),
        (Document(embedding=[1.0]), "1 .*2|2 .*1"),
        (Document(blob=ByteStream(b"x" * 65_536)), "refused"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_stored_is_refused_with_its_place(make_store: MakeStore, document: Document, told: str) -> None:
    store = make_store(embedding_dimension=2)
    with pytest.raises(DocumentStoreError, match=told):
        store.write_documents([document])
    assert store.count_documents() == 0


def test_a_document_without_embedding_is_stored_and_not_found(make_store: MakeStore) -> None:
    store = make_store(embedding_dimension=2)
    bare, told, embedded = Document(id="bare"), Document(id="told", content="a"), Document(id="e", embedding=[1.0, 0.0])
    store.write_documents([bare, told, embedded])
    assert sorted(document.id for document in store.filter_documents()) == ["bare", "e", "told"]
    assert all(document.embedding is None for document in store.filter_documents() if document.id != "e")
    (found,) = store.embedding_retrieval([1.0, 0.0], return_embedding=True)
    assert (found.id, found.embedding, found.score) == ("e", [1.0, 0.0], pytest.approx(1.0))
    store.write_documents([Document(id="bare", embedding=[0.0, 1.0])], DuplicatePolicy.OVERWRITE)
    assert [document.id for document in store.embedding_retrieval([0.0, 1.0])] == ["bare", "e"]


def test_the_server_encodes_content(make_store: MakeStore) -> None:
    store = make_store()
    store.write_documents([*CATS, Document(id="none"), Document(id="own", embedding=[1.0] * 384)])
    assert store.text_retrieval("Where is the kitten?", top_k=2)[0].id == "cat"
    assert len(store.text_retrieval("Where is the kitten?")) == 4
    assert all(document.embedding is None for document in store.filter_documents())
    (money,) = store.text_retrieval("pets", filters={"field": "meta.kind", "operator": "==", "value": "money"})
    assert money.id == "bank"
    assert store.text_retrieval("kitten", score_threshold=0.99) == []


def test_fail_writes_nothing_if_one_is_stored(make_store: MakeStore) -> None:
    store = make_store(embedding_dimension=2)
    store.write_documents([CATS[0]])
    with pytest.raises(DuplicateDocumentError, match="'cat'; nothing was written"):
        store.write_documents([CATS[1], CATS[0]], DuplicatePolicy.FAIL)
    with pytest.raises(DuplicateDocumentError, match="two of the documents have the id 'dog'"):
        store.write_documents([CATS[1], CATS[1]])
    assert store.count_documents() == 1


def test_the_same_id_twice_in_one_call(make_store: MakeStore) -> None:
    store = make_store(embedding_dimension=2)
    first, last = Document(id="1", content="first"), Document(id="1", content="last")
    assert store.write_documents([first, last], DuplicatePolicy.SKIP) == 1
    assert [document.content for document in store.filter_documents()] == ["first"]
    store.write_documents([first, last], DuplicatePolicy.OVERWRITE)
    assert [document.content for document in store.filter_documents()] == ["last"]


def test_text_too_long_for_the_model_is_refused_unless_it_may_be_cut(make_store: MakeStore) -> None:
    long = Document(content="word " * 1000)
    with pytest.raises(DocumentStoreError, match="TEXT_TOO_LONG"):
        make_store().write_documents([long])
    assert make_store(truncation="truncate").write_documents([long]) == 1


def test_namespaces_are_apart(make_store: MakeStore) -> None:
    one = make_store(embedding_dimension=2, namespace="one")
    two = make_store(embedding_dimension=2, namespace="two", collection=one.collection)
    one.write_documents([CATS[0]])
    assert (one.count_documents(), two.count_documents()) == (1, 0)
    two.delete_all_documents()
    assert one.count_documents() == 1
    two.delete_all_documents(recreate_collection=True)
    assert one.count_documents() == 0


def test_a_collection_that_does_not_suit_is_refused(make_store: MakeStore, target: str) -> None:
    encoded = make_store()
    encoded.write_documents([CATS[0]])
    with pytest.raises(DocumentStoreError, match="384 components, not 2"):
        make_store(collection=encoded.collection, embedding_dimension=2).filter_documents()
    with pytest.raises(DocumentStoreError, match="encoded by the server with 'all-MiniLM-L6-v2'"):
        make_store(collection=encoded.collection, embedding_dimension=384).write_documents([CATS[1]])
    absent = VecgateDocumentStore("haystack-absent", target=target, create_collection=False)
    with pytest.raises(DocumentStoreError, match="COLLECTION_NOT_FOUND") as raised:
        absent.count_documents()
    assert isinstance(raised.value.__cause__, NotFoundError)


def test_reads_make_no_collection(make_store: MakeStore, target: str) -> None:
    store = make_store()
    assert store.filter_documents() == []
    assert store.text_retrieval("a") == []
    store.delete_documents(["1"])
    with Client(target) as client:
        assert store.collection not in {each.name for each in client.list_collections().collections}


def test_values_of_fields(make_store: MakeStore) -> None:
    store = make_store(embedding_dimension=2)
    metas: list[dict[str, Any]] = [
        {"a": ["x", "y"], "n": 3, "mixed": 1, "day": "2024-01-31"},
        {"a": ["x", "y"], "n": 2.5, "mixed": "z", "day": "2023-01-31"},
        {"a": {"b": 1}, "n": -1},
        {"a": "x", "n": 3},
    ]
    store.write_documents([Document(id=str(place), meta=meta) for place, meta in enumerate(metas)])
    assert store.count_unique_metadata_by_filter({}, ["meta.a", "n", "mixed"]) == {"a": 3, "n": 3, "mixed": 2}
    assert store.get_metadata_field_unique_values("a") == ([["x", "y"], "x", {"b": 1}], 3)
    assert store.get_metadata_field_min_max("meta.n") == {"min": -1, "max": 3}
    assert store.get_metadata_field_min_max("mixed") == {"min": None, "max": None}
    assert store.get_metadata_field_min_max("day") == {"min": "2023-01-31", "max": "2024-01-31"}
    assert store.get_metadata_fields_info()["a"] == {"type": "keyword"}


def test_many_documents_go_and_come_in_pages(make_store: MakeStore) -> None:
    store = make_store(embedding_dimension=2)
    many = [Document(id=f"{number}", meta={"n": number, "s": f"s{number}"}) for number in range(1_500)]
    assert store.write_documents(many) == 1_500
    assert len(store.filter_documents()) == 1_500
    assert store.count_unique_metadata_by_filter({}, ["s"]) == {"s": 1_500}
    assert store.get_metadata_field_min_max("n") == {"min": 0, "max": 1_499}
    store.delete_documents([document.id for document in many[:1_200]])
    assert store.count_documents() == 300


def test_a_pipeline_is_written_down_and_made_again(target: str) -> None:
    store = VecgateDocumentStore("docs", target=target, namespace="n", deadlines={"read": 5.0})
    by_text = VecgateTextRetriever(
        store, filters={"field": "meta.a", "operator": "==", "value": 1}, filter_policy="merge", rerank_model="m"
    )
    pipeline = Pipeline()
    pipeline.add_component("text", by_text)
    pipeline.add_component("embedding", VecgateEmbeddingRetriever(store, top_k=3, score_threshold=0.5))
    again = Pipeline.loads(pipeline.dumps(), allowed_modules=["vecgate.haystack"])
    assert again == pipeline
    text: Any = again.get_component("text")
    assert (text.filter_policy, text.rerank_model) == (FilterPolicy.MERGE, "m")
    assert text.document_store.to_dict() == store.to_dict()


def test_a_key_is_never_shown_nor_written_down(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VECGATE_API_KEY", "hush")
    store = VecgateDocumentStore("docs", target=target, api_key=Secret.from_env_var("VECGATE_API_KEY"))
    pipeline = Pipeline()
    pipeline.add_component("text", VecgateTextRetriever(store))
    written = pipeline.dumps()
    assert "hush" not in written + repr(store) + repr(vars(store)) + repr(store._clients)
    again: Any = Pipeline.loads(written, allowed_modules=["vecgate.haystack"]).get_component("text")
    assert again.document_store.to_dict()["init_parameters"]["api_key"]["env_vars"] == ["VECGATE_API_KEY"]
    in_plain_text = VecgateDocumentStore(target="10.0.0.1:50051", api_key=Secret.from_env_var("VECGATE_API_KEY"))
    with pytest.raises(DocumentStoreError, match="plain"):
        in_plain_text.count_documents()
    with pytest.raises(ValueError, match="token"):
        VecgateDocumentStore(api_key=Secret.from_token("hush")).to_dict()


def test_retrievers_run_in_a_pipeline(make_store: MakeStore) -> None:
    store = make_store()
    store.write_documents(CATS)
    pipeline = Pipeline()
    pipeline.add_component("retriever", VecgateTextRetriever(store, top_k=1))
    (found,) = pipeline.run({"retriever": {"query": "kitten"}})["retriever"]["documents"]
    assert (found.id, found.meta) == ("cat", CATS[0].meta)
    first = VecgateEmbeddingRetriever(store).run(query_embedding=[1.0] * 384, top_k=2)["documents"]
    assert len(first) == 2
    merged = VecgateTextRetriever(
        store, filters={"field": "meta.year", "operator": "==", "value": 2024}, filter_policy=FilterPolicy.MERGE
    )
    pets = merged.run("a", filters={"field": "meta.kind", "operator": "==", "value": "pet"})["documents"]
    assert [document.id for document in pets] == ["cat"]
    with pytest.raises(ValueError, match="VecgateDocumentStore"):
        VecgateTextRetriever("docs")  # type: ignore[arg-type]  # which is refused


async def test_retrievers_run_asynchronously(make_store: MakeStore) -> None:
    store = make_store()
    await store.write_documents_async(CATS)
    (found,) = (await VecgateTextRetriever(store, top_k=1).run_async("kitten"))["documents"]
    assert found.id == "cat"
    nearest = await VecgateEmbeddingRetriever(store, top_k=2).run_async([1.0] * 384)
    assert len(nearest["documents"]) == 2
    inexact = {"field": "content", "operator": "==", "value": CATS[1].content}
    assert await store.update_by_filter_async(inexact, {"kind": ["x", 1]}) == 1
    assert (await store.filter_documents_async(inexact))[0].meta == {"year": 2023, "kind": ["x", 1]}
    assert await store.update_by_filter_async("year = 2023", {"kind": None}) == 1
    assert await store.delete_by_filter_async(inexact) == 1
    with pytest.raises(FilterError, match="delete_all_documents"):
        await store.delete_by_filter_async({})
    assert await store.count_documents_async() == 2
    await store.aclose()


def test_a_copy_has_connections_of_its_own(make_store: MakeStore) -> None:
    store = make_store(embedding_dimension=2)
    store.write_documents([Document(id="1")])
    copy = deepcopy(store)
    store.close()
    assert copy.count_documents() == 1
    copy.close()


def test_every_method_has_an_asynchronous_twin() -> None:
    blocking = {
        name: inspect.signature(method).replace(return_annotation=None)
        for name, method in inspect.getmembers(BlockingStore, inspect.isfunction)
        if not name.startswith("_") and name not in ("to_dict", "close")
    }
    for name, signature in blocking.items():
        twin = getattr(AsynchronousStore, f"{name}_async")
        assert inspect.signature(twin).replace(return_annotation=None) == signature
        assert inspect.iscoroutinefunction(twin)
