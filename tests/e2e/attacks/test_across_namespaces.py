"""What a key of one namespace can make of filters, ids, tokens and whole collections: nothing of another's, on every backend."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from emulators.pinecone import Emulator
from emulators.qdrant_server import QdrantEmulator
from secured.keys import FOREIGN, OWN, KeyFile
from secured.requests import X, Y, record, vector
from secured.serving import FOREIGN_TEXT, Root

from vecgate.v1 import collection_pb2, ingest_pb2, read_pb2, record_pb2, search_pb2, write_pb2
from vecgate.v1.filter_pb2 import Condition, Filter, FilterList, IdList, Selector
from vecgate.v1.metadata_pb2 import Value
from vecgate.v1.service_pb2_grpc import VectorSearchServiceStub
from vecgate_backends.records import Timestamp
from vecgate_server.service.page_tokens import listing_digest

BACKENDS = ["memory", "faiss", "qdrant", "pinecone"]
SPACES = (OWN, FOREIGN)
ALL_FIELDS = record_pb2.ReturnFields(text=True, vector=True, metadata=record_pb2.MetadataFields(all=True))
EVERYTHING = Selector(all=True)


def condition(field: str, value: str) -> Filter:
    return Filter(condition=Condition(field=field, eq=Value(string_value=value)))


CROSSING_FILTERS = {
    "the other's metadata": condition("owner", FOREIGN_TEXT),
    "anything but one's own": Filter(negation=condition("owner", "own")),
    "one or the other": Filter(
        any_of=FilterList(filters=[condition("owner", "own"), condition("owner", FOREIGN_TEXT)])
    ),
    "an expression": Filter(expression=f'owner = "own" OR owner = "{FOREIGN_TEXT}" OR NOT owner:*'),
    "a field called namespace": Filter(
        any_of=FilterList(filters=[condition(name, FOREIGN) for name in ("namespace", "ns", "n", "vecgate.namespace")])
    ),
    "all of nothing": Filter(negation=condition("nowhere", "nothing")),
}
"""They match records of the other namespace if anything looks there."""


@pytest.fixture(scope="module")
def everywhere(server_process: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server with keys and every backend; a collection of the backend's name in each."""
    folder = tmp_path_factory.mktemp("everywhere")
    keys = KeyFile(folder / "keys.yaml")
    qdrant = QdrantEmulator(api_key="qdrant-key")
    with Emulator() as pinecone:
        pinecone.project("pinecone-key")
        options: dict[str, dict[str, Any]] = {
            "memory": {},
            "faiss": {},
            "qdrant": {"host": "127.0.0.1", "grpc_port": qdrant.port, "api_key": "qdrant-key"},
            "pinecone": {"api_key": "pinecone-key", "controller_url": pinecone.url, "settings_seconds": 0.05},
        }
        backends = {name: {"kind": name, "options": given} for name, given in options.items()}
        settings = {"security": {"keys_file": str(keys.path)}, "backends": backends, "models": {"preload": []}}
        process = server_process(folder, settings)
        with grpc.insecure_channel(process.address) as channel:
            root = Root(channel, keys)
            for name in BACKENDS:
                root.fill(name, name, SPACES)
            yield channel, keys, root
        process.stop()
    qdrant.stop()


class Tenant:
    """Whoever has a key of OWN; every call must leave FOREIGN as it was, and tell nothing of it."""

    def __init__(self, channel: grpc.Channel, key: str) -> None:
        self._stub: Any = VectorSearchServiceStub(channel)
        self._metadata = [("authorization", f"Bearer {key}")]

    def call(self, method: str, request: Any) -> Any:
        call = getattr(self._stub, method)(request, metadata=self._metadata, timeout=30)
        answer = list(call) if method == "UpsertStream" else call
        assert FOREIGN_TEXT not in str(answer)
        return answer

    def refused(self, method: str, request: Any) -> grpc.StatusCode:
        with pytest.raises(grpc.RpcError) as raised:
            self.call(method, request)
        assert FOREIGN_TEXT not in str(raised.value.details())
        code: grpc.StatusCode = raised.value.code()
        return code

    def ids(self, collection: str, namespace: str = "") -> list[str]:
        request = read_pb2.ListRequest(collection=collection, namespace=namespace, fields=ALL_FIELDS)
        return sorted(each.id for each in self.call("List", request).records)


@pytest.fixture
def tenant(everywhere: Any) -> Tenant:
    channel, keys, _ = everywhere
    return Tenant(channel, keys["tenant"])


