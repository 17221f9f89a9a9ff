"""What Prometheus reads of a real server: every documented figure, and every one that the dashboard and the alerts ask for."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest
import trustme
from monitoring.expressions import OF_PROMETHEUS, alerts, dashboard, expressions, named
from monitoring.scrape import FILES_USABLE, OPEN_METRICS, TLS_EXPIRY, Scrape, scrape
from secured.serving import TlsFolder

from vecgate.v1 import service_pb2
from vecgate.v1.collection_pb2 import CreateCollectionRequest, GetCollectionRequest, Unbound
from vecgate.v1.ingest_pb2 import UpsertStreamOpen, UpsertStreamRequest
from vecgate.v1.read_pb2 import CountRequest
from vecgate.v1.record_pb2 import Record
from vecgate.v1.search_pb2 import Query, SearchOptions, SearchRequest, SearchResponse
from vecgate.v1.service_pb2_grpc import VectorSearchServiceStub
from vecgate.v1.vector_pb2 import FloatList, Vector
from vecgate.v1.write_pb2 import UpsertRequest
from vecgate_backends.memory.collection import MemoryCollection
from vecgate_server.app import Server
from vecgate_server.config import Settings
from vecgate_server.metrics.calls import CODES

if TYPE_CHECKING:
    from vecgate.v1.service_pb2_grpc import VectorSearchServiceAsyncStub

DOCUMENT = Path(__file__).parents[2] / "docs/telemetry.md"
METHODS = [method.name for method in service_pb2.DESCRIPTOR.services_by_name["VectorSearchService"].methods]
VECTOR = Vector(floats=FloatList(values=[1, 0]))


class Watched:
    """A server in the test's process, and its metrics."""

    def __init__(self, server: Server, stub: VectorSearchServiceAsyncStub) -> None:
        self.server = server
        self.stub = stub

    async def scrape(self, accept: str = "text/plain") -> Scrape:
        assert self.server.metrics
        return await asyncio.to_thread(scrape, f"http://{self.server.metrics.address}/metrics", accept)

    async def until(self, seen: Callable[[Scrape], bool]) -> Scrape:
        async with asyncio.timeout(20):
            while True:
                told = await self.scrape()
                if seen(told):
                    return told
                await asyncio.sleep(0.05)


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    """A server with metrics, a Faiss backend and one in memory; each holds a collection."""
    settings = {
        "server": {"port": 0},
        "backends": {
            "faiss": {"kind": "faiss", "options": {"path": str(tmp_path / "store")}},
            "memory": {"kind": "memory"},
        },
        "models": {"preload": []},
        "telemetry": {"metrics_port": 0},
    }
    async with (
        Server(Settings.model_validate(settings)) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        stub = VectorSearchServiceStub(channel)
        for backend in ("faiss", "memory"):
            await stub.CreateCollection(
                CreateCollectionRequest(name=f"in-{backend}", backend=backend, unbound=Unbound(dimension=2))
            )
        yield Watched(server, stub)


def search(collection: str = "in-faiss") -> SearchRequest:
    return SearchRequest(collection=collection, query=Query(vector=VECTOR), options=SearchOptions(top_k=1))


async def test_every_method_and_status_is_there_from_the_start(watched: Watched) -> None:
    told = await watched.scrape()
    samples = {
        (sample.labels["method"], sample.labels["code"])
        for sample in told.families["vecgate_calls"].samples
        if sample.name == "vecgate_calls_total"
    }
    assert samples == {(method, code.name) for method in METHODS for code in CODES}
    assert told.value("vecgate_calls_total", method="Search", code="OK") == 0
    assert told.value("vecgate_call_seconds_count", method="Search") == 0
    assert told.value("vecgate_refused_calls_total", reason="ENCODER_BUSY") == 0


async def test_calls_are_counted_by_method_and_status(
    watched: Watched, refusal: Callable[[Awaitable[object]], Awaitable[Any]]
) -> None:
    answers = [await watched.stub.Search(search()) for _ in range(3)]
    await refusal(watched.stub.Search(search("nothing")))
    await refusal(watched.stub.Count(CountRequest(collection="No Name")))
    told = await watched.scrape()
    assert told.value("vecgate_calls_total", method="Search", code="OK") == 3
    assert told.value("vecgate_calls_total", method="Search", code="NOT_FOUND") == 1
    assert told.value("vecgate_calls_total", method="Count", code="INVALID_ARGUMENT") == 1
    assert told.value("vecgate_call_seconds_count", method="Search") == 4
    assert 0 < told.value("vecgate_call_seconds_sum", method="Search") < 30
    asked = 3 * search().ByteSize() + search("nothing").ByteSize()
    assert told.value("vecgate_call_received_bytes_total", method="Search") == asked
    assert told.value("vecgate_call_sent_bytes_total", method="Search") == sum(map(SearchResponse.ByteSize, answers))
    assert told.value("vecgate_calls_in_hand") == 0


async def test_what_the_backends_do_is_counted_by_operation(
    watched: Watched, refusal: Callable[[Awaitable[object]], Awaitable[Any]]
) -> None:
    await watched.stub.Search(search("in-memory"))
    await watched.stub.Upsert(UpsertRequest(collection="in-faiss", records=[Record(id="one", vector=VECTOR)]))
    await refusal(watched.stub.GetCollection(GetCollectionRequest(name="nothing")))
    told = await watched.scrape()
    assert told.value("vecgate_backend_seconds_count", backend="memory", operation="search") == 1
    assert told.value("vecgate_backend_seconds_count", backend="faiss", operation="search") == 0
    assert told.value("vecgate_backend_seconds_count", backend="faiss", operation="upsert") == 1
    assert told.value("vecgate_backend_errors_total", backend="memory", operation="collection", code="NOT_FOUND") >= 1
    assert told.value("vecgate_backend_errors_total", backend="faiss", operation="search", code="UNAVAILABLE") == 0
    assert told.value("vecgate_faiss_records", backend="faiss") == 1
    assert told.value("vecgate_faiss_head_vectors", backend="faiss") == 1
    assert told.value("vecgate_faiss_collections", backend="faiss") == 1
    assert told.value("vecgate_faiss_sync_seconds_count", backend="faiss") == 1
    assert told.value("vecgate_faiss_disk_bytes", backend="faiss") > 10_000
    assert told.value("vecgate_faiss_disk_free_bytes", backend="faiss") > 0


async def test_calls_and_streams_under_way_are_told_and_how_they_ended(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered = asyncio.Event()

    async def hang(*_: object, **__: object) -> None:
        entered.set()
        await asyncio.sleep(60)

    monkeypatch.setattr(MemoryCollection, "search", hang)
    stream = watched.stub.UpsertStream()
    await stream.write(UpsertStreamRequest(open=UpsertStreamOpen(collection="in-faiss")))
    await stream.read()
    silent = watched.stub.UpsertStream()
    gone = watched.stub.Search(search("in-memory"))
    await entered.wait()
    # One that says nothing takes the place of a stream too.
    told = await watched.until(lambda told: told.value("vecgate_streams_open") == 2)
    assert told.value("vecgate_calls_in_hand") == 1
    assert told.value("vecgate_calls_limit") == 512
    gone.cancel()
    with pytest.raises(grpc.aio.AioRpcError):
        await watched.stub.Search(search("in-memory"), timeout=0.3)
    silent.cancel()
    await stream.done_writing()
    while await stream.read() is not grpc.aio.EOF:
        pass
    ends = [(method, "CANCELLED") for method in ("Search", "UpsertStream")]
    ends += [("Search", "DEADLINE_EXCEEDED"), ("UpsertStream", "OK")]
    told = await watched.until(
        lambda told: all(told.value("vecgate_calls_total", method=method, code=code) == 1 for method, code in ends)
    )
    assert (told.value("vecgate_calls_in_hand"), told.value("vecgate_streams_open")) == (0, 0)
    assert told.value("vecgate_backend_errors_total", backend="memory", operation="search", code="CANCELLED") == 2


async def test_health_is_told_by_service_and_by_backend(watched: Watched) -> None:
    told = await watched.scrape()
    assert told.value("vecgate_health_serving", service="") == 1
    assert told.value("vecgate_health_serving", service="backend.faiss") == 1
    assert told.value("vecgate_backend_healthy", backend="memory") == 1


async def test_a_server_with_tls_tells_until_when_its_certificate_is_valid_and_whether_a_new_one_can_be_used(
    tmp_path: Path,
) -> None:
    expires = datetime(2031, 5, 4, 3, 2, 1, tzinfo=UTC)
    authority = trustme.CA()
    tls = TlsFolder(tmp_path, authority, asks=False)
    tls.write(authority.issue_cert("127.0.0.1", not_after=expires))
    settings = {
        "server": {"port": 0},
        "backends": {"memory": {"kind": "memory"}},
        "models": {"preload": []},
        "security": {"tls": tls.settings, "reload_seconds": 0.02},
        "telemetry": {"metrics_port": 0},
    }
    async with Server(Settings.model_validate(settings)) as server:
        assert server.metrics
        address = f"http://{server.metrics.address}/metrics"
        told = await asyncio.to_thread(scrape, address)
        assert (told.value(TLS_EXPIRY), told.value(FILES_USABLE, setting="security.tls")) == (expires.timestamp(), 1)
        file = tmp_path / "tls.crt"
        for content, usable in ((b"damaged", 0), (file.read_bytes(), 1)):
            file.write_bytes(content)
            async with asyncio.timeout(10):
                while told.value(FILES_USABLE, setting="security.tls") != usable:
                    told = await asyncio.to_thread(scrape, address)


async def test_the_lag_of_the_event_loop_is_looked_at(watched: Watched) -> None:
    await watched.until(lambda told: told.value("vecgate_event_loop_lag_seconds_count") > 0)


async def test_openmetrics_is_given_to_whoever_asks_for_it(watched: Watched) -> None:
    told = await watched.scrape(OPEN_METRICS)
    assert told.text.endswith("# EOF\n")
    assert set(told.families) >= {"vecgate_calls", "vecgate_call_seconds", "vecgate_faiss_records"}


async def test_the_document_names_every_metric_with_its_labels_and_no_other(watched: Watched) -> None:
    told = await watched.scrape()
    rows = re.findall(r"^\| `(vecgate_\w+)` \| (\w+) \| ([\w, ]*)\|", DOCUMENT.read_text(), re.MULTILINE)
    documented = {name: (kind, frozenset(re.findall(r"\w+", labels))) for name, kind, labels in rows}
    expected = {
        family.name + ("_total" if family.type == "counter" else ""): (
            family.type,
            frozenset(label for sample in family.samples for label in sample.labels) - {"le"},
        )
        for family in told.families.values()
        if family.name.startswith("vecgate_")
    }
    of_security = {TLS_EXPIRY: ("gauge", frozenset()), FILES_USABLE: ("gauge", frozenset({"setting"}))}
    assert documented == expected | of_security


async def test_each_metric_and_label_that_the_dashboard_and_the_alerts_ask_for_exists(watched: Watched) -> None:
    # Prometheus makes the first itself; there is a certificate only with TLS.
    labels = (await watched.scrape()).labels() | {"up": set(), TLS_EXPIRY: set(), FILES_USABLE: {"setting"}}
    asked = {where: named(expression) for where, expression in expressions().items()}
    assert all(asked.values())
    missing = [
        f"{where}: {each.metric} {each.label}"
        for where, all_named in asked.items()
        for each in all_named
        if each.metric not in labels or (each.label and each.label not in labels[each.metric] | OF_PROMETHEUS)
    ]
    assert not missing


def test_the_dashboard_is_one_that_grafana_reads() -> None:
    board = dashboard()
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        if panel["type"] != "row":
            assert panel["description"]
            assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}
    assert [variable["name"] for variable in board["templating"]["list"]] == ["datasource", "job", "instance"]


def test_each_alert_says_what_it_is_what_it_means_and_where_it_is_explained() -> None:
    for rule in alerts():
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
        assert rule["annotations"]["runbook_url"] == f"docs/operations.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in {"warning", "critical"}
