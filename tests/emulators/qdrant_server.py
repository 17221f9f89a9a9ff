"""A stand-in for a Qdrant server: the engine that qdrant-client ships, behind the gRPC services that it ships too.

The unmodified client speaks to it over a socket. It is stricter than that engine where the server is (names, dimensions, finite
numbers, keyword facets) and as careless: doubles come back as the server's JSON reader leaves them. Faults are scripted by method.
It proves our translation. It cannot prove recall of an HNSW graph, cluster behaviour or the words of the server's errors.
"""

from __future__ import annotations

import json
import math
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import grpc
import numpy as np
from qdrant_client import QdrantClient, models
from qdrant_client import grpc as wire
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc, grpc_to_payload
from qdrant_client.local import payload_value_extractor
from qdrant_client.local.json_path_parser import parse_json_path

VERSION = "1.17.0"
# The engine reads the path of a condition anew for every record, which takes a quarter of a filter's time.
payload_value_extractor.parse_json_path = cache(parse_json_path)  # type: ignore[attr-defined]  # imported there for itself
_COMPLETED = wire.UpdateResult(operation_id=1, status=wire.UpdateStatus.Completed)


@dataclass(frozen=True)
class Refuse:
    """Answer a call with a status, before it had any effect, or after."""

    code: grpc.StatusCode
    details: str = ""
    retry_after: int | str | None = None
    after_effect: bool = False


@dataclass(frozen=True)
class Hang:
    """Answer a call not at all until the emulator stops or releases it."""


@dataclass(frozen=True)
class Unapplied:
    """Say that a write was taken but not applied within the time."""


Step = Refuse | Hang | Unapplied | None
"""What becomes of one call; None: nothing unusual."""


class QdrantEmulator:
    """A server on a free port of the loopback interface."""

    def __init__(self, *, api_key: str = "", version: str = VERSION, remember_calls: bool = True) -> None:
        self.api_key = api_key
        self.remembers_calls = remember_calls
        self.version = version
        self.calls: list[tuple[str, Any]] = []
        self.engine = QdrantClient(":memory:")
        self.schemas: dict[str, dict[str, models.PayloadIndexInfo]] = defaultdict(dict)
        self._scripts: dict[str, deque[Step]] = defaultdict(deque)
        self._masks: dict[str, dict[str, Any]] = defaultdict(dict)
        self._working = threading.RLock()
        self._stopping = threading.Event()
        self._server = grpc.server(ThreadPoolExecutor(8), interceptors=[_Script(self)])
        wire.add_CollectionsServicer_to_server(_Collections(self), self._server)  # type: ignore[no-untyped-call]  # generated
        wire.add_PointsServicer_to_server(_Points(self), self._server)  # type: ignore[no-untyped-call]  # generated
        wire.add_QdrantServicer_to_server(_Root(self), self._server)  # type: ignore[no-untyped-call]  # generated
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def release(self) -> None:
        """Answer the calls that hang, and let none hang from now on."""
        self._stopping.set()

    def stop(self) -> None:
        """Answer no more, and let go of the port."""
        self._stopping.set()
        self._server.stop(None).wait()

    def script(self, method: str, *steps: Step) -> None:
        """Say what becomes of the next calls of a method, such as "Upsert"."""
        self._scripts[method].extend(steps)

    def called(self, method: str) -> list[Any]:
        """Return the requests of a method so far, in order."""
        return [request for name, request in self.calls if name == method]

    def next_step(self, method: str) -> Step:
        steps = self._scripts[method]
        return steps.popleft() if steps else None

    def hang(self) -> None:
        self._stopping.wait()

    @contextmanager
    def working(self, context: grpc.ServicerContext, name: str = "") -> Iterator[Any]:
        """Use the engine alone, on a collection that must exist, and answer its refusals as the server words them."""
        with self._working:
            if name and not self.engine.collection_exists(name):
                context.abort(grpc.StatusCode.NOT_FOUND, f"Not found: Collection `{name}` doesn't exist!")
            try:
                yield self.engine
            except (ValueError, KeyError) as refusal:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"Wrong input: {refusal}")

    def remember_masks(self, name: str) -> None:
        """Let a filter be evaluated once between two writes, since the engine takes milliseconds for each."""
        engine: Any = self.engine._client
        collection = engine.collections[name]
        plain: Callable[..., Any] = collection._payload_and_non_deleted_mask
        masks = self._masks[name]

        def remembered(payload_filter: models.Filter | None, vector_name: str | None = None) -> Any:
            key = f"{vector_name} {'' if payload_filter is None else payload_filter.model_dump_json()}"
            if key not in masks:
                masks[key] = plain(payload_filter, vector_name)
            return masks[key]

        collection._payload_and_non_deleted_mask = remembered

    def changed(self, name: str) -> None:
        self._masks[name].clear()