@pytest.fixture(autouse=True, params=BACKENDS)
def backend(everywhere: Any, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a backend and of its collection, where the other namespace stays as it is."""
    _, _, root = everywhere
    before = root.records(request.param, FOREIGN)
    assert len(before) == 3
    yield request.param
    assert root.records(request.param, FOREIGN) == before
    # Whatever the test did to its own records.
    root.call("Delete", write_pb2.DeleteRequest(collection=request.param, namespace=OWN, selector=EVERYTHING))
    own = [record(identifier, f"own {identifier}", X, owner="own") for identifier in ("a", "b")]
    root.call("Upsert", write_pb2.UpsertRequest(collection=request.param, namespace=OWN, records=own))


def test_no_namespace_and_the_key_s_own_are_the_same_place(tenant: Tenant, backend: str) -> None:
    assert tenant.ids(backend) == tenant.ids(backend, OWN) == ["a", "b"]
    tenant.call("Upsert", write_pb2.UpsertRequest(collection=backend, records=[record("c", "own c")]))
    stream = [
        ingest_pb2.UpsertStreamRequest(open=ingest_pb2.UpsertStreamOpen(collection=backend)),
        ingest_pb2.UpsertStreamRequest(batch=ingest_pb2.UpsertStreamBatch(sequence=1, records=[record("d", "own d")])),
        ingest_pb2.UpsertStreamRequest(close=ingest_pb2.UpsertStreamClose()),
    ]
    tenant.call("UpsertStream", iter(stream))
    assert tenant.ids(backend, OWN) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("crossing", CROSSING_FILTERS.values(), ids=CROSSING_FILTERS)
def test_a_filter_does_not_cross(tenant: Tenant, backend: str, crossing: Filter) -> None:
    own = {"a", "b"}
    query = search_pb2.Query(vector=vector(*Y))
    options = search_pb2.SearchOptions(filter=crossing, fields=ALL_FIELDS, explain=True, top_k=10)
    found = tenant.call("Search", search_pb2.SearchRequest(collection=backend, query=query, options=options))
    assert {match.id for match in found.result.matches} <= own
    batch = search_pb2.SearchBatchRequest(
        collection=backend, queries=[search_pb2.BatchQuery(query=query, filter=crossing)], options=options
    )
    assert {match.id for match in tenant.call("SearchBatch", batch).outcomes[0].result.matches} <= own
    listed = tenant.call("List", read_pb2.ListRequest(collection=backend, filter=crossing, fields=ALL_FIELDS))
    assert {each.id for each in listed.records} <= own
    selector = Selector(filter=crossing)
    assert tenant.call("Count", read_pb2.CountRequest(collection=backend, selector=selector)).count <= 2
    got = tenant.call("Get", read_pb2.GetRequest(collection=backend, selector=selector, fields=ALL_FIELDS))
    assert {each.id for each in got.records} <= own
    stats = read_pb2.FieldStatsRequest(collection=backend, field="owner", filter=crossing)
    assert tenant.call("FieldStats", stats).present_count <= 2
    changes = {"seen": Value(bool_value=True)}
    tenant.call("UpdateMetadata", write_pb2.UpdateMetadataRequest(collection=backend, selector=selector, set=changes))
    tenant.call("Delete", write_pb2.DeleteRequest(collection=backend, selector=selector))


def test_what_concerns_all_records_concerns_one_s_own(tenant: Tenant, backend: str) -> None:
    assert tenant.call("Count", read_pb2.CountRequest(collection=backend)).count == 2
    stats = tenant.call("FieldStats", read_pb2.FieldStatsRequest(collection=backend, field="owner"))
    assert [(each.value.string_value, each.count) for each in stats.values] == [("own", 2)]
    changes = {"seen": Value(bool_value=True)}
    updating = write_pb2.UpdateMetadataRequest(collection=backend, selector=EVERYTHING, set=changes)
    assert tenant.call("UpdateMetadata", updating).matched_count == 2
    assert tenant.call("Delete", write_pb2.DeleteRequest(collection=backend, selector=EVERYTHING)).deleted_count == 2
    assert tenant.ids(backend) == []


@pytest.mark.parametrize(
    "identifier", ["foreign-alone", f"{FOREIGN}/foreign-alone", f"{FOREIGN}\x1fforeign-alone", f"../{FOREIGN}/a"]
)
def test_an_id_of_another_namespace_is_no_id(tenant: Tenant, backend: str, identifier: str) -> None:
    search = search_pb2.SearchRequest(collection=backend, query=search_pb2.Query(id=identifier))
    assert tenant.refused("Search", search) in {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT}
    if identifier.isprintable():
        selector = Selector(ids=IdList(ids=[identifier]))
        assert not tenant.call("Get", read_pb2.GetRequest(collection=backend, selector=selector)).records
        deleting = write_pb2.DeleteRequest(collection=backend, selector=selector)
        assert tenant.call("Delete", deleting).deleted_count == 0


def test_a_search_by_an_id_that_both_have_is_one_from_one_s_own(tenant: Tenant, backend: str) -> None:
    options = search_pb2.SearchOptions(fields=ALL_FIELDS, top_k=10)
    request = search_pb2.SearchRequest(collection=backend, query=search_pb2.Query(id="a"), options=options)
    matches = tenant.call("Search", request).result.matches
    assert [match.text for match in matches if match.id == "a"] in ([], ["own a"])
    # Nearest are those of one's own, whose vectors are alike; the other "a" points elsewhere.
    assert all(match.score > 0.99 for match in matches)
    assert matches


def test_a_page_token_of_another_namespace_is_refused(everywhere: Any, tenant: Tenant, backend: str) -> None:
    _, _, root = everywhere
    foreign = root.call("List", read_pb2.ListRequest(collection=backend, namespace=FOREIGN, page_size=1))
    assert foreign.next_page_token
    request = read_pb2.ListRequest(collection=backend, page_size=1, page_token=foreign.next_page_token)
    assert tenant.refused("List", request) is grpc.StatusCode.INVALID_ARGUMENT


def test_a_page_token_that_was_forged_gives_one_s_own_records_or_none(
    everywhere: Any, tenant: Tenant, backend: str
) -> None:
    _, _, root = everywhere
    token = root.call("List", read_pb2.ListRequest(collection=backend, namespace=FOREIGN, page_size=1)).next_page_token
    cursor = base64.urlsafe_b64decode(token)[12:]
    made = root.call("GetCollection", collection_pb2.GetCollectionRequest(name=backend)).collection.create_time
    # All that makes a token of one's own listing is known to whoever reads the source.
    digest = listing_digest(backend, Timestamp(made.seconds, made.nanos), OWN, None)
    seal = hashlib.sha256(digest + cursor).digest()[:12]
    forged = base64.urlsafe_b64encode(seal + cursor).decode()
    request = read_pb2.ListRequest(collection=backend, page_size=10, page_token=forged, fields=ALL_FIELDS)
    try:
        answer = tenant.call("List", request)
    except grpc.RpcError as refusal:
        assert refusal.code() is not grpc.StatusCode.INTERNAL  # noqa: PT017  # either is right
    else:
        assert {each.id for each in answer.records} <= {"a", "b"}


def test_a_consistency_token_of_another_namespace_opens_nothing(everywhere: Any, tenant: Tenant, backend: str) -> None:
    _, _, root = everywhere
    rewritten = root.records(backend, FOREIGN)[:1]
    upsert = write_pb2.UpsertRequest(collection=backend, namespace=FOREIGN, records=rewritten)
    token = root.call("Upsert", upsert).consistency_token
    options = search_pb2.SearchOptions(fields=ALL_FIELDS, top_k=10, consistency_token=token)
    request = search_pb2.SearchRequest(collection=backend, query=search_pb2.Query(vector=vector(*Y)), options=options)
    assert {match.id for match in tenant.call("Search", request).result.matches} <= {"a", "b"}


def test_a_collection_is_told_as_if_there_were_nobody_else(tenant: Tenant, backend: str) -> None:
    told = tenant.call("GetCollection", collection_pb2.GetCollectionRequest(name=backend))
    assert (told.record_count, told.namespace_count) == (2, 1)
    assert [(each.name, each.record_count) for each in told.namespaces] == [(OWN, 2)]


def test_a_stream_that_names_another_namespace_is_refused_before_a_batch_is_read(tenant: Tenant, backend: str) -> None:
    opening = ingest_pb2.UpsertStreamOpen(collection=backend, namespace=FOREIGN)
    stream = [
        ingest_pb2.UpsertStreamRequest(open=opening),
        ingest_pb2.UpsertStreamRequest(
            batch=ingest_pb2.UpsertStreamBatch(sequence=1, records=[record("a", "mine now")])
        ),
    ]
    assert tenant.refused("UpsertStream", iter(stream)) is grpc.StatusCode.PERMISSION_DENIED
