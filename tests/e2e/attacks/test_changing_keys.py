"""Keys that end, or go less far, while a server serves; and what is noted of those who use them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import Queue
from typing import Any

import grpc
import pytest
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from secured.keys import FOREIGN, OWN, KeyFile
from secured.requests import ask, record
from secured.serving import Root

from vecgate import Client, PermissionDeniedError, UnauthenticatedError
from vecgate.v1 import collection_pb2, ingest_pb2

RELOAD_SECONDS = 0.1
UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
DENIED = grpc.StatusCode.PERMISSION_DENIED


@pytest.fixture(scope="module")
def served(server_process: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, KeyFile, Root]]:
    """A server in plain text, its file of keys, and whoever may do everything."""
    folder = tmp_path_factory.mktemp("changing")
    keys = KeyFile(folder / "keys.yaml", {"root": {"scope": "admin"}})
    security = {"keys_file": str(keys.path), "reload_seconds": RELOAD_SECONDS, "audit_file": str(folder / "audit.log")}
    memory = {"backends": {"memory": {"kind": "memory"}}, "models": {"preload": []}}
    process = server_process(folder, {"security": security} | memory)
    with grpc.insecure_channel(process.address) as channel:
        yield process, keys, Root(channel, keys)
    process.stop()


@pytest.fixture
def server(served: Any) -> Any:
    return served[0]


@pytest.fixture
def root(served: Any, collection: str) -> Root:
    """It has filled `collection`."""
    root: Root = served[2]
    root.fill(collection)
    return root


@pytest.fixture
def keys(served: Any, root: Root, collection: str) -> KeyFile:
    """The keys, with a new one called "tenant"."""
    keys: KeyFile = served[1]
    keys.add("tenant", scope="write", namespace=OWN)
    keys.write()
    becomes(lambda: code_of(root.stub, keys["tenant"], collection), grpc.StatusCode.OK)
    return keys


def code_of(stub: Any, key: str, collection: str, method: str = "Count", namespace: str = "") -> grpc.StatusCode:
    try:
        ask(stub, method, collection, namespace, authorization=f"Bearer {key}")
    except grpc.RpcError as refused:
        code: grpc.StatusCode = refused.code()
        return code
    return grpc.StatusCode.OK


def becomes(code: Callable[[], grpc.StatusCode], wanted: grpc.StatusCode) -> None:
    until = time.monotonic() + 10
    while code() is not wanted:
        assert time.monotonic() < until
        time.sleep(0.02)


def test_keys_are_made_changed_and_revoked_while_the_server_serves(
    root: Root, keys: KeyFile, collection: str, server: Any
) -> None:
    keys.add("late", scope="read", collections=("nothing",))
    assert code_of(root.stub, keys["late"], collection) is UNAUTHENTICATED
    keys.write()
    becomes(lambda: code_of(root.stub, keys["late"], collection), DENIED)
    keys.change("late", collections=("do?s", collection))
    becomes(lambda: code_of(root.stub, keys["late"], collection), grpc.StatusCode.OK)
    assert code_of(root.stub, keys["late"], collection, "Upsert") is DENIED
    keys.change("late", scope="write")
    becomes(lambda: code_of(root.stub, keys["late"], collection, "Upsert"), grpc.StatusCode.OK)
    keys.change("late", revoked=datetime.now(UTC))
    becomes(lambda: code_of(root.stub, keys["late"], collection), UNAUTHENTICATED)
    good = keys.path.read_text()
    keys.path.write_text("keys: [oh")
    time.sleep(4 * RELOAD_SECONDS)
    assert code_of(root.stub, keys["root"], collection) is grpc.StatusCode.OK
    assert server.log.read_text().count("what was there before is used on") == 1
    keys.path.write_text(good)
    keys.change("tenant", expires=datetime.now(UTC) - timedelta(seconds=1))
    becomes(lambda: code_of(root.stub, keys["tenant"], collection), UNAUTHENTICATED)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"revoked": datetime.now(UTC)}, UNAUTHENTICATED),
        ({"expires": datetime.now(UTC)}, UNAUTHENTICATED),
        ({"namespace": FOREIGN}, DENIED),
        ({"scope": "read"}, DENIED),
        ({"description": "another", "max_calls": 7}, None),
    ],
    ids=["revoked", "expired", "bound elsewhere", "of a lesser scope", "described anew"],
)
def test_an_open_stream_ends_with_what_its_key_may_do(
    root: Root, keys: KeyFile, collection: str, change: dict[str, Any], code: grpc.StatusCode | None
) -> None:
    requests: Queue[ingest_pb2.UpsertStreamRequest | None] = Queue()
    stream = root.stub.UpsertStream(
        iter(requests.get, None), metadata=[("authorization", f"Bearer {keys['tenant']}")], timeout=30
    )
    requests.put(ingest_pb2.UpsertStreamRequest(open=ingest_pb2.UpsertStreamOpen(collection=collection)))
    sent = _put(requests, 0)
    _results(stream, sent)
    keys.change("tenant", **change)
    if code is None:
        time.sleep(3 * RELOAD_SECONDS)
    else:
        becomes(lambda: code_of(root.stub, keys["tenant"], collection, "Upsert", OWN), code)
    before = root.records(collection, OWN), root.records(collection, FOREIGN)
    sent = _put(requests, sent)
    if code is None:
        _results(stream, sent)
        requests.put(None)
        return
    with pytest.raises(grpc.RpcError) as ended:
        _results(stream, sent)
    assert ended.value.code() is code
    assert (root.records(collection, OWN), root.records(collection, FOREIGN)) == before
    requests.put(None)


def _put(requests: Queue[ingest_pb2.UpsertStreamRequest | None], sent: int) -> int:
    batch = ingest_pb2.UpsertStreamBatch(sequence=sent + 1, records=[record(f"sent-{sent + 1}", "sent")])
    requests.put(ingest_pb2.UpsertStreamRequest(batch=batch))
    return sent + 1


def _results(stream: Any, sequence: int) -> None:
    while True:
        answer = next(stream)
        if answer.HasField("result") and answer.result.sequence == sequence:
            return


def test_only_collections_that_a_key_is_for_are_listed_page_by_page(root: Root, keys: KeyFile, collection: str) -> None:
    for name in ("a-mine", "b-other", "c-mine", "d-other", "e-mine"):
        root.fill(name, namespaces=())
    keys.add("mine", scope="admin", collections=("*-mine",))
    keys.write()
    becomes(lambda: code_of(root.stub, keys["mine"], collection, "ListCollections"), grpc.StatusCode.OK)
    metadata = [("authorization", f"Bearer {keys['mine']}")]
    pages: list[list[str]] = []
    token = ""
    while not pages or token:
        request = collection_pb2.ListCollectionsRequest(page_size=2, page_token=token)
        answer = root.stub.ListCollections(request, metadata=metadata)
        pages.append([each.name for each in answer.collections])
        token = answer.next_page_token
    assert pages == [["a-mine", "c-mine"], ["e-mine"]]
    made = collection_pb2.CreateCollectionRequest(name="f-mine", unbound=collection_pb2.Unbound(dimension=2))
    assert root.stub.CreateCollection(made, metadata=metadata).created
    made.name = "f-other"
    with pytest.raises(grpc.RpcError, match="not for collection 'f-other'"):
        root.stub.CreateCollection(made, metadata=metadata)


def test_the_python_client_tells_refusals_as_errors_of_their_own(
    root: Root, keys: KeyFile, collection: str, server: Any
) -> None:
    with Client(server.address) as client, pytest.raises(UnauthenticatedError, match="asks for an API key"):
        client.count(collection)
    with Client(server.address, api_key=keys["tenant"]) as client:
        assert client.count(collection) == 2
        with pytest.raises(PermissionDeniedError, match="namespace 'own' alone"):
            client.count(collection, namespace=FOREIGN)
        with pytest.raises(PermissionDeniedError, match="scope admin"):
            client.delete_collection(collection)


def test_what_changes_collections_is_noted_and_what_is_done_to_records_is_not(
    root: Root, keys: KeyFile, collection: str
) -> None:
    log, rotated = (keys.path.with_name(name) for name in ("audit.log", "audit.log.1"))
    for method in ("Upsert", "Count", "Search", "UpdateMetadata"):
        ask(root.stub, method, collection, OWN, authorization=f"Bearer {keys['root']}")
    assert log.stat().st_mode & 0o777 == 0o600
    log.rename(rotated)
    assert code_of(root.stub, keys["tenant"], collection, "Delete") is grpc.StatusCode.OK
    assert code_of(root.stub, keys["root"], collection, "DeleteCollection") is grpc.StatusCode.OK
    assert code_of(root.stub, keys["root"], collection, "DeleteCollection") is grpc.StatusCode.NOT_FOUND
    assert code_of(root.stub, keys["tenant"], collection, "Count", FOREIGN) is DENIED
    tenant, administrator = keys.id_of("tenant"), keys.id_of("root")
    assert _noted(rotated, collection) == [["OK", "CreateCollection", "", administrator]]
    assert _noted(log, collection) == [
        ["OK", "Delete", OWN, tenant],
        ["OK", "DeleteCollection", "", administrator],
        ["NOT_FOUND", "DeleteCollection", "", administrator],
        ["refused", "Count", FOREIGN, tenant],
    ]


def _noted(log: Path, collection: str) -> list[list[str]]:
    """Return what is noted of a collection: outcome, method, namespace and key of each line."""
    lines = map(json.loads, log.read_text().splitlines())
    names = ("outcome", "method", "namespace", "key")
    return [[line.get(name, "") for name in names] for line in lines if line.get("collection") == collection]


def test_reflection_asks_for_a_key_channelz_for_an_administrator_s_and_health_for_none(
    root: Root, keys: KeyFile, collection: str, server: Any
) -> None:
    keys.add("some", scope="admin", collections=(collection,))
    keys.write()
    becomes(lambda: code_of(root.stub, keys["some"], collection), grpc.StatusCode.OK)
    with grpc.insecure_channel(server.address) as channel:
        reflection: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        channelz: Any = channelz_pb2_grpc.ChannelzStub(channel)
        health: Any = health_pb2_grpc.HealthStub(channel)

        def code(name: str, who: str | None) -> grpc.StatusCode:
            metadata = [("authorization", f"Bearer {keys[who]}")] if who else []
            calls: dict[str, Callable[[], object]] = {
                "reflection": lambda: next(
                    reflection.ServerReflectionInfo(
                        iter([reflection_pb2.ServerReflectionRequest(list_services="")]), metadata=metadata
                    )
                ),
                "channelz": lambda: channelz.GetServers(channelz_pb2.GetServersRequest(), metadata=metadata),
                "health": lambda: health.Check(health_pb2.HealthCheckRequest(), metadata=metadata),
            }
            try:
                calls[name]()
            except grpc.RpcError as refused:
                status: grpc.StatusCode = refused.code()
                return status
            return grpc.StatusCode.OK

        ok = grpc.StatusCode.OK
        assert [code("reflection", who) for who in (None, "tenant", "root")] == [UNAUTHENTICATED, ok, ok]
        callers = (None, "tenant", "some", "root")
        assert [code("channelz", who) for who in callers] == [UNAUTHENTICATED, DENIED, DENIED, ok]
        assert code("health", None) is ok


def test_a_server_does_not_start_with_a_file_of_keys_that_cannot_be_used(start_server: Any, tmp_path: Path) -> None:
    settings = {"backends": {"memory": {"kind": "memory"}}, "models": {"preload": []}}
    with pytest.raises(AssertionError, match=r"nowhere.yaml: No such file.*keys create"):
        start_server(settings | {"security": {"keys_file": str(tmp_path / "nowhere.yaml")}})