class _Script(grpc.ServerInterceptor):
    def __init__(self, emulator: QdrantEmulator) -> None:
        self._emulator = emulator

    def intercept_service(self, continuation: Any, call: Any) -> Any:
        handler = continuation(call)
        method = call.method.rpartition("/")[2]
        headers = dict(call.invocation_metadata)

        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            emulator = self._emulator
            if emulator.remembers_calls:
                emulator.calls.append((method, request))
            if emulator.api_key and method != "HealthCheck" and headers.get("api-key") != emulator.api_key:
                context.abort(
                    grpc.StatusCode.UNAUTHENTICATED, "Must provide an API key or an Authorization bearer token"
                )
            step = emulator.next_step(method)
            match step:
                case Hang():
                    emulator.hang()
                case Refuse(after_effect=False):
                    _refuse(step, context)
            response = handler.unary_unary(request, context)
            match step:
                case Refuse(after_effect=True):
                    _refuse(step, context)
                case Unapplied():
                    response.result.status = wire.UpdateStatus.WaitTimeout
            return response

        return grpc.unary_unary_rpc_method_handler(
            answer,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )


def _record(record: models.Record) -> Any:
    record.payload = record.payload or {}
    return RestToGrpc.convert_record(record)


def _refuse(step: Refuse, context: grpc.ServicerContext) -> None:
    if step.retry_after is not None:
        context.set_trailing_metadata((("retry-after", str(step.retry_after)),))
    context.abort(step.code, step.details)


class _Root(wire.QdrantServicer):
    def __init__(self, emulator: QdrantEmulator) -> None:
        self._emulator = emulator

    def HealthCheck(self, request: Any, context: Any) -> Any:
        return wire.HealthCheckReply(title="emulated Qdrant", version=self._emulator.version)


class _Collections(wire.CollectionsServicer):
    def __init__(self, emulator: QdrantEmulator) -> None:
        self._emulator = emulator

    def Create(self, request: Any, context: Any) -> Any:
        name = request.collection_name
        with self._emulator.working(context) as engine:
            if engine.collection_exists(name):
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"Wrong input: Collection `{name}` already exists!")
            engine.create_collection(
                name,
                vectors_config=GrpcToRest.convert_vectors_config(request.vectors_config),
                metadata=grpc_to_payload(request.metadata),
            )
            self._emulator.remember_masks(name)
        return wire.CollectionOperationResponse(result=True)

    def Get(self, request: Any, context: Any) -> Any:
        name = request.collection_name
        with self._emulator.working(context, name) as engine:
            info = engine.get_collection(name)
            info.payload_schema = self._emulator.schemas[name]
            return wire.GetCollectionInfoResponse(result=RestToGrpc.convert_collection_info(info))

    def Update(self, request: Any, context: Any) -> Any:
        with self._emulator.working(context, request.collection_name) as engine:
            engine.update_collection(request.collection_name, metadata=grpc_to_payload(request.metadata))
        return wire.CollectionOperationResponse(result=True)

    def List(self, request: Any, context: Any) -> Any:
        with self._emulator.working(context) as engine:
            names = [each.name for each in engine.get_collections().collections]
        return wire.ListCollectionsResponse(collections=[wire.CollectionDescription(name=name) for name in names])

    def Delete(self, request: Any, context: Any) -> Any:
        name = request.collection_name
        with self._emulator.working(context) as engine:
            existed = engine.delete_collection(name)
            self._emulator.schemas.pop(name, None)
            self._emulator.changed(name)
        return wire.CollectionOperationResponse(result=existed)


class _Points(wire.PointsServicer):
    def __init__(self, emulator: QdrantEmulator) -> None:
        self._emulator = emulator

    def Upsert(self, request: Any, context: Any) -> Any:
        name = request.collection_name
        points = [GrpcToRest.convert_point_struct(point) for point in request.points]
        for point in points:
            point.payload = careless(point.payload)
            vectors: Any = point.vector
            for vector in vectors.values():
                if not all(map(math.isfinite, vector)):
                    context.abort(grpc.StatusCode.INVALID_ARGUMENT, "Wrong input: a vector must be finite")
        mode = GrpcToRest.convert_update_mode(request.update_mode) if request.HasField("update_mode") else None
        with self._emulator.working(context, name) as engine:
            self._emulator.changed(name)
            engine.upsert(name, points=points, update_mode=mode)
        return wire.PointsOperationResponse(result=_COMPLETED)

    def Delete(self, request: Any, context: Any) -> Any:
        name = request.collection_name
        with self._emulator.working(context, name) as engine:
            engine.delete(name, points_selector=GrpcToRest.convert_points_selector(request.points))
            self._emulator.changed(name)
        return wire.PointsOperationResponse(result=_COMPLETED)

    def SetPayload(self, request: Any, context: Any) -> Any:
        name = request.collection_name
        with self._emulator.working(context, name) as engine:
            chosen = GrpcToRest.convert_points_selector(request.points_selector)
            engine.set_payload(name, payload=careless(grpc_to_payload(request.payload)), points=chosen)
            self._emulator.changed(name)
        return wire.PointsOperationResponse(result=_COMPLETED)

    def Get(self, request: Any, context: Any) -> Any:
        with self._emulator.working(context, request.collection_name) as engine:
            records = engine.retrieve(
                request.collection_name,
                ids=[GrpcToRest.convert_point_id(each) for each in request.ids],
                with_payload=GrpcToRest.convert_with_payload_interface(request.with_payload),
                with_vectors=GrpcToRest.convert_with_vectors_selector(request.with_vectors),
            )
        return wire.GetResponse(result=[_record(record) for record in records])

    def Scroll(self, request: Any, context: Any) -> Any:
        with self._emulator.working(context, request.collection_name) as engine:
            records, following = engine.scroll(
                request.collection_name,
                scroll_filter=GrpcToRest.convert_filter(request.filter),
                limit=request.limit,
                offset=GrpcToRest.convert_point_id(request.offset) if request.HasField("offset") else None,
                with_payload=GrpcToRest.convert_with_payload_interface(request.with_payload),
                with_vectors=GrpcToRest.convert_with_vectors_selector(request.with_vectors),
            )
        return wire.ScrollResponse(
            result=[_record(record) for record in records],
            next_page_offset=None if following is None else RestToGrpc.convert_extended_point_id(following),
        )

    def Count(self, request: Any, context: Any) -> Any:
        with self._emulator.working(context, request.collection_name) as engine:
            found = engine.count(request.collection_name, count_filter=GrpcToRest.convert_filter(request.filter))
        return wire.CountResponse(result=wire.CountResult(count=found.count))

    def QueryBatch(self, request: Any, context: Any) -> Any:
        results = []
        with self._emulator.working(context, request.collection_name) as engine:
            for each in request.query_points:
                query = GrpcToRest.convert_query_points(each)
                nearest = self._nearest(engine, request.collection_name, query, context)
                found = engine.query_points(
                    request.collection_name,
                    query=nearest,
                    using=query.using,
                    query_filter=query.filter,
                    limit=query.limit,
                    with_payload=query.with_payload,
                    with_vectors=[query.using or ""],
                )
                self._score_as_the_server(engine, request.collection_name, query, nearest, found.points)
                results.append(
                    wire.BatchResult(result=[RestToGrpc.convert_scored_point(point) for point in found.points])
                )
        return wire.QueryBatchResponse(result=results)

    def _nearest(self, engine: QdrantClient, name: str, query: models.QueryRequest, context: Any) -> list[float]:
        vectors = engine.get_collection(name).config.params.vectors
        if not isinstance(vectors, dict) or query.using not in vectors:
            context.abort(
                grpc.StatusCode.INVALID_ARGUMENT, f"Wrong input: Not existing vector name error: {query.using}"
            )
        assert isinstance(query.query, models.NearestQuery)
        vector = query.query.nearest
        assert isinstance(vector, list)
        expected = vectors[query.using].size  # type: ignore[index]  # the call was aborted otherwise
        if len(vector) != expected:
            words = f"Wrong input: Vector dimension error: expected dim: {expected}, got {len(vector)}"
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, words)
        return vector  # type: ignore[return-value]  # of floats, since it is dense

    def _score_as_the_server(
        self, engine: QdrantClient, name: str, query: models.QueryRequest, nearest: list[float], points: Any
    ) -> None:
        """Multiply in float32, as the server does and the engine does not, and leave out vectors not asked for."""
        vectors: Any = engine.get_collection(name).config.params.vectors
        inner = vectors[query.using].distance is models.Distance.DOT
        for point in points:
            if inner:
                stored = np.array(point.vector[query.using], np.float32)
                point.score = float(np.dot(stored, np.array(nearest, np.float32)))
            if not query.with_vector:
                point.vector = None

    def Facet(self, request: Any, context: Any) -> Any:
        name = request.collection_name
        if request.key not in self._emulator.schemas[name]:
            words = f'Bad request: Index required but not found for "{request.key}" of one of the following types: [keyword]'
            with self._emulator.working(context, name):
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, words)
        with self._emulator.working(context, name) as engine:
            found = engine.facet(name, key=request.key, limit=request.limit, exact=request.exact)
        return wire.FacetResponse(hits=[RestToGrpc.convert_facet_value_hit(hit) for hit in found.hits])

    def CreateFieldIndex(self, request: Any, context: Any) -> Any:
        name = request.collection_name
        kinds = {
            wire.FieldType.FieldTypeKeyword: models.PayloadSchemaType.KEYWORD,
            wire.FieldType.FieldTypeInteger: models.PayloadSchemaType.INTEGER,
            wire.FieldType.FieldTypeFloat: models.PayloadSchemaType.FLOAT,
            wire.FieldType.FieldTypeBool: models.PayloadSchemaType.BOOL,
        }
        with self._emulator.working(context, name):
            info = models.PayloadIndexInfo(data_type=kinds[request.field_type], points=0)
            self._emulator.schemas[name][request.field_name] = info
        return wire.PointsOperationResponse(result=_COMPLETED)


def careless(payload: Any) -> Any:
    """Return a payload whose doubles are as a reader leaves them that multiplies digits by a power of ten."""
    if isinstance(payload, dict):
        return {key: careless(value) for key, value in payload.items()}
    if isinstance(payload, list):
        return [careless(value) for value in payload]
    if not isinstance(payload, float):
        return payload
    mantissa, _, power = json.dumps(payload).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits, exponent = float(int(whole + fraction)), int(power or 0) - len(fraction)
    if digits == 0:
        return payload
    while exponent < -300:
        digits, exponent = digits / 1e300, exponent + 300
    value = digits / 10.0**-exponent if exponent < 0 else digits * 10.0**exponent
    return value if math.isfinite(value) else payload
